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
    return scan(1, os.fsencode(root), os.fsencode(scope), os.fsencode(skip), lambda: False, walk)


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
