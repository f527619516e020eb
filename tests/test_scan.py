"""What a walk finds, leaves out, and admits not to have seen."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import GlimpseError
from core.types import Walk
from indexer.scan import Scan, scan, walk_reaches
from tests.plain_user import as_plain_user

PATHS = ("a.jpg", "b.png", "raw/a.dng", "raw/keep.jpg", "raw/deep/x.jpg", "x/raw/b.jpg", "x/notes.tmp", "x/y/b.png")


def plant(folder: Path, files: Sequence[str], texts: dict[str, str] | None = None) -> Path:
    """Make small files, and files with a text, in a folder."""
    for name in (*files, *(texts or {})):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((texts or {}).get(name, name))
    return folder


def look(root: Path, scope: str = "", walk: Walk = Walk(), skip: Path = Path("/nowhere")) -> Scan:  # noqa: B008
    return scan(1, os.fsencode(root), os.fsencode(scope), (os.fsencode(skip),), lambda: False, walk)


def names(found: Scan) -> list[str]:
    """Return the files that were found, without the files of patterns themselves."""
    return sorted(name for path in found.files if not (name := os.fsdecode(path)).endswith(".glimpseignore"))


PATTERNS = {
    "no pattern": ([], PATHS),
    "a name anywhere": (["*.png"], [p for p in PATHS if not p.endswith(".png")]),
    "letters count": (["*.PNG"], PATHS),
    "a folder anywhere": (["raw/"], ["a.jpg", "b.png", "x/notes.tmp", "x/y/b.png"]),
    "a folder at the top": (["/raw"], ["a.jpg", "b.png", "x/raw/b.jpg", "x/notes.tmp", "x/y/b.png"]),
    "a pattern for folders spares files": (["a.jpg/"], PATHS),
    "a path": (["x/y"], [p for p in PATHS if p != "x/y/b.png"]),
    "two stars": (["x/**/b.*"], [p for p in PATHS if p not in ("x/raw/b.jpg", "x/y/b.png")]),
    "all in a folder": (["raw/**"], [p for p in PATHS if not p.startswith("raw/")]),
    "one comes back": (["*.jpg", "!keep.jpg"], ["b.png", "raw/a.dng", "raw/keep.jpg", "x/notes.tmp", "x/y/b.png"]),
    "one comes back from a folder's contents": (["/raw/*", "!keep.jpg"], [*PATHS[:2], "raw/keep.jpg", *PATHS[5:]]),
    "none comes back from a folder": (["/raw/", "!/raw/keep.jpg"], [*PATHS[:2], *PATHS[5:]]),
    "the last one counts": (["!*.png", "*.png", "!b.png"], PATHS),
    "only one kind": (["*", "!*/", "!*.dng"], ["raw/a.dng"]),
    "a kept folder keeps no files": (["*", "!x/", "!*.png"], ["b.png"]),
    "comments and empty lines": (["# *.jpg", "", "   "], PATHS),
    "escaped": ([r"\!x", r"\#x"], PATHS),
}


@pytest.mark.parametrize(("patterns", "left"), PATTERNS.values(), ids=PATTERNS.keys())
@pytest.mark.parametrize("how", ["--exclude", ".glimpseignore", "CRLF"])
def test_patterns_work_as_in_gitignore(tmp_path: Path, patterns: list[str], left: Sequence[str], how: str) -> None:
    plant(tmp_path, PATHS)
    if how == "--exclude":
        found = look(tmp_path, walk=Walk(exclude=tuple(patterns)))
    else:
        end = b"\r\n" if how == "CRLF" else b"\n"
        (tmp_path / ".glimpseignore").write_bytes(b"".join(line.encode() + end for line in patterns))
        found = look(tmp_path)
    assert names(found) == sorted(left)
    assert all(found.covers(path.encode()) for path in PATHS)  # what is excluded is not there


@pytest.mark.parametrize("seed", range(40))
def test_git_leaves_out_the_same(tmp_path: Path, seed: int) -> None:
    if shutil.which("git") is None:
        pytest.skip("there is no git to compare with")
    rng = random.Random(seed)
    parts = ("a", "b", "ab", "*", "a*", "?", "[ab]", "[!a]", "**")

    def pattern() -> str:
        text = "/".join(rng.choice(parts) for _ in range(rng.choice((1, 1, 2, 3))))
        return rng.choice(("", "", "!")) + rng.choice(("", "/")) + text + rng.choice(("", "", "/", ".x", "/**"))

    def patterns(most: int) -> list[str]:
        return [pattern() for _ in range(rng.randint(0, most))]

    folders = [Path(*rng.choices(("a", "b", "ab"), k=rng.randint(0, 3))) for _ in range(8)]
    plant(tmp_path, sorted({str(folder / "f" / rng.choice(("a", "b.x", "ab", "ab.x"))) for folder in folders}))
    for folder in {tmp_path, *(tmp_path / folder for folder in folders[:3])}:
        (folder / ".glimpseignore").write_text("\n".join(patterns(4)))
    said = tuple(patterns(2))
    git = ["git", "-c", "core.excludesFile=", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True, capture_output=True)
    listing = ["ls-files", "-oz", "--exclude-per-directory=.glimpseignore", *(f"--exclude={p}" for p in said)]
    shown = subprocess.run([*git, *listing], check=True, capture_output=True).stdout.decode()
    expected = sorted(path for path in shown.split("\0") if path and not path.endswith(".glimpseignore"))
    assert names(look(tmp_path, walk=Walk(exclude=said))) == expected


def test_a_nearer_file_counts_before_one_further_up_and_the_command_line_before_both(tmp_path: Path) -> None:
    plant(
        tmp_path,
        ["a.png", "in/a.png", "in/b.png", "in/c.gif"],
        {".glimpseignore": "*.png", "in/.glimpseignore": "!*.png"},
    )
    assert names(look(tmp_path)) == ["in/a.png", "in/b.png", "in/c.gif"]
    assert names(look(tmp_path, walk=Walk(exclude=("b.*",)))) == ["in/a.png", "in/c.gif"]


def test_a_folder_looked_at_alone_obeys_the_files_above_it(tmp_path: Path) -> None:
    plant(tmp_path, ["in/a.png", "in/b.jpg", "in/deep/c.png"], {".glimpseignore": "/in/a.png\ndeep/"})
    assert names(look(tmp_path, "in")) == ["in/b.jpg"]
    assert names(look(tmp_path, "in/deep")) == ["in/deep/c.png"]  # asked for by name
    assert names(look(tmp_path, "in", Walk(exclude=("/b.jpg",)))) == []  # relative to what was named


def test_a_file_asked_for_by_name_is_always_taken(tmp_path: Path) -> None:
    plant(tmp_path, [".a.png", "a.png.xmp", ".a.xmp"], {".glimpseignore": "*"})
    found = look(tmp_path, ".a.png", Walk(exclude=("*.png",)))
    assert (names(found), sorted(found.sidecars)) == ([".a.png"], [b".a.xmp", b"a.png.xmp"])


def test_a_file_that_is_gone_is_not_there(tmp_path: Path) -> None:
    plant(tmp_path, ["a.png"])
    for scope in ("b.png", "a.png/b.png"):
        found = look(tmp_path, scope)
        assert (names(found), found.unseen, found.covers(scope.encode())) == ([], {}, True)


@pytest.mark.parametrize("line", ["!", "[z-a]", "\\"])
def test_a_line_that_is_no_pattern(tmp_path: Path, line: str) -> None:
    plant(tmp_path, ["a.png", "in/b.png"], {"in/.glimpseignore": f"*.x\n{line}"})
    found = look(tmp_path)
    assert names(found) == ["a.png"]
    assert found.unseen == {b"in": f".glimpseignore: {line!r} is not a pattern as in .gitignore"}
    assert not found.covers(b"in/b.png")
    with pytest.raises(GlimpseError, match="is not a pattern"):
        look(tmp_path, walk=Walk(exclude=(line,)))


def closed_files(place: Path) -> list[object]:
    plant(place, ["a.png", "in/b.png", "in/.glimpseignore", "shut/c.png", "dir/d.png", "dir/.glimpseignore/x.png"])
    (place / "in" / ".glimpseignore").chmod(0)
    (place / "shut").chmod(0)
    found = look(place)
    (place / "shut").chmod(0o700)
    return [names(found), {os.fsdecode(path): why for path, why in found.unseen.items()}]


def test_patterns_that_cannot_be_read_leave_their_folder_unseen() -> None:
    files, unseen = as_plain_user(closed_files)
    assert files == ["a.png", "dir/d.png"]
    assert unseen == {"in": ".glimpseignore: permission denied", "shut": "permission denied"}


def test_patterns_see_names_that_are_not_utf8(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", "é.png".encode(), b"x.png"):
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / ".glimpseignore").write_bytes(b"\xef\xbb\xbfcaf\xe9.*\n?.png")
    assert names(look(tmp_path)) == []
    (tmp_path / ".glimpseignore").write_bytes(b"caf\xe9.*")
    assert names(look(tmp_path)) == ["x.png", "é.png"]


def test_nobody_without_patterns_imports_the_matcher(tmp_path: Path) -> None:
    code = (
        "import os, sys; from indexer.scan import scan;"
        f"scan(1, {os.fsencode(tmp_path)!r}, b'', b'', lambda: False); print('pathspec' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


def test_what_speaks_of_photos_stands_apart(tmp_path: Path) -> None:
    plant(
        tmp_path,
        ["a.jpg", "a.jpg.xmp", "in/a.XMP", "a.jpg.supplemental-metadata.JSON", "xmp", "a.mov", "a.json/b.jpg"],
    )
    found = look(tmp_path)
    assert names(found) == ["a.jpg", "a.json/b.jpg", "a.mov", "xmp"]
    assert sorted(found.sidecars) == [b"a.jpg.supplemental-metadata.JSON", b"a.jpg.xmp", b"in/a.XMP"]
    assert found.sidecars[b"a.jpg.xmp"].size == 9


HIDDEN = [".a.jpg", "._b.jpg", ".in/c.jpg", "in/.d.jpg", "@eaDir/e.jpg", ".in/@eaDir/f.jpg", "g.jpg"]


@pytest.mark.parametrize(
    ("hidden", "left"), [(False, ["g.jpg"]), (True, [".a.jpg", ".in/c.jpg", "g.jpg", "in/.d.jpg"])]
)
def test_hidden_names(tmp_path: Path, hidden: bool, left: list[str]) -> None:
    found = look(plant(tmp_path, HIDDEN), walk=Walk(hidden=hidden))
    assert names(found) == left
    assert all(found.covers(path.encode()) for path in HIDDEN)  # what is left out is not there


# root/ is walked, out/ lies beside it. What links are called, where they lead, and what is found through them.
LINKS = {
    "a file outside": ({"l.jpg": "../out/o.jpg"}, ["l.jpg"]),
    "a folder outside": ({"l": "../out"}, ["l/deep/d.jpg", "l/o.jpg"]),
    "a file inside": ({"l.jpg": "r.jpg"}, []),
    "a folder inside": ({"l": "in"}, []),
    "the root": ({"l": "."}, []),
    "the folder above": ({"l": ".."}, ["l/out/deep/d.jpg", "l/out/o.jpg"]),
    "nothing": ({"l.jpg": "../nowhere.jpg"}, []),
    "itself": ({"l": "l"}, []),
    "one folder twice": ({"l": "../out", "m": "../out"}, ["l/deep/d.jpg", "l/o.jpg"]),
    "a folder and one in it": ({"l": "../out", "m": "../out/deep"}, ["l/o.jpg", "m/d.jpg"]),
    "one file twice": ({"l.jpg": "../out/o.jpg", "m.jpg": "../out/o.jpg"}, ["l.jpg", "m.jpg"]),
    "a link to a link": ({"l": "../out/back"}, []),
    "the library": ({"l": "../library"}, []),
    "a hidden link": ({".l": "../out"}, []),
}


@pytest.mark.parametrize(("links", "left"), LINKS.values(), ids=LINKS.keys())
@pytest.mark.parametrize("follow", [True, False])
def test_links(tmp_path: Path, links: dict[str, str], left: list[str], follow: bool) -> None:
    plant(tmp_path, ["root/r.jpg", "root/in/i.jpg", "out/o.jpg", "out/deep/d.jpg", "library/p.jpg"])
    (tmp_path / "out" / "back").symlink_to("../root")
    for name, target in links.items():
        (tmp_path / "root" / name).symlink_to(target)
    found = look(tmp_path / "root", walk=Walk(follow_symlinks=follow), skip=tmp_path / "library")
    assert names(found) == sorted(["r.jpg", "in/i.jpg", *(left if follow else [])])
    away = follow and links in (LINKS["nothing"][0], LINKS["itself"][0])  # perhaps a drive: what is behind it stays
    assert all(found.covers(os.fsencode(name)) is not away for name in links)


def test_a_link_out_of_a_folder_looked_at_alone_does_not_lead_into_the_root(tmp_path: Path) -> None:
    plant(tmp_path, ["in/a.jpg", "b.jpg"])
    (tmp_path / "in" / "above").symlink_to("..")
    assert names(look(tmp_path, "in", Walk(follow_symlinks=True))) == ["in/a.jpg"]


REACHED = [
    ("in/a.jpg", {}, True),
    ("in/.a.jpg", {}, False),
    ("in/.a.jpg", {"hidden": True}, True),
    ("in/._a.jpg", {"hidden": True}, False),
    ("@eaDir/a.jpg", {"hidden": True}, False),
    ("out/o.jpg", {}, False),
    ("out/o.jpg", {"follow_symlinks": True}, True),
    ("again/a.jpg", {"follow_symlinks": True}, False),
    ("in/a.jpg", {"exclude": ("in/",)}, False),
    ("in/a.jpg", {"exclude": ("*.jpg", "!a.*")}, True),
    ("in/b.gif", {}, False),
    ("raw/x.jpg", {}, False),
    ("bad/x.jpg", {}, False),
    ("../outside/o.jpg", {"follow_symlinks": True}, False),
]


@pytest.mark.parametrize(("path", "walk", "reached"), REACHED)
def test_what_a_walk_comes_to(tmp_path: Path, path: str, walk: dict[str, object], reached: bool) -> None:
    root = plant(
        tmp_path / "root",
        ["in/a.jpg", "in/.a.jpg", "in/._a.jpg", "@eaDir/a.jpg", "in/b.gif", "raw/x.jpg", "bad/x.jpg"],
        {".glimpseignore": "raw/", "in/.glimpseignore": "*.gif", "bad/.glimpseignore": "!"},
    )
    plant(tmp_path / "outside", ["o.jpg"])
    (root / "out").symlink_to("../outside")
    (root / "again").symlink_to("in")
    place = os.path.normpath(root / path)
    how = Walk(**walk)  # type: ignore[arg-type]
    assert walk_reaches(os.fsencode(root), os.fsencode(place), how) is reached
    if place.startswith(f"{root}/"):
        assert (path in names(look(root, walk=how))) is reached


def test_a_walk_that_is_told_to_stop_stops(tmp_path: Path) -> None:
    plant(tmp_path, PATHS)
    found = scan(1, os.fsencode(tmp_path), b"", b"", lambda: True)
    assert found.files == {}


@pytest.mark.parametrize("beside", ["write.lock", "previews/ab/cd.webp", "BACKUP.txt"])
def test_another_library_or_a_backup_among_the_photos_is_left_out(tmp_path: Path, beside: str) -> None:
    plant(tmp_path, ["a.jpg", "backup/library.db", f"backup/{beside}", "backup/previews/x/y.jpg", "z/b.jpg"])
    assert names(look(tmp_path)) == ["a.jpg", "z/b.jpg"]


def test_a_photo_program_with_a_database_of_that_name_is_taken(tmp_path: Path) -> None:
    plant(tmp_path, ["photos/library.db", "photos/a.jpg"])
    assert names(look(tmp_path)) == ["photos/a.jpg", "photos/library.db"]
