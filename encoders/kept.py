"""Keep arrays in files of the cache that are either whole or not there."""

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_DIGEST = hashlib.sha256().digest_size


def kept(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Return the arrays in a file by name, None where it is missing or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if content[:_DIGEST] != hashlib.sha256(content[_DIGEST:]).digest():
        return None
    with np.load(io.BytesIO(content[_DIGEST:]), allow_pickle=False) as file:
        return dict(file)


def keep(path: Path, **arrays: npt.ArrayLike) -> None:
    """Write arrays to a file, in one step, if the disk takes them; without, they are made again next time."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.name}.{os.urandom(8).hex()}")
        try:
            scratch.write_bytes(hashlib.sha256(content).digest() + content)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
