"""Measure how well ways to end a list tell questions that have an answer from those that have none.

    python benchmarks/cutoff.py --corpus DIR [--model builtin] [--share 1]

DIR is a folder as benchmarks/quality.py describes it. Every distinct caption is asked twice: of the whole corpus
(present), and of the corpus without every picture of the caption's top-level category (absent). A way gives each
question a number. AUC: how often that of a present question is above that of an absent one, over all pairs. "near":
the same over captions whose sentence vector has a cosine of at least .7 to that of a class that the built-in model
knows. Kept, none: present questions above the cut, absent ones below it, of those near. Cuts, and the weights of the
logistic ways, come from captions of the other top-level categories only (leave one category out); the module's own
are fixed.

"same size": present questions are asked of the corpus without as many pictures as the category has, drawn from other
categories. A way that merely notices that an absent collection is smaller or poorer loses here what it won.
"""

import argparse
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

import glimpse
from benchmarks.quality import Captioned, read_corpus
from core.types import Modality, Vector, Vectors
from encoders import builtin, registry
from encoders.base import Encoder, unit
from encoders.builtin import BuiltinEncoder
from glimpse.defaults import settings
from search.compose import leading
from search.cutoff import BEST, CUT, Nulls, confidences, signs
from search.standing import standings
from search.tags import TagBank
from store.reader import Reader

Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
NEAR = 0.7
STYLE, LEAST = "cartoon", 3
"""Part of a path that only says how something is drawn, and pictures that a part needs to be asked."""


class Corpus:
    """Centred vectors of captions, pictures and words, in one Space."""

    def __init__(self, items: list[Captioned], model: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            chosen = settings(Path(folder), model)
            with glimpse.Library(chosen) as library:
                library.index([item.path for item in items])
            encoder = registry.load(model, chosen.cache)
            bank = TagBank(encoder, chosen.cache)
            self.rows, mean = stored(Path(folder), encoder, items)
        captions = [item.caption for item in items]
        tops = np.array([item.category.split("/")[0] for item in items])
        _, first = np.unique(captions, return_index=True)
        self.tops, self.asked = tops, np.sort(first)
        texts, self.words = encoder.encode_texts([captions[i] for i in self.asked]), bank.vectors
        if not encoder.space.centred:
            texts, self.words, self.rows = unit(texts - bank.mean()), unit(self.words - bank.mean()), self.rows - mean
        shared = encoder.space.shared_dim
        self.questions, self.words = texts[:, :shared], self.words[:, :shared]
        self.rows = leading(self.rows, shared)[:, :shared]
        self.category = tops[self.asked]
        self.near = near_a_class([captions[i] for i in self.asked], settings().cache)
        self.everything = np.ones(len(items), bool)

    def absent(self, question: int) -> Mask:
        without: Mask = self.tops != self.category[question]
        return without

    def same_size(self, question: int, dice: np.random.Generator) -> Mask:
        others = np.flatnonzero(self.absent(question))
        left = self.everything.copy()
        left[dice.choice(others, min(len(left) - len(others), len(others) // 2), replace=False)] = False
        return left


def stored(folder: Path, encoder: Encoder, items: list[Captioned]) -> tuple[Vectors, Vector | float]:
    """Return the library's vector of each picture, and the mean of all."""
    with Reader(folder) as reader:
        space = reader.space(encoder.space.name, encoder.space.revision)
        assert space is not None
        of_path: dict[Path, npt.NDArray[np.float16]] = {}
        for ids, halves in reader.vectors(space):
            assets = reader.assets(ids.tolist())
            for vector_id, row in zip(ids.tolist(), halves, strict=True):
                of_path |= dict.fromkeys((path.resolve() for path in assets[vector_id].paths), row)
        mean = reader.mean(space, Modality.IMAGE)
    rows: Vectors = np.array([of_path[item.path.resolve()] for item in items], dtype=np.float32)
    return rows, 0.0 if mean is None else mean


def near_a_class(captions: list[str], cache: Path) -> Mask:
    """Say which captions lie near a class of the built-in model, whichever model is measured."""
    encoder: BuiltinEncoder = builtin.load(cache)
    centre = encoder._centre
    classes = unit(np.load(builtin.export_folder(cache) / "classes.npy") + centre)
    sentences = unit(encoder._sentences([builtin._plain(caption) for caption in captions]))
    near: Mask = (sentences @ classes.T).max(axis=1) >= NEAR
    return near


Way = Callable[[Vector, Vectors, Nulls], npt.ArrayLike]
"""From a question, the rows of a collection, and its nulls: a number, or several for the logistic ways."""


def z_own(q: Vector, rows: Vectors, _: Nulls) -> float:
    scores = rows @ q
    return float((scores.max() - scores.mean()) / scores.std())


def gap(q: Vector, rows: Vectors, _: Nulls) -> float:
    best = np.sort(rows @ q)[::-1]
    return float(best[0] - best[9])


def extreme(q: Vector, rows: Vectors, _: Nulls) -> float:
    """Return how far the best lies above a Gumbel law of the largest of n, fitted by moments to all but the best."""
    scores = np.sort(rows @ q)[:-1]
    scale = scores.std() * 6**0.5 / np.pi
    return float(((rows @ q).max() - scores.mean() + 0.5772 * scale) / scale - np.log(len(scores)))


def z_null_texts(q: Vector, rows: Vectors, nulls: Nulls) -> float:
    scores = rows @ q
    return float(standings(q, rows[[scores.argmax()]], nulls.words)[0])


def z_null_best(q: Vector, rows: Vectors, nulls: Nulls) -> float:
    best = (rows @ nulls.words[::4].T).max(axis=0)
    return float(((rows @ q).max() - best.mean()) / best.std())


def four(q: Vector, rows: Vectors, nulls: Nulls) -> Vector:
    return signs(q, best_rows(q, rows), nulls)


def module(q: Vector, rows: Vectors, nulls: Nulls) -> float:
    return float(confidences(q, best_rows(q, rows), nulls).max())


def best_rows(q: Vector, rows: Vectors) -> Vectors:
    best: Vectors = rows[np.argsort(-(rows @ q), kind="stable")[:BEST]]
    return best


WAYS: dict[str, Way] = {
    "fixed threshold on the score": lambda q, rows, _: (rows @ q).max(),
    "gap between the first and the tenth": gap,
    "z among the question's own scores": z_own,
    "extreme values (Gumbel), own scores": extreme,
    "z among words, seen from the hit": z_null_texts,
    "z among the best scores of words": z_null_best,
    "evidence of the nearest words alone": lambda q, _, nulls: nulls.evidence(q),
    "logistic: score, z own, gap": lambda q, r, n: [(r @ q).max(), z_own(q, r, n), gap(q, r, n)],
    "logistic: z among words, evidence": lambda q, r, n: four(q, r, n)[:2],
    "logistic: the module's four": four,
    "the module, as it is": module,
}


def logistic(x: Numbers, y: Numbers, ridge: float = 0.01) -> Numbers:
    """Fit by Newton's method; returns the weights and the bias."""
    middle, width = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = np.c_[(x - middle) / width, np.ones(len(x))]
    penalty = np.diag([ridge * len(x)] * x.shape[1] + [0.0])
    b = np.zeros(z.shape[1])
    for _ in range(12):
        p = 1 / (1 + np.exp(-z @ b))
        b -= np.linalg.solve(z.T @ (z * (p * (1 - p))[:, None]) + penalty, z.T @ (p - y) + penalty @ b)
    weights = b[:-1] / width
    found: Numbers = np.r_[weights, b[-1] - weights @ middle]
    return found


def auc(present: Numbers, absent: Numbers) -> float:
    more = present[:, None] > absent[None]
    return float((more + 0.5 * (present[:, None] == absent[None])).mean())


def balanced(present: Numbers, absent: Numbers) -> float:
    """Return the cut at which the worse of kept and none is best."""
    return float(max(np.r_[present, absent], key=lambda cut: min((present >= cut).mean(), (absent < cut).mean())))


Tables = dict[str, Numbers]
"""For each way, what it says of each question, shape (questions, numbers)."""


def ask(corpus: Corpus, mask_of: Callable[[int], Mask]) -> Tables:
    """Ask every question of a collection of its own."""

    @lru_cache(maxsize=32)
    def nulls(mask: bytes) -> Nulls:
        return Nulls(corpus.words, corpus.rows[np.frombuffer(mask, bool)])

    said: dict[str, list[Numbers]] = {name: [] for name in WAYS}
    for number, question in enumerate(corpus.questions):
        mask = mask_of(number)
        for name, way in WAYS.items():
            found = way(question, corpus.rows[mask], nulls(mask.tobytes()))
            said[name].append(np.atleast_1d(np.asarray(found, dtype=np.float64)))
    return {name: np.array(rows) for name, rows in said.items()}


def figures(corpus: Corpus, name: str, present: Numbers, absent: Numbers, same: Numbers) -> list[float]:
    """Return AUC of all, of those near, and of all at the same size; kept and none, of those near."""
    near, kept, none = corpus.near, np.zeros(len(absent), bool), np.zeros(len(absent), bool)
    whole = np.zeros((3, len(absent)))
    for category in np.unique(corpus.category):
        own = corpus.category == category
        weights = np.array([1.0, 0.0])
        if present.shape[1] > 1:
            weights = logistic(np.concatenate([same[~own], absent[~own]]), np.repeat([1.0, 0.0], (~own).sum()))
        p, a, s = (table @ weights[:-1] + weights[-1] for table in (present, absent, same))
        whole[:, own] = p[own], a[own], s[own]
        cut = CUT if WAYS[name] is module else balanced(p[~own & near], a[~own & near])
        kept[own], none[own] = p[own] >= cut, a[own] < cut
    p, a, s = whole
    return [auc(p, a), auc(p[near], a[near]), auc(s, a), float(kept[near].mean()), float(none[near].mean())]


def lists(corpus: Corpus, items: list[Captioned], encoder: Encoder) -> None:
    """Print how well lists end: each part of a category's path is asked, and right is what has it in its own."""
    parts = [set(item.category.split("/")) - {STYLE} for item in items]
    names = sorted({name for some in parts for name in some if sum(name in other for other in parts) >= LEAST})
    questions = encoder.encode_texts(names)[:, : encoder.space.shared_dim]
    if not encoder.space.centred:
        questions = unit(questions - TagBank(encoder, settings().cache).mean())
    nulls = Nulls(corpus.words, corpus.rows)
    ends: dict[str, list[tuple[float, float, int]]] = {}
    for name, question in zip(names, questions, strict=True):
        order = np.argsort(-(corpus.rows @ question), kind="stable")
        right = np.array([name in parts[i] for i in order])
        sure = int((confidences(question, corpus.rows[order], nulls) >= CUT).sum())
        best = max(range(1, len(right)), key=lambda n: right[:n].sum() / (n + right.sum()))
        for way, kept in (("where the module ends", sure), ("after ten", 10), ("where it would be best", best)):
            found = int(right[:kept].sum())
            ends.setdefault(way, []).append((found / kept if kept else np.nan, found / int(right.sum()), kept))
    print(
        f"\n{len(names)} parts of categories asked{'':11}{'precision':>10}{'recall':>10}{'median':>10}{'empty':>10}"
    )
    for way, rows in ends.items():
        precision, recall, kept = np.array(rows).T
        row = f"{np.nanmean(precision):10.3f}{recall.mean():10.3f}{np.median(kept):10.0f}{(kept == 0).sum():10}"
        print(f"{way:38}{row}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--share", type=float, default=1.0, help="of the pictures, drawn evenly")
    options = parser.parse_args()
    dice = np.random.default_rng(0)
    items = read_corpus(options.corpus, "en")
    drawn = dice.permutation(len(items))[: round(options.share * len(items))]
    items = [items[i] for i in np.sort(drawn)]
    corpus = Corpus(items, options.model)
    collections = (lambda _: corpus.everything, corpus.absent, lambda question: corpus.same_size(question, dice))
    present, absent, same = (ask(corpus, collection) for collection in collections)
    print(f"{len(items)} pictures, {len(corpus.asked)} captions, {corpus.near.sum()} near; model {options.model}")
    print(f"{'':38}" + "".join(f"{head:>10}" for head in ("AUC", "near", "same size", "kept", "none")))
    for name in WAYS:
        row = figures(corpus, name, present[name], absent[name], same[name])
        print(f"{name:38}" + "".join(f"{figure:10.3f}" for figure in row))
    lists(corpus, items, registry.load(options.model, settings().cache))


if __name__ == "__main__":
    main()
