"""Run an image tower in fewer bits, once a test on the user's own photos has shown that nobody will notice.

fp32 on onnxruntime is the reference. Reduced precisions are tried for the models of open_clip: "int8" (weights and
activations, onnxruntime), "int7" (the same with weights of seven bits, faster where a processor has no VNNI), and
"bf16" (OpenVINO, where it is installed and the processor multiplies bf16). The built-in model has none: its products
with constant weights are few. Texts stay in fp32: there is one to a search.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.types import Pixels, Progress, ProgressCallback, Vectors
from encoders.base import Encoder
from encoders.openclip import OnnxImages, OpenClipEncoder
from encoders.runtime import Export, ensure_export

FP32, INT8, INT7, BF16 = "fp32", "int8", "int7", "bf16"
_BITS = {INT8: "8", INT7: "7"}
MIN_COSINE, MIN_OVERLAP, MIN_SPEEDUP = 0.999, 0.95, 1.2
"""What a precision has to exceed; the last it has to reach."""
NEAREST = 10

_RECIPE = 1
"""Raised whenever the 8-bit graph changes."""
_TIMED, _TURNS = 16, 3
_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class SelfTest:
    """How a precision compares with fp32 on some of the user's photos.

    cosine: the least over the photos; overlap: share of the nearest 10 that stay, the mean for photos and for texts
    as queries, 0..1; speedup: CPU time a photo, fp32 / this; reason: why it is not used, "" where it passed.
    """

    precision: str
    photos: int
    cosine: float = 0.0
    overlap: float = 0.0
    speedup: float = 0.0
    passed: bool = False
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON-ready values."""
        return {key: round(value, 6) if isinstance(value, float) else value for key, value in asdict(self).items()}


class OpenVinoImages:
    """An exported image tower on OpenVINO, in bf16; raises ValueError where the processor cannot do that."""

    def __init__(self, export: Export) -> None:
        with export.reading():
            export.check("image.onnx")
        settings = {"INFERENCE_PRECISION_HINT": BF16, "INFERENCE_NUM_THREADS": os.cpu_count() or 1}
        compiled = _openvino().Core().compile_model(str(export.path("image.onnx")), "CPU", settings)
        got = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if got != BF16:  # OpenVINO falls back to fp32 without a word
            raise ValueError(f"OpenVINO computes in {got} on this processor")
        self._request = compiled.create_infer_request()

    def images(self, pixels: Pixels) -> Vectors:
        """Return unit rows for photos."""
        rows: Vectors = self._request.infer({"pixels": pixels})[0].copy()  # the next call writes over it
        return rows


def precisions(encoder: Encoder) -> tuple[str, ...]:
    """Return the reduced precisions that an encoder can have on this machine."""
    if not isinstance(encoder, OpenClipEncoder) or not encoder.exported:
        return ()
    bf16 = importlib.util.find_spec("openvino") is not None and multiplies_bf16(_CPU_INFO)
    whole = (INT8,) if adds_wide(_CPU_INFO) else (INT7, INT8)
    return (*whole, BF16) if bf16 else whole


def with_precision(encoder: Encoder, precision: str, progress: ProgressCallback | None = None) -> Encoder:
    """Return an encoder of the same Space whose image tower runs in that precision.

    Makes the 8-bit graph beside the exported one the first time. Raises ModelError where it cannot be made,
    ValueError for a precision that is none of `precisions(encoder)`.
    """
    if precision == FP32:
        return encoder
    if precision not in precisions(encoder) or not isinstance(encoder, OpenClipEncoder):
        raise ValueError(f"{encoder.space.name} cannot run in {precision} on this machine")
    export = encoder.export
    if precision == BF16:
        return encoder.with_images(OpenVinoImages(export))
    folder = export.folder.with_name(f"{export.folder.name}-{precision}-{_RECIPE}")
    arguments = [str(export.path("image.onnx")), _BITS[precision]]
    made = ensure_export("encoders.precision_export", folder, progress, arguments)
    return encoder.with_images(OnnxImages(made))


def self_test(
    encoder: Encoder, pixels: Pixels, vectors: Vectors, texts: Vectors, progress: ProgressCallback | None = None
) -> list[SelfTest]:
    """Compare every reduced precision with fp32; the fastest that passed comes first.

    pixels: some of the user's photos, (n, size, size, 3), of which 50 or more say something; vectors: their rows in
    fp32, (n, dim); texts: rows of tags, (m, dim), as queries. What goes wrong is a reason not to use a precision, no
    error. Takes CPU time for the measure: nothing else should run in this process meanwhile.
    """
    tests = []
    for precision in precisions(encoder):
        if progress:
            progress(Progress(f"testing the model in {precision} (once)"))
        try:
            candidate = with_precision(encoder, precision, progress)
            rows = candidate.encode_images(pixels)
            speedup = _speedup(encoder, candidate, pixels[:_TIMED])
            tests.append(_judged(precision, vectors, rows, texts, speedup))
        except Exception as error:  # a full disk, a graph that a runtime does not take: fp32 serves as well
            tests.append(SelfTest(precision, len(pixels), reason=" ".join(str(error).split())[:200]))
    return sorted(tests, key=lambda test: (not test.passed, -test.speedup))


def best(tests: Sequence[SelfTest]) -> str:
    """Return the precision to use: the fastest that passed, else fp32."""
    passed = [test for test in tests if test.passed]
    return max(passed, key=lambda test: test.speedup).precision if passed else FP32


def overlap(queries: Vectors, rows: Vectors, other_queries: Vectors, other_rows: Vectors, own: bool = False) -> float:
    """Return the mean share of each query's nearest 10 rows that are the same in both, 0..1.

    own: query i is row i, which is not among its own neighbours.
    """
    nearest = [_nearest(q, r, own) for q, r in ((queries, rows), (other_queries, other_rows))]
    same = [len(set(a) & set(b)) / len(a) for a, b in zip(*(n.tolist() for n in nearest), strict=True)]
    return float(np.mean(same))


def multiplies_bf16(cpu_info: Path) -> bool:
    """Say whether the processor multiplies bf16, by the flags that Linux lists; false where there is no list."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_flags(cpu_info))


def adds_wide(cpu_info: Path) -> bool:
    """Say whether the processor adds 8-bit products in 32 bits (VNNI, or no x86 at all); false where nobody says."""
    return not {"avx512_vnni", "avx_vnni", "asimd"}.isdisjoint(_flags(cpu_info))


def _flags(cpu_info: Path) -> list[str]:
    try:
        return cpu_info.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return []


def _judged(precision: str, vectors: Vectors, rows: Vectors, texts: Vectors, speedup: float) -> SelfTest:
    """Hold a candidate's rows to those in fp32."""
    cosine = float(np.sum(vectors * rows, axis=1).min())
    overlaps = [overlap(vectors, vectors, rows, rows, own=True)]
    if len(texts):
        overlaps.append(overlap(texts, vectors, texts, rows))
    kept = float(np.mean(overlaps))
    failures = [
        f"{name} {value:.4f}, needed {needed}"
        for name, value, needed, enough in (
            ("cosine", cosine, MIN_COSINE, cosine > MIN_COSINE),
            ("overlap", kept, MIN_OVERLAP, kept > MIN_OVERLAP),
            ("speedup", speedup, MIN_SPEEDUP, speedup >= MIN_SPEEDUP),
        )
        if not enough  # NaN is not enough either
    ]
    return SelfTest(precision, len(vectors), cosine, kept, speedup, not failures, "; ".join(failures))


def _nearest(queries: Vectors, rows: Vectors, own: bool) -> "np.ndarray[Any, np.dtype[np.intp]]":
    """Return the nearest rows of each query, best first, ties by number; shape (n, 10) or as many as there are."""
    scores = queries @ rows.T
    if own:
        np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, : min(NEAREST, len(rows) - own)]


def _speedup(encoder: Encoder, candidate: Encoder, pixels: Pixels) -> float:
    """Return how much less CPU time a batch takes, the least of some turns, which others disturb least."""
    times = [
        min(_cpu_seconds(call, pixels) for _ in range(_TURNS))
        for call in (encoder.encode_images, candidate.encode_images)
    ]
    return times[0] / max(times[1], 1e-9)


def _cpu_seconds(call: Callable[[Pixels], Vectors], pixels: Pixels) -> float:
    started = time.process_time()
    call(pixels)
    return time.process_time() - started


def _openvino() -> Any:
    """Import OpenVINO without its telemetry, in whose place it has a stub that does nothing."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
