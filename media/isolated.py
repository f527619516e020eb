"""Decode in processes of their own: a decoder that crashes, hangs or takes too much memory costs one file.

Plain child processes rather than multiprocessing's: those import the caller's script a second time, and a script
without `if __name__ == "__main__"` would index twice.
"""

import atexit
import contextlib
import json
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import GlimpseError, MediaError, TemporaryMediaError
from core.types import Box, FileStat, Frame, ImageInput, Kind, Metadata, Pixels, Span, StopRequested, Window
from media.tiles import Level

START_SECONDS = 60.0
READ_SECONDS = 120.0
"""Time to read a file: a network drive may be slow, and comes back."""
DECODE_SECONDS = 60.0
"""Time to decode a file: the largest photo within the limits takes a tenth of it."""
LARGEST = 64 << 20
"""The most bytes of one answer: pixels for an encoder, or a preview."""
WORKER = "media.worker"
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
# One thread for numpy's products: there is a process for each processor, and threads would take address space.
_CHILD = """
import os, runpy, sys
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, sys.argv[1])
runpy.run_module(sys.argv[2], run_name="__main__")
"""


@dataclass(frozen=True)
class ReadFile:
    """A file that a decode process holds in memory; digest: 16 bytes, XXH3-128 over all of its bytes.

    big: decoding it takes hundreds of megabytes.
    """

    digest: bytes
    stat: FileStat
    big: bool


@dataclass(frozen=True)
class Decoded:
    """What a decode process made of a photo; see `media.photo.Photo`. Without pixels, only `metadata` is filled."""

    metadata: Metadata
    frames: tuple[Pixels, ...] = ()
    size: tuple[int, int] | None = None
    preview: bytes | None = None
    damaged: bool = False
    tiles: tuple[tuple[Box, Pixels], ...] = ()


@dataclass(frozen=True)
class Opened:
    """A sound or film that a decode process holds open; digest: 16 bytes, XXH3-128 over all of its bytes.

    metadata: what is written in it, its duration as its header tells it; size: upright (width, height) of a film,
    (0, 0) of sound alone; has_sound: there is a track of it.
    """

    digest: bytes
    stat: FileStat
    kind: Kind
    metadata: Metadata
    size: tuple[int, int]
    has_sound: bool


class DecodeProcess:
    """One child process that reads and decodes files, replaced when it dies. For one thread at a time.

    damaged: something in the recording that was opened last is missing or cannot be decoded; seconds: how much sound
    there was in it. Both are known when `frames` or `windows` has ended. stop: asked while a long file is gone
    through, whether anybody still waits for it; then TemporaryMediaError is raised.
    """

    def __init__(self) -> None:
        self.stop: StopRequested = lambda: False
        self.damaged = False
        self.seconds = 0.0
        self._open = False
        self._passes = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def read(self, path: bytes) -> ReadFile:
        """Read and hash a file; raises MediaError with the reason."""
        answer, _ = self._ask({"do": "read", "path": b64encode(path).decode()}, READ_SECONDS, reading=True)
        return ReadFile(bytes.fromhex(answer["digest"]), FileStat(*answer["stat"]), answer["big"])

    def decode(self, name: str, want: ImageInput | None, preview: int, tiles: Level = "none") -> Decoded:
        """Decode the file that was read last; want: None for its metadata alone; raises MediaError with the reason.

        preview: longer side of the preview in px, 0 for none; tiles: see `media.tiles.boxes`.
        """
        wanted = asdict(want) if want else None
        request = {"do": "decode", "name": name, "want": wanted, "preview": preview, "tiles": tiles}
        answer, parts = self._ask(request, DECODE_SECONDS)
        metadata = _metadata(answer["metadata"])
        if want is None:
            return Decoded(metadata)
        count, cut = answer["frames"], [tuple(box) for box in answer["tiles"]]
        pixels = [_pixels(part, want) for part in parts[: count + len(cut)]]
        made = parts[-1] if answer["preview"] else None
        width, height = answer["size"]
        tiled = tuple(zip(cut, pixels[count:], strict=True))
        return Decoded(metadata, tuple(pixels[:count]), (width, height), made, answer["damaged"], tiled)

    def decode_preview(self, preview: bytes, want: ImageInput, least: int = 0) -> Pixels:
        """Turn a stored preview into the pixels that an encoder wants; see `media.photo.decode_preview`."""
        request = {"do": "preview", "want": asdict(want), "least": least}
        _, parts = self._ask(request, DECODE_SECONDS, payload=preview)
        return _pixels(parts[0], want)

    def open(self, path: bytes) -> Opened:
        """Open a sound or a film and hash it, however large; raises MediaError with the reason.

        It stays open for `frames`, `windows` and `preview`, until another is opened or `release` is called.
        """
        self.damaged, self.seconds, self._open = False, 0.0, True
        read, _ = self._ask(
            {"do": "open", "path": b64encode(path).decode(), "whole": True}, READ_SECONDS, reading=True
        )
        told, _ = self._ask({"do": "describe"}, DECODE_SECONDS)
        width, height = told["size"]
        return Opened(
            bytes.fromhex(read["digest"]), FileStat(*read["stat"]), Kind(told["kind"]), _metadata(told["metadata"]),
            (width, height), told["has_sound"],
        )  # fmt: skip

    def seconds_of(self, path: bytes) -> float | None:
        """Return how long a recording plays, by its header alone, None where that does not say; raises MediaError."""
        self._open = True
        self._ask({"do": "open", "path": b64encode(path).decode(), "whole": False}, READ_SECONDS, reading=True)
        told, _ = self._ask({"do": "describe"}, DECODE_SECONDS)
        return _metadata(told["metadata"]).duration

    def frames(self, want: ImageInput) -> Iterator[list[Frame]]:
        """Yield the frames of the open film that are worth a vector, a few at a time; raises MediaError.

        Whoever has enough may stop; only one of `frames` and `windows` goes on at a time.
        """
        for span, part in self._passed({"do": "frames", "want": asdict(want)}):
            yield [Frame(where, _pixels(pixels, want)) for where, pixels in zip(span, part, strict=True)]

    def windows(self, rate: int) -> Iterator[list[Window]]:
        """Yield the windows of the open recording's sound at `rate` Hz, a few at a time; raises MediaError.

        See `media.sound.windows`, and `frames`.
        """
        for span, part in self._passed({"do": "windows", "rate": rate}):
            yield [Window(where, np.frombuffer(sound, np.float32)) for where, sound in zip(span, part, strict=True)]

    def preview(self, size: int) -> bytes | None:
        """Return a WebP for the open recording, `size` px its longer side; None if it has nothing to show.

        Of sound alone, its spectrogram, which costs nothing after all `windows`; of a film, a picture.
        """
        _, parts = self._ask({"do": "draw", "size": size}, DECODE_SECONDS)
        return parts[0] if parts else None

    def release(self) -> None:
        """Close the recording that is open, so that its drive can be taken away."""
        if self._open and self._connection is not None:
            with contextlib.suppress(GlimpseError):
                self._ask({"do": "close"}, DECODE_SECONDS)
        self._open = False

    def _passed(self, request: dict[str, Any]) -> Iterator[tuple[list[Span], list[bytes]]]:
        """Yield the spans and the arrays that come of a request, as long as some come."""
        self._passes += 1
        mine = self._passes
        while self._passes == mine:
            answer, parts = self._ask(request, DECODE_SECONDS)
            self.damaged, self.seconds = answer["damaged"], answer["seconds"]
            if not parts:
                return
            yield [Span(*span) for span in answer["spans"]], parts
            request = {"do": "next"}
        raise RuntimeError("another pass through the recording has begun")

    def close(self) -> None:
        """End the child, which notices that the connection is closed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            if self._child.stderr:
                self._child.stderr.close()
            self._child = None

    def _ask(
        self, request: dict[str, Any], seconds: float, payload: bytes | None = None, reading: bool = False
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a request and wait for the answer; whatever goes wrong with the child becomes a MediaError."""
        connection = self._started()
        try:
            connection.send_bytes(json.dumps(request).encode())
            if payload is not None:
                connection.send_bytes(payload)
            answer = {"alive": True}
            while "alive" in answer:
                if not connection.poll(seconds):
                    self.close()
                    if reading:
                        raise TemporaryMediaError(f"reading it took more than {seconds:.0f} s")
                    raise MediaError(f"decoding it took more than {seconds:.0f} s")
                answer = json.loads(connection.recv_bytes(LARGEST))
                if "alive" in answer and self.stop():
                    self.close()
                    raise TemporaryMediaError("stopped")
            parts = [connection.recv_bytes(LARGEST) for _ in range(answer["parts"])]
        except (EOFError, OSError, ValueError, TypeError) as error:
            code = self._ended()
            if code in _FROM_OUTSIDE:  # the system was short of memory, or somebody tidied up
                raise TemporaryMediaError("its decoder was killed") from error
            raise MediaError(f"its decoder crashed ({_what(code)})") from error
        if "failure" in answer:
            raise (TemporaryMediaError if answer["retry"] else MediaError)(answer["failure"])
        return answer, parts

    def _ended(self) -> int | None:
        """Return the exit code of a child that went wrong, None if it has to be ended by us."""
        code = None
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._child.wait(timeout=1)
        self.close()
        return code

    def _started(self) -> Connection:
        """Return the connection to the child, which is started if there is none."""
        if self._connection is None:
            ours, theirs = Pipe()
            root = Path(__file__).resolve().parent.parent
            command = [sys.executable, "-P", "-c", _CHILD, str(root), WORKER, str(theirs.fileno())]
            self._child = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, start_new_session=True,  # a Ctrl-C is ours to handle
            )  # fmt: skip
            theirs.close()
            self._connection = ours
            self._await_ready(ours, self._child)
        return self._connection

    def _await_ready(self, connection: Connection, child: "subprocess.Popen[bytes]") -> None:
        """Wait until the child has started; raises GlimpseError, since no file is to blame where it does not."""
        try:
            ready = connection.poll(START_SECONDS) and connection.recv_bytes(LARGEST)
        except (EOFError, OSError):
            ready = False
        if ready:
            return
        child.kill()
        said = child.communicate()[1].decode(errors="replace").strip().splitlines()
        self.close()
        why = said[-1] if said else f"nothing came of it in {START_SECONDS:.0f} s"
        raise GlimpseError(f"no process for decoding photos can be started: {why}; is there enough memory?")


def _metadata(said: dict[str, Any]) -> Metadata:
    return Metadata(**{**said, "keywords": tuple(said["keywords"])})


def _pixels(part: bytes, want: ImageInput) -> Pixels:
    return np.frombuffer(part, np.uint8).reshape(want.size, want.size, 3)


def _what(code: int | None) -> str:
    if code is None:
        return "it talks nonsense"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


_idle: list[DecodeProcess] = []
_lock = threading.Lock()


@contextlib.contextmanager
def decode_process(stop: StopRequested = lambda: False) -> Iterator[DecodeProcess]:
    """Lend a decode process; those that come back are kept for the next run, since starting one takes a while."""
    with _lock:
        process = _idle.pop() if _idle else DecodeProcess()
    process.stop = stop
    try:
        yield process
    finally:
        process.release()
        with _lock:
            _idle.append(process)


@atexit.register
def close_idle() -> None:
    """End the processes that nobody uses."""
    with _lock:
        while _idle:
            _idle.pop().close()
