"""Pairs to learn from: what is heard of each window, on disk, with the vector of its picture in memory."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import GlimpseError
from core.types import Samples, Vector, Vectors
from encoders.heard import BANDS, FRAMES, Rows, heard, statistics
from encoders.retrieval import Groups


class Examples:
    """Windows of sound with the vectors of their pictures; spectrograms lie in a file of the folder, as fp16.

    A window takes at most 80 kB there, and 1 kB and its vector in memory.
    """

    def __init__(self, folder: Path, rate: int) -> None:
        """folder: made where it is missing; what an earlier run left is overwritten. rate: Hz of the samples."""
        folder.mkdir(parents=True, exist_ok=True)
        self.rate = rate
        self._path = folder / "spectrograms.f16"
        self._path.write_bytes(b"")
        self._ends = [0]
        self._statistics: list[Rows] = []
        self._targets: list[Vector] = []
        self._groups: list[int] = []

    def __len__(self) -> int:
        """Return the number of windows kept."""
        return len(self._groups)

    def add(self, samples: Samples, target: Vector, group: int) -> bool:
        """Keep one window of at most WINDOW_SECONDS and say so; silence is not kept.

        target: the centred vector of its picture, (dim,); group: number of its recording. Raises GlimpseError for a
        vector that is no direction.
        """
        if not np.isfinite(target).all() or not target.any():
            raise GlimpseError(f"the picture of recording {group} has a damaged vector; run `glimpse doctor`")
        one = heard(samples, self.rate)
        if one is None:
            return False
        mel = one.mel[:FRAMES].astype(np.float16)
        with self._path.open("ab") as file:
            file.write(mel.tobytes())
        self._ends.append(self._ends[-1] + len(mel))
        self._statistics.append(statistics(mel.astype(np.float32)))
        self._targets.append(np.asarray(target, np.float32))
        self._groups.append(group)
        return True

    @property
    def statistics(self) -> Rows:
        """Statistics of each window, shape (n, 4 * BANDS)."""
        return np.stack(self._statistics) if self._statistics else np.zeros((0, 4 * BANDS), np.float32)

    @property
    def targets(self) -> Vectors:
        """The vector of each window's picture, shape (n, dim)."""
        return np.stack(self._targets) if self._targets else np.zeros((0, 0), np.float32)

    @property
    def groups(self) -> Groups:
        """The recording of each window, shape (n,)."""
        return np.array(self._groups, np.int64)

    def mels(self) -> list[npt.NDArray[np.float16]]:
        """Return the spectrograms, which are read from the file when they are looked at: (frames, BANDS), fp16."""
        if not self._ends[-1]:
            return []
        frames = np.memmap(self._path, np.float16, "r", shape=(self._ends[-1], BANDS))
        return [frames[start:end] for start, end in zip(self._ends, self._ends[1:], strict=False)]
