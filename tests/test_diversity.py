"""Rankings without the same thing again and again: by hand, and from the command line."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glimpse
from core.types import Kind
from search.diversity import diverse
from search.ranking import Ranked
from store.reader import Asset
from tests.conftest import paint
from tests.test_dupes import copy, scene


def ranked(key: int, *row: float, lane: int = 0) -> Ranked:
    vector = np.array(row, np.float32) / np.linalg.norm(row) if row else None
    return Ranked(Asset(key, Kind.PHOTO, (Path(f"{key}.jpg"),), ()), row=vector, lane=lane)


def order(hits: list[Ranked]) -> list[int]:
    return [hit.asset.content_id for hit in hits]


# Of four hits, relevance is 1, 3/4, 1/2, 1/4. After 1, hit 2 (the same) is worth (3/4 - 1) / 2 = -1/8, hit 3
# (cosine 0.6) (1/2 - 0.6) / 2 = -1/20, hit 4 (cosine 0) (1/4 - 0) / 2 = 1/8. After 4, hit 3 has cosine 0.8 to it:
# (1/2 - 0.8) / 2 = -3/20, and hit 2 comes first with -1/8.
HITS = [ranked(1, 1, 0), ranked(2, 1, 0), ranked(3, 0.6, 0.8), ranked(4, 0, 1)]


@pytest.mark.parametrize(
    ("k", "expected"), [(1, [1, 2, 3, 4]), (2, [1, 4, 2, 3]), (3, [1, 4, 2, 3]), (4, [1, 4, 2, 3]), (9, [1, 4, 2, 3])]
)
def test_marginal_relevance_is_what_a_hand_computes(k: int, expected: list[int]) -> None:
    assert order(diverse(HITS, k)) == expected


def test_a_hit_that_points_away_is_no_better_than_one_that_has_nothing_to_do_with_it() -> None:
    hits = [ranked(1, 1, 0), ranked(2, 0, 1), ranked(3, -1, 0)]
    assert order(diverse(hits, 3)) == [1, 2, 3]


def test_hits_without_a_row_keep_their_places() -> None:
    hits = [ranked(10), HITS[0], HITS[1], ranked(11), HITS[2], HITS[3]]
    # Relevance 5/6, 4/6, 2/6, 1/6. After 1: 2 has -1/6, 3 has -4/30, 4 has 1/12; after 4: 2 has -1/6, 3 has -7/30.
    assert order(diverse(hits, 6)) == [10, 1, 4, 11, 2, 3]


def test_lanes_are_ordered_by_themselves_in_the_places_they_had() -> None:
    sounds = [ranked(21, 1, 0, 0, lane=1), ranked(22, 1, 0, 0, lane=1), ranked(23, 0, 1, 0, lane=1)]
    hits = [HITS[0], sounds[0], HITS[1], sounds[1], HITS[3], sounds[2]]
    assert order(diverse(hits, 6)) == [1, 21, 4, 23, 2, 22]


@pytest.mark.parametrize("hits", [[], [ranked(1)], [HITS[0]]])
def test_what_cannot_be_ordered_stays(hits: list[Ranked]) -> None:
    assert diverse(hits, 5) == hits


@pytest.fixture
def album(library: glimpse.Library, tmp_path: Path) -> Path:
    """Three scenes in red, with a copy of one, and a plain one in the colours of none of them."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        scene(number, (255, 30 * number, 0)).save(folder / f"{name}.png")
    copy(Image.open(folder / "b.png")).save(folder / "b small.jpg", quality=70)
    paint(folder / "blue.png", (90, 0, 255))
    library.index([folder])
    return folder


def test_copies_are_shown_as_one_where_the_best_of_them_stands(library: glimpse.Library, album: Path) -> None:
    every = library.search("red", k=10, cut=False)
    assert {hit.path.name for hit in every} == {"a.png", "b.png", "b small.jpg", "c.png", "blue.png"}
    assert {hit.collapsed for hit in every} == {0}
    found = library.search("red", k=10, cut=False, collapse=True)
    first = next(hit for hit in every if hit.path.name.startswith("b") and hit.path.name != "blue.png")
    assert [(hit.path, hit.collapsed) for hit in found] == [
        (hit.path, int(hit.path == first.path))
        for hit in every
        if hit.path == first.path or hit.path.name in ("a.png", "c.png", "blue.png")
    ]


def test_a_list_of_what_passes_a_filter_is_collapsed_too(library: glimpse.Library, album: Path) -> None:
    assert sorted(hit.collapsed for hit in library.search("kind:photo", collapse=True)) == [0, 0, 0, 1]


def test_the_count_is_filled_up_with_what_comes_next(library: glimpse.Library, album: Path) -> None:
    assert len(library.search("red", k=4, cut=False, collapse=True)) == 4


def test_the_diverse_come_first(library: glimpse.Library, album: Path) -> None:
    assert library.search("red", k=2, cut=False)[1].path.name != "blue.png"
    found = library.search("red", k=2, cut=False, diverse=True)
    assert [found[0].path, found[1].path.name] == [library.search("red", k=1, cut=False)[0].path, "blue.png"]
