"""Copies, photos that are much alike, and bursts: what is found, what is not, and that nothing is changed."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

import glimpse
from core.settings import Settings
from encoders.base import unit
from glimpse.cli import run as run_command
from media.thumbs import SIDE, grey, sharpness
from search.alike import LIKE, Links, around, pairs
from search.dupes import Group, Sameness
from tests.conftest import paint
from tests.test_upgrade import content

TAKEN = 36867
"""EXIF's DateTimeOriginal."""


def scene(
    seed: int, colour: tuple[int, int, int] = (255, 255, 255), size: tuple[int, int] = (320, 240)
) -> Image.Image:
    """Return a picture of soft shapes in shades of one colour: to the fake encoder, all of a colour are the same."""
    shades = np.random.default_rng(seed).uniform(0.1, 1, (8, 10, 1))
    small = Image.fromarray((shades * colour).astype(np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def edges(blur: float = 0) -> Image.Image:
    """Return a picture of hard edges, blurred so many pixels far."""
    image = scene(1, size=(10, 8)).resize((320, 240), Image.Resampling.NEAREST)
    return image.filter(ImageFilter.GaussianBlur(blur))


def copy(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2))


def crop(image: Image.Image, part: float) -> Image.Image:
    across, down = int(image.width * part / 2), int(image.height * part / 2)
    return image.crop((across, down, image.width - across, image.height - down))


def put(library: glimpse.Library, folder: Path, pictures: dict[str, Image.Image], **times: str) -> list[Group]:
    """Index pictures, by name; times: when they were taken, by the name without its ending."""
    folder.mkdir(exist_ok=True)
    for name, image in pictures.items():
        exif = Image.Exif()
        if when := times.get(name.partition(".")[0]):
            exif.get_ifd(0x8769)[TAKEN] = when
        image.save(folder / name, quality=90, exif=exif)
    library.index([folder])
    return library.dupes()


def names(groups: list[Group]) -> list[list[str]]:
    return [[file.path.name for file in group.files] for group in groups]


# What is much alike


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": copy,
    "cropped": lambda image: crop(image, 0.04),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.75),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_much_alike(library: glimpse.Library, tmp_path: Path, edit: str) -> None:
    original = scene(1)
    found = put(library, tmp_path / "in", {"a.png": original, "b.jpg": EDITS[edit](original)})
    assert [group.sameness for group in found] == [Sameness.NEAR]
    assert names(found) == [["a.png", "b.jpg"]]


@pytest.mark.parametrize(
    "other",
    [
        scene(2),
        crop(scene(1), 0.4),
        scene(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        Image.new("RGB", (320, 240)),
    ],
    ids=["another", "a detail", "mirrored", "black"],
)
def test_what_is_not_the_same_picture_is_not(library: glimpse.Library, tmp_path: Path, other: Image.Image) -> None:
    assert put(library, tmp_path / "in", {"a.png": scene(1), "b.png": other}) == []


def test_the_same_picture_in_another_colour_is_not(library: glimpse.Library, tmp_path: Path) -> None:
    """Its vector is another: the previews, which are compared in greys, would not tell."""
    assert put(library, tmp_path / "in", {"a.png": scene(1, (255, 0, 0)), "b.png": scene(1, (0, 255, 0))}) == []


def test_without_previews_the_vectors_alone_have_to_be_nearer(library: glimpse.Library, tmp_path: Path) -> None:
    pictures = {"a.png": scene(1, (200, 0, 0)), "b.png": scene(2, (200, 20, 0)), "c.png": scene(3, (200, 90, 0))}
    assert put(library, tmp_path / "in", pictures) == []
    shutil.rmtree(library.settings.library / "previews")
    assert [sorted(group) for group in names(library.dupes())] == [["a.png", "b.png"]]  # .995; .91 is too little


@pytest.mark.parametrize(
    ("times", "sameness"),
    [
        (("2023:06:01 12:30:00", "2023:06:01 12:30:03"), [Sameness.BURST]),
        (("2023:06:01 12:30:59", "2023:06:01 12:31:01"), [Sameness.BURST]),
        (("2023:06:01 12:30:00", "2023:06:01 12:30:04"), []),
        (("2023:06:01 00:00:00", "2023:06:01 00:00:00"), []),  # a day, and no time
        (("2023:06:01 12:30:00", ""), []),
    ],
)
def test_a_burst_is_told_by_its_times(
    library: glimpse.Library, tmp_path: Path, times: tuple[str, str], sameness: list[Sameness]
) -> None:
    found = put(library, tmp_path / "in", {"a.jpg": scene(1), "b.jpg": scene(2)}, a=times[0], b=times[1])
    assert [group.sameness for group in found] == sameness


def test_different_things_of_one_second_are_no_burst(library: glimpse.Library, tmp_path: Path) -> None:
    pictures = {"a.jpg": scene(1, (255, 0, 0)), "b.jpg": scene(2, (0, 0, 255))}
    when = "2023:06:01 12:30:00"
    assert put(library, tmp_path / "in", pictures, a=when, b=when) == []


def test_files_that_were_copied_at_once_are_no_burst(library: glimpse.Library, tmp_path: Path) -> None:
    """Where nothing else is known, the time is that of the file."""
    folder = tmp_path / "in"
    put(library, folder, {"a.jpg": scene(1), "b.jpg": scene(2)})
    for path in folder.iterdir():
        os.utime(path, (1_685_622_600, 1_685_622_600))
    library.index()
    assert library.info(folder / "a.jpg").metadata.taken_from == "modified"
    assert library.dupes() == []


# Groups


def test_copies_are_grouped_by_their_bytes(library: glimpse.Library, photos: Path) -> None:
    shutil.copy(photos / "red.png", photos / "red copy.png")
    library.index([photos])
    (found,) = library.dupes()
    assert (found.sameness, found.why) == (Sameness.EXACT, "shortest name")
    assert names([found]) == [["red.png", "red copy.png"]]
    assert found.spare == (photos / "red.png").stat().st_size


def test_a_file_is_in_one_group(library: glimpse.Library, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    put(library, folder, {"a.png": scene(1), "b.jpg": copy(scene(1))})
    shutil.copy(folder / "a.png", folder / "a again.png")
    library.index()
    assert names(library.dupes()) == [["a.png", "a again.png", "b.jpg"]]
    assert names(library.dupes(exact=True)) == [["a.png", "a again.png"]]


@pytest.mark.parametrize(
    ("pictures", "best", "why"),
    [
        ({"a.jpg": copy(scene(1)), "b.jpg": scene(1)}, "b.jpg", "most pixels"),
        ({"a.jpg": scene(1), "b.png": scene(1)}, "b.png", "most bytes"),
        ({"a.bmp": edges(4), "b.bmp": edges()}, "b.bmp", "sharpest"),
    ],
)
def test_the_best_is_the_largest_then_the_fullest_then_the_sharpest(
    library: glimpse.Library, tmp_path: Path, pictures: dict[str, Image.Image], best: str, why: str
) -> None:
    (found,) = put(library, tmp_path / "in", pictures)
    assert (found.files[0].path.name, found.why) == (best, why)


def test_only_what_lies_in_a_folder_counts(library: glimpse.Library, tmp_path: Path) -> None:
    inside = tmp_path / "in" / "inside"
    inside.mkdir(parents=True)
    put(library, tmp_path / "in", {"a.png": scene(1), "inside/b.jpg": copy(scene(1)), "inside/c.png": scene(2)})
    shutil.copy(inside / "c.png", tmp_path / "in" / "c.png")
    library.index()
    assert len(library.dupes()) == 2
    assert library.dupes(within=inside) == []
    shutil.copy(inside / "c.png", inside / "d.png")
    library.index()
    assert names(library.dupes(within=inside)) == [["c.png", "d.png"]]
    assert names(library.dupes(within=inside, exact=True)) == [["c.png", "d.png"]]


def test_an_unknown_folder_is_told(library: glimpse.Library, photos: Path) -> None:
    library.index([photos])
    with pytest.raises(glimpse.GlimpseError, match="knows nothing in"):
        library.dupes(within=photos.parent / "elsewhere")


def test_recordings_are_compared_by_their_bytes_alone(library: glimpse.Library, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    name = next(path.name for path in sorted(made.iterdir()) if path.suffix == ".wav")
    for target in ("one.wav", "two.wav"):
        shutil.copy(made / name, folder / target)
    library.index([folder])
    assert [(group.sameness, group.files[0].kind) for group in library.dupes()] == [(Sameness.EXACT, "audio")]


def test_an_unplugged_drive_makes_no_difference(library: glimpse.Library, tmp_path: Path) -> None:
    """Files are not read: previews are enough."""
    before = put(library, tmp_path / "in", {"a.png": scene(1), "b.jpg": copy(scene(1))})
    (tmp_path / "in").rename(tmp_path / "unplugged")
    assert library.dupes() == before != []


def test_what_is_gone_does_not_count(library: glimpse.Library, tmp_path: Path) -> None:
    put(library, tmp_path / "in", {"a.png": scene(1), "b.jpg": copy(scene(1))})
    (tmp_path / "in" / "b.jpg").unlink()
    library.index()
    assert library.dupes() == []


def test_nothing_is_changed(library: glimpse.Library, tmp_path: Path) -> None:
    def everything() -> dict[str, str]:
        files = [
            path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path.name[-4:] not in ("-wal", "-shm")
        ]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    put(library, tmp_path / "in", {"a.png": scene(1), "b.jpg": copy(scene(1))})
    library.close()
    before, rows = everything(), content(library.settings.library)
    assert library.dupes() != []
    assert everything() == before
    assert content(library.settings.library) == rows


# The parts


@pytest.mark.parametrize("tile", [1, 3, 100])
def test_pairs_are_those_of_a_plain_comparison(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr("search.alike.TILE", tile)
    rows = unit(np.random.default_rng(5).standard_normal((20, 3)).astype(np.float32))
    found = {(int(i), int(j)): c for some in pairs(rows, 0.5) for i, j, c in zip(*some, strict=True)}
    plain = {(i, j): rows[i] @ rows[j] for i in range(20) for j in range(i + 1, 20) if rows[i] @ rows[j] >= 0.5}
    assert found == pytest.approx(plain, abs=1e-6)


def test_links_make_chains() -> None:
    links = Links(7)
    links.join(np.array([5, 1, 3]), np.array([3, 2, 1]))
    assert [group.tolist() for group in links.groups()] == [[1, 2, 3, 5]]


def test_a_chain_ends_where_it_is_too_far_from_the_best() -> None:
    angles = np.radians([0, 15, 30, 45, 60])  # cos 30 is .87, cos 45 .71
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert list(around(rows)) == [[0, 1, 2], [3, 4]]
    assert list(around(rows[[2, 0, 4, 1, 3]])) == [[0, 1, 2, 3, 4]]
    assert list(around(rows[[0, 3]])) == []


def webp(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80)
    return out.getvalue()


def test_greys_correlate_whatever_the_brightness() -> None:
    one = grey(webp(scene(1)))
    assert one is not None
    assert one.shape == (SIDE * SIDE,)
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one.sum() == pytest.approx(0, abs=1e-4)
    darker = grey(webp(ImageEnhance.Brightness(scene(1)).enhance(0.5)))
    assert darker is not None
    assert float(one @ darker) > 0.99


@pytest.mark.parametrize("data", [b"", b"RIFF", webp(scene(1))[:100], b"\xff\xd8\xff"])
def test_a_damaged_preview_is_none(data: bytes) -> None:
    assert grey(data) is None
    assert sharpness(data) == 0.0


def test_nothing_is_on_a_flat_picture() -> None:
    plain = grey(webp(Image.new("RGB", (64, 48), (200, 10, 30))))
    assert plain is not None
    assert not plain.any()
    assert sharpness(webp(Image.new("RGB", (64, 48)))) == 0.0


def test_what_is_blurred_is_less_sharp() -> None:
    sharp = [sharpness(webp(edges(radius))) for radius in (0, 2, 4)]
    assert sharp == sorted(sharp, reverse=True)
    assert sharp[0] > 2 * sharp[2]


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.cells.AT_ONCE", 4)
    monkeypatch.setattr("search.cells.CELL", 3)


@pytest.mark.usefixtures("small_cells")
def test_a_large_library_is_compared_in_parts(library: glimpse.Library, tmp_path: Path) -> None:
    hues = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)]
    pictures = {f"{n}.png": scene(n, hue) for n, hue in enumerate(hues)}
    pictures |= {f"{n} small.jpg": copy(scene(n, hue)) for n, hue in enumerate(hues)}
    found = put(library, tmp_path / "in", pictures)
    assert sorted(names(found)) == [[f"{n}.png", f"{n} small.jpg"] for n in range(6)]


# The command


def command(monkeypatch: pytest.MonkeyPatch, library: glimpse.Library, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["glimpse", "dupes", *arguments, "--library", str(library.settings.library)])
    return run_command()


def test_the_best_is_marked_and_the_others_are_printed_for_programs(
    library: glimpse.Library,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    folder = tmp_path / "in"
    put(library, folder, {"a.png": scene(1), "b.jpg": copy(scene(1))})
    assert command(monkeypatch, library) == 0
    title, first, second, *_ = capsysbinary.readouterr().out.decode().splitlines()
    assert title == "1  much alike, 2 files"
    assert first.split()[:2] == ["*", "320x240"]
    assert first.endswith(f"{folder / 'a.png'}  (most pixels)")
    assert second.split()[0] == "160x120"
    assert command(monkeypatch, library, "--paths") == 0
    assert capsysbinary.readouterr().out == os.fsencode(folder / "b.jpg") + b"\n"
    assert command(monkeypatch, library, "-0") == 0
    assert capsysbinary.readouterr().out == os.fsencode(folder / "b.jpg") + b"\0"
    assert command(monkeypatch, library, "--json") == 0
    row = json.loads(capsysbinary.readouterr().out)
    assert (row["sameness"], row["why"]) == ("near", "most pixels")
    assert [(file["path"], file["width"]) for file in row["files"]] == [
        (str(folder / "a.png"), 320), (str(folder / "b.jpg"), 160),
    ]  # fmt: skip
    assert command(monkeypatch, library, "--sheet", str(tmp_path / "page.html")) == 0
    assert "b.jpg" in (tmp_path / "page.html").read_text()


def test_without_groups_the_exit_code_is_1(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    library.index([photos])
    assert command(monkeypatch, library) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.endswith("no duplicates\n")
    with glimpse.Library(Settings(photos.parent / "none", photos)) as none:
        assert command(monkeypatch, none) == 2


def test_flat_pictures_of_one_colour_are_told_by_their_vectors(library: glimpse.Library, photos: Path) -> None:
    paint(photos / "red large.png", (255, 0, 0), (64, 48))
    library.index([photos])
    assert names(library.dupes()) == [["red large.png", "red.png"]]
    assert LIKE < 1
