"""Run exported towers without torch: make the export once, in a child process, and open its graphs."""

import atexit
import contextlib
import errno
import json
import mmap
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import onnxruntime
import xxhash

from core.errors import ModelError
from core.types import Progress, ProgressCallback

MANIFEST = "manifest.json"
T = TypeVar("T")
_CHILD = """
import importlib, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, sys.argv[1])
importlib.import_module(sys.argv[2]).export(*sys.argv[3:])
"""
_OURS = f"{ModelError.__module__}.{ModelError.__name__}: "


class Export:
    """A folder with the exported towers of a model: graphs, tables, and a manifest with their checksums."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        self._files: dict[str, tuple[int, str]] = self.manifest["files"]
        if any((folder / name).stat().st_size != size for name, (size, _) in self._files.items()):
            raise ValueError("a file has the wrong size")

    def path(self, name: str) -> Path:
        """Return the path of one of the exported files."""
        return self.folder / name

    def session(self, name: str, threads: int, prepack: bool = True) -> onnxruntime.InferenceSession:
        """Open a graph on the CPU with that many threads, none of which spins while it waits.

        prepack: rearrange the weights first, which pays for itself where more than a few rows go through at a time.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if not prepack:
            options.add_session_config_entry("session.disable_prepacking", "1")
        options.log_severity_level = 3
        with self.reading():
            self.check(name)
            return onnxruntime.InferenceSession(str(self.path(name)), options, providers=["CPUExecutionProvider"])

    def check(self, start: str) -> None:
        """Compare files whose names begin so with their checksums: a rotten graph would store wrong vectors for good.

        A graph's weights may lie beside it, in `NAME.data`. Raises ValueError.
        """
        for name, (_, expected) in self._files.items():
            if name.startswith(start) and checksum(self.path(name)) != expected:
                raise ValueError(f"{name} is not what was exported")

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Name what a file of the right size and the wrong contents makes its reader raise."""
        try:
            yield
        except Exception as error:  # every reader has its own
            with contextlib.suppress(OSError):
                self.path(MANIFEST).unlink()  # the next command makes the export anew
            raise ModelError(
                f"the model in {self.folder} is damaged; run the command again, it is made anew"
            ) from error


class Opening(Generic[T]):
    """Something that takes a while to open: begun ahead where that pays, by the first who asks otherwise."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._lock = threading.Lock()
        self._future: Future[T] | None = None

    def start(self) -> "Future[T]":
        """Begin in a thread, unless somebody has."""
        with self._lock:
            if self._future is None:
                pool = ThreadPoolExecutor(1, thread_name_prefix="model")
                self._future = pool.submit(self._call)
                pool.shutdown(wait=False)
            return self._future

    def result(self) -> T:
        """Return what was opened, or raise what opening it raised."""
        return self.start().result()


def describe(folder: Path) -> dict[str, tuple[int, str]]:
    """Return size and checksum of every file in an export, for its manifest."""
    return {path.name: (path.stat().st_size, checksum(path)) for path in sorted(folder.iterdir())}


def checksum(path: Path) -> str:
    """Return XXH3-64 over a file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return xxhash.xxh3_64_hexdigest(content)


def ensure_export(
    exporter: str, folder: Path, progress: ProgressCallback | None = None, arguments: Sequence[str] = ()
) -> Export:
    """Open the export in `folder`; make it first where it is absent or damaged.

    exporter: a module with `export(folder, *arguments)`, run in a child process since torch takes over a gigabyte.
    Two processes that come at once make it once. On a read-only disk the export lives as long as this process.
    Raises ModelError.
    """
    if export := _opened(folder):
        return export
    from filelock import FileLock  # here, since a search does without

    if progress:
        progress(Progress("preparing the model (once, about half a minute)"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            return _opened(folder) or _made(exporter, folder, arguments)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ModelError(f"the disk that holds {folder.parent} is full; free 300 MB there") from error
        if progress:
            why = (error.strerror or str(error)).lower()
            progress(
                Progress(
                    f"the cache {folder.parent} cannot be used ({why}); set GLIMPSE_CACHE, or this happens again"
                )
            )
        place = tempfile.mkdtemp(prefix="glimpse-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        return _made(exporter, Path(place, folder.name), arguments)


def _opened(folder: Path) -> Export | None:
    """Return the export if it is whole."""
    try:
        return Export(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _made(exporter: str, folder: Path, arguments: Sequence[str]) -> Export:
    """Run the exporter beside `folder`, then move the result there in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}-*"):  # by an export that was killed; we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        target = Path(scratch, "new")
        target.mkdir()
        root = Path(__file__).resolve().parent.parent
        # -P: a folder the user stands in must not shadow our modules.
        command = [sys.executable, "-P", "-c", _CHILD, str(root), exporter, str(target), *arguments]
        # Nobody is asked anything: transformers would, whether to run a model's own code, and `yes |` would answer.
        # A session of its own: a Ctrl-C is ours to handle, and ends the child when it ends us.
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            start_new_session=True,
        )  # fmt: skip
        if child.returncode != 0:
            last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
            raise ModelError(f"the model could not be prepared in {folder.parent}: {last.removeprefix(_OURS)}")
        if folder.exists():
            folder.rename(Path(scratch, "damaged"))
        target.rename(folder)
    return Export(folder)
