"""No command opens a socket, whichever model it uses; the kernel watches (no_sockets.py). Only `models get` would."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from encoders.openclip import export_folder
from glimpse.cli import cli
from glimpse.defaults import OFFLINE_VARIABLES, offline
from tests import no_sockets
from tests.conftest import COLOURS, paint
from tests.tiny_models import into_hub, tiny_encoder, tiny_model, write_omni_model

WHY_NOT = no_sockets.why_not()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

Row = tuple[str, ...]
ROWS: dict[str, tuple[Row, ...]] = {
    "index": (("{photos}",), ("--json",), ("--dry-run",), ("{photos}", "--exclude", "red*", "--no-previews")),
    "search": (
        ("red",),
        ("{photos}/red.png", "--plus", "red", "--minus", "text:blue.png", "--json"),
        ("red", "-0"),
        ("red", "--preview"),
        ("red", "--sheet", "{place}/page.html"),
        ("red", "--open"),
    ),
    "similar": (("{photos}/red.png",), ("{photos}/red.png", "--json", "--open")),
    "tag": (("{photos}/red.png", "{photos}/blue.png"), ("{photos}/red.png", "--json")),
    "dupes": ((), ("--exact",), ("--json",), ("-0",), ("--open",)),
    "learn-sound": ((), ("--explain", "all")),
    "info": (("{photos}/red.png",), ("{photos}/red.png", "--json")),
    "status": ((), ("--json", "--errors")),
    "models": ((), ("--json",)),
    "models get": (("small",), ("omni",)),
    "models use": (("fake",),),
    "models drop": (("{tiny}",),),
    "prune": ((),),
    "backup": (("{place}/copy", "--previews"),),
    "doctor": ((), ("--repair", "--json")),
    "demo": (("--library", "{place}/demo", "--open"),),
}
"""What every command is run with: each way that leads to other code. The library in {place} holds {photos}, one of
which is gone and one broken, in two models: fake, which answers, and {tiny}."""
IN_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"


def commands(group: click.Group = cli, before: str = "") -> Iterator[str]:
    """Yield every command and sub-command, as it is typed."""
    for name, command in group.commands.items():
        yield before + name
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a model of open_clip, and a cache in which it is exported."""
    place = tmp_path_factory.mktemp("tiny")
    encoder = tiny_encoder(tiny_model(place / "vit", "vit"))
    cache = place / "cache"
    shutil.copytree(encoder.export.folder, export_folder(cache, encoder.source))
    return encoder.source.name, cache


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[str, Path]) -> Path:
    """A folder with photos/ and library/, as ROWS wants them."""
    place = tmp_path_factory.mktemp("standing")
    (place / "photos").mkdir()
    for name, colour in {**COLOURS, "gone": (1, 2, 3)}.items():
        paint(place / "photos" / f"{name}.png", colour)
    (place / "photos" / "broken.jpg").write_bytes(b"no photo")
    shutil.copy(place / "photos" / "red.png", place / "photos" / "red copy.png")
    paint(place / "photos" / "red large.png", COLOURS["red"], (64, 48))  # `dupes` has something to find
    for model in ("fake", tiny[0]):
        done = run(place, ["index", str(place / "photos"), "--model", model], {"GLIMPSE_CACHE": str(tiny[1])})
        assert (done.returncode, done.stdout.split(b",")[0]) == (0, b"7 added"), done.stderr
    (place / "photos" / "gone.png").unlink()
    return place


@pytest.fixture
def place(standing: Path, tmp_path: Path) -> Path:
    """The same for one test; the hub's cache holds what makes `small` look as if it were there."""
    weights = tmp_path / "small" / "open_clip_model.safetensors"
    weights.parent.mkdir()
    weights.touch()
    into_hub("timm/ViT-B-32-SigLIP2-256", weights.parent)
    shutil.copytree(standing / "library", tmp_path / "library")
    return tmp_path


def unhindered() -> dict[str, str]:
    """Return the environment without what else would keep a process from the network."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *OFFLINE_VARIABLES)}


def run(
    place: Path, arguments: list[str], environ: dict[str, str] | None = None, terminal: bool = False
) -> "subprocess.CompletedProcess[bytes]":
    """Run the command line under guard."""
    kept = unhindered() | {"GLIMPSE_LIBRARY": str(place / "library"), "BROWSER": "true", "TERM": "xterm-256color"}
    guard = [sys.executable, str(Path(no_sockets.__file__))]
    inside = [sys.executable, "-c", IN_TERMINAL] if terminal else []
    return subprocess.run(
        [*guard, *inside, sys.executable, "-m", "glimpse", *arguments],
        capture_output=True, stdin=subprocess.DEVNULL, check=False, env={**kept, **(environ or {})},
    )  # fmt: skip


# --- the guard


@pytest.mark.parametrize(
    ("code", "caught"),
    [
        ("socket.socketpair()", False),
        ("socket.socket(socket.AF_UNIX).close()", False),
        ("socket.socket()", True),
        ("socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)", True),
        ("socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", True),
        ("socket.getaddrinfo('example.org', 443)", True),
        ("threading.Thread(target=socket.socket).start()", True),
        ("subprocess.run([sys.executable, '-c', 'import socket; socket.socket()'], stderr=-3)", True),
        ("subprocess.run(['/bin/sh', '-c', '{ python3 -c \"import socket; socket.socket()\" & } ; wait'])", True),
        ("ctypes.CDLL(None).syscall(425, 1, 0)", True),
        ("ctypes.CDLL(None).syscall(0x40000029, 2, 1, 0)", True),
    ],
)
def test_the_guard_notices_every_way_to_a_socket(code: str, caught: bool) -> None:
    code = f"import ctypes, socket, subprocess, sys, threading\n{code}\n"
    command = [sys.executable, no_sockets.__file__, sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=False, env=unhindered())
    assert (done.returncode, b"by" in done.stderr) == ((no_sockets.CAUGHT, True) if caught else (0, False))


def test_the_guard_hands_on_how_the_command_ended() -> None:
    for code, ended in (("sys.exit(3)", 3), ("os.kill(os.getpid(), 15)", 128 + 15)):
        command = [sys.executable, no_sockets.__file__, sys.executable, "-c", f"import os, sys; {code}"]
        assert subprocess.run(command, check=False).returncode == ended


def test_the_guard_catches_a_download(place: Path) -> None:
    """So it would catch what else these libraries might ask for."""
    done = run(place, ["models", "get", "base"])
    assert done.returncode == no_sockets.CAUGHT, done.stderr


# --- the commands


def test_there_is_a_row_for_every_command() -> None:
    assert set(commands()) == set(ROWS)


@pytest.mark.parametrize(
    ("command", "row"),
    [pytest.param(name, row, id=f"{name} {' '.join(row)}") for name in commands() for row in ROWS.get(name, ())],
)
def test_no_command_opens_a_socket(
    command: str, row: Row, place: Path, standing: Path, tiny: tuple[str, Path], cache: Path
) -> None:
    needs_builtin = command == "demo"
    environ = {"GLIMPSE_CACHE": str(cache if needs_builtin else tiny[1])}
    refused = (command, row) == ("models get", ("omni",))
    if refused:
        environ["GLIMPSE_OFFLINE"] = "1"
    refused = refused or command == "learn-sound"  # `fake` hears by itself; tests/test_hearing.py has it learn
    named = {"place": str(place), "photos": str(standing / "photos"), "tiny": tiny[0]}
    arguments = [*command.split(), *(part.format(**named) for part in row)]
    done = run(place, arguments, environ, terminal="--preview" in row)
    expected = {2} if refused else {0, 1} if command == "doctor" else {0}  # it may find something
    assert done.returncode in expected, done.stdout + done.stderr
    assert done.stdout or done.stderr


@pytest.mark.parametrize("model", ["builtin", "tiny"])
def test_no_model_opens_a_socket(
    model: str, tmp_path: Path, standing: Path, tiny: tuple[str, Path], cache: Path
) -> None:
    """What is in the hub's cache is looked up there, and nowhere else."""
    name, environ = (
        ("builtin", {"GLIMPSE_CACHE": str(cache)})
        if model == "builtin"
        else (tiny[0], {"GLIMPSE_CACHE": str(tiny[1])})
    )
    assert_silent(tmp_path, standing, name, environ)


def assert_silent(place: Path, standing: Path, model: str, environ: dict[str, str]) -> None:
    """Index, search and tag under guard."""
    photos = str(standing / "photos")
    for arguments in (
        ["index", photos, "--model", model],
        ["search", "something red"],
        ["tag", f"{photos}/red.png"],
    ):
        done = run(place, arguments, environ)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
@pytest.mark.parametrize("model", ["builtin", "tiny", "omni"])
def test_making_a_model_from_scratch_opens_no_socket(
    model: str, tmp_path: Path, standing: Path, tiny: tuple[str, Path]
) -> None:
    name = tiny[0] if model == "tiny" else model
    if model == "omni":
        write_omni_model(tmp_path / "omni")
        into_hub("google/embeddinggemma-2", tmp_path / "omni")
    assert_silent(tmp_path, standing, name, {"GLIMPSE_CACHE": str(tmp_path / "cache")})


# --- the variables


@pytest.mark.parametrize("name", OFFLINE_VARIABLES)
@pytest.mark.parametrize(
    ("value", "set_"),
    [("1", True), ("TRUE", True), ("yes", True), ("anything", True), ("", False), ("0", False), ("No", False)],
)
def test_a_variable_forbids_the_network(name: str, value: str, set_: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in OFFLINE_VARIABLES:
        monkeypatch.delenv(other, raising=False)
    assert offline() == ""
    monkeypatch.setenv(name, value)
    assert offline() == (name if set_ else "")


@pytest.mark.parametrize("name", OFFLINE_VARIABLES)
def test_a_download_is_refused_in_one_sentence(name: str, place: Path) -> None:
    done = run(place, ["models", "get", "base"], {name: "1"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        f"glimpse: 'base' is not downloaded, since {name} is set; unset it and run the command again\n"
    )
