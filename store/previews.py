"""Small pictures of the photos: made while a photo is decoded anyway, so that nothing decodes it a second time.

A cache like the index file: what is missing is made again from the photo when somebody asks for it.
"""

import contextlib
import os
from collections.abc import Set
from pathlib import Path

from store.names import PREVIEWS

PREVIEW_SIZE = 512
"""Longer side of a preview in px, unless somebody says otherwise: some 30 KB."""


def is_preview(data: bytes, size: int | None = None) -> bool:
    """Say whether bytes are a whole WebP, by its header; size: how many there are, if these are only the first."""
    there = len(data) if size is None else size
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and there >= 8 + int.from_bytes(data[4:8], "little")


class Previews:
    """The previews of a library: WebP files, named after the digest of the photo's bytes."""

    def __init__(self, library: Path) -> None:
        self._folder = library / PREVIEWS

    def path(self, digest: bytes) -> Path:
        """Return where the preview of a photo lies, or would."""
        name = digest.hex()
        return self._folder / name[:2] / f"{name[2:]}.webp"

    def has(self, digest: bytes) -> bool:
        """Say whether there is a preview of a photo."""
        return self.path(digest).is_file()

    def read(self, digest: bytes) -> bytes | None:
        """Return a preview, None where there is none."""
        path = self.path(digest)
        with contextlib.suppress(OSError):
            if path.is_file():  # and nothing that would have to be waited for
                return path.read_bytes()
        return None

    def write(self, digest: bytes, preview: bytes) -> None:
        """Keep a preview; raises OSError where the disk does not take it."""
        path = self.path(digest)
        if not path.parent.is_dir():
            self._folder.mkdir(exist_ok=True)  # without its parents: a library that was moved away stays away
            path.parent.mkdir(exist_ok=True)
        scratch = path.with_suffix(f".{os.urandom(8).hex()}")
        try:
            scratch.write_bytes(preview)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)

    def count(self) -> tuple[int, int]:
        """Return how many previews there are, and their bytes."""
        count, size = 0, 0
        for entry in self._entries():
            with contextlib.suppress(OSError):  # it went while we counted
                size += entry.stat().st_size
                count += 1
        return count, size

    def files(self) -> list[str]:
        """Return the paths of all files, previews or not."""
        return [entry.path for entry in self._entries()]

    def sweep(self, keep: Set[bytes]) -> None:
        """Delete what is no preview of a photo in `keep`; what a killed process left goes, too."""
        kept = {str(self.path(digest)) for digest in keep}
        for entry in self._entries():
            with contextlib.suppress(OSError):
                if entry.path not in kept:
                    os.unlink(entry.path)

    def _entries(self) -> list["os.DirEntry[str]"]:
        found: list[os.DirEntry[str]] = []
        with contextlib.suppress(OSError):
            for folder in [entry.path for entry in os.scandir(self._folder) if entry.is_dir()]:
                with os.scandir(folder) as entries:
                    found += entries
        return found
