"""Measure how well a model finds captioned pictures.

    python benchmarks/quality.py --corpus DIR [--model builtin]

DIR holds captions.tsv (tab-separated, header: file, category, en, ...) and the pictures it names. Text to image:
the query is the caption as written, over all pictures; a picture counts as found if its caption equals the query's.
Image to image: precision@5, the share of the five nearest other pictures with the same full category. Chance is
what a random order reaches. Everything goes through the library's public interface: photos are indexed, and the
queries are the ones a person would type.
"""

import argparse
import csv
import math
import shutil
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import glimpse
from core.query import Query, Sum, Term
from core.types import Modality
from glimpse.defaults import settings


@dataclass(frozen=True)
class Captioned:
    path: Path
    category: str
    caption: str


def read_corpus(folder: Path, language: str) -> list[Captioned]:
    with (folder / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Captioned(folder / row["file"], row["category"], row[language]) for row in rows if row[language]]


def nameless(corpus: list[Captioned], folder: Path) -> list[Captioned]:
    """Copy pictures under numbers for names: words are looked for in names, too, which say nothing of a model."""
    copies = []
    for number, item in enumerate(corpus):
        path = folder / f"{number:05}{item.path.suffix}"
        shutil.copyfile(item.path, path)
        copies.append(replace(item, path=path))
    return copies


def words(caption: str) -> Query:
    """Return a question for a text, whatever signs are in it."""
    return Query(Sum((Term(Modality.TEXT, caption),)))


def text_to_image(library: glimpse.Library, corpus: list[Captioned]) -> list[int]:
    """Return, for each picture, the rank (from 1) of the first picture with the same caption."""
    captions = {item.path.resolve(): item.caption for item in corpus}
    ranks = []
    for item in corpus:
        hits = library.search(words(item.caption), k=len(corpus), cut=False)
        found = [captions.get(hit.path.resolve()) for hit in hits]
        ranks.append(found.index(item.caption) + 1)
    return ranks


def image_to_image(library: glimpse.Library, corpus: list[Captioned]) -> float:
    """Return the mean precision at 5."""
    categories = {item.path.resolve(): item.category for item in corpus}
    shares = []
    for item in corpus:
        hits = library.similar(item.path, k=5)
        shares.append(statistics.mean(categories.get(hit.path.resolve()) == item.category for hit in hits))
    return statistics.mean(shares)


def chance(corpus: list[Captioned], k: int) -> float:
    """Return the expected recall at k of a random order."""
    same, n = Counter(item.caption for item in corpus), len(corpus)
    return statistics.mean(1 - math.comb(n - same[i.caption], k) / math.comb(n, k) for i in corpus)


def chance_precision(corpus: list[Captioned]) -> float:
    same, n = Counter(item.category for item in corpus), len(corpus)
    return statistics.mean((same[item.category] - 1) / (n - 1) for item in corpus)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--language", default="en")
    options = parser.parse_args()
    corpus = read_corpus(options.corpus, options.language)
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as pictures,
        glimpse.Library(settings(Path(folder), options.model)) as library,
    ):
        corpus = nameless(corpus, Path(pictures))
        report = library.index([item.path for item in corpus])
        if report.failed:
            raise SystemExit(f"{report.failed} pictures could not be read")
        ranks = text_to_image(library, corpus)
        precision = image_to_image(library, corpus)
    print(f"{options.corpus.name}, {len(corpus)} pictures, model {options.model}, captions: {options.language}")
    print(f"{'':22}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'median rank':>13}")
    recalls = [statistics.mean(rank <= k for rank in ranks) for k in (1, 5, 10)]
    print("text -> image         " + "".join(f"{r:7.3f}" for r in recalls) + f"{statistics.median(ranks):13.1f}")
    print("  chance              " + "".join(f"{chance(corpus, k):7.3f}" for k in (1, 5, 10)))
    print(f"image -> image         category precision@5 {precision:.3f}  (chance {chance_precision(corpus):.3f})")


if __name__ == "__main__":
    main()
