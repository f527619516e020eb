"""Measure what vectors of parts bring, and what they cost.

    python benchmarks/tiles.py --corpus DIR [--model builtin] [--share 6]

DIR holds captions.tsv and the pictures it names, as benchmarks/quality.py wants them; the query is a picture's
caption as written, and a picture counts as found if its caption is the query's. Each collection is indexed twice,
with --tiles none and --tiles all:

scenes: each picture pasted into a large scene of its own, 1/SHARE of its longer side, at a random place. Scenes are
gradients, noise, mosaics, and photographs of data/demo, in shapes that cameras have; none is made for its picture.
corpus: the pictures as they are. enlarged: 4 times, so that nearly all are cut up, though what they show fills them.
mixed: of every two pictures one is enlarged, the other as it is: do those with tiles drive out those without?
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import glimpse
from benchmarks.quality import Captioned, chance, nameless, read_corpus, words
from core.resources import data_path
from glimpse.defaults import settings

SHAPES = (1600, 1200), (1200, 1600), (1600, 1067), (1600, 900), (1400, 1400), (3200, 900)
ENLARGED = 4
FIRST = 10

Make = Callable[[int, Image.Image], Image.Image | None]
"""From its number and a picture, what takes its place; None leaves it as it is."""


def demo() -> list[Image.Image]:
    """Return the photographs of data/demo."""
    paths = sorted(path for path in data_path("demo").iterdir() if path.suffix in (".png", ".jpg"))
    return [Image.open(path).convert("RGB") for path in paths]


def background(number: int, size: tuple[int, int], photos: list[Image.Image]) -> Image.Image:
    """Return a scene without its picture: the same for the same number."""
    rng = np.random.default_rng(number)
    match number % 4:
        case 0:
            across, down = np.linspace(0, 0.5, size[0])[None, :, None], np.linspace(0.5, 0, size[1])[:, None, None]
            return Image.fromarray(
                (across * rng.integers(0, 256, 3) + down * rng.integers(0, 256, 3)).astype(np.uint8)
            )
        case 1:
            small = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
            return small.resize(size, Image.Resampling.BICUBIC)
        case 2:
            return mosaic(rng, size, photos)
        case _:
            return photos[rng.integers(len(photos))].resize(size, Image.Resampling.BICUBIC)


def mosaic(rng: np.random.Generator, size: tuple[int, int], photos: list[Image.Image], count: int = 6) -> Image.Image:
    """Return squares out of photographs, side by side."""
    scene = Image.new("RGB", size)
    width, height = (-(-side // count) for side in size)
    for place in range(count * count):
        photo = photos[rng.integers(len(photos))]
        side = min(photo.size) // 2
        left, top = (int(rng.integers(length - side)) for length in photo.size)
        part = photo.crop((left, top, left + side, top + side)).resize((width, height))
        scene.paste(part, (place % count * width, place // count * height))
    return scene


def in_scene(share: int) -> Make:
    """Return what pastes a picture into its scene."""
    photos = demo()

    def make(number: int, picture: Image.Image) -> Image.Image:
        rng = np.random.default_rng((1, number))
        size = SHAPES[number % len(SHAPES)]
        scene = background(number, size, photos)
        factor = min(max(size) / share / max(picture.size), min(size) / max(picture.size))
        width, height = (max(1, round(side * factor)) for side in picture.size)
        thing = picture.convert("RGBA").resize((width, height), Image.Resampling.BICUBIC)
        at = int(rng.integers(size[0] - width + 1)), int(rng.integers(size[1] - height + 1))
        scene.paste(thing, at, thing)
        return scene

    return make


def enlarged(number: int, picture: Image.Image) -> Image.Image:
    """Return a picture several times as large, with nothing new to see."""
    return picture.resize((ENLARGED * picture.size[0], ENLARGED * picture.size[1]), Image.Resampling.BICUBIC)


def every_other(number: int, picture: Image.Image) -> Image.Image | None:
    """Enlarge pictures with an even number, and leave the others as they are."""
    return enlarged(number, picture) if number % 2 == 0 else None


def collection(folder: Path, corpus: list[Captioned], make: Make | None) -> list[Captioned]:
    """Write what `make` makes of a corpus."""
    folder.mkdir()
    if make is None:
        return nameless(corpus, folder)
    made = []
    for number, item in enumerate(corpus):
        with Image.open(item.path) as picture:
            done = make(number, picture)
        path = folder / f"{number:05}.webp"
        if done is None:
            path.write_bytes(item.path.read_bytes())
        else:
            done.save(path, quality=90, method=0)
        made.append(replace(item, path=path))
    return made


def ranks(library: glimpse.Library, corpus: list[Captioned]) -> tuple[list[int], float]:
    """Return the rank (from 1) of each picture's caption, and the share of even ones among the first of all lists."""
    numbers = {item.path.resolve(): number for number, item in enumerate(corpus)}
    found, even = [], []
    for item in corpus:
        hits = [numbers[hit.path.resolve()] for hit in library.search(words(item.caption), k=len(corpus), cut=False)]
        found.append([corpus[number].caption for number in hits].index(item.caption) + 1)
        even += [number % 2 == 0 for number in hits[:FIRST]]
    return found, statistics.mean(even)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--share", type=int, default=6)
    options = parser.parse_args()
    corpus = read_corpus(options.corpus, "en")
    makes: dict[str, Make | None] = {
        "scenes": in_scene(options.share), "corpus": None, "enlarged": enlarged, "mixed": every_other
    }  # fmt: skip
    print(f"{len(corpus)} pictures, model {options.model}; by chance R@10 {chance(corpus, 10):.3f}")
    print(f"{'':10}{'tiles':7}{'vectors':>8}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'median':>8}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as scratch:
        for name, make in makes.items():
            items = collection(Path(scratch, name), corpus, make)
            took: list[float] = []
            for level in ("none", "all"):
                chosen = settings(Path(scratch, f"{name}-{level}"), options.model)
                with glimpse.Library(replace(chosen, tiles=level)) as library:
                    started = time.perf_counter()
                    if library.index([item.path for item in items]).failed:
                        raise SystemExit("some pictures could not be read")
                    took.append(time.perf_counter() - started)
                    found, even = ranks(library, items)
                    (space,) = library.status().spaces
                recalls = "".join(f"{statistics.mean(rank <= k for rank in found):7.3f}" for k in (1, 5, FIRST))
                print(f"{name:10}{level:7}{space.vectors:8}{recalls}{statistics.median(found):8.1f}{took[-1]:9.1f}")
                if make is every_other:
                    halves = [statistics.mean(rank <= FIRST for rank in found[half::2]) for half in (0, 1)]
                    print(f"{'':17}R@10 of the enlarged {halves[0]:.3f}, of the others {halves[1]:.3f}; "
                          f"{even:.0%} of the first {FIRST} are enlarged")  # fmt: skip
            print(f"{'':17}{took[1] / took[0]:.1f} times as long with tiles")


if __name__ == "__main__":
    main()
