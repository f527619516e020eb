"""Measure what fewer bits save an image tower on this processor, and what they cost.

    python benchmarks/random_model.py ViT-B-32-256 FOLDER
    python benchmarks/precision.py --model local-dir:FOLDER [--photos 96]

The photos are squares cut at random out of data/demo. CPU time of all threads, batches of 16, the precisions in turn,
least of three turns; photos/s a core is its inverse. `quantize_dynamic` is onnxruntime's own way to int8, for
comparison: one range for a whole batch of activations.

    python benchmarks/precision.py --builtin-text

puts the built-in model's MiniLM, whose weights are real, through the same, with pairs of tags as texts.
"""

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from tokenizers import Tokenizer

from core.resources import data_path
from core.types import Pixels, Vectors
from encoders import precision_export
from encoders.builtin import export_folder
from encoders.builtin import load as load_builtin
from encoders.openclip import OpenClipEncoder
from encoders.precision import FP32, OpenVinoImages, overlap, precisions, with_precision
from encoders.registry import load
from encoders.runtime import Export
from glimpse.defaults import settings

BATCH, TURNS = 16, 3
Run = Callable[[], Vectors]


def squares(count: int, size: int) -> Pixels:
    """Cut squares of all sizes out of the demonstration photos."""
    dice = np.random.default_rng(0)
    photos = []
    for path in sorted(path for path in data_path("demo").iterdir() if path.suffix in (".png", ".jpg")):
        with Image.open(path) as image:
            photos.append(image.convert("RGB"))
    made = []
    for number in range(count):
        photo = photos[number % len(photos)]
        side = int(min(photo.size) * dice.uniform(0.3, 1))
        left, top = (int(dice.integers(0, length - side + 1)) for length in photo.size)
        cut = photo.crop((left, top, left + side, top + side))
        made.append(np.asarray(cut.resize((size, size), Image.Resampling.BICUBIC)))
    return np.stack(made)


def compare(runs: dict[str, Run], count: int) -> None:
    """Print CPU time and likeness to the first."""
    rows, times = {}, dict.fromkeys(runs, float("inf"))
    for _ in range(TURNS + 1):  # the first opens what has to be opened
        for name, run in runs.items():
            started = time.process_time()
            again = run()
            if name in rows:
                times[name] = min(times[name], time.process_time() - started)
            rows[name] = again
    first = next(iter(runs))
    print(f"{'':20}{'ms/item':>9}{'items/s/core':>14}{'speedup':>9}{'least cos':>11}{'mean cos':>10}{'overlap':>9}")
    for name in runs:
        cosines = np.sum(rows[first] * rows[name], axis=1)
        kept = overlap(rows[first], rows[first], rows[name], rows[name], own=True)
        each = times[name] / count
        print(
            f"{name:20}{each * 1000:9.1f}{1 / each:14.2f}{times[first] / times[name]:9.2f}"
            f"{cosines.min():11.5f}{cosines.mean():10.5f}{kept:9.3f}"
        )


def library_int8(graph: Path, folder: Path) -> onnxruntime.InferenceSession:
    """Return the graph as onnxruntime's own tool makes it, weights unsigned as ours are."""
    kinds = ["MatMul", "Gemm"]
    quantize_dynamic(
        str(graph), str(folder / "library.onnx"), op_types_to_quantize=kinds, per_channel=True,
        weight_type=QuantType.QUInt8, use_external_data_format=True,
    )  # fmt: skip
    return session(folder / "library.onnx")


def session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def images(model: str, count: int, scratch: Path) -> None:
    encoder = load(model, settings().cache)
    if not isinstance(encoder, OpenClipEncoder) or not precisions(encoder):
        raise SystemExit(f"{model} has no reduced precision here")
    pixels = squares(count, encoder.image_input.size)
    encoders = {name: with_precision(encoder, name) for name in (FP32, *precisions(encoder))}
    runs: dict[str, Run] = {
        name: lambda other=other: other.encode_images(pixels)  # type: ignore[misc]
        for name, other in encoders.items()
    }
    theirs = library_int8(encoder.export.path("image.onnx"), scratch)
    runs["quantize_dynamic"] = lambda: np.concatenate(
        [theirs.run(None, {"pixels": pixels[i : i + BATCH]})[0] for i in range(0, count, BATCH)]
    )
    print(f"{model}: {count} photos, {os.cpu_count()} processors, onnxruntime {onnxruntime.__version__}")
    compare(runs, count)
    try:
        OpenVinoImages(encoder.export)
    except (ImportError, ValueError) as error:
        print(f"no bf16: {error}")


def texts(scratch: Path) -> None:
    load_builtin(settings().cache)
    export = Export(export_folder(settings().cache))
    tokenizer = Tokenizer.from_file(str(export.path("tokenizer.json")))
    table = np.load(export.path("tokens.npy"))
    dice = np.random.default_rng(0)
    tags = [line.partition("\t")[0] for line in data_path("tags.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    asked = [f"a photo of {one} with {other}" for one, other in dice.choice(tags, (192, 2))]
    feeds = []
    for start in range(0, len(asked), BATCH):
        rows = tokenizer.encode_batch(asked[start : start + BATCH])
        width = max(len(row.ids) for row in rows)
        ids = np.array([row.ids + [0] * (width - len(row.ids)) for row in rows])
        mask = np.array([[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows])
        feeds.append({"embeddings": table[ids].astype(np.float32), "mask": mask})
    graph = export.path("text.onnx")
    sessions = {FP32: session(graph)}
    for bits in ("7", "8"):
        (scratch / bits).mkdir()
        precision_export.export(str(scratch / bits), str(graph), bits)
        sessions[f"int8, weights of {bits} bits"] = session(scratch / bits / precision_export.GRAPH)
    sessions |= {
        "quantize_dynamic": library_int8(graph, scratch),
    }
    print(f"MiniLM-L6, real weights: {len(asked)} texts")
    compare(
        {
            name: lambda other=other: np.concatenate([other.run(None, feed)[0] for feed in feeds])  # type: ignore[misc]
            for name, other in sessions.items()
        },
        len(asked),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--builtin-text", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # the quantiser recommends steps that exported graphs do not need
    with tempfile.TemporaryDirectory() as scratch:
        if options.builtin_text:
            texts(Path(scratch))
        if options.model:
            images(options.model, options.photos, Path(scratch))


if __name__ == "__main__":
    main()
