"""Bring a decoded frame of a film to what a player shows: upright, in sRGB values, with square pixels."""

import struct
from fractions import Fraction
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from PIL import Image

from core.errors import MediaError
from core.types import Pixels
from media.photo import MEGAPIXELS_COSTLY

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
"""What FFmpeg's scaler can do of ITU-T H.273's matrices; it refuses a frame that names another."""
_HD_LINES = 720
"""From here on, colours that nobody named are BT.709's, as players take them; below, BT.601's."""
_MOST_STRETCH = 8
"""Pixels wider or higher than this are damage."""
_PQ, _HLG = 16, 18
"""Transfers of HDR, in H.273."""
_BT2020 = 9
_HDR_SIDE = 1280
"""HDR is shrunk to this longer side, in px, before its colours are worked out in floats."""
_WHITE_NITS = 203.0
"""The luminance of white paper in HDR: ITU-R BT.2408."""
_KNEE = 0.8
"""Of white: what is brighter is compressed, as far as HDR goes."""
_LINES = 1 << 12
"""Steps of the table that leads from light to sRGB."""
_BT2020_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
"""ITU-R BT.2087."""
_ORIENTATIONS: dict[tuple[int, ...], int] = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF's number for the signs (a, b, c, d) of a matrix that moves (x, y) to (a x + c y, b x + d y)."""


class Screen:
    """Turns the frames of one film into pictures; it keeps FFmpeg's scalers between frames, which take ms to set up.

    aspect: width of a pixel to its height, None where nobody says.
    """

    def __init__(self, aspect: Fraction | None) -> None:
        sane = aspect and 1 / _MOST_STRETCH <= aspect <= _MOST_STRETCH
        self._aspect = aspect if aspect and sane else Fraction(1)
        self._whole, self._small = VideoReformatter(), VideoReformatter()

    def thumbnail(self, frame: VideoFrame, size: int) -> Pixels:
        """Return a coarse look at a frame, shape (size, size, 3), as it lies there; raises MediaError."""
        check_size(frame.width, frame.height)
        small = self._small.reformat(
            frame, size, size, "rgb24", src_colorspace=_matrix(frame), interpolation=Interpolation.AREA, threads=1
        )
        return np.asarray(small.to_ndarray(), dtype=np.uint8)

    def image(self, frame: VideoFrame) -> tuple[Image.Image, int]:
        """Return RGB or RGBA in sRGB values with square pixels, and EXIF's number of how to turn it.

        Raises MediaError. Of two fields that were taken at different moments, one is shown.
        """
        check_size(frame.width, frame.height)
        width, height = self._size(frame)
        if frame.color_trc in (_PQ, _HLG):
            part = min(1.0, _HDR_SIDE / max(width, height))
            values = self._values(frame, max(1, round(width * part)), max(1, round(height * part)), "rgb48le")
            values = _tone_mapped(values, frame.color_trc, frame.color_primaries == _BT2020)
        else:
            alpha = any(component.is_alpha for component in frame.format.components)
            values = self._values(frame, frame.width, frame.height, "rgba" if alpha else "rgb24")
            if frame.interlaced_frame and len(values) > 1:
                values = values[::2]
        image = Image.fromarray(np.ascontiguousarray(values))
        if image.size != (width, height) and frame.color_trc not in (_PQ, _HLG):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return image, _orientation(frame)

    def _size(self, frame: VideoFrame) -> tuple[int, int]:
        """Return a frame's size with square pixels: none is lost, the other side grows."""
        width, height = frame.width, frame.height
        if self._aspect > 1:
            return round(width * self._aspect), height
        return width, round(height / self._aspect)

    def _values(self, frame: VideoFrame, width: int, height: int, form: str) -> npt.NDArray[Any]:
        """Return a frame's values in RGB."""
        done = self._whole.reformat(
            frame, width, height, form, src_colorspace=_matrix(frame), interpolation=Interpolation.BICUBIC, threads=1
        )
        return done.to_ndarray()


def check_size(width: int, height: int) -> None:
    """Raise MediaError for frames that are too large."""
    if width * height > MEGAPIXELS_COSTLY * 1_000_000:
        raise MediaError(f"{width} x {height} pixels are more than the limit of {MEGAPIXELS_COSTLY} megapixels")


def _matrix(frame: VideoFrame) -> Colorspace:
    """Return the matrix of a frame's colours, by its size where nobody names one."""
    return _MATRICES.get(frame.colorspace, Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601)


def _orientation(frame: VideoFrame) -> int:
    """Return EXIF's number for the display matrix of a frame, by the nearest right angle."""
    side_data = cast(SideDataContainer, frame.side_data)
    matrix = side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix))
    if abs(a) + abs(d) >= abs(b) + abs(c):
        b = c = 0
    else:
        a = d = 0
    signs = (int(np.sign(value)) for value in (a, b, c, d))
    return _ORIENTATIONS.get(tuple(signs), 1)


def _tone_mapped(values: npt.NDArray[Any], transfer: int, wide: bool) -> Pixels:
    """Turn HDR of 16 bits a channel into sRGB; white paper becomes nearly white, what is brighter shares the rest.

    PQ: SMPTE ST 2084. HLG: ITU-R BT.2100, on a screen of 1,000 nits. The curve is Reinhard's above the knee.
    """
    code = np.arange(1 << 16, dtype=np.float32) / 65535
    light = (_pq(code) if transfer == _PQ else _hlg(code))[values]
    if wide:
        light = light @ _BT2020_TO_709.T
    np.maximum(light, 0, out=light)
    peak = light.max(axis=2, keepdims=True)  # the brightest channel, so that hues stay
    above = np.maximum(peak - _KNEE, 0)
    room = 1 - _KNEE
    light *= np.where(above > 0, (_KNEE + room * above / (above + room)) / np.maximum(peak, _KNEE), 1)
    steps = np.arange(_LINES + 1, dtype=np.float32) / _LINES
    shown = np.where(steps <= 0.0031308, 12.92 * steps, 1.055 * steps ** (1 / 2.4) - 0.055)
    table = np.rint(255 * shown).astype(np.uint8)
    return cast(Pixels, table[np.rint(np.minimum(light, 1) * _LINES).astype(np.int32)])


def _pq(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return light, 1 for white paper."""
    root = code ** np.float32(32 / 2523)
    light = (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** np.float32(16384 / 2610)
    return np.asarray(light * (10_000 / _WHITE_NITS), dtype=np.float32)


def _hlg(code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return light, 1 for white paper (75 % of the signal); the eye's gamma of 1.2 is taken channel by channel."""
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    return np.asarray((1000 / _WHITE_NITS) * scene**1.2, dtype=np.float32)
