"""Decode processes: whatever a decoder does costs one file, never the run."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import glimpse
from core.errors import MediaError, TemporaryMediaError
from core.settings import Settings
from core.types import Fit, ImageInput
from media import isolated
from media.isolated import DecodeProcess, close_idle
from media.photo import decode_photo, is_big
from tests.conftest import DEMO, ROOT, paint

RED = (255, 0, 0)
WANT = ImageInput(8, Fit.SQUASH)


def test_a_process_gives_what_the_decoder_gives(process: DecodeProcess, tmp_path: Path) -> None:
    picture = Image.effect_noise((300, 200), 80).convert("RGB")
    picture.save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    read = process.read(os.fsencode(tmp_path / "a.jpg"))
    assert read.stat.size == len(data)
    got, expected = process.decode("a.jpg", WANT, 100), decode_photo(data, "a.jpg", WANT, 100)
    assert np.array_equal(got.frames[0], expected.frames[0])
    assert (got.size, got.preview, got.damaged) == (expected.size, expected.preview, False)


def test_a_stored_preview_becomes_pixels_again(process: DecodeProcess, tmp_path: Path) -> None:
    paint(tmp_path / "a.png", RED, (600, 400))
    process.read(os.fsencode(tmp_path / "a.png"))
    preview = process.decode("a.png", WANT, 512).preview
    assert preview is not None
    assert np.abs(process.decode_preview(preview, WANT).astype(int) - RED).max() <= 3
    with pytest.raises(MediaError):
        process.decode_preview(b"rubbish", WANT)
    assert process.decode_preview(preview, WANT).shape == (8, 8, 3)


def test_metadata_alone_costs_no_decoding(process: DecodeProcess, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Canon"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[:-300])  # what is left could not be decoded
    process.read(os.fsencode(tmp_path / "a.jpg"))
    decoded = process.decode("a.jpg", None, 0)
    assert (decoded.metadata.make, decoded.frames, decoded.preview) == ("Canon", (), None)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("crash.jpg", MediaError, r"its decoder crashed \(signal 6\)"),
        ("leave.jpg", MediaError, r"its decoder crashed \(exit code 3\)"),
        ("killed.jpg", TemporaryMediaError, "its decoder was killed"),
        ("hang.jpg", TemporaryMediaError, "reading it took more than 3 s"),
        ("babble.jpg", MediaError, r"its decoder crashed \(it talks nonsense\)"),
    ],
)
def test_what_a_decoder_does_is_a_reason(bad: None, tmp_path: Path, name: str, kind: type, said: str) -> None:
    paint(tmp_path / name, RED)
    paint(tmp_path / "good.png", RED)
    process = DecodeProcess()
    with pytest.raises(MediaError, match=said) as raised:
        process.read(os.fsencode(tmp_path / name))
    assert type(raised.value) is kind
    assert process.read(os.fsencode(tmp_path / "good.png")).stat.size  # by a new process
    process.close()


def test_a_crash_costs_one_file_of_a_run(bad: None, photos: Path, library: glimpse.Library) -> None:
    for name in ("crash.jpg", "killed.jpg", "hang.jpg"):
        paint(photos / name, RED)
    report = library.index([photos])
    assert (report.added, report.failed) == (4, 3)
    assert {failure.path.name for failure in report.failures} == {"crash.jpg", "killed.jpg", "hang.jpg"}
    again = library.index([photos])  # what crashes once is not tried again, what was killed from outside is
    assert (again.unchanged, again.failed) == (4, 3)
    assert {f.path.name: f.reason for f in again.failures}["crash.jpg"] == "its decoder crashed (signal 6)"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_from_outside_is_not_the_files_fault(
    process: DecodeProcess, tmp_path: Path, number: int
) -> None:
    paint(tmp_path / "a.png", RED)
    process.read(os.fsencode(tmp_path / "a.png"))
    assert process._child is not None
    assert os.getpgid(process._child.pid) != os.getpgid(0)  # a Ctrl-C does not reach it
    process._child.send_signal(number)
    with pytest.raises(TemporaryMediaError, match="its decoder was killed"):
        process.decode("a.png", WANT, 0)


def test_a_process_that_cannot_start_ends_the_run_and_blames_no_file(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index([photos])
    close_idle()
    for path in photos.iterdir():
        os.utime(path)
    monkeypatch.setattr(isolated, "WORKER", "no.such.module")
    with pytest.raises(glimpse.GlimpseError, match=r"no process for decoding .* can be started: .*No module named"):
        library.index()
    monkeypatch.undo()
    assert len(library.search("red")) == 4
    report = library.index()
    assert (report.unchanged, report.failed) == (4, 0)


def test_a_lower_limit_of_memory_stands(tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        from media.isolated import DecodeProcess
        process = DecodeProcess()
        print(process.read({os.fsencode(DEMO / "cat.png")!r}).stat.size)
        process.close()
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"{(DEMO / 'cat.png').stat().st_size}\n", "")


def test_big_photos_are_told_by_their_headers() -> None:
    def saved(kind: str, **options: object) -> bytes:
        out = io.BytesIO()
        Image.new("L", (6000, 5000)).save(out, kind, **options)
        return out.getvalue()

    assert is_big(saved("PNG"), "a.png")
    assert is_big(saved("JPEG", progressive=True), "a.jpg")
    assert not is_big(saved("JPEG"), "a.jpg")  # decoded at a fraction of its size
    assert not is_big(b"rubbish", "a.jpg")


def test_decoding_that_takes_too_long_is_given_up(
    monkeypatch: pytest.MonkeyPatch, process: DecodeProcess, tmp_path: Path
) -> None:
    Image.effect_noise((3000, 3000), 80).save(tmp_path / "slow.png")
    process.read(os.fsencode(tmp_path / "slow.png"))
    monkeypatch.setattr(isolated, "DECODE_SECONDS", 0.01)
    with pytest.raises(MediaError, match="decoding it took more than 0 s"):
        process.decode("slow.png", WANT, 0)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not limit address space")
def test_a_process_has_a_limit_of_memory(process: DecodeProcess, tmp_path: Path) -> None:
    paint(tmp_path / "a.png", RED)
    process.read(os.fsencode(tmp_path / "a.png"))
    assert process._child is not None
    limits = Path(f"/proc/{process._child.pid}/limits").read_text(encoding="ascii")
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert line.split()[3] == str(3 << 30)


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import os, sys
        from media.isolated import DecodeProcess
        process = DecodeProcess()
        try:
            process.read(b"/nowhere")
        except Exception:
            print(process._child.pid, flush=True)
        os.kill(os.getpid(), 9)
    """)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT, text=True, check=False)
    pid = int(done.stdout)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return  # ended; nobody has asked for it yet
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.05)
    pytest.fail("the decode process is still there")


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path, cache: Path, photos: Path) -> None:
    """multiprocessing would import the script again in every process that it starts."""
    script = tmp_path / "own.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import pathlib, glimpse\n"
        "from core.settings import Settings\n"
        f"place = pathlib.Path({str(tmp_path)!r})\n"
        f"with glimpse.Library(Settings(place / 'library', pathlib.Path({str(cache)!r}), 'fake')) as library:\n"
        f"    print(library.index([{str(photos)!r}]).added)\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("4\n", "")


def test_idle_processes_are_used_again(library: glimpse.Library, photos: Path) -> None:
    close_idle()
    library.index([photos])
    first = {process._child.pid for process in isolated._idle if process._child}
    paint(photos / "another.png", (0, 255, 255))
    library.index([photos])
    assert {process._child.pid for process in isolated._idle if process._child} <= first
    assert 1 <= len(first) <= Settings(Path(), Path()).workers
