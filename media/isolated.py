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
from core.types import FileStat, ImageInput, Metadata, Pixels

START_SECONDS = 60.0
READ_SECONDS = 120.0
"""Time to read a file: a network drive may be slow, and comes back."""
DECODE_SECONDS = 60.0
"""Time to decode a file: the largest photo within the limits takes a tenth of it."""
LARGEST = 64 << 20
"""The most bytes of one answer: pixels for an encoder, or a preview."""
WORKER = "media.worker"
_FROM_OUTSIDE = {-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP}
# One thread for numpy's products, which nothing here makes: they would take address space for each processor.
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


class DecodeProcess:
    """One child process that reads and decodes files, replaced when it dies. For one thread at a time."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def read(self, path: bytes) -> ReadFile:
        """Read and hash a file; raises MediaError with the reason."""
        answer, _ = self._ask({"do": "read", "path": b64encode(path).decode()}, READ_SECONDS, reading=True)
        return ReadFile(bytes.fromhex(answer["digest"]), FileStat(*answer["stat"]), answer["big"])

    def decode(self, name: str, want: ImageInput | None, preview: int) -> Decoded:
        """Decode the file that was read last; want: None for its metadata alone; raises MediaError with the reason.

        preview: longer side of the preview in px, 0 for none.
        """
        request = {"do": "decode", "name": name, "want": asdict(want) if want else None, "preview": preview}
        answer, parts = self._ask(request, DECODE_SECONDS)
        said = answer["metadata"]
        metadata = Metadata(**{**said, "keywords": tuple(said["keywords"])})
        if want is None:
            return Decoded(metadata)
        frames = tuple(_pixels(part, want) for part in parts[: answer["frames"]])
        width, height = answer["size"]
        made = parts[-1] if answer["preview"] else None
        return Decoded(metadata, frames, (width, height), made, answer["damaged"])

    def decode_preview(self, preview: bytes, want: ImageInput, least: int = 0) -> Pixels:
        """Turn a stored preview into the pixels that an encoder wants; see `media.photo.decode_preview`."""
        request = {"do": "preview", "want": asdict(want), "least": least}
        _, parts = self._ask(request, DECODE_SECONDS, payload=preview)
        return _pixels(parts[0], want)

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
            if not connection.poll(seconds):
                self.close()
                if reading:
                    raise TemporaryMediaError(f"reading it took more than {seconds:.0f} s")
                raise MediaError(f"decoding it took more than {seconds:.0f} s")
            answer = json.loads(connection.recv_bytes(LARGEST))
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


def _pixels(part: bytes, want: ImageInput) -> Pixels:
    return np.frombuffer(part, np.uint8).reshape(want.size, want.size, 3)


def _what(code: int | None) -> str:
    if code is None:
        return "it talks nonsense"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


_idle: list[DecodeProcess] = []
_lock = threading.Lock()


@contextlib.contextmanager
def decode_process() -> Iterator[DecodeProcess]:
    """Lend a decode process; those that come back are kept for the next run, since starting one takes a while."""
    with _lock:
        process = _idle.pop() if _idle else DecodeProcess()
    try:
        yield process
    finally:
        with _lock:
            _idle.append(process)


@atexit.register
def close_idle() -> None:
    """End the processes that nobody uses."""
    with _lock:
        while _idle:
            _idle.pop().close()
