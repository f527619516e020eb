"""What the README tells people to type works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import glimpse
from tests.conftest import DEMO, ROOT
from tests.test_every_pair import CASES

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, heading: str) -> str:
    """Return the code of the first block of that language below a heading."""
    section = README.split(f"\n## {heading}\n", 1)[1]
    found = re.search(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with ~/Pictures, ~/cats, and cat.jpg and beach.jpg where one stands."""
    place = tmp_path / "home"
    shutil.copytree(DEMO, place / "Pictures")
    shutil.copytree(DEMO, place / "usb")
    (place / "cats").mkdir()
    for name, source in (("cat.jpg", "cat.png"), ("beach.jpg", "temple.jpg")):
        shutil.copy(DEMO / source, place / name)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "data"))
    monkeypatch.setenv("BROWSER", "true")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(place)
    return place


def test_the_commands_run(home: Path) -> None:
    for line in blocks("", "Use it").splitlines():
        command = line.replace("/media/usb/DCIM", "~/usb")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert list((home / "cats").iterdir())


def test_the_python_runs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks("python", "From Python"), {})
    added, path, _ = capsys.readouterr().out.split()
    assert (added, Path(path).name) == ("9", "cat.png")


def test_every_pair_of_the_table_is_tried() -> None:
    commands = re.findall(r"^\|.*\| `(glimpse [^`]+)` \|$", README, re.MULTILINE)
    assert commands == [case.command for case in CASES.values()]


def test_every_command_is_in_the_readme() -> None:
    from glimpse.cli import cli

    for name in cli.commands:
        assert f"glimpse {name}" in README


def test_the_public_names_are_these() -> None:
    for name in glimpse.__all__:
        assert getattr(glimpse, name) is not None
    assert set(glimpse.__all__) == {
        "Failure", "GlimpseError", "Hit", "IndexReport", "Info", "Library", "Metadata", "Place", "SpaceStatus",
        "Status", "Tag", "Walk", "__version__", "open",
    }  # fmt: skip


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
