"""Decode photos: upright, in sRGB values, alpha over white, at the size that an encoder wants."""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms, ImageOps

from core.errors import MediaError, TemporaryMediaError
from core.types import Fit, ImageInput, Interpolation, Pixels
from media.kinds import HEAD_BYTES, LATER_EXTENSIONS, PHOTO_FORMATS, extension, sniff

# Pillow's own limit (179 megapixels) refuses phone photos of 200; ours below depend on the format.
Image.MAX_IMAGE_PIXELS = None
# Its remarks on odd metadata are for programmers; set once, since catch_warnings is not safe with threads.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
MEGAPIXELS_DRAFT = 2_000
"""Limit for JPEGs in one scan, which are decoded at a fraction of their size as they are read."""
MEGAPIXELS_WHOLE = 200
"""Limit for opaque 8-bit photos that have to be decoded whole: 4 bytes a pixel."""
MEGAPIXELS_COSTLY = 80
"""Limit for those that take up to 12: transparency, 16 bits, JPEGs in several scans."""

DRAFT_FACTOR = 2
DRAFT_MINIMUM = 512
"""A JPEG is decoded at 2x the size wanted and never below 512 px: the DCT's own scaling is coarse."""

WHITE = (255, 255, 255)
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FILTERS = {
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
}
_KEEPS_SIDES = {Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM}
_ORIENTATION = 0x0112
_SRGB = ImageCms.createProfile("sRGB")
_JPEG = ("JPEG", "MPO")
"""An MPO is a JPEG with further ones behind it: depth, or the other eye."""

_BIG_PIXELS = 24_000_000
_one_big_photo = threading.Lock()
"""Photos above _BIG_PIXELS decoded pixels take turns, so that memory does not grow with the threads."""


def check_photo(data: bytes, name: str) -> str:
    """Return the format of a photo's bytes; `name` only serves for the reason in the MediaError."""
    kind = sniff(data[:HEAD_BYTES])
    if kind is None or kind == "TIFF":
        later = LATER_EXTENSIONS.get(extension(name))
        if later:
            raise MediaError(later)
    if kind is None:
        raise MediaError(f"not a photo in a known format ({', '.join(PHOTO_FORMATS)})")
    return kind


def decode_photo(data: bytes, name: str, want: ImageInput) -> tuple[Pixels, tuple[int, int]]:
    """Decode a photo into the square that an encoder wants.

    Returns the pixels, shape (want.size, want.size, 3), and the (width, height) of the upright photo.
    Raises MediaError with the reason.
    """
    with _opened(data, name) as image:
        small, full_size = _shrunk(image, want)
    if want.fit is Fit.LETTERBOX:
        small = ImageOps.pad(small, (want.size, want.size), color=(want.margin,) * 3)
    return np.asarray(small, dtype=np.uint8), full_size


def thumbnail(data: bytes, name: str, size: int) -> bytes:
    """Return the photo as a WebP whose longer side is at most `size` px; raises MediaError."""
    with _opened(data, name) as image:
        small, _ = _shrunk(image, ImageInput(min(size, max(image.size)), Fit.LETTERBOX))
        out = io.BytesIO()
        small.save(out, "WEBP", quality=80)
    return out.getvalue()


@contextlib.contextmanager
def _opened(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open a photo's header, hold it to the limits, and name every failure of the decoder."""
    check_photo(data, name)
    try:
        with Image.open(io.BytesIO(data), formats=PHOTO_FORMATS) as image:
            _check_size(image, data)
            yield image
    except MediaError:
        raise
    except MemoryError as error:
        raise TemporaryMediaError("not enough memory to decode it") from error
    except Exception as error:  # a decoder fed with rubbish may raise anything
        raise MediaError(_reason(error)) from error


def _check_size(image: Image.Image, data: bytes) -> None:
    """Refuse a photo that would not fit into memory, from its header alone."""
    width, height = image.size
    if image.format in _JPEG:
        limit = MEGAPIXELS_DRAFT if _in_one_scan(data) else MEGAPIXELS_COSTLY
    else:
        cheap = image.mode in ("1", "L", "P", "RGB", "CMYK") and "transparency" not in image.info
        limit = MEGAPIXELS_WHOLE if cheap else MEGAPIXELS_COSTLY
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


def _shrunk(image: Image.Image, want: ImageInput) -> tuple[Image.Image, tuple[int, int]]:
    """Shrink (or grow) to the square that is wanted, or to that longer side for a letterbox; upright, over white.

    Shrinking comes first: it makes turning and colour work cheap. Returns also the upright size of the original.
    """
    full = image.size
    side = max(full) if want.fit is Fit.LETTERBOX else min(full)
    draft = min(1.0, max(DRAFT_FACTOR * want.size, DRAFT_MINIMUM) / side)
    image.draft("RGB", (max(1, int(full[0] * draft)), max(1, int(full[1] * draft))))
    with _one_big_photo if image.size[0] * image.size[1] > _BIG_PIXELS else contextlib.nullcontext():
        image.load()
        if image.format not in _JPEG:
            full = image.size  # Pillow turns a TIFF upright while it loads it
        size, part = _target(image.size, want.fit, want.size)
        small = _plain(image).resize(size, _FILTERS[want.interpolation], part, reducing_gap=3.0)
    small = _srgb(small, image.info.get("icc_profile"))
    turn = _TRANSPOSE.get(_orientation(image))
    if turn is not None:
        small = small.transpose(turn)
    swapped = turn is not None and turn not in _KEEPS_SIDES
    return _over_white(small), (full[1], full[0]) if swapped else full


def _target(
    size: tuple[int, int], fit: Fit, wanted: int
) -> tuple[tuple[int, int], tuple[float, float, float, float] | None]:
    """Return the size to shrink to, and the part (left, top, right, bottom) of the photo to take, None for all."""
    width, height = size
    if fit is Fit.LETTERBOX:
        scale = wanted / max(size)
        return (max(1, round(width * scale)), max(1, round(height * scale))), None
    if fit is Fit.SQUASH:
        return (wanted, wanted), None
    # As torchvision does it, to the pixel: shrink the short side to `wanted`, then cut whole pixels off the long one.
    whole = [wanted if side == min(size) else int(wanted * side / min(size)) for side in size]
    left, top = (round((shrunk - wanted) / 2) * side / shrunk for shrunk, side in zip(whole, size, strict=True))
    across, down = (wanted * side / shrunk for shrunk, side in zip(whole, size, strict=True))
    return (wanted, wanted), (left, top, min(left + across, width), min(top + down, height))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 where there is none or the EXIF is damaged (after load: PNG has it last)."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata must not cost the photo
        return 1


def _plain(image: Image.Image) -> Image.Image:
    """Return the image in a mode that can be resized: L, RGB, LA, RGBA, or CMYK, whose profile comes later."""
    if image.mode in ("1", "L", "RGB") and "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("L", "RGB", "LA", "RGBA", "CMYK"):
        return image
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    if image.mode.startswith(("I", "F")):
        # convert("L") would clip 16 bits to white. In place: these are large.
        values = np.array(image, dtype=np.float32)
        np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
        values *= 255.0 / (65535.0 if image.mode.startswith("I") else max(float(values.max()), 1.0))
        return Image.fromarray(values.clip(0, 255, out=values).astype(np.uint8))
    return image.convert("L" if image.mode == "1" else "RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from the photo's own colours (Display-P3, Adobe RGB, a printer's CMYK); a broken profile is ignored."""
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(own):
            return image
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        plain = image.convert("RGB") if alpha else image
        turned = ImageCms.profileToProfile(plain, own, _SRGB, outputMode="RGB")
        if turned is not None and alpha:
            turned.putalpha(alpha)
        return turned or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _over_white(image: Image.Image) -> Image.Image:
    """Return RGB, with what shows through filled white, as on paper."""
    if image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, (*WHITE, 255))
        image = Image.alpha_composite(paper, image)
    return image.convert("RGB")


def _reason(error: Exception) -> str:
    """Say in a person's words why a decoder failed."""
    text = str(error).strip() or type(error).__name__
    if "truncated" in text.lower() or "premature" in text.lower() or isinstance(error, EOFError):
        return "the file is cut short"
    if "cannot identify image file" in text:
        return "damaged: its header cannot be read"
    return f"damaged: {' '.join(text.split())}"
