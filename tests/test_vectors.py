"""Nearest vectors: every index gives what a plain scan gives, and no index file is trusted without reason."""

import contextlib
import importlib.machinery
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unittest.mock import MagicMock

import faiss
import numpy as np
import pytest
import sqlalchemy as sa

import store.growth
import store.ivf
import store.native
import store.vectors
from core.errors import GlimpseError
from core.types import FileStat, Halves, Ids, Space, StopRequested, Vector, Vectors
from encoders.base import unit
from store.flat import FlatIndex
from store.growth import Growth
from store.ivf import IvfIndex
from store.names import DATABASE
from store.native import Selector
from store.reader import Reader
from store.records import WHOLE, Taken
from store.vectors import VectorIndex
from store.writer import Writer
from tests.conftest import ROOT

DIM = 16
SPACE = Space(name="hand", revision="1", dim=DIM, shared_dim=DIM)
TOLERANCE = 1e-3
Search = Callable[[Vector, int], Ids]
Kind = Callable[[Path, Vectors], contextlib.AbstractContextManager[Search]]


def rows(seed: int, count: int) -> Vectors:
    return unit(np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32))


def fill(folder: Path, vectors: Vectors, name: str = "") -> None:
    """Commit one photo per vector to a library."""
    with Writer(folder) as library:
        space_id = library.add_space(SPACE)
        root_id = next(iter(library.roots()), None) or library.add_root(b"/r", ())
        start = len(library.known_files(set()))
        batch = [
            Taken(
                root_id, f"{number}{name}".encode(), FileStat(1, 1, number, 1),
                digest=f"{number:08}{name:>8}".encode(), size=(1, 1), vectors={WHOLE: vector},
            )
            for number, vector in enumerate(vectors, start)
        ]  # fmt: skip
        library.commit(space_id, batch)


def grow(
    folder: Path,
    tier: str | None = None,
    train: bool = True,
    texts: Vectors | None = None,
    stop: StopRequested = lambda: False,
    again: bool = False,
) -> list[str]:
    """Do what comes at the end of an index run; returns what is told meanwhile."""
    told: list[str] = []
    with Writer(folder) as library:
        library.tier(tier)
        tags = rows(99, 64) if texts is None else texts
        Growth(library, SPACE, lambda: tags, lambda progress: told.append(progress.stage), stop).grow(train, again)
    return told


def delete(folder: Path, numbers: Iterable[int]) -> None:
    """Delete photos, which are numbered from 0."""
    with Writer(folder) as library:
        known = library.known_files(set())
        library.mark_gone(known[1, f"{number}".encode()].id for number in numbers)
        library.prune()


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[VectorIndex]:
    with Reader(folder) as reader:
        space = reader.space()
        assert space is not None
        yield VectorIndex(reader, space)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "library"


@pytest.fixture
def short_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.vectors, "TAIL", 9)
    monkeypatch.setattr(store.growth, "FEW_NEW", 9)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "index").glob("*"))


# The contract


@contextlib.contextmanager
def built(folder: Path, vectors: Vectors) -> Iterator[Search]:
    index = FlatIndex.of([(np.arange(1, len(vectors) + 1), vectors.astype(np.float16))], DIM)
    yield lambda query, k: index.search(query, k)[0]


@contextlib.contextmanager
def mapped(folder: Path, vectors: Vectors) -> Iterator[Search]:
    folder.mkdir()
    FlatIndex.of([(np.arange(1, len(vectors) + 1), vectors.astype(np.float16))], DIM).save(folder / "x.flat")
    index = FlatIndex.mapped(folder / "x.flat")
    assert (len(index), index.dim) == (len(vectors), DIM)
    yield lambda query, k: index.search(query, k)[0]


@contextlib.contextmanager
def file_and_tail(folder: Path, vectors: Vectors) -> Iterator[Search]:
    with half_in_files(folder, vectors) as index:
        assert index.tier == "flat"
        yield index.search


@contextlib.contextmanager
def inverted_file_and_tail(folder: Path, vectors: Vectors) -> Iterator[Search]:
    with half_in_files(folder, vectors, tier="ivf") as index:
        assert index.tier == ("ivf" if len(vectors) else "flat")
        yield index.search


@contextlib.contextmanager
def half_in_files(
    folder: Path, vectors: Vectors, tier: str = "exhaustive", share: float = 0.5
) -> Iterator[VectorIndex]:
    half = int(len(vectors) * share) + 1
    fill(folder, vectors[:half])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.growth, "FEW_NEW", 0)
        patch.setattr(store.ivf, "PER_LIST", 4)
        patch.setattr(store.growth, "WANTED", 0.0)
        grow(folder, tier)
    fill(folder, vectors[half:])
    with opened(folder) as index:
        assert (len(index._flat), len(index._tail)) == (len(vectors[:half]), len(vectors[half:]))
        yield index


@contextlib.contextmanager
def on_the_gpu(folder: Path, vectors: Vectors, tier: str = "exhaustive") -> Iterator[Search]:
    if not (hasattr(faiss, "get_num_gpus") and faiss.get_num_gpus() > 0):
        pytest.skip("FAISS sees no GPU")
    with half_in_files(folder, vectors, tier) as index, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.vectors, "TAIL", 0)  # so few vectors would stay on the CPU
        patch.setattr(store.vectors, "REPAID", 0.0)
        for _ in range(2):
            index.search(np.ones(DIM, np.float32), 1)
        assert (index._gpu is not None) == (len(vectors) > 0)
        yield index.search


@contextlib.contextmanager
def inverted_file_on_the_gpu(folder: Path, vectors: Vectors) -> Iterator[Search]:
    with on_the_gpu(folder, vectors, "ivf") as search:
        yield search


KINDS = [built, mapped, file_and_tail, inverted_file_and_tail, on_the_gpu, inverted_file_on_the_gpu]
CODED = [inverted_file_and_tail, inverted_file_on_the_gpu]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("count", "k"), [(0, 1), (0, 100), (1, 1), (1, 5), (300, 1), (300, 10), (300, 299), (300, 300), (300, 5000)]
)
def test_an_index_finds_what_a_plain_scan_finds(folder: Path, kind: Kind, count: int, k: int) -> None:
    vectors = rows(1, count)
    exact = vectors.astype(np.float16).astype(np.float32)
    tolerance = 0.02 if kind in CODED else TOLERANCE  # of its 8-bit codes
    with kind(folder, vectors) as search:
        for query in rows(2, 8):
            ids = search(query, k)
            assert len(ids) == len(set(ids.tolist())) == min(k, count)
            scores = exact @ query
            worst_allowed = np.sort(scores)[::-1][: len(ids)].min(initial=1.0) - tolerance
            assert (scores[ids - 1] >= worst_allowed).all()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_vectors_are_all_found(folder: Path, kind: Kind) -> None:
    vectors = np.concatenate([np.repeat(rows(3, 1), 20, axis=0), -rows(3, 1)])
    with kind(folder, vectors) as search:
        assert set(search(vectors[0], 20).tolist()) == set(range(1, 21))
        assert len(set(search(vectors[0], 7).tolist())) == 7


def test_a_flat_index_gives_inner_products_best_first() -> None:
    vectors = np.eye(DIM, dtype=np.float32)[:3]
    query = np.zeros(DIM, np.float32)
    query[:3] = (0.25, 1.0, 0.5)
    index = FlatIndex.of([(np.array([7, 8, 9]), vectors.astype(np.float16))], DIM)
    ids, scores = index.search(query, 3)
    assert (ids.tolist(), scores.tolist()) == ([8, 9, 7], [1.0, 0.5, 0.25])


# Filters


@pytest.mark.parametrize("few", [0, 20_000])
@pytest.mark.parametrize("tier", ["exhaustive", "ivf"])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("share", [1, 2, 7, 60])
def test_a_filter_lets_only_its_own_through_and_all_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, few: int, tier: str, exact: bool, share: int
) -> None:
    monkeypatch.setattr(store.vectors, "FEW", few)
    vectors = rows(20, 300)
    exactly = vectors.astype(np.float16).astype(np.float32)
    among = np.arange(1, 301)[::share]
    with half_in_files(folder, vectors, tier) as index:
        for query in rows(21, 8):
            ids = index.search(query, 10, among, exact)
            assert len(ids) == len(set(ids.tolist())) == min(10, len(among))
            assert set(ids.tolist()) <= set(among.tolist())
            best = np.sort(exactly[among - 1] @ query)[::-1][: len(ids)]
            assert (exactly[ids - 1] @ query).min() >= best.min() - 0.02


def test_a_filter_far_from_the_query_probes_the_lists_that_hold_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ten lists nearest to a query hold none of what passes; the exhaustive index must not be asked either."""
    monkeypatch.setattr(store.vectors, "FEW", 0)
    monkeypatch.setattr(store.vectors, "SEEN", 90)
    vectors = rows(28, 400)
    query = rows(29, 1)[0]
    farthest = np.sort(np.argsort(vectors @ query)[:100]) + 1
    with half_in_files(folder, vectors, "ivf", share=1.0) as index:
        monkeypatch.setattr(index._flat, "search", lambda *_: pytest.fail("the exhaustive index was asked"))
        found = index.search(query, 10, farthest)
    exactly = vectors.astype(np.float16).astype(np.float32)
    best = farthest[np.argsort(-(exactly[farthest - 1] @ query))[:10]]
    assert len(np.intersect1d(found, best)) >= 8


@pytest.mark.parametrize("wrong", [None, -5, 1 << 62, 101])
def test_ids_that_a_filter_has_and_the_index_has_not(tmp_path: Path, wrong: int | None) -> None:
    """Whether they are new or a flipped bit made something else of the index's own."""
    vectors = rows(30, 100)
    made = IvfIndex.trained(vectors, 4)
    ids = np.arange(1, 101)
    if wrong is not None:
        ids[7] = wrong
    made.add(ids, vectors.astype(np.float16))
    made.save(tmp_path / "x.ivf")
    index = IvfIndex.mapped(tmp_path / "x.ivf", last=100)
    assert 1 <= index.probes(vectors[0], np.arange(50, 5000), 0.5) <= 4
    assert index.probes(vectors[0], np.arange(1, 101), 1.0) == 4
    assert len(index.search(vectors[0], 10, 4, Selector(np.arange(1, 51)))[0]) == 10


def test_a_filter_that_lets_nothing_through(folder: Path) -> None:
    with half_in_files(folder, rows(22, 30)) as index:
        assert index.search(rows(22, 1)[0], 5, np.empty(0, np.int64)).tolist() == []
        assert index.search(rows(22, 1)[0], 5, np.array([4711])).tolist() == []


class IgnorantGpu:
    """An index on a GPU: it ignores filters, as FAISS's flat one does, and says nothing of it."""

    def __init__(self, index: object) -> None:
        self._index = index
        self.asked = 0

    def search(self, query: Vectors, k: int, params: object = None) -> tuple[Vectors, Ids]:
        assert params is None, "a filter was sent to a GPU, which ignores it"
        self.asked += 1
        return self._index.search(query, k)  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[IgnorantGpu]:
    """One GPU, and the indexes that are put on it."""
    there: list[IgnorantGpu] = []

    def clone(_resources: object, _number: int, index: object, _options: object) -> IgnorantGpu:
        there.append(IgnorantGpu(index))
        return there[-1]

    monkeypatch.setattr(store.vectors, "TAIL", 0)
    monkeypatch.setattr(store.vectors, "REPAID", 0.0)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(store.native, "gpu_room", lambda: 80 << 30)
    for name in ("GpuClonerOptions", "StandardGpuResources"):
        monkeypatch.setattr(faiss, name, MagicMock(), raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", clone, raising=False)
    return there


@pytest.mark.parametrize("tier", ["exhaustive", "ivf"])
def test_filters_never_go_to_a_gpu(folder: Path, gpus: list[IgnorantGpu], tier: str) -> None:
    vectors = rows(23, 300)
    among = np.arange(1, 301)[::2]
    with half_in_files(folder, vectors, tier) as index:
        for query in rows(24, 4):
            assert len(index.search(query, 10)) == 10
        (gpu,) = gpus
        assert gpu.asked == 3  # not at the first search: nothing was spent
        for query in rows(24, 4):
            found = index.search(query, 10, among)
            assert set(found.tolist()) <= set(among.tolist())
            assert len(found) == 10
        assert gpu.asked == 3


@pytest.mark.parametrize("tier", ["exhaustive", "ivf"])
def test_a_gpu_comes_in_once_searches_took_as_long_as_the_copy(
    folder: Path, gpus: list[IgnorantGpu], monkeypatch: pytest.MonkeyPatch, tier: str
) -> None:
    monkeypatch.setattr(store.vectors, "REPAID", 1.0)
    clock = iter(np.arange(1000) * 0.4)  # seconds, of which every look takes .4
    monkeypatch.setattr(store.vectors.time, "perf_counter", lambda: next(clock))
    vectors = rows(37, 60)
    with half_in_files(folder, vectors, tier) as index:
        for _ in range(9):  # what a GPU cannot do does not count
            index.search(vectors[0], 10, np.arange(1, 61))
            index.search(vectors[0], 10, exact=True)
        for number in range(1, 7):
            index.search(vectors[0], 10)
            assert [gpu.asked for gpu in gpus] == ([number - 3] if number > 3 else [])


@pytest.mark.parametrize("tier", ["exhaustive", "ivf"])
def test_deleted_vectors_do_not_come_back_from_a_gpu(folder: Path, gpus: list[IgnorantGpu], tier: str) -> None:
    vectors = rows(25, 100)
    with half_in_files(folder, vectors, tier) as index:
        best = index.search(vectors[7], 1).tolist()
        assert best == [8]
        index.search(vectors[7], 1)
        delete(folder, range(7, 12))
        found = index.search(vectors[7], 20)
        assert (len(found), set(found.tolist()) & set(range(8, 13))) == (20, set())
        (gpu,) = gpus
        assert gpu.asked == 2


def test_an_exact_search_is_exact_though_the_gpu_has_the_inverted_file(folder: Path, gpus: list[IgnorantGpu]) -> None:
    with half_in_files(folder, rows(26, 100), "ivf") as index:
        for _ in range(3):
            index.search(rows(26, 1)[0], 5)
        asked = gpus[0].asked
        index.search(rows(26, 1)[0], 5, exact=True)
        assert gpus[0].asked == asked


def test_more_neighbours_than_a_gpu_gives_come_from_the_cpu(folder: Path, gpus: list[IgnorantGpu]) -> None:
    vectors: Vectors = np.tile(rows(3, 3), (1000, 1))
    fill(folder, vectors)
    with opened(folder) as index:
        for _ in range(3):
            index.search(vectors[0], 1)
        asked = gpus[0].asked
        assert len(index.search(vectors[0], store.native.GPU_K + 1)) == store.native.GPU_K + 1
        assert gpus[0].asked == asked


def test_a_gpu_without_room_leaves_the_cpu_to_answer(
    folder: Path, gpus: list[IgnorantGpu], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(faiss, "index_cpu_to_gpu", fail, raising=False)
    with half_in_files(folder, rows(27, 40)) as index:
        assert [len(index.search(rows(27, 1)[0], 5)) for _ in range(3)] == [5, 5, 5]


def test_a_gpu_that_fails_later_leaves_the_cpu_to_answer(folder: Path, gpus: list[IgnorantGpu]) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    vectors = rows(27, 40)
    with half_in_files(folder, vectors) as index:
        for _ in range(3):
            index.search(vectors[0], 5)
        gpus[0].search = fail  # type: ignore[method-assign, assignment]
        assert [index.search(vectors[7], 1).tolist() for _ in range(2)] == [[8], [8]]
    assert (len(gpus), gpus[0].asked) == (1, 2)


def test_batches_of_queries_are_multiplied_as_matrices(folder: Path) -> None:
    fill(folder, rows(0, 1))
    with opened(folder):
        assert faiss.cvar.distance_compute_blas_threshold == 4 * DIM


def test_threads_that_wait_do_not_spin() -> None:
    code = "import os, ctypes, store.native; libc = ctypes.CDLL(None); libc.getenv.restype = ctypes.c_char_p; "
    code += "print(libc.getenv(b'OMP_WAIT_POLICY').decode())"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "passive\n"
    )


# The index of a library


def test_new_rows_are_found_at_once(folder: Path) -> None:
    vectors = rows(4, 12)
    fill(folder, vectors[:5])
    with opened(folder) as index:
        assert sorted(index.search(vectors[0], 100)) == [1, 2, 3, 4, 5]
        fill(folder, vectors[5:])
        assert index.search(vectors[11], 1).tolist() == [12]
        assert len(index) == 12


def test_a_library_without_vectors(folder: Path) -> None:
    fill(folder, rows(0, 0))
    with opened(folder) as index:
        assert (len(index), index.search(np.ones(DIM, np.float32), 5).tolist()) == (0, [])
    assert files(folder) == []


@pytest.mark.usefixtures("short_tail")
def test_a_query_makes_the_first_file_and_no_other(folder: Path) -> None:
    vectors = rows(5, 50)
    fill(folder, vectors[:9])
    with opened(folder) as index:
        assert files(folder) == []
        fill(folder, vectors[9:30])
        assert index.search(vectors[29], 1).tolist() == [30]
        assert (len(index._flat), len(index._tail)) == (30, 0)
    (file,) = files(folder)
    fill(folder, vectors[30:])
    with opened(folder) as index:
        assert (index._covered, len(index._tail)) == (30, 20)
        assert index.search(vectors[3], 1).tolist() == [4]
        assert index.search(vectors[44], 1).tolist() == [45]
    assert files(folder) == [file]


@pytest.mark.usefixtures("short_tail")
def test_an_open_index_takes_the_newer_file_once_its_tail_is_long(folder: Path) -> None:
    vectors = rows(6, 60)
    fill(folder, vectors[:20])
    with opened(folder) as index:
        fill(folder, vectors[20:28])
        assert index.search(vectors[27], 1).tolist() == [28]
        grow(folder)
        assert index._covered == 20
        fill(folder, vectors[28:])
        assert index.search(vectors[59], 1).tolist() == [60]
        assert (index._covered, len(index._tail)) == (20, 40)  # nothing was due: eight are few
        grow(folder)
        fill(folder, rows(7, 1), "b")
        assert index.search(rows(7, 1)[0], 1).tolist() == [61]
        assert (index._covered, len(index._tail)) == (60, 1)


@pytest.mark.usefixtures("short_tail")
def test_two_searchers_that_write_the_same_file_leave_it_there(folder: Path) -> None:
    fill(folder, rows(7, 5))
    with opened(folder) as one, opened(folder) as other:
        fill(folder, rows(8, 20), "b")
        one.refresh()
        (file,) = files(folder)
        other.refresh()
        assert files(folder) == [file]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def spoil(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 0x55
    file.write_bytes(content)


def rename(file: Path, position: int, word: str) -> None:
    words = file.stem.split("-")
    words[position] = word
    file.rename(file.with_name("-".join(words) + file.suffix))


DAMAGES = {
    "truncated": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "bit flipped": flip_a_bit,
    "of another history": lambda file: rename(file, 2, "0badcafe"),
    "said to cover more": lambda file: rename(file, 1, "31"),
    "said to cover less": lambda file: rename(file, 1, "29"),
    "no number": lambda file: rename(file, 1, "many"),
    "without its footer": lambda file: os.truncate(file, file.stat().st_size - 8),
    "a footer that is no JSON": lambda file: spoil(file, -20),
    "its header changed": lambda file: spoil(file, 9),
    "its codes changed": lambda file: spoil(file, 200),
    "of another space": lambda file: rename(file, 0, "2"),
    "oddly named": lambda file: file.rename(file.with_name("1-x.flat")),
    "deleted": lambda file: file.unlink(),
    "deleted with its folder": lambda file: shutil.rmtree(file.parent),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_file_is_not_trusted_and_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    vectors = rows(9, 30)
    fill(folder, vectors)
    monkeypatch.setattr(store.vectors, "TAIL", 9)
    with opened(folder):
        (good,) = files(folder)
    DAMAGES[damage](good)
    monkeypatch.setattr(store.vectors, "TAIL", 2048)
    with opened(folder) as index:
        assert index._covered == 0
        assert index.search(vectors[12], 1).tolist() == [13]
    monkeypatch.setattr(store.vectors, "TAIL", 9)
    with opened(folder):
        assert good in files(folder)


@pytest.mark.usefixtures("short_tail")
def test_the_file_of_another_library_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    fill(folder, rows(10, 30))
    fill(tmp_path / "other", rows(11, 30))
    with opened(tmp_path / "other"):
        shutil.copytree(tmp_path / "other" / "index", folder / "index")
    with opened(folder) as index:
        assert index.search(rows(10, 30)[12], 1).tolist() == [13]
    assert len(files(folder)) == 1


@pytest.mark.usefixtures("short_tail")
def test_a_file_made_before_a_backup_was_put_back_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    fill(folder, rows(12, 5))
    shutil.copy(folder / DATABASE, tmp_path / "backup")
    fill(folder, rows(13, 20), "b")
    with opened(folder):
        (stale,) = files(folder)
    for path in folder.glob(f"{DATABASE}*"):
        path.unlink()
    shutil.copy(tmp_path / "backup", folder / DATABASE)
    fill(folder, rows(14, 20), "c")
    with opened(folder) as index:
        assert index.search(rows(14, 20)[0], 1).tolist() == [6]
        assert files(folder) != [stale]


@pytest.mark.usefixtures("short_tail")
def test_deleted_vectors_are_forgotten_while_the_index_is_open(folder: Path) -> None:
    vectors = rows(15, 30)
    fill(folder, vectors)
    with opened(folder) as index:
        delete(folder, range(25))
        assert sorted(index.search(vectors[0], 100)) == [26, 27, 28, 29, 30]
        assert len(index) == 5
        fill(folder, vectors[:3], "again")
        delete(folder, [25])
        assert sorted(index.search(vectors[0], 100)) == [27, 28, 29, 30, 31, 32, 33]
    with opened(folder) as index:
        assert sorted(index.search(vectors[0], 100)) == [27, 28, 29, 30, 31, 32, 33]


@pytest.mark.usefixtures("short_tail")
def test_an_index_folder_that_cannot_be_made_is_no_error(folder: Path) -> None:
    fill(folder, rows(16, 30))
    (folder / "index").touch()
    with opened(folder) as index:
        assert index.search(rows(16, 30)[4], 1).tolist() == [5]


@pytest.mark.usefixtures("short_tail")
def test_a_file_that_cannot_be_written_is_no_error_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Error: 'ret == (size)' failed: No space left on device")

    fill(folder, rows(17, 30))
    monkeypatch.setattr(faiss, "write_index", fail)
    with opened(folder) as index:
        assert index.search(rows(17, 30)[4], 1).tolist() == [5]
    assert files(folder) == []


def test_an_index_of_more_than_one_block(folder: Path) -> None:
    vectors: Halves = np.tile(rows(18, 7).astype(np.float16), (10000, 1))[:65540]
    index = FlatIndex.of([(np.arange(65540), vectors)], DIM)
    assert len(index) == 65540
    assert index.search(vectors[65539].astype(np.float32), 65540)[1].shape == (65540,)


# What a search must not depend on


def test_another_model_that_was_filled_last_costs_a_search_nothing(folder: Path) -> None:
    """The old model answers while the new one is filled: its newest vector lies behind all of those."""
    fill(folder, rows(31, 20))
    with Writer(folder) as library:
        other = library.add_space(Space(name="other", revision="1", dim=DIM, shared_dim=DIM))
        batch = [
            Taken(1, f"b{number}".encode(), FileStat(1, 1, number, 1), digest=f"{number:016}".encode(), size=(1, 1),
                  vectors={WHOLE: vector})
            for number, vector in enumerate(rows(32, 3000))
        ]  # fmt: skip
        library.commit(other, batch)
    with Reader(folder) as reader:
        space = reader.space("hand")
        assert space is not None
        steps: list[int] = []
        reader._db.set_progress_handler(lambda: steps.append(1), 10)  # every ten steps of SQLite's machine
        assert reader.newest_vector(space.id) == 20
        assert [len(ids) for ids, _ in reader.vectors(space, after=18)] == [2]
        assert len(steps) < 20


def test_what_is_gone_is_found_without_a_look_at_what_is_there(folder: Path) -> None:
    fill(folder, rows(36, 3000))
    with Writer(folder) as library:
        known = library.known_files(set())
        library.mark_gone([known[1, b"7"].id])
    with Reader(folder) as reader:
        space = reader.space()
        assert space is not None
        steps: list[int] = []
        reader._db.set_progress_handler(lambda: steps.append(1), 10)
        assert reader.gone(space).tolist() == [8]
        assert len(steps) < 20


@pytest.mark.parametrize("k", [10, 40, 100, 160, 400])
def test_more_neighbours_are_looked_for_in_more_lists(folder: Path, k: int) -> None:
    vectors = rows(33, 2000)
    with half_in_files(folder, vectors, "ivf", share=1.0) as index:
        assert index._ivf is not None
        index._nprobe = index._ivf.lists // 4
        exact = vectors.astype(np.float16).astype(np.float32)
        shares = []
        for query in rows(34, 30):
            truth = np.argsort(-(exact @ query))[: k // 4] + 1
            shares.append(len(np.intersect1d(index.search(query, k), truth)) / (k // 4))
    assert np.mean(shares) > (0.75 if k <= 40 else 0.9 if k < 100 else 0.98)


@pytest.mark.parametrize("tier", ["exhaustive", "ivf"])
def test_photos_that_are_gone_are_not_in_the_way_of_others(folder: Path, tier: str) -> None:
    vectors = rows(35, 300)
    with half_in_files(folder, vectors, tier) as index:
        near = np.argsort(-(vectors @ vectors[0]))[:100]
        with Writer(folder) as library:
            known = library.known_files(set())
            gone = [known[1, f"{number}".encode()].id for number in near]
            library.mark_gone(gone)
        found = index.search(vectors[0], 10)
        assert (len(found), set(found.tolist()) & set((near + 1).tolist())) == (10, set())
        assert len(index) == 200
        with Writer(folder) as library, library._begin() as db:
            db.execute(sa.text("UPDATE files SET gone = 0"))
        assert index.search(vectors[0], 1).tolist() == [1]
        assert len(index) == 300


# Two FAISS packages


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["faiss_cpu-1.15.0.dist-info", "faiss_gpu-1.15.0.dist-info", "numpy"], True),
        (["faiss_cpu-1.15.0.dist-info", "faiss"], False),
        (["faiss_gpu-1.15.0.dist-info", "faiss_gpu-1.14.0.dist-info"], False),
        ([], False),
    ],
)
def test_two_faiss_packages_are_refused(monkeypatch: pytest.MonkeyPatch, names: list[str], refused: bool) -> None:
    spec = importlib.machinery.ModuleSpec("faiss", None, is_package=True)
    spec.submodule_search_locations = ["/site-packages/faiss"]
    monkeypatch.setattr(store.native, "find_spec", lambda _: spec)
    monkeypatch.setattr(os, "listdir", lambda _: names)
    expected = pytest.raises(GlimpseError, match="pip uninstall -y faiss-cpu faiss-gpu") if refused else (
        contextlib.nullcontext()
    )  # fmt: skip
    with expected:
        store.native._refuse_two_faiss()


def test_no_faiss_at_all_is_left_to_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.native, "find_spec", lambda _: None)
    store.native._refuse_two_faiss()
