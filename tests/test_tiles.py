"""Parts of photos: which there are, what is decoded of them, and that they are found, kept, and forgotten."""

import itertools
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glimpse
from core.errors import GlimpseError
from core.settings import Settings
from core.types import Box, Fit, Hit, ImageInput, IndexReport, Kind
from encoders.fake import FakeEncoder
from glimpse.render import hit_dict, status_text
from glimpse.sheet import page
from indexer import pipeline
from media.isolated import DecodeProcess
from media.photo import BIG_PIXELS, _draft, decode_photo
from media.pixels import shrunk, square
from media.tiles import LEVELS, MOST, OVERLAP, Level, boxes
from store.names import NEWEST
from store.reader import Reader
from store.vectors import VectorIndex
from store.writer import Writer
from tests import old_libraries
from tests.samples import animated, noise, saved, scene, with_orientation

GREY = (128, 128, 128)
WANT = ImageInput(8, Fit.SQUASH)
SIZES = [(w, h) for w, h in itertools.product((7, 60, 500, 640, 900, 1200, 1366, 1600, 3000, 30_000), repeat=2)]


# --- which


@pytest.mark.parametrize(
    ("size", "level", "grid"),
    [
        ((4000, 3000), "none", None),
        ((8000, 2000), "none", None),
        ((4000, 3000), "wide", None),
        ((4799, 2000), "wide", None),
        ((4800, 2000), "wide", (3, 1)),
        ((2000, 4800), "wide", (1, 3)),
        ((1170, 2532), "wide", None),  # a phone's screenshot
        ((1170, 5000), "wide", (1, 6)),  # and a long one
        ((9000, 1500), "wide", (8, 1)),
        ((90_000, 1500), "wide", (8, 1)),
        ((4000, 3000), "all", (3, 2)),
        ((3000, 4000), "all", (2, 3)),
        ((6000, 4000), "all", (3, 2)),
        ((3000, 3000), "all", (2, 2)),
        ((4000, 2250), "all", (4, 2)),
        ((4000, 2000), "all", (4, 2)),
        ((320, 320), "all", None),  # a tile would have less than 224 px
        ((404, 404), "all", (2, 2)),
        ((2000, 200), "wide", None),
        ((0, 0), "all", None),
    ],
)
def test_boxes_are_chosen_by_size_and_shape(
    size: tuple[int, int], level: Level, grid: tuple[int, int] | None
) -> None:
    cut = boxes(*size, level, 224)
    columns, rows = len({left for left, *_ in cut}), len({top for _, top, *_ in cut})
    assert (columns, rows) == (grid or (0, 0))
    assert len(cut) == columns * rows


@pytest.mark.parametrize("size", SIZES)
def test_boxes_cover_a_photo_and_overlap(size: tuple[int, int]) -> None:
    cut = boxes(*size, "all", 1)
    assert 2 <= len(cut) <= MOST
    for first, second in ((0, 2), (1, 3)):  # each axis by itself: it is a grid
        spans = sorted({(box[first], box[second]) for box in cut})
        assert spans[0][0] == 0
        assert spans[-1][1] == 1
        assert all(start < end for start, end in spans)
        for (_, end), (start, after) in itertools.pairwise(spans):
            assert end - start == pytest.approx(OVERLAP * (after - start))
    # Nobody is left out: every pair of an across and a down is there.
    assert len(set(cut)) == len({box[::2] for box in cut}) * len({box[1::2] for box in cut})


@pytest.mark.parametrize("size", SIZES)
def test_boxes_of_a_photo_on_its_side_are_those_of_the_photo_on_its_side(size: tuple[int, int]) -> None:
    for level in LEVELS:
        lying = {(top, left, bottom, right) for left, top, right, bottom in boxes(*size, level, 224)}
        assert set(boxes(*reversed(size), level, 224)) == lying
        assert set(boxes(*size, level, 224)) in (set(), set(boxes(*size, "all", 1)))  # where they lie: by shape alone


# --- decoded


def cropped(image: Image.Image, box: Box, want: ImageInput) -> np.ndarray:
    """Cut a part out of an upright photo, then resize: the oracle."""
    sides = [round(share * side) for share, side in zip(box, image.size * 2, strict=True)]
    return square(shrunk(image.crop((sides[0], sides[1], sides[2], sides[3])), want, None, 1), want)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fit", list(Fit))
def test_a_tile_is_what_cutting_the_upright_photo_gives(orientation: int, fit: Fit) -> None:
    picture = noise((9, 6)).resize((901, 607), Image.Resampling.BICUBIC)
    want = ImageInput(64, fit)
    photo = decode_photo(with_orientation(picture, "PNG", orientation), "a.png", want, tiles="all")
    assert [box for box, _ in photo.tiles] == list(boxes(901, 607, "all", 64))
    for box, pixels in photo.tiles:
        # Turning comes after shrinking, which rounds otherwise: what is cut off for a square may begin a pixel later.
        assert np.abs(pixels.astype(int) - cropped(picture, box, want).astype(int)).max() <= 20
        assert np.abs(pixels.astype(int) - cropped(picture, box, want).astype(int)).mean() < (
            6 if fit is Fit.CROP else 1
        )


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "HEIF", "AVIF", "BMP"])
def test_every_format_has_tiles(kind: str) -> None:
    picture = scene((640, 480))
    photo = decode_photo(saved(picture, kind), f"a.{kind.lower()}", WANT, 64, tiles="all")
    assert len(photo.tiles) == 6
    for box, pixels in photo.tiles:
        assert np.abs(pixels.astype(int) - cropped(picture, box, WANT).astype(int)).mean() < 8
    whole = decode_photo(saved(picture, kind), f"a.{kind.lower()}", WANT, 64)
    assert whole.tiles == ()
    assert whole.preview is not None
    assert photo.preview is not None


def test_of_an_animation_only_the_first_frame_has_tiles() -> None:
    photo = decode_photo(animated("GIF", 5), "a.gif", WANT, tiles="all")
    assert len(photo.frames) == 2
    assert {tuple(pixels.reshape(-1, 3)[0]) for _, pixels in photo.tiles} == {(0, 0, 255)}


def test_what_is_cut_short_has_no_tiles() -> None:
    data = saved(noise((640, 480)), "JPEG")
    photo = decode_photo(data[: len(data) // 2], "a.jpg", WANT, salvage=True, tiles="all")
    assert (photo.damaged, photo.tiles) == (True, ())


@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000), (12_000, 9000), (60_000, 3000), (40_000, 40_000)])
@pytest.mark.parametrize("wanted", [224, 384, 1056])
def test_a_jpeg_is_decoded_large_enough_for_tiles_and_never_beyond_what_memory_has(
    size: tuple[int, int], wanted: int
) -> None:
    want = ImageInput(wanted, Fit.LETTERBOX)
    share, whole = (_draft(size, want, 512, level) for level in ("all", "none"))  # type: ignore[arg-type]
    scale, least = (next(1 / part for part in (8, 4, 2, 1) if needed <= 1 / part) for needed in (share, whole))
    left, top, right, bottom = boxes(*size, "all", wanted)[0]
    detail = max((right - left) * size[0], (bottom - top) * size[1]) * scale
    pixels = size[0] * size[1] * scale**2
    assert scale >= least
    assert scale == least or pixels <= BIG_PIXELS
    assert detail >= 2 * wanted or 4 * pixels > BIG_PIXELS  # the next larger scale would be too much


def test_a_process_gives_the_tiles_that_the_decoder_gives(process: DecodeProcess, tmp_path: Path) -> None:
    data = saved(noise((640, 480)), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    process.read(os.fsencode(tmp_path / "a.jpg"))
    got, expected = process.decode("a.jpg", WANT, 100, "all"), decode_photo(data, "a.jpg", WANT, 100, tiles="all")
    assert [box for box, _ in got.tiles] == [box for box, _ in expected.tiles]
    assert all(np.array_equal(one, two) for (_, one), (_, two) in zip(got.tiles, expected.tiles, strict=True))
    assert np.array_equal(got.frames[0], expected.frames[0])
    assert (len(got.frames), got.preview) == (1, expected.preview)


# --- indexed


class Counting(FakeEncoder):
    """Counts the pictures that it encodes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def encode_images(self, pixels: np.ndarray) -> np.ndarray:
        self.seen += len(pixels)
        return super().encode_images(pixels)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A big grey photo with a red spot at the bottom right, a panorama with a blue one on the left, small ones."""
    folder = tmp_path / "album"
    folder.mkdir()
    big = Image.new("RGB", (400, 300), GREY)
    big.paste((255, 0, 0), (330, 240, 390, 290))
    big.save(folder / "big.png")
    wide = Image.new("RGB", (600, 100), GREY)
    wide.paste((0, 0, 255), (0, 20, 80, 80))
    wide.save(folder / "wide.png")
    for shade in (90, 110, 130):
        Image.new("RGB", (12, 9), (shade, shade, shade)).save(folder / f"small{shade}.png")
    return folder


@pytest.fixture
def encoder(library: glimpse.Library) -> Counting:
    counting = Counting()
    library._encoder, library._loaded = counting, "fake"
    return counting


def index(library: glimpse.Library, *paths: Path, tiles: str | None = None, dry_run: bool = False) -> IndexReport:
    library.settings = replace(library.settings, tiles=tiles)
    return library.index(paths, dry_run=dry_run)


def stored(library: glimpse.Library) -> dict[str, int]:
    """Return how many tiles each photo has."""
    with sqlite3.connect(library.settings.library / "library.db") as db:
        rows = db.execute(
            "SELECT f.path, count(v.id) FROM files f JOIN segments s ON s.content_id = f.content_id "
            "JOIN vectors v ON v.segment_id = s.id WHERE s.kind = 'tile' GROUP BY f.path ORDER BY f.path"
        ).fetchall()
    return {path.decode(): count for path, count in rows}


def found(library: glimpse.Library, words: str) -> tuple[str, Box | None]:
    """Return the name of what is nearest to words, and the part of it."""
    with Reader(library.settings.library) as reader:
        space = reader.space()
        assert space is not None
        toward = FakeEncoder().encode_texts([words])[0]
        best = VectorIndex(reader, space).search(toward, 1)
        (asset,) = reader.assets(best).values()
    assert library.search(words, k=1)[0].path == asset.paths[0]
    return asset.paths[0].name, asset.box


def test_a_small_thing_in_a_corner_is_found_in_its_part(library: glimpse.Library, album: Path) -> None:
    report = index(library, album, tiles="all")
    assert (report.added, report.encoded) == (5, 5)
    assert stored(library) == {"big.png": 6, "wide.png": 8}
    assert found(library, "red") == ("big.png", boxes(400, 300, "all", 8)[5])
    assert found(library, "blue") == ("wide.png", boxes(600, 100, "all", 8)[0])
    spot = library.search("red", k=1)[0].score
    index(library, tiles="none")
    assert found(library, "red")[1] is None
    assert library.search("red", k=1)[0].score < spot


def test_a_new_library_has_tiles_of_wide_photos(library: glimpse.Library, album: Path) -> None:
    index(library, album)
    assert stored(library) == {"wide.png": 8}
    assert library.status().tiles == "wide"


def test_another_level_encodes_what_is_lacking_and_nothing_else(
    library: glimpse.Library, album: Path, encoder: Counting, reads: list[bytes]
) -> None:
    index(library, album, tiles="none")
    assert (encoder.seen, len(reads)) == (5, 5)
    assert index(library, tiles="wide", dry_run=True).changed == 1
    assert stored(library) == {}
    report = index(library, tiles="wide")
    assert (report.changed, report.unchanged, report.added, report.encoded) == (1, 4, 0, 1)
    assert (encoder.seen, len(reads)) == (5 + 8, 6)
    report = index(library, tiles="all")
    assert (report.changed, report.unchanged, report.encoded) == (1, 4, 1)
    assert (encoder.seen, len(reads)) == (5 + 8 + 6, 7)
    for _ in range(2):  # it holds, and all is there
        report = index(library)
        assert (report.changed, report.unchanged, report.encoded) == (0, 5, 0)
    assert (encoder.seen, len(reads)) == (5 + 8 + 6, 7)


def test_a_lower_level_forgets_the_tiles_of_the_others_and_of_no_one_else(
    library: glimpse.Library, album: Path, encoder: Counting
) -> None:
    index(library, album, tiles="all")
    red, seen = library.search("red", k=5), encoder.seen
    assert index(library, tiles="wide", dry_run=True).changed == 0
    assert stored(library) == {"big.png": 6, "wide.png": 8}
    index(library, tiles="wide")
    assert stored(library) == {"wide.png": 8}
    assert library.search("red", k=5)[0].score < red[0].score  # whoever had the library open sees it, too
    assert found(library, "blue")[1] is not None
    assert encoder.seen == seen
    index(library, tiles="all")
    assert [(hit.path, round(hit.score, 3)) for hit in library.search("red", k=5)] == [
        (hit.path, round(hit.score, 3)) for hit in red
    ]


def test_copies_and_moved_photos_are_cut_once(library: glimpse.Library, album: Path, encoder: Counting) -> None:
    index(library, album, tiles="none")
    (album / "copy.png").write_bytes((album / "big.png").read_bytes())
    (album / "wide.png").rename(album / "moved.png")
    seen = encoder.seen
    report = index(library, tiles="all")
    assert (report.added, report.changed, report.moved, report.unchanged, report.gone) == (1, 1, 1, 3, 0)
    assert encoder.seen == seen + 6 + 8
    assert stored(library) == {"big.png": 6, "copy.png": 6, "moved.png": 8}
    (hit,) = library.search("red", k=1)
    assert [path.name for path in (hit.path, *hit.also)] == ["big.png", "copy.png"]
    assert index(library).unchanged == 6


def test_tiles_of_a_photo_that_is_gone_are_not_found_and_come_back_with_it(
    library: glimpse.Library, album: Path, encoder: Counting
) -> None:
    index(library, album, tiles="all")
    data, seen = (album / "big.png").read_bytes(), encoder.seen
    (album / "big.png").unlink()
    index(library)
    assert "big.png" not in [hit.path.name for hit in library.search("red", k=9)]
    (album / "back.png").write_bytes(data)
    index(library)
    assert (found(library, "red")[0], encoder.seen) == ("back.png", seen)
    (album / "back.png").unlink()
    index(library)
    library.prune()
    assert stored(library) == {"wide.png": 8}


def test_a_file_that_cannot_be_read_now_is_cut_when_it_can(library: glimpse.Library, album: Path) -> None:
    index(library, album, tiles="none")
    aside = album.with_name("aside")
    album.rename(aside)
    report = index(library, tiles="all")  # a drive that is away: nothing of the whole photos is lost
    assert (report.added, report.changed, stored(library)) == (0, 0, {})
    assert len(library.search("grey", k=9)) == 5
    aside.rename(album)
    assert index(library).changed == 2
    assert stored(library) == {"big.png": 6, "wide.png": 8}


def test_another_model_takes_tiles_from_files_and_the_whole_from_previews(tmp_path: Path, album: Path) -> None:
    from tests.test_file_life import Mirrored

    settings = Settings(tmp_path / "library", tmp_path / "cache", "fake", tiles="all")
    with glimpse.Library(settings) as library:
        library.index([album])
    aside = album.with_name("aside")
    with Writer(settings.library) as writer:
        run = replace(settings, tiles=None)
        album.rename(aside)
        report = pipeline.index(writer, Mirrored(), [], run)
        assert (report.added, report.encoded) == (5, 5)
        aside.rename(album)
        report = pipeline.index(writer, Mirrored(), [], run)
        assert (report.added, report.changed, report.encoded) == (0, 2, 2)
        assert pipeline.index(writer, Mirrored(), [], run).encoded == 0
    with Reader(settings.library) as reader:
        rows = reader.rows(
            "SELECT p.name, s.kind, v.from_preview, count(*) FROM vectors v JOIN segments s ON s.id = v.segment_id "
            "JOIN spaces p ON p.id = v.space_id GROUP BY 1, 2, 3 ORDER BY 1, 2"
        )
        assert rows == [
            ("fake", "tile", 0, 14),
            ("fake", "whole", 0, 5),
            ("mirrored", "tile", 0, 14),
            ("mirrored", "whole", 1, 5),
        ]
        assert reader.tally("segments WHERE kind = 'tile'") == 14  # both models share them


def test_a_run_that_dies_leaves_photos_with_all_of_their_vectors_or_none(
    library: glimpse.Library, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Death(BaseException):
        """Not to be caught."""

    commits = itertools.count()
    commit = Writer.commit

    def dying(*arguments: object, **named: object) -> None:
        if next(commits) == 2:
            raise Death
        commit(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "commit", dying)
    library.settings = replace(library.settings, batch_size=1, tiles="all")
    with pytest.raises(Death):
        library.index([album])
    assert stored(library) == {"big.png": 6}
    monkeypatch.undo()
    report = index(library)  # the level was said, and holds
    assert (report.added, report.unchanged) == (3, 2)
    assert stored(library) == {"big.png": 6, "wide.png": 8}


@pytest.mark.parametrize("schema", old_libraries.SCHEMAS)
def test_a_library_of_an_earlier_version_gets_tiles_of_its_wide_photos_only(schema: str, tmp_path: Path) -> None:
    folder = old_libraries.load(schema, tmp_path)
    with glimpse.Library(Settings(folder, tmp_path / "cache", "fake")) as library:
        index(library)  # which may bring it up to date in other ways
        report = index(library)
        assert (report.encoded, stored(library)) == (0, {})
        with sqlite3.connect(folder / "library.db") as db:
            assert db.execute("SELECT version_num FROM alembic_version").fetchone() == (NEWEST,)
            (path,) = db.execute("SELECT path FROM files WHERE CAST(path AS TEXT) LIKE '%green.bmp'").fetchone()
            db.execute(
                "UPDATE contents SET width = 64, height = 16 "
                "WHERE id = (SELECT content_id FROM files WHERE path = ?)",
                (path,),
            )
        assert index(library, dry_run=True).changed == 1


@pytest.mark.parametrize("lost", ["vectors", "segments"])
def test_tiles_that_were_lost_are_made_again(library: glimpse.Library, album: Path, lost: str) -> None:
    index(library, album, tiles="all")
    with sqlite3.connect(library.settings.library / "library.db") as db:
        db.execute("PRAGMA foreign_keys = ON")
        one = "SELECT id FROM segments WHERE kind = 'tile' LIMIT 1"
        column = "segment_id" if lost == "vectors" else "id"
        db.execute(f"DELETE FROM {lost} WHERE {column} IN ({one})")
    assert index(library).changed == 1
    assert stored(library) == {"big.png": 6, "wide.png": 8}
    assert index(library).changed == 0


def test_few_pictures_wait_where_photos_have_many(library: glimpse.Library, album: Path) -> None:
    waiting: list[int] = []
    ahead = pipeline.Reader.ahead

    def watched(self: pipeline.Reader, jobs: list[pipeline.Job], size: int) -> Iterator[pipeline.Read]:
        read = self.read
        begun = itertools.count(1)

        def counted(job: pipeline.Job) -> pipeline.Read:
            waiting.append(next(begun) - taken)
            return read(job)

        taken = 0
        object.__setattr__(self, "read", counted)
        for taken, one in enumerate(ahead(self, jobs, size), 1):  # noqa: B007
            time.sleep(0.01)  # whoever takes them is slower than whoever reads
            yield one

    for number in range(60):
        Image.new("RGB", (600, 100), (number, 0, 0)).save(album / f"w{number:02}.png")
    for photo in album.glob("small*"):
        photo.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline.Reader, "ahead", watched)
        library.settings = replace(library.settings, batch_size=9, workers=1)
        library.index([album])
    assert len(waiting) == 62
    # At first nobody knows how many pictures a photo has; then two batches of nine are two photos, and one in hand.
    assert max(waiting[-30:]) <= 4


# --- shown


def test_the_command_line_takes_a_level_and_refuses_another(library: glimpse.Library, album: Path) -> None:
    with pytest.raises(GlimpseError, match="tiles are of photos of the kinds none, wide, all, not 'most'"):
        index(library, album, tiles="most")


def test_status_tells_what_tiles_cost(library: glimpse.Library, album: Path) -> None:
    index(library, album, tiles="all")
    status = library.status()
    (space,) = status.spaces
    assert (space.vectors, space.tiles, space.tile_bytes, space.missing) == (5 + 14, 14, 14 * 3 * 2, 0)
    assert "tiles       of large photos: 14, 74% of all that is encoded and compared (0.0 MB)" in status_text(status)
    index(library, tiles="none")
    assert "tiles       of no photos\n" in status_text(library.status())


HIT = Hit(Path("/p/a.jpg"), 0.5, Kind.PHOTO, 1)


def test_a_page_draws_the_part_over_the_picture() -> None:
    drawn = page([("red", [replace(HIT, box=(0.25, 0.5, 0.75, 1.0))])], lambda _: b"")
    assert 'style="left:25.00%;top:50.00%;right:25.00%;bottom:0.00%"' in drawn
    assert 'class="part"' not in page([("red", [HIT])], lambda _: b"")


def test_json_tells_the_part() -> None:
    assert hit_dict(replace(HIT, box=(0, 1 / 3, 0.5, 1)))["box"] == [0, 0.3333, 0.5, 1]
    assert hit_dict(HIT)["box"] is None
