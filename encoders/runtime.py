"""Run exported towers without torch: make the export once, in a child process, and open its graphs."""

import atexit
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from core.errors import ModelError
from core.types import Progress, ProgressCallback

MANIFEST = "manifest.json"
_CHILD = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
importlib.import_module(sys.argv[2]).export(*sys.argv[3:])
"""
_OURS = f"{ModelError.__module__}.{ModelError.__name__}: "


class Export:
    """A folder with the exported towers of a model: graphs, tables, and a manifest with their sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes: dict[str, int] = self.manifest["files"]
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            raise ValueError("a file has the wrong size")

    def path(self, name: str) -> Path:
        """Return the path of one of the exported files."""
        return self.folder / name

    def session(self, name: str, threads: int) -> onnxruntime.InferenceSession:
        """Open a graph on the CPU with that many threads, none of which spins while it waits."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        with self.reading():
            return onnxruntime.InferenceSession(str(self.path(name)), options, providers=["CPUExecutionProvider"])

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Name what a file of the right size and the wrong contents makes its reader raise."""
        try:
            yield
        except Exception as error:  # every reader has its own
            raise ModelError(f"the model in {self.folder} is damaged; delete that folder, it is made anew") from error


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
    except OSError:
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
        child = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if child.returncode != 0:
            last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
            raise ModelError(f"the model could not be prepared: {last.removeprefix(_OURS)}")
        if folder.exists():
            folder.rename(Path(scratch, "damaged"))
        target.rename(folder)
    return Export(folder)
