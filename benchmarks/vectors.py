"""Synthetic vectors to measure indexes with: 512 dimensions, unit rows, seeded, any number.

    python benchmarks/vectors.py builtin --pictures DIR [DIR ...] --count N --out FILE.npy
    python benchmarks/vectors.py describe [--real FILE.npy]

The first command encodes augmented pictures with the built-in model and goes on where it was interrupted; beside
FILE.npy, FILE_texts.npy gets the vectors of all tags. The second prints what each generator's vectors are like.

smooth: one gaussian, no clusters. clustered: 20,000 of them, more than an index has lists. builtin: real vectors, and
mixtures of them beyond their number. isotropic: no structure at all, which nothing approximate can index.
"""

import argparse
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.augmented import encode, ready, texts_path
from core.types import Vectors
from encoders.base import unit
from encoders.builtin import SEMANTIC_DIM

DIM = 512
BLOCK = 8192
EFFECTIVE = 22.0
"""Participation ratio of a covariance's eigenvalues, (sum v)^2 / sum v^2; 28 at length 1, as real ones."""
CONE = 0.47
"""Length of the mean of unit rows, as of real ones (`describe --real`)."""
CLUSTERS = 20_000
HELD_OUT = 2_000
"""Real vectors kept back as queries."""
TEXT_SHARE = 0.45
"""Part of a text-like query that lies among the pictures; its nearest picture is then at a cosine of some .3."""
_QUERIES, _TEXTS, _SHAPE = 1 << 32, 2 << 32, 3 << 32
"""Seeds of what is not a block."""


KINDS = ("smooth", "clustered", "builtin", "isotropic")


class Generator:
    """Vectors of one kind; those that are drawn from a distribution say only how."""

    label = ""

    def _draw(self, rng: np.random.Generator, count: int) -> Vectors:
        raise NotImplementedError

    def blocks(self, count: int) -> Iterator[Vectors]:
        """Yield `count` unit rows, the same every time, BLOCK at a time."""
        for number, start in enumerate(range(0, count, BLOCK)):
            yield self._draw(np.random.default_rng(number), BLOCK)[: count - start]

    def queries(self, count: int) -> Vectors:
        """Return image-like queries: of the same kind, and not among the rows."""
        return self._draw(np.random.default_rng(_QUERIES), count)

    def texts(self, count: int) -> Vectors:
        """Return text-like queries: pictures, most of each replaced by what no picture has and a text tower adds."""
        rng = np.random.default_rng(_TEXTS)
        own = unit(rng.standard_normal((count, DIM), dtype=np.float32) + rng.standard_normal(DIM, dtype=np.float32))
        return unit(TEXT_SHARE * self._draw(rng, count) + (1 - TEXT_SHARE**2) ** 0.5 * own)


class Isotropic(Generator):
    """A gaussian without any structure."""

    label = "isotropic: a gaussian in 512 dimensions"

    def _draw(self, rng: np.random.Generator, count: int) -> Vectors:
        return unit(rng.standard_normal((count, DIM), dtype=np.float32))


class Smooth(Generator):
    """One gaussian with a decaying spectrum and a common mean."""

    label = f"smooth: one gaussian, effective dimension {EFFECTIVE:g}, in a cone"

    def __init__(self) -> None:
        rng = np.random.default_rng(_SHAPE)
        self._axes = decaying(EFFECTIVE)[:, None] * rotation(rng)
        self._mean = CONE / (1 - CONE**2) ** 0.5 * unit(rng.standard_normal(DIM, dtype=np.float32))

    def _draw(self, rng: np.random.Generator, count: int) -> Vectors:
        return unit(rng.standard_normal((count, DIM), dtype=np.float32) @ self._axes + self._mean)


class Clustered(Generator):
    """Gaussians with zipf weights, each with a width of its own and one of 64 spectra and axes, in a common cone."""

    label = f"clustered: {CLUSTERS:,} gaussians, zipf weights, in a cone"
    _BASES, _RANK = 64, 128

    def __init__(self) -> None:
        rng = np.random.default_rng(_SHAPE)
        centres = rng.standard_normal((CLUSTERS, DIM), dtype=np.float32) @ (
            decaying(4 * EFFECTIVE)[:, None] * rotation(rng)
        )
        self._centres = centres + CONE / (1 - CONE**2) ** 0.5 * unit(rng.standard_normal(DIM, dtype=np.float32))
        weights = 1 / np.arange(1, CLUSTERS + 1)
        self._upto = np.cumsum(weights / weights.sum())
        self._bases = np.stack([rotation(rng)[: self._RANK] for _ in range(self._BASES)])
        self._spectra = np.stack([decaying(rng.uniform(8, 48))[: self._RANK] for _ in range(self._BASES)])
        self._widths = rng.uniform(0.3, 0.8, CLUSTERS).astype(np.float32)

    def _draw(self, rng: np.random.Generator, count: int) -> Vectors:
        cluster = np.searchsorted(self._upto, rng.random(count)).clip(max=CLUSTERS - 1)
        noise = rng.standard_normal((count, self._RANK), dtype=np.float32) * self._widths[cluster, None]
        rows = self._centres[cluster]
        for basis in range(self._BASES):
            of = np.flatnonzero(cluster % self._BASES == basis)
            rows[of] += (noise[of] * self._spectra[basis]) @ self._bases[basis]
        return unit(rows)


class Builtin(Generator):
    """Real vectors of the built-in model; beyond their number, mixtures of two with a little noise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = np.load(path, mmap_mode="r")
        self._rows: npt.NDArray[np.float16] = rows[: ready(rows)]
        self.real = len(self._rows) - HELD_OUT
        self.label = f"builtin: {self.real:,} real vectors of augmented pictures, then mixtures of two of them"

    def blocks(self, count: int) -> Iterator[Vectors]:
        for number, start in enumerate(range(0, count, BLOCK)):
            real = unit(self._rows[HELD_OUT + start : HELD_OUT + start + BLOCK].astype(np.float32))
            mixed = self._mixed(np.random.default_rng(number), BLOCK - len(real))
            yield np.concatenate([real, mixed])[: count - start]

    def _mixed(self, rng: np.random.Generator, count: int) -> Vectors:
        first, second = (self._in_memory[rng.integers(self.real, size=count)] for _ in range(2))
        share = rng.uniform(0.5, 1, (count, 1)).astype(np.float32)
        noise = rng.standard_normal((count, DIM), dtype=np.float32) * (0.1 / DIM**0.5)
        rows = share * first + (1 - share) * second + noise
        # As the model makes them: both blocks of the same length.
        parts = rows[:, :SEMANTIC_DIM], rows[:, SEMANTIC_DIM:]
        return unit(np.concatenate([unit(part) for part in parts], axis=1))

    @cached_property
    def _in_memory(self) -> Vectors:
        return unit(self._rows[HELD_OUT:].astype(np.float32))

    def queries(self, count: int) -> Vectors:
        return unit(self._rows[: min(count, HELD_OUT)].astype(np.float32))

    def texts(self, count: int) -> Vectors:
        """The tags' own vectors, in a random order; there are some 1,500."""
        rows: Vectors = np.load(texts_path(self._path))
        shuffled: Vectors = np.random.default_rng(_TEXTS).permutation(rows)
        return shuffled[:count]


def generator(kind: str, real: Path | None = None) -> Generator:
    """Return a generator by name; real: the file of "builtin"."""
    if kind == "builtin":
        if real is None:
            raise SystemExit("builtin vectors come from a file; make one with: python benchmarks/vectors.py builtin")
        return Builtin(real)
    return {"smooth": Smooth, "clustered": Clustered, "isotropic": Isotropic}[kind]()


def decaying(effective: float) -> Vectors:
    """Return standard deviations of 512 axes whose variances v_i = i^-a sum to 1, (sum v)^2 / sum v^2 as asked."""
    low, high = 0.0, 4.0
    for _ in range(50):
        power = (low + high) / 2
        values = np.arange(1, DIM + 1) ** -power
        low, high = (power, high) if values.sum() ** 2 / (values**2).sum() > effective else (low, power)
    deviations: Vectors = np.sqrt(values / values.sum()).astype(np.float32)
    return deviations


def rotation(rng: np.random.Generator) -> Vectors:
    """Return a random orthogonal matrix."""
    axes: Vectors = np.linalg.qr(rng.standard_normal((DIM, DIM), dtype=np.float32))[0]
    return axes


def describe(kind: str, real: Path | None) -> None:
    """Print what 50,000 vectors are like, and how near their queries come."""
    made = generator(kind, real)
    rows = np.concatenate(list(made.blocks(50_000)))
    mean = rows.mean(axis=0)
    values = np.linalg.eigvalsh(np.cov(rows.T))
    effective = values.sum() ** 2 / (values**2).sum()
    print(made.label)
    print(f"  effective dimension {effective:.1f}, length of the mean {np.linalg.norm(mean):.2f}")
    for name, queries in (("image", made.queries(500)), ("text", made.texts(500))):
        best = -np.sort(-(queries @ rows.T), axis=1)
        print(
            f"  {name}-like queries: cosine to the nearest {best[:, 0].mean():.3f}, tenth {best[:, 9].mean():.3f}, "
            f"all {(queries @ mean).mean():.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("builtin")
    making.add_argument("--pictures", type=Path, nargs="+", required=True)
    making.add_argument("--count", type=int, default=100_000)
    making.add_argument("--out", type=Path, required=True)
    describing = commands.add_parser("describe")
    describing.add_argument("--real", type=Path)
    options = parser.parse_args()
    if options.command == "builtin":
        encode(options.pictures, options.count, options.out)
    else:
        for kind in KINDS if options.real else set(KINDS) - {"builtin"}:
            describe(kind, options.real)


if __name__ == "__main__":
    main()
