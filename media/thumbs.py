"""What a small picture looks like in a few numbers: enough to tell copies of a photo, and which of them is sharp."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from core.errors import MediaError
from media.pillow import open_header

SIDE = 16
"""Pixels of a side. More tell no more different pictures apart, and lose cropped copies (docs/dupes.md)."""
FLAT = 2.0
"""Standard deviation, of 255, below which nothing is on a picture but noise."""

Grey = npt.NDArray[np.float32]


def grey(webp: bytes) -> Grey | None:
    """Return a picture as SIDE x SIDE greys of mean 0 and length 1, shape (SIDE * SIDE,), all 0 of a flat one.

    The product of two is their correlation, -1..1, which brightness and contrast leave as it is. None where the
    bytes are no picture.
    """
    image = _opened(webp)
    if image is None:
        return None
    small: Grey = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32).ravel()
    small = small - np.float32(small.mean())
    length = float(np.linalg.norm(small))
    return small / np.float32(length) if length >= FLAT * SIDE else np.zeros_like(small)


def sharpness(webp: bytes) -> float:
    """Return the variance of a picture's Laplacian, as a share of the variance of its greys; 0 where there is none.

    After Pech-Pacheco and others, "Diatom autofocusing in brightfield microscopy" (ICPR 2000).
    """
    image = _opened(webp)
    if image is None or min(image.size) < 3:
        return 0.0
    pixels = np.asarray(image, np.float32)
    middle = pixels[1:-1, 1:-1]
    laplacian = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:] - 4 * middle
    spread = float(pixels.var())
    return float(laplacian.var()) / spread if spread >= FLAT**2 else 0.0


def _opened(webp: bytes) -> Image.Image | None:
    """Return a WebP in greys, None where it is damaged."""
    try:
        return open_header(webp, "WEBP").convert("L")
    except (MediaError, OSError, SyntaxError, ValueError, EOFError):
        return None
