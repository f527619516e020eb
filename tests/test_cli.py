"""The command line as a program sees it: streams, exit codes, formats."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import COLOURS, paint, run

COMMANDS = ("index", "search", "similar", "tag", "status", "models", "prune", "backup", "doctor", "demo")
FAKE = ("--model", "fake")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos/ (the four colours) and library/, for tests that only look."""
    place = tmp_path_factory.mktemp("standing")
    (place / "photos").mkdir()
    for name, colour in COLOURS.items():
        paint(place / "photos" / f"{name}.png", colour)
    assert run("index", place / "photos", "--library", place / "library", *FAKE).returncode == 0
    return place


@pytest.fixture
def indexed(standing: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the four colours; GLIMPSE_LIBRARY names their library."""
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(standing / "library"))
    return standing / "photos"


@pytest.fixture
def fresh(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, for one test to change."""
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(tmp_path / "library"))
    assert run("index", photos, *FAKE).returncode == 0
    return photos


def test_results_go_to_stdout_and_everything_else_to_stderr(indexed: Path) -> None:
    found = run("search", "red", "-k", "2")
    assert found.returncode == 0
    first, second = found.stdout.decode().splitlines()
    assert re.fullmatch(rf" 1\.000  {indexed}/red\.png  \(by its words\)", first)
    assert re.fullmatch(rf" 0\.577  {indexed}/white\.png", second)
    assert found.stderr == b""


def test_index_ends_with_a_summary(tmp_path: Path, photos: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"")
    done = run("index", photos, "--library", tmp_path / "lib", *FAKE)
    assert done.returncode == 0  # a single failure is no failure of the run
    assert re.fullmatch(
        r"4 added, 0 changed, 0 moved, 0 gone, 0 unchanged, 1 failed in [\d.]+ s \([\d.]+ files/s\)\n",
        done.stdout.decode(),
    )
    assert f"could not read {photos}/bad.jpg: the file is empty (0 bytes)" in done.stderr.decode()


def test_index_json_ends_with_one_object(tmp_path: Path, photos: Path) -> None:
    done = run("index", photos, "--json", "--library", tmp_path / "lib", *FAKE)
    report = json.loads(done.stdout.decode().splitlines()[-1])
    assert report["added"] == 4
    assert {"changed", "moved", "gone", "unchanged", "failed", "seconds", "photos_per_second"} <= report.keys()


def test_index_without_paths_looks_again_at_everything(fresh: Path) -> None:
    paint(fresh / "second-red.png", (254, 0, 0))
    assert run("index", *FAKE).stdout.startswith(b"1 added, 0 changed, 0 moved, 0 gone, 4 unchanged, 0 failed")


def test_search_json_has_the_documented_fields(indexed: Path) -> None:
    rows = [json.loads(line) for line in run("search", "red", "--json").stdout.splitlines()]
    assert len(rows) == len(COLOURS)
    assert set(rows[0]) == {
        "path", "score", "confidence", "kind", "id", "start", "end", "box", "by_name", "collapsed", "taken", "also",
        "companions",
    }  # fmt: skip
    assert rows[0]["path"] == str(indexed / "red.png")
    assert rows[0]["kind"] == "photo"


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"a\nb.png", b'it\'s "q".png', b"\xff.png"])
def test_odd_names_survive_the_round_trip(tmp_path: Path, name: bytes) -> None:
    folder = os.fsencode(tmp_path / "odd")
    os.mkdir(folder)
    path = os.path.join(folder, name)
    paint(path, (255, 0, 0))
    library = tmp_path / "lib"
    assert run("index", folder, "--library", library, *FAKE).returncode == 0
    row = json.loads(run("search", "red", "--json", "--library", library).stdout)
    assert os.fsencode(row["path"]) == path
    assert run("search", "red", "-0", "--library", library).stdout == path + b"\0"
    assert run("search", "red", "--paths", "--library", library).stdout == path + b"\n"
    assert run("search", "red", "--library", library).stdout.count(b"\n") == 1


def test_exit_codes(indexed: Path, tmp_path: Path) -> None:
    assert run("search", "red").returncode == 0
    assert run("search", "red", "--library", tmp_path / "nowhere").returncode == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run("index", empty, "--library", tmp_path / "other", *FAKE).returncode == 0
    nothing = run("search", "red", "--library", tmp_path / "other")
    assert (nothing.returncode, nothing.stdout) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["search", "./nowhere.jpg"], "no file ./nowhere.jpg; to search for these words, write text:./nowhere.jpg"),
        (["search", "nowhere.jpg"], "there is no file nowhere.jpg"),
        (["search", "./"], "is a folder; name a file in it"),
        (["search", "   "], "the query is empty"),
        (["search", "0:red"], "must be between 0.001 and 1000"),
        (["search", "red", "+", "(blue"], "this parenthesis is never closed\n  red + (blue\n        ^\n"),
        (["search", "red", "--minus", "red"], "cancel each other out"),
        (["search", "red", "--model", "nonsense"], "there is no model 'nonsense'; the models are: builtin, small"),
        (["search", "red", "--model", "small"], "glimpse models get small"),
        (["search", "red", "-k", "0"], "0 is not in the range"),
        (["search"], "the query is empty"),
        (["similar", "nowhere.jpg"], "nowhere.jpg cannot be used as a picture: no such file or directory"),
        (["index", "nowhere"], "there is no file or folder nowhere"),
        (["tag", "nowhere.jpg"], "nowhere.jpg cannot be used as a picture: no such file or directory"),
        (["nonsense"], "No such command"),
    ],
)
def test_mistakes_end_in_one_clear_line(indexed: Path, arguments: list[str], says: str) -> None:
    done = run(*arguments, cwd=indexed)
    assert done.returncode == 2
    assert done.stdout == b""
    assert says in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_a_query_picture_is_not_among_its_own_results(indexed: Path) -> None:
    for query in ("red.png", "./red.png", "../photos/red.png", str(indexed / "red.png"), "2:red.png"):
        found = run("search", query, "--paths", cwd=indexed).stdout.decode().splitlines()
        assert str(indexed / "red.png") not in found
        assert len(found) == len(COLOURS) - 1


def test_home_is_understood(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(indexed))
    assert str(indexed / "red.png") not in run("search", "~/red.png", "--paths").stdout.decode()


def test_plus_and_minus(indexed: Path) -> None:
    purple = run("search", "red", "--plus", "blue", "--minus", "green", "--paths", "-k", "2").stdout.decode()
    assert set(purple.splitlines()) == {str(indexed / "red.png"), str(indexed / "blue.png")}


def test_the_sheet_is_one_page_with_every_thumbnail(indexed: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out.html"
    assert run("search", "red", "--sheet", sheet).returncode == 0
    text = sheet.read_text(encoding="utf-8")
    assert text.count("data:image/webp;base64,") == len(COLOURS)
    assert "red.png" in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_status_counts(fresh: Path) -> None:
    (fresh / "blue.png").unlink()
    (fresh / "broken.jpg").write_text("not a photo")
    run("index")
    status = json.loads(run("status", "--json", "--errors").stdout)
    assert {k: status[k] for k in ("files", "gone", "contents", "failures", "model")} == {
        "files": 3, "gone": 1, "contents": 4, "failures": 1, "model": "fake",
    }  # fmt: skip
    assert status["errors"][0]["path"] == str(fresh / "broken.jpg")
    assert b"broken.jpg: not a photo" in run("status", "--errors").stdout
    assert run("prune").stdout == b"1 gone files forgotten\n"
    (space,) = json.loads(run("status", "--json").stdout)["spaces"]
    assert (space["model"], space["current"], space["vectors"], space["missing"]) == ("fake", True, 3, 0)


def test_tag_goes_on_after_a_bad_file(indexed: Path) -> None:
    done = run("tag", "nowhere.jpg", "red.png", "-k", "3", "--json", cwd=indexed)
    assert done.returncode == 2
    assert len(json.loads(done.stdout)["tags"]) == 3
    assert b"nowhere.jpg" in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert re.search(rf"Examples?:\n( +.*\n)*? +.*glimpse {command}", shown.stdout.decode())


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, glimpse.cli; sys.argv = ['glimpse', '--help']; glimpse.cli.run();"
        "print([m for m in ('numpy', 'torch', 'faiss', 'onnxruntime', 'PIL', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.endswith(b"[]\n")


def test_a_text_search_imports_neither_torch_nor_the_writers(indexed: Path) -> None:
    code = (
        "import sys, glimpse.cli; sys.argv = ['glimpse', 'search', 'red']; glimpse.cli.run();"
        "print([m for m in ('torch', 'open_clip', 'transformers', 'timm', 'sqlalchemy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.endswith(b"[]\n")


def test_a_closed_pipe_is_no_error(indexed: Path) -> None:
    command = f"{sys.executable} -m glimpse search red | head -n 0; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_keeps_what_was_done_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        Image.effect_noise((640, 480), 90 + number / 10).save(folder / f"{number}.jpg")
    command = [sys.executable, "-m", "glimpse", "index", str(folder), "--library", str(tmp_path / "lib"), *FAKE]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(0.1)
    database = tmp_path / "lib" / "library.db"
    while child.poll() is None and not (database.exists() and stored(tmp_path / "lib") > 0):
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"To go on, run the same command again." in errors
    done = stored(tmp_path / "lib")
    assert 0 < done < 400
    again = run("index", folder, "--library", tmp_path / "lib", *FAKE).stdout.decode()
    assert again.startswith(f"{400 - done} added, 0 changed, 0 moved, 0 gone, {done} unchanged, 0 failed")


def stored(library: Path) -> int:
    shown = run("status", "--json", "--library", library)
    return int(json.loads(shown.stdout)["files"]) if shown.returncode == 0 else 0


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "~mail").mkdir()
    paint(tmp_path / "~mail" / "a.png", (255, 0, 0))
    done = run("index", "./~mail", "--library", tmp_path / "lib", *FAKE, cwd=tmp_path)
    assert done.stdout.startswith(b"1 added")


def test_a_sheet_cannot_overwrite_a_photo(indexed: Path) -> None:
    before = (indexed / "red.png").read_bytes()
    done = run("search", "red", "--sheet", indexed / "red.png")
    assert done.returncode == 2
    assert b"must be called something.html" in done.stderr
    assert (indexed / "red.png").read_bytes() == before


@pytest.mark.parametrize("arguments", [("index", ""), ("index", ".", "--library", ""), ("tag", ""), ("similar", "")])
def test_an_empty_path_is_not_the_folder_one_stands_in(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert b"the path is empty" in done.stderr


@pytest.mark.parametrize(("redirection", "code"), [("2>&-", 0), ("2>/dev/full", 0), (">/dev/full", 2), (">&-", 2)])
def test_closed_and_full_streams(indexed: Path, redirection: str, code: int) -> None:
    command = f"{sys.executable} -m glimpse search red --json {redirection}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    for line in done.stdout.splitlines():
        json.loads(line)


def test_no_library_is_made_for_a_model_that_is_not_there(tmp_path: Path, photos: Path) -> None:
    assert run("index", photos, "--library", tmp_path / "lib", "--model", "large").returncode == 2
    assert not (tmp_path / "lib").exists()


def test_ctrl_c_while_the_model_is_prepared(tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, "-m", "glimpse", "index", str(photos), "--library", str(tmp_path / "lib")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert child.stderr
    assert any(b"preparing" in line for line in child.stderr)
    time.sleep(0.5)
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert (child.returncode, errors.strip()) == (130, b"glimpse: interrupted")
    assert not list((tmp_path / "cache" / "models").glob(".builtin*"))


def test_processes_of_the_tests_have_no_network() -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"the tests may not open network connections" in done.stderr
