"""Nearest vectors: every index gives what a plain scan gives, and no index file is trusted without reason."""

import contextlib
import importlib.machinery
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest

import store.vectors
from core.errors import GlimpseError
from core.types import FileStat, Space, Vector, Vectors
from encoders.base import unit
from store.names import DATABASE
from store.reader import Halves, Ids, Reader
from store.records import WHOLE, Taken
from store.vectors import FlatIndex, VectorIndex
from store.writer import Writer

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
    FlatIndex.of([(np.arange(1, len(vectors) + 1), vectors.astype(np.float16))], DIM).save(folder / "x.faiss")
    index = FlatIndex.mapped(folder / "x.faiss")
    assert (len(index), index.dim) == (len(vectors), DIM)
    yield lambda query, k: index.search(query, k)[0]


@contextlib.contextmanager
def on_the_gpu(folder: Path, vectors: Vectors) -> Iterator[Search]:
    if not (hasattr(faiss, "get_num_gpus") and faiss.get_num_gpus() > 0):
        pytest.skip("FAISS sees no GPU")
    with pytest.MonkeyPatch.context() as patch, built(folder, vectors) as search:
        patch.setattr(store.vectors, "TAIL", 0)  # so few vectors would stay on the CPU
        for _ in range(2):
            search(np.ones(DIM, np.float32), 1)
        yield search


@contextlib.contextmanager
def file_and_tail(folder: Path, vectors: Vectors) -> Iterator[Search]:
    half = len(vectors) // 2
    fill(folder, vectors[:half])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.vectors, "TAIL", -1)
        with opened(folder):
            pass
    fill(folder, vectors[half:])
    with opened(folder) as index:
        assert (len(index._main), len(index._tail)) == (half, len(vectors) - half)
        yield index.search


@pytest.mark.parametrize("kind", [built, mapped, on_the_gpu, file_and_tail])
@pytest.mark.parametrize(
    ("count", "k"), [(0, 1), (0, 100), (1, 1), (1, 5), (300, 1), (300, 10), (300, 299), (300, 300), (300, 5000)]
)
def test_an_index_finds_what_a_plain_scan_finds(folder: Path, kind: Kind, count: int, k: int) -> None:
    vectors = rows(1, count)
    exact = vectors.astype(np.float16).astype(np.float32)
    with kind(folder, vectors) as search:
        for query in rows(2, 8):
            ids = search(query, k)
            assert len(ids) == len(set(ids.tolist())) == min(k, count)
            scores = exact @ query
            worst_allowed = np.sort(scores)[::-1][: len(ids)].min(initial=1.0) - TOLERANCE
            assert (scores[ids - 1] >= worst_allowed).all()


@pytest.mark.parametrize("kind", [built, mapped, on_the_gpu, file_and_tail])
def test_equal_vectors_are_all_found(folder: Path, kind: Kind) -> None:
    vectors = np.concatenate([np.repeat(rows(3, 1), 20, axis=0), -rows(3, 1)])
    with kind(folder, vectors) as search:
        assert set(search(vectors[0], 20).tolist()) == set(range(1, 21))
        assert len(set(search(vectors[0], 7).tolist())) == 7


def test_more_neighbours_than_a_gpu_gives_come_from_the_cpu() -> None:
    vectors: Halves = np.tile(rows(3, 3).astype(np.float16), (1000, 1))
    index = FlatIndex.of([(np.arange(3000), vectors)], DIM)
    index._gpu = object()  # type: ignore[assignment]
    assert len(index.search(rows(3, 1)[0], store.vectors.GPU_K + 1)[0]) == store.vectors.GPU_K + 1


def test_a_flat_index_gives_inner_products_best_first() -> None:
    vectors = np.eye(DIM, dtype=np.float32)[:3]
    query = np.zeros(DIM, np.float32)
    query[:3] = (0.25, 1.0, 0.5)
    index = FlatIndex.of([(np.array([7, 8, 9]), vectors.astype(np.float16))], DIM)
    ids, scores = index.search(query, 3)
    assert (ids.tolist(), scores.tolist()) == ([8, 9, 7], [1.0, 0.5, 0.25])


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
def test_a_long_tail_becomes_a_file(folder: Path) -> None:
    vectors = rows(5, 30)
    fill(folder, vectors[:9])
    with opened(folder) as index:
        assert files(folder) == []
        fill(folder, vectors[9:])
        assert index.search(vectors[29], 1).tolist() == [30]
        assert (len(index._main), len(index._tail)) == (30, 0)
    (file,) = files(folder)
    with opened(folder) as index:
        assert (index._covered, len(index._tail)) == (30, 0)
        assert index.search(vectors[3], 1).tolist() == [4]
    assert files(folder) == [file]


@pytest.mark.usefixtures("short_tail")
def test_a_newer_file_takes_the_place_of_the_older(folder: Path) -> None:
    vectors = rows(6, 40)
    fill(folder, vectors[:10])
    with opened(folder):
        (first,) = files(folder)
    fill(folder, vectors[10:])
    with opened(folder):
        (second,) = files(folder)
    assert first != second


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


def rename(file: Path, position: int, word: str) -> None:
    words = file.stem.split("-")
    words[position] = word
    file.rename(file.with_name("-".join(words) + file.suffix))


DAMAGES = {
    "truncated": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "bit flipped": flip_a_bit,
    "of another epoch": lambda file: rename(file, 1, "0badcafe"),
    "said to cover more": lambda file: rename(file, 2, "31"),
    "said to cover less": lambda file: rename(file, 2, "29"),
    "no number": lambda file: rename(file, 2, "many"),
    "of another space": lambda file: rename(file, 0, "2"),
    "oddly named": lambda file: file.rename(file.with_name("1-x.faiss")),
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
        with Writer(folder) as library:
            known = library.known_files(set())
            library.mark_gone(known[1, f"{number}".encode()].id for number in range(25))
            library.prune()
        assert sorted(index.search(vectors[0], 100)) == [26, 27, 28, 29, 30]
        assert len(index) == 5


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
    monkeypatch.setattr(store.vectors, "find_spec", lambda _: spec)
    monkeypatch.setattr(os, "listdir", lambda _: names)
    expected = pytest.raises(GlimpseError, match="pip uninstall -y faiss-cpu faiss-gpu") if refused else (
        contextlib.nullcontext()
    )  # fmt: skip
    with expected:
        store.vectors._refuse_two_faiss()


def test_no_faiss_at_all_is_left_to_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.vectors, "find_spec", lambda _: None)
    store.vectors._refuse_two_faiss()
