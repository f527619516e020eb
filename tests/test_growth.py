"""The shape of the index: what an index run makes of it, what it measures, and what it does not trust."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import store.growth
import store.ivf
import store.vectors
from core.types import Vectors
from encoders.base import unit
from search.lanes import FETCH_AT_LEAST, OVERFETCH
from store.growth import tuned
from store.indexfile import FLAT, IVF, verify
from store.ivf import CANDIDATES, IvfIndex, lists_for
from store.names import DATABASE
from store.overview import status
from store.reader import Reader
from store.recall import NOBODY, Nearest, recall, without_own
from store.writer import Writer
from tests.test_vectors import DIM, SPACE, delete, files, fill, grow, opened, rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "library"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything happen with some hundred vectors."""
    monkeypatch.setattr(store.growth, "FEW_NEW", 20)
    monkeypatch.setattr(store.vectors, "TAIL", 20)
    monkeypatch.setattr(store.growth, "FIRST_PROBE", 4)
    monkeypatch.setattr(store.ivf, "PER_LIST", 8)
    monkeypatch.setattr(store.growth, "WANTED", 0.5)  # so few lists hold so little


def clustered(seed: int, count: int) -> Vectors:
    """Return rows around eight centres: what an inverted file is good at."""
    centres = rows(1000, 8)
    noise = rows(seed, count)
    return unit(centres[np.arange(count) % 8] + 0.2 * noise)


def tiers(folder: Path) -> list[str]:
    return sorted(path.suffix[1:] for path in files(folder))


def facts(folder: Path, tier: str) -> dict[str, object]:
    with Reader(folder) as reader:
        space = reader.space()
        assert space is not None
        file = reader.index_file(space, tier)
        assert file is not None
        return file.facts


def test_a_file_without_what_a_backup_brings_back_is_not_trusted(folder: Path, tmp_path: Path) -> None:
    """Its last row is that of the backup, too."""
    vectors = rows(1, 30)
    fill(folder, vectors)
    grow(folder)
    shutil.copy(folder / DATABASE, tmp_path / "backup")
    delete(folder, range(5, 10))
    grow(folder)
    for path in folder.glob(f"{DATABASE}*"):
        path.unlink()
    shutil.copy(tmp_path / "backup", folder / DATABASE)
    with opened(folder) as index:
        assert len(index) == 30
        assert index.search(vectors[7], 1).tolist() == [8]


# When it changes


def test_few_photos_need_no_file(folder: Path) -> None:
    fill(folder, rows(1, 20))
    grow(folder)
    assert files(folder) == []


def test_more_get_the_exhaustive_one(folder: Path) -> None:
    fill(folder, rows(1, 21))
    grow(folder)
    assert tiers(folder) == [FLAT]
    assert facts(folder, FLAT)["vectors"] == 21


def test_few_new_ones_leave_the_file_as_it_is(folder: Path) -> None:
    fill(folder, rows(1, 30))
    grow(folder)
    before = files(folder)
    fill(folder, rows(2, 20), "b")
    grow(folder)
    assert files(folder) == before
    fill(folder, rows(3, 1), "c")
    grow(folder)
    assert files(folder) != before
    assert tiers(folder) == [FLAT]


def test_above_the_limit_an_inverted_file_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.growth, "LIMIT", 2 * DIM * 400)
    fill(folder, clustered(1, 400))
    grow(folder)
    assert tiers(folder) == [FLAT]
    fill(folder, clustered(2, 100), "b")
    told = grow(folder)
    assert tiers(folder) == [FLAT, IVF]
    assert told[0] == "training an index of 62 lists for 500 photos"
    with opened(folder) as index:
        assert index.tier == IVF


def test_a_query_never_makes_an_inverted_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.growth, "LIMIT", 0)
    fill(folder, clustered(1, 400))
    with opened(folder) as index:
        index.search(rows(2, 1)[0], 5)
    assert tiers(folder) == [FLAT]


def test_while_a_run_goes_on_nothing_is_trained(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.growth, "LIMIT", 0)
    fill(folder, clustered(1, 400))
    grow(folder, train=False)
    assert tiers(folder) == [FLAT]


def test_the_tier_can_be_chosen_by_hand_and_holds(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder)
    assert tiers(folder) == [FLAT]
    grow(folder, tier="ivf")
    assert tiers(folder) == [FLAT, IVF]
    grow(folder)
    assert tiers(folder) == [FLAT, IVF]
    grow(folder, tier="exhaustive")
    assert tiers(folder) == [FLAT]
    grow(folder, tier="auto")
    assert tiers(folder) == [FLAT]


def test_new_photos_are_added_without_training_until_they_are_many(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    fill(folder, clustered(2, 300), "b")
    told = grow(folder, train=False)
    assert not any("training" in line for line in told)
    assert (facts(folder, IVF)["vectors"], facts(folder, IVF)["trained"]) == (700, 400)
    fill(folder, clustered(3, 101), "c")
    assert any("training" in line for line in grow(folder))
    assert facts(folder, IVF)["trained"] == 801
    with opened(folder) as index:
        for number, vector in ((5, clustered(1, 400)[5]), (699, clustered(2, 300)[299])):
            assert number + 1 in index.search(vector, 10)


def test_deleted_photos_leave_the_files_once_they_are_many(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    before = files(folder)
    delete(folder, range(36))
    grow(folder)
    assert files(folder) == before
    delete(folder, [36])
    grow(folder)
    assert (facts(folder, IVF)["vectors"], facts(folder, FLAT)["vectors"]) == (363, 363)
    with opened(folder) as index, Reader(folder) as reader:
        assert len(index) == 363
        assert len(reader.tombstones(index.space)[1]) == 0


def test_deleted_photos_leave_when_new_ones_come(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    delete(folder, range(3))
    fill(folder, clustered(2, 21), "b")
    grow(folder)
    assert (facts(folder, IVF)["vectors"], facts(folder, FLAT)["vectors"]) == (418, 418)
    assert facts(folder, IVF)["trained"] == 400


def test_what_a_run_killed_behind_its_writing_left_is_made_good(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, rows(1, 100))
    grow(folder)
    (old,) = files(folder)
    delete(folder, [5])
    fill(folder, rows(2, 30), "b")
    with monkeypatch.context() as patch:
        patch.setattr(store.growth, "sweep", lambda *_, **__: None)
        patch.setattr(Writer, "forget_tombstones", lambda *_: None)
        grow(folder)
    assert old in files(folder)
    grow(folder)  # with nothing new
    assert len(files(folder)) == 1
    assert old not in files(folder)
    with opened(folder) as index, Reader(folder) as reader:
        assert len(reader.tombstones(index.space)[1]) == 0
        assert len(index) == 129
    delete(folder, [6])
    grow(folder)
    with opened(folder) as index, Reader(folder) as reader:  # which the file still has
        assert len(reader.tombstones(index.space)[1]) == 1
        assert len(index) == 128


def test_a_file_whose_last_photo_was_deleted_still_fits(folder: Path) -> None:
    fill(folder, rows(1, 40))
    grow(folder)
    before = files(folder)
    delete(folder, [39])
    with opened(folder) as index:
        assert (index._covered, len(index)) == (40, 39)
        assert 40 not in index.search(rows(1, 40)[39], 39)
    assert files(folder) == before


def test_a_query_makes_the_exhaustive_twin_of_an_inverted_file(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    flat = next(path for path in files(folder) if path.suffix == ".flat")
    flat.unlink()
    with opened(folder) as index:
        assert index.tier == IVF
    assert tiers(folder) == [FLAT, IVF]


def test_an_inverted_file_of_other_photos_than_the_exhaustive_one_does_not_count(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    next(path for path in files(folder) if path.suffix == ".flat").unlink()
    fill(folder, clustered(2, 30), "b")
    with opened(folder) as index:
        assert (index.tier, len(index._flat)) == (FLAT, 430)


def test_a_damaged_inverted_file_is_not_added_to(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    ivf = next(path for path in files(folder) if path.suffix == ".ivf")
    content = bytearray(ivf.read_bytes())
    content[-2000] ^= 1
    ivf.write_bytes(content)
    assert not verify(ivf)
    fill(folder, clustered(2, 30), "b")
    assert any("training" in line for line in grow(folder))
    assert facts(folder, IVF)["vectors"] == 430


# What is measured


def test_an_inverted_file_that_finds_too_little_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.growth, "WANTED", 1.01)
    fill(folder, rows(1, 400))
    grow(folder, tier="ivf")
    assert tiers(folder) == [FLAT]
    refused = facts(folder, FLAT)["refused"]
    assert isinstance(refused, dict)
    assert refused["vectors"] == 400
    monkeypatch.setattr(store.growth, "WANTED", 0.0)
    fill(folder, rows(2, 400), "b")
    assert not any("training" in line for line in grow(folder))  # not again before there are many more
    assert facts(folder, FLAT)["refused"] == refused
    fill(folder, rows(3, 21), "c")
    grow(folder)
    assert tiers(folder) == [FLAT, IVF]


def test_one_that_was_added_to_and_falls_short_is_trained_anew(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    real = store.growth.tuned

    def worse_unless_new(index: IvfIndex, *asked: object, **said: object) -> dict[str, object]:
        found = real(index, *asked, **said)  # type: ignore[arg-type]
        return found if index.lists > 50 else {**found, "recall": {"photos": 0.1, "texts": 0.1}}

    monkeypatch.setattr(store.growth, "tuned", worse_unless_new)
    fill(folder, clustered(2, 100), "b")
    assert not any("training" in line for line in grow(folder, train=False))
    assert tiers(folder) == [FLAT]
    assert facts(folder, FLAT)["refused"] == {}  # nobody has tried yet
    assert any("training" in line for line in grow(folder))
    assert tiers(folder) == [FLAT, IVF]
    assert facts(folder, IVF)["trained"] == 500


def test_asked_for_by_hand_it_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.growth, "WANTED", 1.01)
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    assert tiers(folder) == [FLAT]
    monkeypatch.setattr(store.growth, "WANTED", 0.0)
    assert grow(folder) == []
    assert grow(folder, again=True) != []
    assert tiers(folder) == [FLAT, IVF]


def test_it_is_never_trained_on_what_it_is_judged_by(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, clustered(1, 400))
    seen: list[Vectors] = []
    trained = IvfIndex.trained
    monkeypatch.setattr(IvfIndex, "trained", lambda sample, lists: seen.append(sample) or trained(sample, lists))
    grow(folder, tier="ivf")
    held_out = facts(folder, IVF)["held_out"]
    assert isinstance(held_out, list)
    assert len(held_out) == 99
    exact = clustered(1, 400).astype(np.float16).astype(np.float32)
    assert not (seen[0] @ exact[np.array(held_out) - 1].T > 0.99999).any()
    fill(folder, clustered(2, 50), "b")
    grow(folder)
    assert facts(folder, IVF)["held_out"] == held_out  # and not others, which it was trained on


@pytest.mark.parametrize("blocks", range(3))
def test_stopped_it_leaves_things_as_they_were(folder: Path, blocks: int) -> None:
    fill(folder, clustered(1, 400))
    grow(folder)
    before = files(folder)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > blocks

    grow(folder, tier="ivf", stop=stop)
    assert len(asked) == blocks + 1
    assert [path for path in files(folder) if path.suffix == ".flat"] == before
    with opened(folder) as index:
        assert index.tier == (FLAT if blocks < 2 else IVF)  # which is whole by then, and fits
        assert index.search(clustered(1, 400)[7], 10)[0] > 0
    grow(folder)
    assert tiers(folder) == [FLAT, IVF]


def test_what_was_measured_is_kept_and_told(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf")
    with Reader(folder) as reader:
        (space,) = status(reader).spaces
    assert space.index["tier"] == IVF
    assert space.index["covers"] == 400
    assert set(space.index["recall"]) == {"photos", "texts"}
    assert min(space.index["recall"].values()) >= store.growth.WANTED


def test_the_measured_recall_is_that_of_searches(folder: Path) -> None:
    vectors = clustered(1, 2000)
    fill(folder, vectors)
    grow(folder, tier="ivf")
    exact = vectors.astype(np.float16).astype(np.float32)
    with opened(folder) as index:
        assert index.tier == IVF
        shares = []
        for query in rows(99, 64):  # the tags that `grow` measures with
            truth = np.argsort(-(exact @ query), kind="stable")[:10] + 1
            shares.append(len(np.intersect1d(index.search(query, CANDIDATES), truth)) / 10)
    told = facts(folder, IVF)["recall"]
    assert isinstance(told, dict)
    assert np.mean(shares[1::2]) == pytest.approx(told["texts"], abs=0.02)


def test_texts_that_lie_elsewhere_than_photos_decide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is good for photos and bad for texts is refused: the reason for measuring both."""
    fill(folder, clustered(1, 800))
    monkeypatch.setattr(store.growth, "WANTED", 0.98)
    real = store.growth.recall
    asked: list[int] = []

    def bad_for_texts(found: np.ndarray, truth: np.ndarray) -> float:
        asked.append(len(found))
        return 0.5 if len(found) == 32 else real(found, truth)  # half of the 64 tags

    monkeypatch.setattr(store.growth, "recall", bad_for_texts)
    grow(folder, tier="ivf")
    assert tiers(folder) == [FLAT]
    assert 32 in asked


def test_without_texts_photos_alone_are_measured(folder: Path) -> None:
    fill(folder, clustered(1, 400))
    grow(folder, tier="ivf", texts=np.empty((0, DIM), np.float32))
    assert tiers(folder) == [FLAT, IVF]


def test_it_is_tuned_on_one_half_and_judged_by_the_other() -> None:
    vectors = clustered(1, 800)
    index = IvfIndex.trained(vectors, 8)
    index.add(np.arange(800), vectors.astype(np.float16))
    queries = np.concatenate([vectors[:8], rows(5, 8)])
    own = np.concatenate([np.arange(8), np.full(8, NOBODY)])
    truth = np.full((16, 10), -7)  # never found
    right = Nearest(queries, own)
    right.add(np.arange(800), vectors.astype(np.float16))
    truth[0::2] = right.ids()[0::2]  # the half that it is tuned on
    measured = tuned(index, queries, own, truth, texts=8)
    assert measured["recall"] == {"photos": 0.0, "texts": 0.0}


def test_the_candidates_are_those_that_a_search_fetches_for_ten_results() -> None:
    assert max(OVERFETCH * 10, FETCH_AT_LEAST) == CANDIDATES


@pytest.mark.parametrize(
    ("count", "lists"), [(1, 1), (8, 1), (160, 20), (10_000, 400), (1_000_000, 4000), (300_000, 2191)]
)
def test_lists(count: int, lists: int) -> None:
    assert lists_for(count) == lists


# Recall


def test_the_nearest_of_many_queries_block_by_block() -> None:
    vectors, queries = rows(1, 300).astype(np.float16), rows(2, 9)
    own = np.full(9, NOBODY)
    own[3] = 17
    queries[3] = vectors[16].astype(np.float32)
    nearest = Nearest(queries, own)
    for start in range(0, 300, 7):
        nearest.add(np.arange(start, min(start + 7, 300)) + 1, vectors[start : start + 7])
    scores = vectors.astype(np.float32) @ queries.T
    scores[16, 3] = -1  # the query itself does not count
    expected = np.argsort(-scores, axis=0, kind="stable")[:10].T + 1
    assert nearest.ids().tolist() == expected.tolist()


def test_fewer_rows_than_ten() -> None:
    vectors = rows(1, 4).astype(np.float16)
    nearest = Nearest(rows(2, 3), np.array([NOBODY, 1, NOBODY]))
    nearest.add(np.arange(1, 5), vectors)
    assert [len(set(ids)) for ids in nearest.ids().tolist()] == [3, 3, 3]


@pytest.mark.parametrize(
    ("found", "truth", "share"),
    [
        ([[1, 2, 3]], [[3, 1]], 1.0),
        ([[1, 2, 3]], [[4, 1]], 0.5),
        ([[1], [2]], [[2], [2]], 0.5),
        ([[-1, -1]], [[5]], 0.0),
    ],
)
def test_recall(found: list[list[int]], truth: list[list[int]], share: float) -> None:
    assert recall(np.array(found), np.array(truth)) == share


def test_a_query_does_not_find_itself() -> None:
    ids = np.array([[5, 6, 7], [5, 6, 7]])
    assert without_own(ids, np.array([6, NOBODY])).tolist() == [[5, 7], [5, 6]]


# A run that cannot write


def test_a_full_disk_costs_only_the_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(folder, clustered(1, 400))

    def fail(*_: object) -> None:
        raise RuntimeError("Error: 'ret == (size)' failed: No space left on device")

    monkeypatch.setattr("store.native.faiss.write_index", fail)
    with pytest.raises(OSError, match="No space left on device"):
        grow(folder, tier="ivf")
    assert files(folder) == []
    with opened(folder) as index:
        assert index.search(clustered(1, 400)[7], 1).tolist() == [8]


def test_the_choice_is_kept_with_the_library(folder: Path) -> None:
    with Writer(folder) as library:
        library.add_space(SPACE)
        for said, kept in (("ivf", "ivf"), (None, "ivf"), ("exhaustive", "exhaustive"), ("auto", None)):
            library.tier(said)
            with Reader(folder) as reader:
                assert reader.tier() == kept
