"""Write a torch tower as an ONNX graph, and hold the graph to the tower. Needs torch; runs in an exporter's child."""

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from core.errors import ModelError
from core.types import Vectors

MIN_COSINE = 0.9999
"""What an exported graph must reach against torch on every row."""


def to_onnx(
    tower: nn.Module,
    inputs: dict[str, Tensor],
    path: Path,
    free_length: tuple[str, ...] = (),
    beside: bool = False,
    expected: Vectors | None = None,
) -> float:
    """Export a tower to unit rows whose inputs share a free batch size; return its least cosine to torch.

    free_length: the inputs whose second axis is free as well; beside: weights go to a file of their own, which is
    mapped rather than read, and is needed above 2 GB; expected: the rows of the tower as it was before it was made
    over for the graph. Raises ModelError where the graph differs.
    """
    dynamic = tuple({0: "batch", **({1: "length"} if name in free_length else {})} for name in inputs)
    if expected is None:
        expected = rows_of(tower, inputs)
    program = torch.onnx.export(
        tower, tuple(inputs.values()), dynamo=True, input_names=list(inputs), output_names=["vectors"],
        dynamic_shapes=dynamic, external_data=beside, verbose=False,
    )  # fmt: skip
    program.save(str(path), external_data=beside)  # type: ignore[union-attr]
    return held(path, inputs, expected)


def held(path: Path, inputs: dict[str, Tensor], expected: Vectors) -> float:
    """Return a graph's least cosine to the rows expected of these inputs; raises ModelError where it is too small."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = {entry.name for entry in session.get_inputs()}
    got = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in wanted})[0]
    cosine = float((got * expected).sum(-1).min())
    if not cosine >= MIN_COSINE:
        raise ModelError(f"{path.name} differs from torch: cosine {cosine:.6f}")
    return cosine


def rows_of(tower: nn.Module, inputs: dict[str, Tensor]) -> Vectors:
    """Return what the tower itself makes of the inputs."""
    with torch.inference_mode():
        rows: Vectors = tower(*inputs.values()).numpy()
    return rows
