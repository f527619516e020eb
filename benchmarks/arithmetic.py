"""Measure embedding arithmetic: "this picture, but of another kind".

    python benchmarks/arithmetic.py --corpus DIR [--model builtin] [--pairs 5] [--seed 0]

DIR holds captions.tsv (tab-separated, header: file, category, ...) and the pictures it names. For every picture and
some other categories, drawn by the seed: `picture - its category + the other category`, each category by the last
word of its path. Found is any picture of the other category; the rank is that of the first of them, the picture
itself is never among the results. Beside it what the picture alone finds, what the words alone find, and chance.
"""

import argparse
import csv
import random
import shutil
import statistics
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import glimpse
from core.query import Query, Rule, Sum, Term
from core.types import Modality
from glimpse.defaults import settings

STYLE = "cartoon"


def category(path: str) -> tuple[str, ...]:
    """Return the parts of a category without what only says how it is drawn."""
    return tuple(part for part in path.split("/") if part != STYLE)


def read(folder: Path) -> dict[Path, tuple[str, ...]]:
    with (folder / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return {(folder / row["file"]).resolve(): category(row["category"]) for row in rows}


def nameless(corpus: dict[Path, tuple[str, ...]], folder: Path) -> dict[Path, tuple[str, ...]]:
    """Copy pictures under numbers for names: words are looked for in names, too."""
    copies = {
        (folder / f"{n:05}{path.suffix}").resolve(): (path, kind) for n, (path, kind) in enumerate(corpus.items())
    }
    for copy, (path, _) in copies.items():
        shutil.copyfile(path, copy)
    return {copy: kind for copy, (_, kind) in copies.items()}


def expected_rank(n: int, right: int) -> float:
    """Return the median rank of the first of some right ones in a random order of n."""
    missed, rank = Fraction(1), 0
    while missed > Fraction(1, 2):
        missed *= Fraction(n - right - rank, n - rank)
        rank += 1
    return rank


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--pairs", type=int, default=5, help="other categories for each picture")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ranks: dict[str, list[int]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as pictures,
        glimpse.Library(settings(Path(folder), options.model)) as library,
    ):
        corpus = nameless(read(options.corpus), Path(pictures))
        kinds = sorted(set(corpus.values()))
        counts = Counter(corpus.values())
        draw = random.Random(options.seed)
        asked = [
            (path, own, other)
            for path, own in sorted(corpus.items())
            for other in draw.sample([kind for kind in kinds if kind[-1] != own[-1]], options.pairs)
        ]
        library.index(list(corpus))

        def rank(name: str, other: tuple[str, ...], terms: tuple[Term, ...], rule: Rule = Rule.ADD) -> None:
            hits = library.search(Query(Sum(terms)), k=len(corpus), cut=False, rule=rule)
            found = [corpus[hit.path.resolve()] for hit in hits]
            ranks.setdefault(name, []).append(found.index(other) + 1)

        for path, own, other in asked:
            picture = Term(Modality.IMAGE, str(path))
            new, old = Term(Modality.TEXT, other[-1]), Term(Modality.TEXT, own[-1], -1.0)
            rank("picture alone", other, (picture,))
            rank("text alone", other, (new,))
            for rule in Rule:
                rank(f"picture - own + other, {rule}", other, (picture, old, new), rule)
            rank("picture + other, add", other, (picture, new))
    chance = statistics.median(expected_rank(len(corpus) - 1, counts[other]) for _, _, other in asked)
    print(
        f"{options.corpus.name}: {len(corpus)} pictures, {len(asked)} questions, seed {options.seed}, {options.model}"
    )
    print(f"{'':40}{'median rank':>12}{'mean':>8}{'R@10':>8}")
    print(f"{'chance':40}{chance:12.1f}")
    for name, found in ranks.items():
        recall = statistics.mean(one <= 10 for one in found)
        print(f"{name:40}{statistics.median(found):12.1f}{statistics.mean(found):8.1f}{recall:8.3f}")


if __name__ == "__main__":
    main()
