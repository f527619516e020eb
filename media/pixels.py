"""Bring decoded pixels into sRGB, over white, upright, and to the square that an encoder wants."""

import io

import numpy as np
from PIL import Image, ImageCms, ImageOps

from core.types import Fit, ImageInput, Interpolation, Pixels

WHITE = (255, 255, 255)
TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a photo upright, by its EXIF orientation; from 5 on width and height change places."""
_FILTERS = {
    Interpolation.BICUBIC: Image.Resampling.BICUBIC,
    Interpolation.BILINEAR: Image.Resampling.BILINEAR,
}
_WEBP = {"quality": 80, "method": 1}
"""About 30 KB at 512 px. Method 4, Pillow's own choice, takes 12 ms more to save 4 KB (docs/formats.md)."""
_PREVIEW_GAP = 2.0
"""Of `shrunk`: WebP hides what its 3 would bring, and that is slow for photos which were decoded whole."""
_SRGB = ImageCms.createProfile("sRGB")


def shrunk(
    image: Image.Image, want: ImageInput, profile: bytes | None, orientation: int, gap: float = 3.0
) -> Image.Image:
    """Shrink (or grow) to the square that is wanted, or to that longer side for a letterbox; upright RGB over white.

    image: as `plain` returns it; profile: its ICC profile; orientation: EXIF's; gap: how many times the size wanted
    is left to the filter, what lies above is averaged. Shrinking comes first: it makes turning and colour work cheap.
    """
    size, part = _target(image.size, want.fit, want.size)
    small = image.resize(size, _FILTERS[want.interpolation], part, reducing_gap=gap)
    small = _srgb(small, profile)
    turn = TRANSPOSE.get(orientation)
    return _over_white(small if turn is None else small.transpose(turn))


def square(image: Image.Image, want: ImageInput) -> Pixels:
    """Return the pixels of what `shrunk` returned, shape (want.size, want.size, 3), with the letterbox's margin."""
    if want.fit is Fit.LETTERBOX:
        image = ImageOps.pad(image, (want.size, want.size), color=(want.margin,) * 3)
    return np.asarray(image, dtype=np.uint8)


def webp(image: Image.Image, size: int, profile: bytes | None, orientation: int) -> bytes:
    """Return an upright WebP whose longer side is at most `size` px, never larger than the image."""
    out = io.BytesIO()
    wanted = ImageInput(min(size, max(image.size)), Fit.LETTERBOX)
    shrunk(image, wanted, profile, orientation, _PREVIEW_GAP).save(out, "WEBP", **_WEBP)
    return out.getvalue()


def plain(image: Image.Image) -> Image.Image:
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


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert from the photo's own colours (Display-P3, Adobe RGB, a printer's CMYK); a broken profile is ignored."""
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(own):
            return image
        alpha = image.getchannel("A") if image.mode == "RGBA" else None
        opaque = image.convert("RGB") if alpha else image
        turned = ImageCms.profileToProfile(opaque, own, _SRGB, outputMode="RGB")
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
