"""Decode photos: upright, in sRGB values, alpha over white, at the size that an encoder wants."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image, ImageFile

from core.errors import MediaError, TemporaryMediaError
from core.types import Box, Fit, ImageInput, Pixels
from media.heif import named_profile, register_heif
from media.kinds import HEAD_BYTES, PHOTO_FORMATS, photo_format, sniff
from media.pillow import MAX_GROWN_PIXELS, MAX_TEXT, open_header
from media.pixels import plain, shrunk, square, webp
from media.raw import Shown, show_raw
from media.tiles import Level, boxes, stored

MEGAPIXELS_DRAFT = 2_000
"""Limit for JPEGs in one scan, which are decoded at a fraction of their size as they are read."""
MEGAPIXELS_WHOLE = 200
"""Limit for opaque 8-bit photos that have to be decoded whole, and JPEGs in several scans: up to 8 bytes a pixel."""
MEGAPIXELS_COSTLY = 80
"""Limit for those that take up to 24: transparency, 16 bits, WebP, AVIF, HEIF, RAW without a preview."""

DRAFT_FACTOR = 2
DRAFT_MINIMUM = 512
"""A JPEG is decoded at 2x the size wanted and never below 512 px: the DCT's own scaling is coarse.

A preview may come from a JPEG decoded at its very size: twice that costs 14 ms of 46 and brings .1 dB, since WebP
loses more (docs/formats.md).
"""

MIDDLE_FRAME_AT_MOST = 500
MIDDLE_PIXELS_AT_MOST = 200_000_000
"""Most frames, and most pixels of them, that are decoded on the way to the middle of an animation: seconds."""
_ANIMATED = ("GIF", "WEBP", "AVIF", "PNG")
"""Pages of a TIFF, pictures of an MPO or HEIF are no animation."""

CUT_SHORT = "the file is cut short"
_SAYS_CUT_SHORT = ("truncated", "premature", "unexpected end of file")
_SAYS_NO_MEMORY = ("out of memory", "memory allocation error: unspecified")
"""What libavif and libheif say; libheif's own limits are memory allocation errors of another kind."""
_ORIENTATION = 0x0112
_JPEG = ("JPEG", "MPO")
"""An MPO is a JPEG with further ones behind it: depth, or the other eye."""

_WHOLE = ("PNG", "GIF", "TIFF", "BMP")
"""Formats whose decoders write straight into Pillow's own memory."""

BIG_PIXELS = 24_000_000
"""A photo that has to be decoded whole, above which decoding takes hundreds of megabytes."""


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    frames: pixels for the encoder, each of shape (size, size, 3): the first frame, and of an animation with more than
    two frames the middle one as second; size: upright (width, height) of the original; preview: WebP bytes or None;
    damaged: the file is cut short, and the rest of the picture is one colour; tiles: parts of the first frame, each
    with its pixels, of the same shape; none of what is damaged.
    """

    frames: tuple[Pixels, ...]
    size: tuple[int, int]
    preview: bytes | None = None
    damaged: bool = False
    tiles: tuple[tuple[Box, Pixels], ...] = ()


def check_photo(data: bytes, name: str) -> str:
    """Return the format of a photo's bytes, one of PHOTO_FORMATS; `name` tells RAW from TIFF. Raises MediaError."""
    kind = photo_format(data[:HEAD_BYTES], name)
    if kind is None:
        raise MediaError(f"not a photo in a known format ({', '.join(PHOTO_FORMATS)})")
    return kind


def is_big(data: bytes, name: str) -> bool:
    """Say, from its header, whether decoding a photo takes hundreds of megabytes; False where that is unknown.

    What is decoded at a fraction of its size does not, nor does a RAW file: its preview is taken, or half its pixels.
    """
    with contextlib.suppress(Exception):
        kind = check_photo(data, name)
        if kind == "RAW" or (kind == "JPEG" and _in_one_scan(data)):
            return False
        with _opened(data, kind) as (image, _):
            return image.size[0] * image.size[1] > BIG_PIXELS
    return False


def decode_photo(
    data: bytes, name: str, want: ImageInput, preview: int = 0, salvage: bool = False, tiles: Level = "none"
) -> Photo:
    """Decode a photo once, into the square that an encoder wants, a preview, and squares of its parts.

    preview: longer side in px of an upright WebP, never larger than the photo; 0 makes none. salvage: take what
    there is of a photo that is cut short; only in a process that decodes nothing else meanwhile, since Pillow's
    switch for it is global. tiles: which photos are to be cut up, see `media.tiles.boxes`. Raises MediaError with the
    reason.
    """
    try:
        return _decode(data, name, want, preview, tiles)
    except MediaError as error:
        # Of a HEIF it would make a black picture.
        if not salvage or str(error) != CUT_SHORT or check_photo(data, name) == "HEIF":
            raise
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        return replace(_decode(data, name, want, preview, "none"), damaged=True)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def decode_preview(preview: bytes, want: ImageInput, least: int = 0) -> Pixels:
    """Return a stored preview's pixels for an encoder, shape (want.size, want.size, 3).

    Raises MediaError, also where its longer side is less than `least` px.
    """
    with _loaded(preview, "", want) as photo:
        if max(photo.size) < least:
            raise MediaError(f"it has less than {least} px")
        return square(photo.shrunk(want), want)


def thumbnail(data: bytes, name: str, size: int) -> bytes:
    """Return the photo as an upright WebP whose longer side is at most `size` px; raises MediaError."""
    with _loaded(data, name, ImageInput(size, Fit.LETTERBOX)) as photo:
        return photo.preview(size)


def _decode(data: bytes, name: str, want: ImageInput, preview: int, tiles: Level) -> Photo:
    with _loaded(data, name, want, preview, tiles) as photo:
        small = photo.shrunk(want)
        if ImageFile.LOAD_TRUNCATED_IMAGES and small.getcolors(1):  # of one colour
            raise MediaError(CUT_SHORT)
        shown = photo.preview(preview) if preview else None
        parts = tuple((box, square(photo.tile(box, want), want)) for box in boxes(*photo.size, tiles, want.size))
        middle = photo.middle_frame(want)
        frames = [small] if middle is None else [small, middle]
        return Photo(tuple(square(frame, want) for frame in frames), photo.size, shown, tiles=parts)


@dataclass(frozen=True)
class _Loaded:
    """A photo whose pixels are there, perhaps at a fraction of its size.

    pixels: as `plain` returns them; profile: ICC; orientation: EXIF's, of `pixels`; size: upright, of the original.
    """

    image: Image.Image
    pixels: Image.Image
    profile: bytes | None
    orientation: int
    size: tuple[int, int]

    def shrunk(self, want: ImageInput, gap: float = 3.0) -> Image.Image:
        return shrunk(self.pixels, want, self.profile, self.orientation, gap)

    def tile(self, box: Box, want: ImageInput) -> Image.Image:
        """Return a part of the upright photo, shrunk."""
        width, height = self.pixels.size
        left, top, right, bottom = stored(box, self.orientation)
        part = self.pixels.crop(
            (round(left * width), round(top * height), round(right * width), round(bottom * height))
        )
        return shrunk(part, want, self.profile, self.orientation)

    def preview(self, size: int) -> bytes:
        return webp(self.pixels, size, self.profile, self.orientation)

    def middle_frame(self, want: ImageInput) -> Image.Image | None:
        """Go on to the middle of an animation of more than two frames; a broken frame there costs only itself."""
        try:
            count = getattr(self.image, "n_frames", 1) if self.image.format in _ANIMATED else 1
            if count <= 2:
                return None
            within = MIDDLE_PIXELS_AT_MOST // (self.image.size[0] * self.image.size[1])
            self.image.seek(min(count // 2, MIDDLE_FRAME_AT_MOST, within))
            self.image.load()
            return shrunk(plain(self.image), want, self.profile, self.orientation)
        except MemoryError:
            raise
        except Exception:
            return None


@contextlib.contextmanager
def _loaded(data: bytes, name: str, want: ImageInput, preview: int = 0, tiles: Level = "none") -> Iterator[_Loaded]:
    """Decode a photo, large enough for what is wanted of it, and name every failure of the decoder."""
    kind = check_photo(data, name)
    try:
        with _opened(data, kind) as (image, raw):
            full = image.size
            if image.format in _JPEG:  # a HEIF's draft would be its thumbnail
                part = _draft(full, want, preview, tiles)
                image.draft("RGB", (max(1, int(full[0] * part)), max(1, int(full[1] * part))))
            image.load()
            if image.format == "TIFF":
                full = image.size  # Pillow turns it upright while it loads it
            orientation = raw.orientation if raw else _orientation(image)
            size = raw.size if raw else (full[1], full[0]) if orientation >= 5 else full
            profile = image.info.get("icc_profile") or named_profile(image.info.get("nclx_profile"))
            yield _Loaded(image, plain(image), profile, orientation, size)
    except MediaError:
        raise
    except Exception as error:  # a decoder fed with rubbish may raise anything
        raise _named(error) from error


def _draft(full: tuple[int, int], want: ImageInput, preview: int, tiles: Level) -> float:
    """Return the share of its size, 0..1, that a JPEG is decoded at: enough for the whole, the preview, the tiles.

    The decoder takes the next larger of 1, 1/2, 1/4, 1/8. Tiles alone never have it keep more than BIG_PIXELS, and do
    with fewer of their own.
    """
    side = max if want.fit is Fit.LETTERBOX else min
    share = max(DRAFT_FACTOR * want.size, DRAFT_MINIMUM, preview) / side(full)
    if cut := boxes(*full, tiles, want.size):  # lying or upright, they are of one size
        left, top, right, bottom = cut[0]
        detail = DRAFT_FACTOR * want.size / side((right - left) * full[0], (bottom - top) * full[1])
        share = max(share, min(detail, math.sqrt(BIG_PIXELS / (full[0] * full[1])) / 2))
    return min(1.0, share)


@contextlib.contextmanager
def _opened(data: bytes, kind: str) -> Iterator[tuple[Image.Image, Shown | None]]:
    """Open a photo's header and hold it to the limits; of a RAW photo, open what there is to see."""
    raw = show_raw(data, MEGAPIXELS_COSTLY) if kind == "RAW" else None
    if raw:
        if not isinstance(raw.picture, bytes):
            yield Image.fromarray(raw.picture), raw
            return
        data, kind = raw.picture, "JPEG"
    elif kind == "RAW":  # the name of a RAW file, but LibRaw does not know it: perhaps a plain TIFF
        kind = sniff(data[:HEAD_BYTES]) or kind
    if kind == "RAW":
        raise MediaError("a RAW photo of an unknown camera, or damaged")
    if kind == "HEIF":
        register_heif()
    with open_header(data, kind) as image:
        _check_size(image, data)
        yield image, raw


def _check_size(image: Image.Image, data: bytes) -> None:
    """Refuse a photo that would not fit into memory, from its header alone."""
    width, height = image.size
    if image.format in _JPEG:
        limit = MEGAPIXELS_DRAFT if _in_one_scan(data) else MEGAPIXELS_WHOLE
    else:
        cheap = image.format in _WHOLE and image.mode in ("1", "L", "P", "RGB", "CMYK")
        limit = MEGAPIXELS_WHOLE if cheap and "transparency" not in image.info else MEGAPIXELS_COSTLY
    if width * height > limit * 1_000_000:
        raise MediaError(f"{width} x {height} pixels are more than the limit of {limit} megapixels")


def _in_one_scan(jpeg: bytes) -> bool:
    """Say whether a JPEG's first scan has all its components; otherwise the decoder keeps them all in memory."""
    components, at = 0, 2
    while at + 9 < len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xDA:  # start of scan
            return components > 0 and jpeg[at + 4] == components
        if marker in (0xC0, 0xC1):  # start of a sequential frame
            components = jpeg[at + 9]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return False


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none or the EXIF is damaged (after load: PNG has it last)."""
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata must not cost the photo
        return 1
    return orientation if orientation in range(1, 9) else 1


def _named(error: Exception) -> MediaError:
    """Say in a person's words why a decoder failed."""
    text = " ".join(str(error).split()) or type(error).__name__
    said = text.lower()
    if isinstance(error, MemoryError) or any(words in said for words in _SAYS_NO_MEMORY):
        return TemporaryMediaError("not enough memory to decode it")
    if isinstance(error, EOFError) or any(words in said for words in _SAYS_CUT_SHORT):
        return MediaError(CUT_SHORT)
    if isinstance(error, Image.DecompressionBombError):
        return MediaError(f"a picture in it is larger than the limit of {MAX_GROWN_PIXELS // 1_000_000} megapixels")
    if "max_text_" in said:
        return MediaError(f"the text in it unpacks to more than {MAX_TEXT >> 20} MB")
    if "decoder error -" in said:  # libtiff says what is wrong to nobody
        return MediaError("damaged: its pixels cannot be decoded")
    return MediaError(f"damaged: {text}")
