"""Which sidecar is written for a photo, and what a run of it would change."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from core.types import Failure, Metadata
from media.metadata import merge
from media.rewrite import Change, write
from media.sidecar import read_sidecar, sidecars_of
from media.sidecar_tags import TagEdit, plan
from media.xmp_write import with_tags
from tests.plain_user import as_plain_user
from tests.sidecars import SAMPLES

DIGIKAM, LIGHTROOM, APPLE = (SAMPLES[name].whole for name in ("digikam", "lightroom", "apple"))


def photo(folder: Path, *names: str, **sidecars: bytes) -> Path:
    """Make files, of which the first is the photo, and sidecars: IMG_jpg_xmp is IMG.jpg.xmp."""
    for name in names:
        (folder / name).write_bytes(b"not looked at")
    for name, data in sidecars.items():
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder / names[0]


def known(path: Path) -> Metadata:
    """What an index run learns of a photo from the files beside it."""
    present = {os.fsencode(name) for name in os.listdir(path.parent)}
    beside = [os.fsdecode(name) for name in sidecars_of(os.fsencode(path.name), present)]
    return merge(Metadata(), [read_sidecar(name, (path.parent / name).read_bytes()) for name in beside], path.name, 0)


def planned(*edits: TagEdit) -> list[Change]:
    changes = list(plan(edits))
    assert not [one for one in changes if isinstance(one, Failure)], changes
    return [one for one in changes if isinstance(one, Change)]


@pytest.mark.parametrize(
    ("names", "sidecars", "written"),
    [
        (["IMG.jpg"], {}, "IMG.jpg.xmp"),
        (["IMG.jpg"], {"IMG_jpg_xmp": DIGIKAM}, "IMG.jpg.xmp"),
        (["IMG.jpg"], {"IMG_jpg_XMP": DIGIKAM}, "IMG.jpg.XMP"),
        (["IMG.jpg"], {"IMG_jpg_xmp": DIGIKAM, "IMG_xmp": LIGHTROOM}, "IMG.jpg.xmp"),
        (["IMG.jpg"], {"IMG_xmp": APPLE}, "IMG.xmp"),
        (["IMG.CR2"], {"IMG_xmp": LIGHTROOM}, "IMG.xmp"),
        (["IMG.CR2", "IMG.txt", "IMG2.jpg"], {"IMG_XMP": LIGHTROOM}, "IMG.XMP"),
        (["IMG.jpg", "IMG.CR2"], {"IMG_xmp": LIGHTROOM}, "IMG.jpg.xmp"),
        (["IMG.HEIC", "IMG.MOV"], {"IMG_xmp": APPLE}, "IMG.HEIC.xmp"),
        (["IMG.jpg", "IMG.png"], {"IMG_xmp": APPLE, "IMG_png_xmp": APPLE}, "IMG.jpg.xmp"),
        (["IMG.jpg", "IMG.png"], {"IMG_jpg_XMP": DIGIKAM}, "IMG.jpg.XMP"),
        (["song.ogg"], {}, "song.ogg.xmp"),
        (["IMG"], {"IMG_xmp": APPLE}, "IMG.xmp"),
    ],
)
def test_the_sidecar_that_wins_is_written_and_nothing_that_was_said_is_lost(
    names: list[str], sidecars: dict[str, bytes], written: str, tmp_path: Path
) -> None:
    path = photo(tmp_path, *names, **sidecars)
    before = known(path)
    first_before = sidecars_of(os.fsencode(path.name), {os.fsencode(name) for name in os.listdir(tmp_path)})[:1]
    (change,) = planned(TagEdit(path, ["new/tag"]))
    assert change.path == tmp_path / written
    assert list(write([change], tmp_path / "undo")) == [change]
    after = known(path)
    assert set(after.keywords) == {*before.keywords, "new/tag"}
    assert replace(after, keywords=()) == replace(before, keywords=())
    if first_before:  # a program that reads one sidecar alone finds there what it found before
        source = read_sidecar("x.xmp", sidecars[os.fsdecode(first_before[0]).replace(".", "_")])
        alone = read_sidecar("x.xmp", change.path.read_bytes())
        assert alone == replace(source, keywords=(*source.keywords, "new/tag"))
    assert planned(TagEdit(path, ["new/tag"])) == []


def test_of_two_photos_with_one_sidecar_each_gets_its_own(tmp_path: Path) -> None:
    photo(tmp_path, "IMG.jpg", "IMG.png", IMG_xmp=APPLE)
    edits = [TagEdit(tmp_path / "IMG.jpg", ["a"]), TagEdit(tmp_path / "IMG.png", ["b"])]
    done = list(write(plan(edits), tmp_path / "undo"))
    assert [one.path.name for one in done] == ["IMG.jpg.xmp", "IMG.png.xmp"]
    assert (tmp_path / "IMG.xmp").read_bytes() == APPLE
    assert "b" not in known(tmp_path / "IMG.jpg").keywords


@pytest.mark.parametrize(
    ("sidecar", "add", "remove", "expected", "summary"),
    [
        (None, ["beach"], [], ("beach",), "+ beach"),
        (DIGIKAM, ["beach"], ["DAY"], ("Places/Vienna", "beach"), "+ beach  - day"),
        (DIGIKAM, [], ["Places|Vienna", "day"], (), "- Places/Vienna  - day"),
        (
            DIGIKAM,
            ["Places/Vienna/Dom"],
            ["day"],
            ("Places/Vienna", "Places/Vienna/Dom"),
            "+ Places/Vienna/Dom  - day",
        ),
        (DIGIKAM, ["day"], ["day"], None, ""),
        (DIGIKAM, [], ["night"], None, ""),
        (None, [], ["night"], None, ""),
        (None, [], [], None, ""),
        (APPLE, ["day"], [], ("day", "Café"), "the same tags, for programs that read only some of them"),
    ],
)
def test_tags_are_added_and_removed(
    sidecar: bytes | None,
    add: list[str],
    remove: list[str],
    expected: tuple[str, ...] | None,
    summary: str,
    tmp_path: Path,
) -> None:
    path = photo(tmp_path, "x.jpg", **({"x_jpg_xmp": sidecar} if sidecar else {}))
    changes = planned(TagEdit(path, add, remove))
    assert [(change.before, change.after, change.summary) for change in changes] == (
        [(sidecar, with_tags(sidecar, expected), summary)] if expected is not None else []
    )


def test_a_copy_is_announced(tmp_path: Path) -> None:
    (change,) = planned(TagEdit(photo(tmp_path, "IMG.jpg", "IMG.png", IMG_xmp=APPLE), ["beach"]))
    assert change.summary == "+ beach  (from a copy of IMG.xmp)"
    assert change.before is None


def test_what_another_program_wrote_since_the_last_index_run_stays(tmp_path: Path) -> None:
    path = photo(tmp_path, "x.jpg")
    changes = plan([TagEdit(path, ["ours"])])
    (tmp_path / "x.jpg.xmp").write_bytes(with_tags(None, ["theirs"]))
    assert [one for one in write(changes, tmp_path / "undo") if isinstance(one, Change)]
    assert known(path).keywords == ("theirs", "ours")


@pytest.mark.parametrize(
    ("sidecar", "tags", "named", "reason"),
    [
        (b"<a/>", ["a"], "x.jpg.xmp", "no XMP: there is no rdf:RDF in it"),
        (b"", ["a"], "x.jpg.xmp", "the file is empty (0 bytes)"),
        (DIGIKAM[:500], ["a"], "x.jpg.xmp", "damaged or no XMP"),
        (
            DIGIKAM,
            ["a\x1b"],
            "x.jpg.xmp",
            "the tag 'a\\x1b' has control characters or others that XML does not allow",
        ),
        (DIGIKAM.replace(b"Vienna", b"V" * 300), ["a"], "x.jpg.xmp", 'the tag "Places/VVVVVVVVVVVVV..." is too long'),
        (b" " * (5 << 20), ["a"], "x.jpg.xmp", "the file is larger than 4 MB"),
    ],
)
def test_what_cannot_be_written_is_named_and_the_others_are_planned(
    sidecar: bytes, tags: list[str], named: str, reason: str, tmp_path: Path
) -> None:
    path = photo(tmp_path, "x.jpg", "y.jpg", x_jpg_xmp=sidecar)
    failure, change = plan([TagEdit(path, tags), TagEdit(tmp_path / "y.jpg", ["a"])])
    assert isinstance(change, Change)
    assert isinstance(failure, Failure)
    assert (failure.path, failure.reason[: len(reason)]) == (tmp_path / named, reason)
    assert (tmp_path / "x.jpg.xmp").read_bytes() == sidecar


def test_a_photo_that_is_gone_gets_no_sidecar(tmp_path: Path) -> None:
    (failure,) = plan([TagEdit(tmp_path / "away" / "x.jpg", ["a"])])
    assert failure == Failure(tmp_path / "away" / "x.jpg", "there is no such file; connect the drive, or index again")


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = photo(tmp_path, "x.jpg", elsewhere_xmp=DIGIKAM)
    (tmp_path / "x.jpg.xmp").symlink_to("elsewhere.xmp")
    (failure,) = plan([TagEdit(path, ["a"])])
    assert failure == Failure(tmp_path / "x.jpg.xmp", "it is a link, and what links point to is not changed")


def test_names_of_any_bytes(tmp_path: Path) -> None:
    path = photo(tmp_path, os.fsdecode(b"caf\xe9\xff.jpg"))
    (change,) = planned(TagEdit(path, ["a"]))
    list(write([change], tmp_path / "undo"))
    assert os.fsencode(change.path.name) == b"caf\xe9\xff.jpg.xmp"
    assert known(path).keywords == ("a",)


def closed_folder(place: Path) -> list[str]:
    folder = place / "closed"
    folder.mkdir()
    path = photo(folder, "x.jpg")
    folder.chmod(0o000)
    try:
        return [str(getattr(one, "reason", one)) for one in plan([TagEdit(path, ["a"])])]
    finally:
        folder.chmod(0o777)


def test_a_folder_that_cannot_be_entered() -> None:
    assert as_plain_user(closed_folder) == ["permission denied"]
