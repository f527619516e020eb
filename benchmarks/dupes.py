"""Measure how near duplicates are found: how many, and in what time.

    python benchmarks/dupes.py --corpus DIR        # what edits are told, and which different pictures are not
    python benchmarks/dupes.py --count 100000      # synthetic vectors with planted duplicates

DIR holds pictures, in folders or not. Each is edited in every way of EDITS, and all are indexed with the built-in
model; an edit is found if it is much alike its original. Different: all pairs of originals. Synthetic: COUNT vectors
about THINGS things, every hundredth of which is a copy of the one before at a planted cosine. There are no previews,
so this is the comparison of vectors alone. Printed is which of the planted pairs share a cell, by their cosine.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

import glimpse
import search.cells
from benchmarks.synthetic import fill
from core.types import Ids, Space, Vectors
from encoders.base import unit
from glimpse.defaults import settings
from search.alike import ALONE, CORRELATED, LIKE, Alike, pairs
from search.cells import cells
from search.dupes import dupes
from store.copies import places, vectors_of, wholes
from store.reader import Reader

DIM, THINGS, EVERY = 512, 2000, 100
PLANTED = 0.86, 0.90, 0.95, 0.98


def cropped(image: Image.Image, part: float) -> Image.Image:
    """Return a picture without part of its width and height, half of it on either side."""
    across, down = int(image.width * part / 2), int(image.height * part / 2)
    return image.crop((across, down, image.width - across, image.height - down))


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
    "JPEG, quality 35": lambda image: image,
    "cropped by 4 %": lambda image: cropped(image, 0.04),
    "cropped by 10 %": lambda image: cropped(image, 0.10),
    "brighter, x 1.2": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker, x .75": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "contrast x 1.3": lambda image: ImageEnhance.Contrast(image).enhance(1.3),
    "black and white": lambda image: image.convert("L"),
    "mirrored (no copy)": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def edited(corpus: Path, folder: Path) -> None:
    """Write all pictures and their edits, a folder for each edit, over white."""
    for number, path in enumerate(sorted(p for p in corpus.rglob("*") if p.suffix in (".webp", ".png", ".jpg"))):
        image = Image.open(path).convert("RGBA")
        paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
        original = Image.alpha_composite(paper, image).convert("RGB")
        for edit, make in {"original": lambda image: image, **EDITS}.items():
            (folder / edit).mkdir(parents=True, exist_ok=True)
            made, quality = make(original), 35 if "35" in edit else 90
            made.save(folder / edit / f"{number:05}.{'png' if edit == 'original' else 'jpg'}", quality=quality)


def measure_edits(corpus: Path, place: Path) -> None:
    """Print which edits are found, and which pairs of different pictures."""
    edited(corpus, place / "pictures")
    with glimpse.Library(settings(place / "library", "builtin")) as library:
        library.index([place / "pictures"])
    with Reader(place / "library") as reader:
        space = reader.space()
        assert space is not None
        contents = wholes(reader, space)[1]
        contents, vectors = vectors_of(reader, space, contents.tolist())
        at = {key: place for place, key in enumerate(contents.tolist())}
        where = {(p.parent.name, p.stem): at[key] for key, all_ in places(reader, at).items() for p, _ in all_}
        alike, rows = Alike(reader, contents), vectors.astype(np.float32)
        print(f"{'':20}{'cosine':>8}{'>= ' + str(LIKE):>8}{'copies':>8}{'alone':>8}")
        for edit in EDITS:
            both = [(where["original", stem], spot) for (name, stem), spot in where.items() if name == edit]
            i, j = np.array(both, np.intp).T
            cosines = np.einsum("nd,nd->n", rows[i], rows[j])
            like, copies = cosines >= LIKE, alike.copies(i, j, cosines)
            shares = like.mean(), (like & copies).mean(), (cosines >= ALONE).mean()
            print(f"{edit:20}{np.median(cosines):8.3f}" + "".join(f"{share:8.1%}" for share in shares))
        first = np.unique([spot for (name, _), spot in where.items() if name == "original"])
        near = [(first[i], first[j], cosines) for i, j, cosines in pairs(rows[first])]
        one, other, cosines = (np.concatenate(part) for part in zip(*near, strict=True))
        copies = alike.copies(one, other, cosines)
        count = len(first) * (len(first) - 1) // 2
        print(
            f"different: {count:,} pairs, {len(one)} with cosine >= {LIKE}, {copies.sum()} of them with correlation "
            f">= {CORRELATED}, {(cosines >= ALONE).sum()} with cosine >= {ALONE}"
        )


def planted(count: int) -> Iterator[Vectors]:
    """Yield rows about things; every EVERY-th is a copy of the row before, the planted cosines in turn."""
    dice = np.random.default_rng(7)
    things = unit(dice.standard_normal((THINGS, DIM)).astype(np.float32))
    for start in range(0, count, 5000):
        size = min(5000, count - start)
        rows = unit(things[dice.integers(0, THINGS, size)] + 0.8 * noise(dice, size))
        spots = np.arange(EVERY - 1, size, EVERY)
        aside = noise(dice, len(spots))
        before = rows[spots - 1]
        aside = unit(aside - (aside * before).sum(axis=1, keepdims=True) * before)
        cosines = np.resize(PLANTED, len(spots))[:, None]
        rows[spots] = cosines * before + np.sqrt(1 - cosines**2) * aside
        yield rows.astype(np.float32)


def noise(dice: np.random.Generator, count: int) -> Vectors:
    """Return random unit rows."""
    return unit(dice.standard_normal((count, DIM)).astype(np.float32))


def measure_synthetic(count: int, place: Path) -> None:
    """Print how long comparing takes, how much memory, and which planted pairs share no cell."""
    fill(place, Space("fake", "1", DIM, DIM), count, planted(count))
    with Reader(place) as reader:
        space = reader.space()
        assert space is not None
        chosen = search.cells.NEAREST
        for nearest in (1, 2, 3, 4):
            search.cells.NEAREST = nearest
            print(f"in the {nearest} nearest cells: ", end="")
            print(", ".join(f"cosine {c}: {share:.2%}" for c, share in recall(reader, count).items()))
        search.cells.NEAREST = chosen
        began, spent = time.perf_counter(), time.process_time()
        groups = dupes(reader, space, False, None, lambda _: None)
        wall, spent = time.perf_counter() - began, time.process_time() - spent
    found = sum(len(group.files) - 1 for group in groups)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} photos: {wall:.1f} s ({spent:.1f} s of processors), {found} found, process at most {peak:,.0f} MB"
    )


def recall(reader: Reader, count: int) -> dict[float, float]:
    """Return the share of planted pairs that share a cell, by their cosine."""
    space = reader.space()
    assert space is not None
    ids = wholes(reader, space)[0]
    spots = np.arange(EVERY - 1, count, EVERY)
    together = np.zeros(len(spots), bool)
    for cell in cells(reader, space, ids, lambda _: None):
        together |= holds(cell, ids[spots]) & holds(cell, ids[spots - 1])
    cosine = np.array(PLANTED)[np.arange(EVERY - 1, count, EVERY) % 5000 // EVERY % len(PLANTED)]
    return {c: float(together[cosine == c].mean()) for c in PLANTED}


def holds(cell: Ids, some: Ids) -> np.ndarray:
    """Say which of some ids are in a cell."""
    return np.isin(some, cell)


def main() -> None:
    """Measure what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--count", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.corpus:
            measure_edits(options.corpus, Path(folder) / "edits")
        if options.count:
            measure_synthetic(options.count, Path(folder) / "synthetic")


if __name__ == "__main__":
    main()
