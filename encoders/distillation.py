"""What a student is told and how its sounds are varied. Needs torch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from core.types import Vectors
from encoders.heard import BANDS, FRAMES, RANGE, filled
from encoders.plan import Numbers
from encoders.retrieval import Groups

_TAG_TEMPERATURE = 0.05
_CROP = FRAMES // 2
"""Frames of a window that are heard at a time while learning: where they begin is the shift in time."""
_PITCH = 2
"""Bands by which a sound is moved up or down at most: about a tone and a half."""
_BANDS_HIDDEN, _FRAMES_HIDDEN = 8, 60
_BACKGROUND = 10.0, 40.0
"""dB by which another sound of the batch is put below this one."""
Inputs = Callable[[Numbers, torch.Generator | None], Tensor]
"""Return what the model takes of the rows with these numbers; varied where a generator is given."""


class Taught(NamedTuple):
    """What goes with the inputs: targets (n, dim), unit rows; tags (k, dim), unit rows; groups (n,)."""

    targets: Vectors
    tags: Vectors
    groups: Groups


def loss(rows: Tensor, targets: Tensor, groups: Tensor, tags: Tensor, scale: Tensor) -> Tensor:
    """Return how far unit rows (n, dim) are from their targets, a scalar.

    KL(teacher || student) over tags, as in SoundNet (Aytar et al. 2016); InfoNCE both ways (van den Oord et al. 2018)
    with cosines times `scale`, recordings' own other windows left out; and 1 - cosine.
    """
    teacher = functional.softmax(targets @ tags.T / _TAG_TEMPERATURE, dim=1)
    student = functional.log_softmax(rows @ tags.T / _TAG_TEMPERATURE, dim=1)
    tagged = functional.kl_div(student, teacher, reduction="batchmean")
    kin = (groups[:, None] == groups[None, :]).fill_diagonal_(False)
    cosines = (rows @ targets.T * scale).masked_fill(kin, -torch.inf)
    own = torch.arange(len(rows), device=rows.device)
    contrast = (functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own)) / 2
    return tagged + contrast + (1 - (rows * targets).sum(dim=1)).mean()


def spectrograms(mels: Sequence[npt.NDArray[np.float16]]) -> Inputs:
    """Return inputs (n, 1, frames, BANDS) of a student: whole windows, or varied parts of them."""

    def inputs(numbers: Numbers, generator: torch.Generator | None) -> Tensor:
        whole = torch.from_numpy(np.stack([filled(mels[number]) for number in numbers])).float()
        return (whole if generator is None else varied(whole, generator))[:, None]

    return inputs


def frozen(rows: Vectors) -> Inputs:
    """Return inputs (n, d) of a head: the centred rows themselves, or with a little noise."""
    table = torch.from_numpy(rows)
    noise = 0.1 * float(np.sqrt(np.square(rows).mean()))

    def inputs(numbers: Numbers, generator: torch.Generator | None) -> Tensor:
        chosen = table[torch.from_numpy(numbers)]
        return chosen if generator is None else chosen + noise * torch.randn(chosen.shape, generator=generator)

    return inputs


def varied(mels: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many parts (n, _CROP, BANDS), each shifted in time and pitch, mixed, and hidden in places.

    SpecAugment (Park et al. 2019) hides bands and frames; another sound of the batch and a floor of noise lie below.
    """
    count, frames, bands = mels.shape

    def draw(low: int, high: int) -> list[int]:
        numbers: list[int] = torch.randint(low, high + 1, (count,), generator=generator).tolist()
        return numbers

    starts, pitches = draw(0, frames - _CROP), draw(-_PITCH, _PITCH)
    parts = torch.stack([_moved(mel[start:], pitch) for mel, start, pitch in zip(mels, starts, pitches, strict=True)])
    low, high = _BACKGROUND
    below = low + (high - low) * torch.rand(count, 1, 1, generator=generator)
    floors = -RANGE + RANGE / 3 * torch.rand(count, 1, 1, generator=generator)
    ten = 10 / torch.log(torch.tensor(10.0))
    others = torch.roll(parts, 1, dims=0) - below
    mixed = ten * torch.logaddexp(torch.logaddexp(parts / ten, others / ten), floors / ten)
    hidden_bands, hidden_frames = draw(0, _BANDS_HIDDEN), draw(0, _FRAMES_HIDDEN)
    for part, wide, long in zip(mixed, hidden_bands, hidden_frames, strict=True):
        band = int(torch.randint(0, bands - wide + 1, (1,), generator=generator))
        frame = int(torch.randint(0, _CROP - long + 1, (1,), generator=generator))
        part[:, band : band + wide] = -RANGE
        part[frame : frame + long] = -RANGE
    return mixed.clamp(-RANGE, 0)


def _moved(mel: Tensor, pitch: int) -> Tensor:
    """Return the first _CROP frames, so many bands higher; nothing is where they came from."""
    moved = torch.full_like(mel[:_CROP], -RANGE)
    low, high = max(0, pitch), min(BANDS, BANDS + pitch)
    moved[:, low:high] = mel[:_CROP, low - pitch : high - pitch]
    return moved
