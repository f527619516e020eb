"""Read the text in pictures, with RapidOCR (PP-OCRv6): an extra, whose wheel carries its models.

It is told where each model is: with a model that it has to find itself, it would look online.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import ModelError

SIDE = 1024
"""Longer side in px of pictures to read: a page of letters of 12 px is read whole. Smaller pictures take as long,
since the detector enlarges them; at 2,000 px it takes four times as long, and finds fewer of small letters
(docs/benchmarks.md)."""
MISSING = "reading text in photos needs an extra; install it with: pip install 'glimpse-search[ocr]'"
_MODELS = {
    "Det": "PP-OCRv6_det_small.onnx",
    "Cls": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
    "Rec": "PP-OCRv6_rec_small.onnx",
}


def can_read() -> bool:
    """Say whether the extra is installed."""
    return find_spec("rapidocr") is not None


class TextReader:
    """Reads the text in pictures, one at a time, on the processor."""

    def __init__(self, threads: int) -> None:
        """Open the models; threads: for one picture, >= 1. Raises ModelError where the extra is missing or broken."""
        if not can_read():
            raise ModelError(MISSING)
        try:
            import rapidocr

            folder = Path(rapidocr.__file__).parent / "models"
            paths = {f"{task}.model_path": str(folder / name) for task, name in _MODELS.items()}
            cores = {"EngineConfig.onnxruntime.intra_op_num_threads": threads}
            self._read: Any = rapidocr.RapidOCR(params={"Global.log_level": "critical", **paths, **cores})
        except Exception as error:  # of six libraries that we do not call ourselves
            raise ModelError(f"text in photos cannot be read: {_first_line(error)}") from error

    def read(self, picture: bytes) -> str:
        """Return the lines of text in an encoded picture, "" for none; raises ModelError."""
        try:
            return "\n".join(self._read(picture).txts or ())
        except Exception as error:
            raise ModelError(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
