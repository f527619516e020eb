"""Measure Glimpse beside rclip 3.3.0: the same photos, the same model with the same weights, the same questions.

    python benchmarks/vs_rclip.py [--photos 300] [--library 100000] [--runs 3] [--precision fp32 int8 int7]

Installs rclip from the package index into an environment of its own, and makes, in a temporary folder (5 GB):

- the model, ViT-B-32-256 at full size with random weights. Glimpse exports it as it does every model; rclip gets the
  two graphs that its own recipe makes of it (torch.onnx.export, TorchScript, opset 18), where it looks for those that
  it would download. Both must give the same vectors for a picture and for words before anything is measured;
- `photos` JPEGs of 12 megapixels (benchmarks/index.py), to be indexed;
- `library` files with a random vector each, in rclip's database and in a library of Glimpse's, both with the files'
  real sizes and times, so that both find them unchanged. Both must find the same photos.

Every measurement is a whole process, rclip and Glimpse in turn, in `runs` turns and one before that is thrown away
(indexing has none: it writes into an empty database each time). Wall and CPU seconds (user and system, all threads)
and the largest resident set are the kernel's figures. Ratios are medians of the turns' own, rclip's over Glimpse's.

- indexing, and looking again at a folder where nothing has changed: `glimpse index`, against what rclip does before
  it answers (`init_rclip`, without a question: rclip has no such command);
- a question in a new process: `glimpse search 'a cat'`, against `rclip 'a cat'`, which looks through the folder
  first, and `rclip -n 'a cat'`, which does not.

Glimpse's library is told in advance in which precision to encode (a new one would test that on its first 200 photos);
rclip has none but fp32.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.index import make_photos
from benchmarks.synthetic import random_unit
from benchmarks.usage import Usage, measure
from core.resources import data_path
from core.types import FileStat, Metadata, Space, Vectors
from encoders.registry import load
from media.photo import decode_photo
from store.records import WHOLE, Taken
from store.writer import Writer

RCLIP, MODEL = "rclip==3.3.0", "ViT-B-32-256"
GRAPHS = "ViT-B-32-256-datacomp_s34b_b86k"
"""The folder where rclip looks for its graphs."""
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""What rclip/utils/preprocess.py does, in open_clip's words."""
QUERY, PER_FOLDER, BATCH = "a cat", 1000, 5000
PICTURES = ("coffee.png", "rocket.jpg")
INDEX_RCLIP = "import os, rclip.main; rclip.main.init_rclip(os.getcwd(), 8)"
ENCODE_RCLIP = """
import json, sys
from PIL import Image
from rclip.model import Model
model = Model()
pictures = model.compute_image_features([Image.open(path) for path in sys.argv[2:]])
print(json.dumps([*pictures.tolist(), *model.compute_text_features([sys.argv[1]]).tolist()]))
"""
FILL_RCLIP = """
import os, sys
import numpy as np
from rclip.db import DB
database, photos, vectors = DB(sys.argv[1]), sys.argv[2], np.load(sys.argv[3], mmap_mode="r")
paths = [os.path.join(photos, name) for name in open(sys.argv[4]).read().split()]
stats = map(os.stat, paths)
rows = (
    (path, stat.st_mtime, stat.st_size, vector.tobytes(), f"{number:064x}")
    for number, (path, stat, vector) in enumerate(zip(paths, stats, vectors))
)
database._con.executemany(
    "INSERT INTO images(filepath, modified_at, size, vector, hash) VALUES (?, ?, ?, ?, ?)", rows
)
database.close()
"""


@dataclass(frozen=True)
class Side:
    """One of the two programs: its python, and the environment that its commands run in."""

    python: Path
    environ: dict[str, str]

    def measure(self, command: list[str], folder: Path) -> Usage:
        """Run a command in a folder and in this environment."""
        return measure(command, folder, self.environ)

    def output(self, command: list[str], folder: Path) -> str:
        """Run a command and return what it prints."""
        done = subprocess.run(command, cwd=folder, env=self.environ, stdout=subprocess.PIPE, text=True, check=True)
        return done.stdout


@dataclass(frozen=True)
class Row:
    """A measurement of both, turn by turn.

    faster: the least ratio of wall times that is wanted; leaner: the most
    memory, as a share of rclip's.
    """

    name: str
    rclip: list[Usage]
    ours: list[Usage]
    faster: float
    leaner: float | None = None

    def __str__(self) -> str:
        def middle(usages: list[Usage], key: str) -> float:
            return float(statistics.median(getattr(usage, key) for usage in usages))

        def ratio(key: str) -> float:
            turns = zip(self.rclip, self.ours, strict=True)
            return float(statistics.median(getattr(a, key) / getattr(b, key) for a, b in turns))

        figures = "".join(f"{middle(side, key):9.2f}" for key in ("wall", "cpu") for side in (self.rclip, self.ours))
        figures += "".join(f"{middle(side, 'megabytes'):8.0f}" for side in (self.rclip, self.ours))
        memory = 1 / ratio("megabytes")
        wanted = f"wall >= {self.faster:g}: {'yes' if ratio('wall') >= self.faster else 'NO'}"
        if self.leaner is not None:
            wanted += f", memory <= {self.leaner:g}: {'yes' if memory <= self.leaner else 'NO'}"
        return f"{self.name:34}{figures}{ratio('wall'):8.2f}{ratio('cpu'):8.2f}{memory:8.2f}  {wanted}"


HEADER = (
    f"{'':34}{'wall s':>18}{'CPU s':>18}{'MB':>16}{'rclip / Glimpse':>16}{'G / r':>8}\n"
    f"{'':34}{'rclip':>9}{'Glimpse':>9}{'rclip':>9}{'Glimpse':>9}{'rclip':>8}{'Glimpse':>8}"
    f"{'wall':>8}{'CPU':>8}{'memory':>8}  target"
)


def install_rclip(folder: Path) -> Path:
    """Make an environment with rclip and return its python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", RCLIP], check=True)
    return python


def make_model(folder: Path) -> None:
    """Write the model in the hub's layout, with the preprocessing that rclip has built in."""
    script = str(Path(__file__).with_name("random_model.py"))
    subprocess.run([sys.executable, script, MODEL, str(folder)], check=True)
    config = folder / "open_clip_config.json"
    settings = json.loads(config.read_text(encoding="utf-8"))
    config.write_text(json.dumps({**settings, "preprocess_cfg": PREPROCESS}), encoding="utf-8")


def export_for_rclip(model_folder: Path, target: Path) -> None:
    """Write visual.onnx, textual.onnx and the vocabulary where rclip looks for them; run in a process of its own."""
    import warnings

    import open_clip
    import torch

    class Text(torch.nn.Module):
        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.model.encode_text(ids)  # type: ignore[no-any-return, operator]

    model = open_clip.create_model(f"local-dir:{model_folder}").eval()
    (target / GRAPHS).mkdir(parents=True)
    (target / "tokenizer").mkdir()
    name = "bpe_simple_vocab_16e6.txt.gz"
    shutil.copy(Path(open_clip.__file__).with_name(name), target / "tokenizer" / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file, tower, example in (
            ("visual.onnx", model.visual, torch.randn(1, 3, 256, 256)),
            ("textual.onnx", Text(model), torch.zeros(1, 77, dtype=torch.long)),
        ):
            torch.onnx.export(
                tower, (example,), str(target / GRAPHS / file), input_names=["input"], output_names=["output"],
                dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}}, opset_version=18, dynamo=False,
            )  # fmt: skip


def check_vectors(rclip: Side, model: str, cache: Path) -> Space:
    """Hold both programs' vectors of two pictures and of words against each other; return Glimpse's space."""
    encoder = load(model, cache)
    files = [data_path("demo", name) for name in PICTURES]
    pixels = np.stack([decode_photo(file.read_bytes(), file.name, encoder.image_input).frames[0] for file in files])
    ours = np.concatenate([encoder.encode_images(pixels), encoder.encode_texts([QUERY])])
    command = [str(rclip.python), "-c", ENCODE_RCLIP, QUERY, *map(str, files)]
    theirs = np.array(json.loads(rclip.output(command, Path.cwd())), dtype=np.float32)
    cosines = (ours * theirs).sum(1)
    print(
        f"cosine of both programs' vectors: {PICTURES[0]} {cosines[0]:.6f}, {PICTURES[1]} {cosines[1]:.6f}, "
        f"'{QUERY}' {cosines[2]:.6f} (the two pictures with each other: {ours[0] @ ours[1]:.3f})"
    )
    if cosines.min() < 0.99:  # a JPEG is decoded at a fraction of its size here, which random weights take hard
        raise SystemExit("the two programs do not run the same model")
    return encoder.space


def make_library(photos: Path, count: int, dim: int, scratch: Path) -> tuple[list[str], Vectors]:
    """Write `count` small files, and a vector for each; names and vectors lie in `scratch`, for rclip, too."""
    names = [f"{number // PER_FOLDER:04}/{number:07}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        path = photos / name
        if number % PER_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"\xff\xd8\xff" + str(number).encode())
    vectors = np.concatenate(list(random_unit(count, dim)))
    np.save(scratch / "vectors.npy", vectors)
    (scratch / "names.txt").write_text("\n".join(names))
    return names, vectors


def fill_glimpse(library: Path, space: Space, photos: Path, names: list[str], vectors: Vectors) -> None:
    """Make a library of these files, as if they had been indexed."""
    with Writer(library) as writer:
        space_id = writer.add_space(space)
        writer.add_sources({os.fsencode(photos): True})
        root_id = writer.add_root(os.fsencode(photos), [])
        for start in range(0, len(names), BATCH):
            batch = [
                Taken(
                    root_id, name.encode(), FileStat.of(os.stat(photos / name)),
                    digest=number.to_bytes(16), size=(4000, 3000), vectors={WHOLE: vectors[number]},
                    embedded=Metadata(),
                )
                for number, name in enumerate(names[start : start + BATCH], start)
            ]  # fmt: skip
            writer.commit(space_id, batch)


def measure_indexing(
    rclip: Side, ours: Side, photos: Path, space: Space, options: argparse.Namespace, scratch: Path
) -> list[Row]:
    """Index the photos into an empty database each time."""
    model = f"local-dir:{scratch / 'model'}"
    theirs: list[Usage] = []
    usages: dict[str, list[Usage]] = {precision: [] for precision in options.precision}
    for turn in range(options.runs):
        place = scratch / f"rclip-{turn}"
        place.mkdir()
        for name in (GRAPHS, "tokenizer"):
            (place / name).symlink_to(scratch / "rclip" / name)
        fresh = Side(rclip.python, {**rclip.environ, "RCLIP_DATADIR": str(place)})
        theirs.append(fresh.measure([str(rclip.python), "-c", INDEX_RCLIP], photos))
        for precision, values in usages.items():
            library = scratch / f"glimpse-{precision}-{turn}"
            with Writer(library) as writer:  # as if the test on the first photos had chosen it
                writer.set_precision(writer.add_space(space), precision, [])
            values.append(ours.measure([*glimpse("index", library), str(photos), "--model", model], photos))
    targets = {"fp32": 1.5, "int8": 2.3, "int7": 2.3}
    return [
        Row(f"indexing {options.photos} photos, {precision}", theirs, values, targets.get(precision, 1))
        for precision, values in usages.items()
    ]


def measure_library(rclip: Side, ours: Side, photos: Path, library: Path, runs: int) -> list[Row]:
    """Ask and look again in the big library."""
    program = str(rclip.python.with_name("rclip"))
    commands = {
        "asked": (rclip, [program, QUERY]),
        "asked, -n": (rclip, [program, "-n", QUERY]),
        "looked": (rclip, [str(rclip.python), "-c", INDEX_RCLIP]),
        "search": (ours, [*glimpse("search", library), QUERY]),
        "index": (ours, glimpse("index", library)),
    }
    usages: dict[str, list[Usage]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for name, (side, command) in commands.items():
            usage = side.measure(command, photos)
            if turn:  # the first turn warms the page cache, and lets Glimpse write its index file
                usages[name].append(usage)
    return [
        Row("a question, rclip as it is used", usages["asked"], usages["search"], 12, 0.7),
        Row("a question, rclip -n", usages["asked, -n"], usages["search"], 3, 0.7),
        Row("looking again, nothing changed", usages["looked"], usages["index"], 10),
    ]


def check_answers(rclip: Side, ours: Side, photos: Path, library: Path) -> None:
    """Say how many of the ten best photos both programs agree on, of all that is asked of them here."""
    theirs = rclip.output([str(rclip.python.with_name("rclip")), "-n", "-f", QUERY], photos).split()
    mine = ours.output([*glimpse("search", library), QUERY, "--paths"], photos).split()
    print(
        f"of the ten best photos of {sum(1 for _ in photos.rglob('*.jpg')):,}, both find {len({*theirs} & {*mine})}"
    )


def glimpse(command: str, library: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("glimpse")), command, "--library", str(library)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--library", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--precision", nargs="+", default=["fp32", "int8", "int7"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder).resolve()
        cache, model = scratch / "cache", scratch / "model"
        environ = {**os.environ, "GLIMPSE_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
        ours = Side(Path(sys.executable), environ)
        python = install_rclip(scratch / "environment")
        rclip = Side(python, {**environ, "RCLIP_DATADIR": str(scratch / "rclip")})
        make_model(model)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(export_for_rclip, model, scratch / "rclip").result()
        space = check_vectors(rclip, f"local-dir:{model}", cache)
        photos = scratch / "photos"
        make_photos(photos, options.photos)
        print(
            f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} processors, onnxruntime {version('onnxruntime')}, {RCLIP}"
        )
        print(f"{options.photos} JPEGs of 12 MP, a library of {options.library:,}, medians of {options.runs} turns")
        rows = measure_indexing(rclip, ours, photos, space, options, scratch)
        for row in (HEADER, *rows):
            print(row, flush=True)
        many, library = scratch / "many", scratch / "library"
        names, vectors = make_library(many, options.library, space.dim, scratch)
        fill_glimpse(library, space, many, names, vectors)
        database = str(scratch / "rclip" / "db.sqlite3")
        arguments = [database, str(many), str(scratch / "vectors.npy"), str(scratch / "names.txt")]
        rclip.output([str(python), "-c", FILL_RCLIP, *arguments], scratch)
        rows = measure_library(rclip, ours, many, library, options.runs)
        for row in rows:
            print(row)
        check_answers(rclip, ours, many, library)


if __name__ == "__main__":
    main()
