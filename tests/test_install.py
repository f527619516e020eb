"""Glimpse works from another folder, as a wheel and as an editable install."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import DEMO, ROOT

EXCLUDED = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, place / "source", ignore=EXCLUDED)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place), str(place / "source"))
    return next(place.glob("*.whl"))


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that, put on PYTHONPATH, is Glimpse installed that way."""
    place = tmp_path_factory.mktemp(request.param)
    if request.param == "wheel":
        source = [str(request.getfixturevalue("wheel"))]
    else:
        shutil.copytree(ROOT, place / "source", ignore=EXCLUDED)
        source = ["--no-build-isolation", "--editable", str(place / "source")]
    pip("install", "--no-deps", "--no-index", "--target", str(place / "site"), *source)
    return place / "site"


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def glimpse(installed: Path, folder: Path, *arguments: str) -> str:
    """Run the installed copy, and nothing of the checkout, from another folder."""
    # addsitedir, since an editable install is a .pth file, which PYTHONPATH would not read.
    code = (
        f"import site, sys; before = set(sys.path); site.addsitedir({str(installed)!r});"
        f"sys.path = [p for p in sys.path if p not in before] + [p for p in sys.path if p in before];"
        f"sys.path.remove({str(ROOT)!r}) if {str(ROOT)!r} in sys.path else None;"
        "import glimpse.cli; print(glimpse.__file__, file=sys.stderr); glimpse.cli.main()"
    )
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    used = Path(done.stderr.splitlines()[0])
    assert used.is_relative_to(installed.parent)
    return done.stdout


def test_demo_and_tag_run_from_another_folder(installed: Path, tmp_path: Path) -> None:
    shown = glimpse(installed, tmp_path, "demo", "--library", str(tmp_path / "demo"))
    assert "9 added" in shown
    for first in ("cat.png", "coffee.png", "temple.jpg"):
        assert first in shown
    assert (tmp_path / "demo" / "demo.html").exists()
    assert "tabby cat" in glimpse(installed, tmp_path, "tag", str(DEMO / "cat.png"))


def test_the_wheel_carries_the_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"data/tags.tsv", "data/demo/LICENSES.md", "encoders/presets.toml", "glimpse/py.typed"} <= set(names)
    rooms = {"core", "media", "encoders", "store", "indexer", "search", "glimpse", "data"}
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == rooms


def test_folders_of_ones_own_do_not_get_in_the_way(tmp_path: Path) -> None:
    for name in ("search", "data", "core", "store"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('not this one')")
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-m", "glimpse", "tag", str(DEMO / "cat.png")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "tabby cat" in done.stdout
