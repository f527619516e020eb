"""Fixtures for the whole suite: no network, nothing of the user's, one export of the built-in model."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import glimpse
from core.settings import Settings
from encoders.base import Encoder
from encoders.registry import load
from media import isolated
from media.isolated import DecodeProcess, ReadFile, close_idle

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "data" / "demo"
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


@pytest.fixture(scope="session")
def cache() -> Path:
    """The user's own model cache: exporting takes half a minute, and what is in it is checked when it is opened."""
    from glimpse.defaults import settings

    return settings().cache


@pytest.fixture(autouse=True)
def own_place(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Keep every test, and every process it starts, away from the user's library and from the network."""
    place = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("XDG_DATA_HOME", str(place / "data"))
    monkeypatch.setenv("HF_HUB_CACHE", str(place / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place / "hub"))
    monkeypatch.setenv("GLIMPSE_CACHE", str(cache))
    monkeypatch.delenv("GLIMPSE_LIBRARY", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "no_network"))


@pytest.fixture(scope="session")
def builtin(cache: Path) -> Encoder:
    return load("builtin", cache)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with red.png, green.png, blue.png and white.png, each of one colour."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, colour in COLOURS.items():
        paint(folder / f"{name}.png", colour)
    return folder


@pytest.fixture
def library(tmp_path: Path, cache: Path) -> Iterator[glimpse.Library]:
    """An empty library with the fake encoder."""
    with glimpse.Library(Settings(tmp_path / "library", cache, model="fake")) as opened:
        yield opened


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The photos that are read whole, by a decode process."""
    opened: list[bytes] = []
    read = DecodeProcess.read

    def counting(self: DecodeProcess, path: bytes) -> ReadFile:
        opened.append(path)
        return read(self, path)

    monkeypatch.setattr(DecodeProcess, "read", counting)
    return opened


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of tests.recordings.MAKE."""
    from tests.recordings import MAKE

    folder = tmp_path_factory.mktemp("made")
    for name, make in MAKE.items():
        make(folder / name)
    return folder


@pytest.fixture
def put(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """Put recordings of MAKE into the folder "in"; returns the folder."""

    def put(*names: str) -> Path:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for name in names:
            shutil.copy(made / name, folder / name)
        return folder

    return put


def paint(path: Path | str | bytes, colour: tuple[int, int, int], size: tuple[int, int] = (32, 24)) -> None:
    """Write a picture of one colour; the format follows the name, PNG where it has none."""
    name = os.fsdecode(path)
    format_ = None if Path(name).suffix.lower() in Image.registered_extensions() else "PNG"
    with open(path, "wb") as file:
        Image.new("RGB", size, colour).save(file, format_ or Image.registered_extensions()[Path(name).suffix.lower()])


def run(*arguments: str | bytes | Path, **options: object) -> "subprocess.CompletedProcess[bytes]":
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "glimpse", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def process() -> Iterator[DecodeProcess]:
    """A decode process of one's own."""
    started = DecodeProcess()
    yield started
    started.close()


@pytest.fixture
def bad(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Decode processes that go wrong on purpose, with three seconds to answer."""
    close_idle()
    monkeypatch.setattr(isolated, "WORKER", "tests.bad_worker")
    monkeypatch.setattr(isolated, "READ_SECONDS", 3.0)
    monkeypatch.setattr(isolated, "DECODE_SECONDS", 3.0)
    yield
    close_idle()
