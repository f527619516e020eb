"""Measure how well tags are suggested, and what tags that are inferred are worth.

    python benchmarks/tags.py --corpus DIR [--model builtin] [--seeds 10]

DIR holds captions.tsv (tab-separated, header: file, category, ...) and the pictures it names. A picture's tag is its
category, a hierarchy with "/"; right is that tag and no other.

Suggestions: of each category with at least two pictures, up to ten are accepted (but no more than two thirds of what
there is), and five tags are suggested for each of the others, among all categories, or among those and the vocabulary
that ships, whose words are never counted as right. One of five can be right: the best precision at 5 is .200.
"cosine" is what was suggested before there was anything to learn from. Figures are means over seeds with their
standard deviations.

Half of the tags (Srivastava and Salakhutdinov, NIPS 2012): half of the pictures of each category lose their tags, and
all is measured on those. Retrieval: mean average precision of a tag as a question. Classification: the first level of
the category, by ridge regression learned from the other half; its strength, how much the inferred tags count beside
the picture, and which of them are used, are chosen by cross-validation within that half. Inferred scores of pictures
that have tags leave their own tags out. The evaluated half is seen without tags only. Intervals: 95 % of the
differences, from 2,000 resamplings of pictures (of tags, for retrieval), each with its mean over the seeds.
"""

import argparse
import csv
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import glimpse
from core.resources import data_path
from core.types import Modality, Vectors
from encoders.base import Encoder, unit
from encoders.registry import load
from glimpse.defaults import settings
from search.tagging import Tagger
from search.tags import TagBank
from store.reader import Reader
from store.tagging import Verdict, contents_at, pictures_of
from store.writer import Writer

EXAMPLES = (0, 1, 2, 5, 10)
Places = npt.NDArray[np.int64]
FOLDS = 5
STRENGTHS = (0.01, 0.1, 1.0, 10.0)
SHARES = (0.5, 1.0, 2.0)


@dataclass
class Corpus:
    """Pictures that are in a library: ids, unit rows (n, dim), and categories."""

    folder: Path
    encoder: Encoder
    cache: Path
    ids: Places
    rows: Vectors
    categories: list[str]

    @property
    def names(self) -> list[str]:
        return sorted(set(self.categories))

    def tag(self, places: Iterable[int], verdict: Verdict) -> None:
        """Have these pictures, and no others, tagged with their categories."""
        wanted = defaultdict(list)
        for place in places:
            wanted[self.categories[place]].append(int(self.ids[place]))
        with Writer(self.folder) as writer:
            with writer._begin() as db:
                db.exec_driver_sql("DELETE FROM verdicts")
            for name, content_ids in wanted.items():
                writer.judge(content_ids, name, verdict)

    def tagger(self, reader: Reader, vocabulary: Path) -> Tagger:
        return Tagger(reader, self.encoder, TagBank(self.encoder, self.cache, vocabulary))


def read(options: argparse.Namespace, folder: Path) -> Corpus:
    with (options.corpus / "captions.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    cache = settings().cache
    encoder = load(options.model, cache)
    with glimpse.Library(settings(folder, options.model)) as library:
        if library.index([options.corpus / row["file"] for row in rows]).failed:
            raise SystemExit("some pictures could not be read")
    with Reader(folder) as reader:
        space = reader.space()
        assert space is not None
        found = {contents_at(reader, options.corpus.resolve() / row["file"])[0]: row["category"] for row in rows}
        ids, vectors = pictures_of(reader, space, found)
    return Corpus(folder, encoder, cache, ids, vectors, [found[key] for key in ids.tolist()])


def vocabulary(path: Path, names: Sequence[str], words: bool) -> Path:
    """Write a vocabulary of categories, and of the words that ship."""
    shipped = data_path("tags.tsv").read_text().splitlines()
    there = {line.split("\t")[0] for line in shipped[1:]} if words else set()
    lines = [*(shipped if words else shipped[:1]), *(f"{name}\tcategory\t" for name in names if name not in there)]
    path.write_text("\n".join(lines) + "\n")
    return path


def shuffled(corpus: Corpus, seed: int) -> dict[str, list[int]]:
    """Return the pictures of each category, in an order of their own for each seed."""
    places = defaultdict(list)
    for place in np.random.default_rng(seed).permutation(len(corpus.ids)).tolist():
        places[corpus.categories[place]].append(place)
    return places


# Suggestions


def suggestions(corpus: Corpus, words: Path, seeds: int) -> None:
    plain = TagBank(corpus.encoder, corpus.cache, words)
    measured: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for seed in range(seeds):
        groups = {name: places for name, places in shuffled(corpus, seed).items() if len(places) > 1}
        most = {name: min(max(EXAMPLES), max(1, 2 * len(places) // 3)) for name, places in groups.items()}
        asked = [place for name, places in groups.items() for place in places[most[name] :]]
        mean = None
        with Reader(corpus.folder) as reader:
            if not corpus.encoder.space.centred and (space := reader.space()):
                mean = reader.mean(space, Modality.IMAGE)
        found = [[tag.name for tag in plain.suggest(corpus.rows[place], mean, 5)] for place in asked]
        measured["cosine"].append(marks(corpus, asked, found))
        for count in EXAMPLES:
            corpus.tag(
                (p for name, places in groups.items() for p in places[: min(count, most[name])]), Verdict.ACCEPTED
            )
            with Reader(corpus.folder) as reader:
                tagger = corpus.tagger(reader, words)
                found = [
                    [tag.name for tag in tagger.suggest(corpus.rows[place], int(corpus.ids[place]), 5)]
                    for place in asked
                ]
            measured[f"{count} examples"].append(marks(corpus, asked, found))
    print(f"{'':14}{'precision@5':>13}{'first is right':>19}{'one of 5 right':>19}{'tags ever right':>19}")
    for name, values in measured.items():
        table = np.array(values)
        shown = zip(table.mean(0), table.std(0), strict=True)
        print(f"{name:14}{table[:, 1].mean() / 5:13.3f}" + "".join(f"     {m:.3f} +- {s:.3f}" for m, s in shown))


def marks(corpus: Corpus, asked: Sequence[int], found: Sequence[Sequence[str]]) -> tuple[float, float, float]:
    """Return how often the first is right, how often one of five is, and the share of tags that ever are."""
    wanted = [corpus.categories[place] for place in asked]
    right = [name for name, names in zip(wanted, found, strict=True) if name in names]
    first = [names[0] == name for name, names in zip(wanted, found, strict=True)]
    return float(np.mean(first)), len(right) / len(wanted), len(set(right)) / len(set(wanted))


# Half of the tags


def halves(corpus: Corpus, words: Path, seeds: int) -> None:
    precisions: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    right: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    by_seed: dict[str, list[float]] = defaultdict(list)
    for seed in range(seeds):
        groups = shuffled(corpus, seed)
        rng = np.random.default_rng(seed)
        tagged = [p for places in groups.values() for p in places[: (len(places) + int(rng.integers(2))) // 2]]
        bare = np.setdiff1d(np.arange(len(corpus.ids)), tagged)
        kept = np.array(sorted(tagged))
        corpus.tag(kept.tolist(), Verdict.ADDED)
        with Reader(corpus.folder) as reader:
            tagger = corpus.tagger(reader, words)
            inferred = tagger.logits(corpus.rows, corpus.ids.tolist())
        retrieval(corpus, tagger, inferred, kept, bare, precisions)
        for name, correct in classification(corpus, tagger, inferred, kept, bare, seed).items():
            by_seed[name].append(float(correct.mean()))
            for place, value in zip(bare.tolist(), correct.tolist(), strict=True):
                right[name][place].append(value)
    print(f"\nhalf of the tags, {seeds} seeds")
    print("retrieval by tag, mean average precision")
    report({name: dict(of) for name, of in precisions.items()}, "picture alone")
    print("classification of the first level")
    report({name: dict(of) for name, of in right.items()}, "picture alone", by_seed)


def retrieval(
    corpus: Corpus,
    tagger: Tagger,
    inferred: Vectors,
    kept: Places,
    bare: Places,
    into: dict[str, dict[str, list[float]]],
) -> None:
    """Rank the pictures that lost their tags by each tag that both halves have."""
    shared = corpus.encoder.space.shared_dim
    rows = tagger._centred(corpus.rows)
    cosines = unit(rows[:, :shared]) @ tagger._words.T
    categories = np.array(corpus.categories)
    for name in sorted(set(categories[kept]) & set(categories[bare])):
        place = tagger.names.index(name)
        relevant = categories[bare] == name
        centre = rows[kept[categories[kept] == name]].mean(axis=0)
        into["picture alone"][name].append(average_precision(cosines[bare, place], relevant))
        into["mean of the tagged"][name].append(average_precision(rows[bare] @ centre, relevant))
        into["inferred tags"][name].append(average_precision(inferred[bare, place], relevant))


def average_precision(scores: Vectors, relevant: npt.NDArray[np.bool_]) -> float:
    hits = relevant[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


def classification(
    corpus: Corpus, tagger: Tagger, inferred: Vectors, kept: Places, bare: Places, seed: int
) -> dict[str, Vectors]:
    """Return for each way, and each picture that lost its tags, whether its first level was told."""
    level = np.array([name.partition("/")[0] for name in corpus.categories])
    pictures = tagger._centred(corpus.rows)
    own = [tagger.names.index(name) for name in sorted({corpus.categories[place] for place in kept})]
    scores = inferred - inferred[kept].mean(axis=0)
    blocks = [unit(scores[:, own]), unit(scores)]
    ways = {
        "picture alone": [pictures],
        "picture and tags": [
            np.concatenate([pictures, share * block], axis=1) for share, block in itertools.product(SHARES, blocks)
        ],
        "tags alone": blocks,
    }
    folds = np.random.default_rng(seed).permutation(np.arange(len(kept)) % FOLDS)
    told = {}
    for name, features in ways.items():
        best, chosen = -1.0, (features[0], STRENGTHS[0])
        for rows, strength in itertools.product(features, STRENGTHS):
            guessed = np.empty(len(kept), level.dtype)
            for fold in range(FOLDS):
                train, test = kept[folds != fold], kept[folds == fold]
                guessed[folds == fold] = ridge(rows, level, train, test, strength)
            if (share := float((guessed == level[kept]).mean())) > best:
                best, chosen = share, (rows, strength)
        told[name] = (ridge(chosen[0], level, kept, bare, chosen[1]) == level[bare]).astype(np.float32)
    return told


def ridge(
    rows: Vectors, level: npt.NDArray[np.str_], train: Places, test: Places, strength: float
) -> npt.NDArray[np.str_]:
    """Return the class of the highest answer of a ridge regression on classes, one against all."""
    classes = np.unique(level[train])
    wanted = (level[train][:, None] == classes).astype(np.float64)
    middle = wanted.mean(axis=0)
    gram = (rows[train] @ rows[train].T).astype(np.float64)
    weights = np.linalg.solve(gram + strength * np.eye(len(train)), wanted - middle)
    found: npt.NDArray[np.str_] = classes[np.argmax(rows[test] @ rows[train].T @ weights + middle, axis=1)]
    return found


def report(
    measured: dict[str, dict[object, list[float]]]
    | dict[str, dict[str, list[float]]]
    | dict[str, dict[int, list[float]]],
    base: str,
    by_seed: dict[str, list[float]] | None = None,
) -> None:
    """Print means, and how far each way lies above the base."""
    rng = np.random.default_rng(0)
    keys = list(measured[base])
    means = {name: np.array([np.mean(of[key]) for key in keys]) for name, of in measured.items()}  # type: ignore[index]
    for name, values in means.items():
        spread = f" +- {np.std(by_seed[name]):.3f} over seeds" if by_seed else ""
        line = f"  {name:20}{values.mean():7.3f}{spread}"
        if name != base:
            difference = values - means[base]
            drawn = difference[rng.integers(len(keys), size=(2000, len(keys)))].mean(axis=1)
            low, high = np.percentile(drawn, [2.5, 97.5])
            line += f"   {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = read(options, Path(folder) / "library")
        corpus.cache = Path(folder) / "cache"
        print(f"{options.corpus.name}, {len(corpus.ids)} pictures, {len(corpus.names)} tags, model {options.model}")
        for words in (False, True):
            among = vocabulary(Path(folder) / f"{words}.tsv", corpus.names, words)
            print(f"\nsuggested among all categories{' and the vocabulary' if words else ''}, {options.seeds} seeds")
            suggestions(corpus, among, options.seeds)
        halves(corpus, Path(folder) / "True.tsv", options.seeds)


if __name__ == "__main__":
    main()
