"""Write an exported graph anew with 8-bit weights and activations. Needs onnx; runs in a child."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, parser

from encoders.runtime import MANIFEST, describe

GRAPH = "image.onnx"
_DOMAIN, _NAME = "glimpse", "MatMul8"
_FUNCTION = """
<opset_import: ["" : %d], domain: "glimpse">
MatMul8 (rows, weights, steps, sums) => (product) {
    last = Constant <value_ints: ints = [-1]> ()
    levels = Constant <value_float: float = 255.0> ()
    least = Constant <value_float: float = 1e-20> ()
    none = Constant <value: tensor = uint8 {0}> ()
    middle = Constant <value: tensor = %s> ()
    low = ReduceMin <keepdims = 1> (rows, last)
    high = ReduceMax <keepdims = 1> (rows, last)
    width = Sub (high, low)
    span = Max (width, least)
    step = Div (span, levels)
    above = Sub (rows, low)
    scaled = Div (above, step)
    whole = Round (scaled)
    small = Cast <to = 2> (whole)
    counted = MatMulInteger (small, weights, none, middle)
    real = Cast <to = 1> (counted)
    stepped = Mul (real, step)
    upper = Mul (stepped, steps)
    lower = Mul (low, sums)
    product = Add (upper, lower)
}
"""
"""rows x W, with rows = low + step q, q in 0..255, and W = steps (weights - middle), a step for each column.

Each row has a range of its own, so that a photo's vector does not depend on the photos beside it, which
onnxruntime's own quantize_dynamic does not give. x86 without VNNI adds two products in 16 bits: there, signed weights
of seven bits cannot overflow, and are faster than unsigned ones of eight, which the processor has to take apart.
"""
_MIDDLE = {7: "int8 {0}", 8: "uint8 {128}"}


def export(folder: str, source: str, bits: str) -> None:
    """Write image.onnx, 8-bit wherever `source` multiplies with constant weights, and the manifest.

    bits: of the weights, "8", or "7" for processors that would overflow.
    """
    target, model = Path(folder), onnx.load(source)
    constants = {constant.name: constant for constant in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        weights = _weights(node, constants)
        if weights is None:
            nodes.append(node)
        else:
            nodes += _multiplied(model.graph, node, weights, int(bits))
    used = {name for node in nodes for name in node.input}
    kept = [constant for constant in model.graph.initializer if constant.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    model.functions.append(parser.parse_function(_FUNCTION % (version, _MIDDLE[int(bits)])))
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    onnx.save_model(model, str(target / GRAPH), save_as_external_data=True, location=f"{GRAPH}.data")
    (target / MANIFEST).write_text(json.dumps({"files": describe(target)}, indent=1), encoding="utf-8")


def quantised(
    weights: npt.NDArray[np.float32], bits: int
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return weights of shape (n, m) as whole numbers, each column's step, and each column's sum, shape (m,).

    They are 1..255 around 128 in eight bits, -63..63 in seven.
    """
    most = np.abs(weights).max(axis=0)
    steps = np.where(most == 0, 1, most / (2 ** (bits - 1) - 1)).astype(np.float32)
    whole = np.rint(weights / steps)
    stored = (whole + 128).astype(np.uint8) if bits == 8 else whole.astype(np.int8)
    return stored, steps, (whole.sum(axis=0) * steps).astype(np.float32)


def _weights(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> npt.NDArray[np.float32] | None:
    """Return the matrix that a node multiplies with, None where it does not or does more."""
    if node.op_type not in ("MatMul", "Gemm") or (constant := constants.get(node.input[1])) is None:
        return None
    options = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if len(constant.dims) != 2 or options.get("transA", 0) or {options.get(k, 1) for k in ("alpha", "beta")} != {1}:
        return None
    matrix = numpy_helper.to_array(constant)
    return matrix.T if options.get("transB", 0) else matrix


def _multiplied(
    graph: onnx.GraphProto, node: onnx.NodeProto, weights: npt.NDArray[np.float32], bits: int
) -> list[onnx.NodeProto]:
    """Return what stands in a node's place, and put its constants into the graph."""
    output, bias = node.output[0], list(node.input[2:])
    names = [f"{output}.{part}" for part in ("weights", "steps", "sums")]
    constants: tuple[npt.NDArray[Any], ...] = quantised(weights, bits)
    graph.initializer.extend(numpy_helper.from_array(*pair) for pair in zip(constants, names, strict=True))
    product = f"{output}.product" if bias else output
    made = [helper.make_node(_NAME, [node.input[0], *names], [product], domain=_DOMAIN)]
    return made + ([helper.make_node("Add", [product, *bias], [output])] if bias else [])
