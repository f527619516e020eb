"""Hold Pillow to what it is here for: no old version, one reader for each format, its own guards up."""

import io
import struct
import warnings

import PIL
from PIL import Image, ImageFile, PngImagePlugin

from core.errors import GlimpseError, MediaError

OLDEST = 13
"""The first major version without CVE-2026-112403."""

MAX_GROWN_PIXELS = 200_000_000
"""What a later frame of a GIF may claim to be; headers are held to limits of their own format."""

MAX_TEXT = 64 << 20
"""Bytes of text that a PNG may unpack to. Pillow's own limit, 1 MB a text, is less than some programs write."""


def require_pillow() -> None:
    """Raise GlimpseError where Pillow is too old to be handed other people's files."""
    if int(PIL.__version__.partition(".")[0]) < OLDEST:
        raise GlimpseError(
            f"Pillow {PIL.__version__} is too old to read photos safely (CVE-2026-112403): "
            f"pip install 'pillow>={OLDEST}'"
        )


def open_header(data: bytes, kind: str) -> ImageFile.ImageFile:
    """Open the header of a photo with Pillow's reader for `kind`, and no other; raises whatever that raises.

    Not by Image.open, whose one limit for all formats would refuse panoramas, or guard nothing if it were lifted.
    """
    if kind not in Image.OPEN:
        Image.init()
    try:
        return Image.OPEN[kind][0](io.BytesIO(data), "")
    except (SyntaxError, IndexError, TypeError, struct.error) as error:  # as Image.open has it
        raise MediaError("damaged: its header cannot be read") from error


require_pillow()
Image.MAX_IMAGE_PIXELS = MAX_GROWN_PIXELS // 2  # Pillow warns of this, and refuses twice as much
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT
# Its remarks on odd metadata are for programmers; set once, since catch_warnings is not safe with threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
