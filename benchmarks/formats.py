"""Decode a sample of every format and of every trap, and write down what came out.

    python benchmarks/formats.py [--time]

Writes docs/formats.md. The samples are those of the tests (tests/samples.py), made on the spot; what the table says
of a format was found out by decoding one. --time adds CPU milliseconds for 12 megapixels (a minute more).
"""

import argparse
import datetime
import io
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from core.errors import MediaError
from core.resources import data_path
from core.types import Fit, ImageInput, Pixels
from media import photo
from media.heif import _display_p3
from media.kinds import EXTENSIONS
from media.photo import Photo, decode_photo, decode_preview
from tests import samples
from tests.samples import animated, dng, preview_page, saved, scene, with_orientation

WANT = ImageInput(224, Fit.LETTERBOX)
SQUASH = ImageInput(16, Fit.SQUASH)
PAGE = Path(__file__).resolve().parent.parent / "docs" / "formats.md"
TOLD_BY = {
    "JPEG": "its first bytes",
    "PNG": "its first bytes",
    "WEBP": "its first bytes",
    "GIF": "its first bytes",
    "TIFF": "its first bytes",
    "BMP": "its first bytes",
    "AVIF": "its brands",
    "HEIF": "its main brand",
    "RAW": "its first bytes; where they are a TIFF's, its name",
}
DECODERS = {
    "JPEG": "Pillow, at a fraction of the size",
    "HEIF": "libheif and libde265 (pillow_heif)",
    "RAW": "the camera's preview from 256 px; else LibRaw (rawpy) at half size",
}
INTRODUCTION = """# Formats

    python benchmarks/formats.py{options}

Written on {date} by that command, with Pillow {pillow} (libjpeg-turbo {jpeg}, libwebp {webp}, libavif {avif}),
pillow_heif {heif} (libheif {libheif}), rawpy {rawpy} (LibRaw {libraw}), Python {python}. The samples are made on the
spot by `tests/samples.py`, and what a row says of frames, alpha, colour, orientation and damage is what came out of
decoding them. RAW is tried with synthetic DNGs only: no camera's files were at hand.

A photo comes out upright, in sRGB, over white. Of an animation of more than two frames the first and the middle one
are encoded, and a preview (WebP, 512 px) comes from the same decode. Content decides, whatever the name; what is not
in this table stays shut.
"""

PREVIEWS = """A preview of 512 px, from a JPEG of 4096 x 3072 decoded at two sizes and saved as WebP in two ways; PSNR
against a full decode, bicubic. What twice the size brings is lost in WebP, and method 4 (Pillow's own choice) saves a
sixth of the bytes for the time of a third of a photo: so 512 and 1."""


def colour(pixels: Pixels) -> list[int]:
    return [int(value) for value in pixels[len(pixels) // 2, len(pixels) // 2]]


def sample(kind: str, image: Image.Image, **options: Any) -> bytes:
    return dng(image) if kind == "RAW" else saved(image, kind, **options)


def decoded(kind: str, data: bytes) -> Photo:
    return decode_photo(data, "a.dng" if kind == "RAW" else "a", SQUASH)


def frames(kind: str) -> str:
    if kind in ("BMP", "RAW"):
        return "one"
    count = len(decoded(kind, animated("MPO" if kind == "JPEG" else kind, 12)).frames)
    return "first and middle" if count == 2 else "first" if kind != "HEIF" else "the primary one"


def alpha(kind: str) -> str:
    if kind in ("JPEG", "RAW", "BMP"):
        return "none"
    clear = saved(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), kind)
    return "over white" if min(colour(decoded(kind, clear).frames[0])) > 250 else "ignored"


def profile(kind: str) -> str:
    if kind == "RAW":
        return "LibRaw's matrix"
    wide = saved(Image.new("RGB", (64, 64), (200, 100, 50)), kind, icc_profile=_display_p3())
    found = "ICC" if abs(colour(decoded(kind, wide).frames[0])[0] - 215) < 4 else "none"
    if kind == "HEIF":
        named = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6}
        wide = saved(Image.new("RGB", (64, 64), (200, 100, 50)), kind, **named)
        found += ", P3 by number" if abs(colour(decoded(kind, wide).frames[0])[0] - 215) < 4 else ""
    return found


def orientation(kind: str) -> str:
    if kind in ("GIF", "BMP"):
        return "none"
    upright = decoded("PNG", saved(scene(), "PNG")).frames[0].astype(int)
    right = 0
    for turn, stored in samples.STORED.items():
        if kind == "RAW":
            image = scene((960, 640))
            data = dng(image if stored is None else image.transpose(stored), orientation=turn)
        else:
            data = with_orientation(scene(), kind, turn)
        right += bool(np.abs(decoded(kind, data).frames[0] - upright).mean() < 4)
    return f"{right} of 8"


def limit(kind: str) -> str:
    if kind == "JPEG":
        return f"{photo.MEGAPIXELS_DRAFT:,}; in several scans {photo.MEGAPIXELS_WHOLE}"
    if kind == "RAW":
        return f"{photo.MEGAPIXELS_COSTLY} without a preview"
    if kind in ("AVIF", "HEIF", "WEBP"):
        return str(photo.MEGAPIXELS_COSTLY)
    return f"{photo.MEGAPIXELS_WHOLE}; with alpha or 16 bits {photo.MEGAPIXELS_COSTLY}"


def left_when_cut(kind: str) -> str:
    whole = sample(kind, samples.noise((400, 300)))
    try:
        decode_photo(whole[: len(whole) // 2], "a.dng" if kind == "RAW" else "a", SQUASH, salvage=True)
    except MediaError as error:
        return str(error)
    return "salvaged"


def traps() -> Iterator[tuple[str, Callable[[], bytes], str]]:
    """Yield what is odd about a sample, how to make it, and its name."""
    large, small = scene((960, 640)), scene((480, 320))
    yield "JPEG in CMYK, inverted", lambda: saved(Image.new("CMYK", (96, 64), (0, 255, 255, 0)), "JPEG"), "a.jpg"
    yield "progressive JPEG", lambda: saved(scene(), "JPEG", progressive=True), "a.jpg"
    yield "panorama of 500 megapixels", lambda: samples.grey_jpeg(50_000, 10_000), "a.jpg"
    yield "the same, progressive", lambda: samples.jpeg_claiming(50_000, 10_000, progressive=True), "a.jpg"
    yield "PNG of 900 megapixels in 113 KB", lambda: samples.png(30_000, 30_000, 1, 0, bytes(3751 * 30_000)), "a.png"
    yield "16 bit grey PNG", lambda: saved(Image.new("I;16", (64, 64), 73 * 257), "PNG"), "a.png"
    yield "TIFF of floats in three colours", lambda: samples.float_tiff(), "a.tif"
    yield "HEIC in tiles of 512 px", lambda: saved(large, "HEIF", tile_size=512), "a.heic"
    yield "DNG with a JPEG preview", lambda: dng(large, preview=preview_page(small, jpeg=True)), "a.dng"
    yield "DNG with an RGB preview", lambda: dng(large, preview=preview_page(small, jpeg=False)), "a.dng"
    yield "DNG without a preview", lambda: dng(large), "a.dng"
    yield "DNG, linear, 16 bit", lambda: dng(large, linear=True), "a.dng"
    yield "DNG cut behind its preview", lambda: dng(large, preview=preview_page(small, jpeg=True))[:60_000], "a.dng"
    yield "TIFF named .nef", lambda: saved(scene(), "TIFF"), "a.nef"
    yield "PNG named .jpg", lambda: saved(scene(), "PNG"), "a.jpg"
    yield "JPEG of which half is there", lambda: saved(samples.noise(), "JPEG")[:12_000], "a.jpg"
    yield "JPEG cut in its header", lambda: saved(scene(), "JPEG")[:100], "a.jpg"
    yield "EPS named .jpg", lambda: saved(scene(), "EPS"), "a.jpg"
    yield "text named .jpg", lambda: b"Dear diary", "a.jpg"


def outcome(make: Callable[[], bytes], name: str) -> str:
    try:
        found = decode_photo(make(), name, WANT, preview=512, salvage=True)
    except MediaError as error:
        return f"refused: {error}"
    return f"{found.size[0]} x {found.size[1]}" + (", damaged" if found.damaged else "")


def cpu(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the least CPU milliseconds of this process."""
    best = float("inf")
    for _ in range(repeats):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return best * 1000


def photograph() -> Image.Image:
    """Return 12 megapixels that cost a decoder what a phone's do."""
    with Image.open(data_path("demo", "coffee.png")) as image:
        large = np.asarray(image.convert("RGB").resize((4032, 3024), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = np.random.default_rng(0).normal(0, 6, (3024, 4032, 1)).astype(np.int16)
    return Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8))


def times() -> Iterator[str]:
    image = photograph()
    preview = preview_page(image, jpeg=True)
    twelve: dict[str, Callable[[], bytes]] = {
        "JPEG": lambda: saved(image, "JPEG", quality=90, subsampling=2),
        "JPEG, progressive": lambda: saved(image, "JPEG", quality=90, subsampling=2, progressive=True),
        "PNG": lambda: saved(image, "PNG", compress_level=6),
        "WEBP": lambda: saved(image, "WEBP", lossless=False, quality=80, method=2),
        "GIF": lambda: saved(image, "GIF"),
        "TIFF, LZW": lambda: saved(image, "TIFF", compression="tiff_lzw"),
        "BMP": lambda: saved(image, "BMP"),
        "AVIF": lambda: saved(image, "AVIF", quality=60, speed=9, subsampling="4:2:0"),
        "HEIF": lambda: saved(image, "HEIF", quality=60, chroma=420, enc_params={"preset": "ultrafast"}),
        "RAW, JPEG preview of full size": lambda: dng(image, preview=preview),
        "RAW, no preview": lambda: dng(image),
        "RAW, linear, no preview": lambda: dng(image, linear=True),
    }
    for name, make in twelve.items():
        data = make()
        file = "a.dng" if name.startswith("RAW") else "a"
        alone, both = (cpu(partial(decode_photo, data, file, WANT, size)) for size in (0, 512))
        kept = decode_photo(data, file, WANT, preview=512).preview or b""
        again = cpu(partial(decode_preview, kept, WANT))
        yield f"| {name} | {len(data) / 1e6:.1f} | {alone:.0f} | {both:.0f} | {len(kept) / 1000:.0f} | {again:.1f} |"


def psnr(a: Image.Image, b: Image.Image) -> float:
    return float(10 * np.log10(255**2 / np.square(np.asarray(a, float) - np.asarray(b, float)).mean()))


def preview_choices() -> Iterator[str]:
    """Yield rows: from what size of a JPEG, and how, a preview is made; against a full decode, bicubic, unsaved."""
    image = photograph().resize((4096, 3072), Image.Resampling.BICUBIC)
    data = saved(image, "JPEG", quality=90, subsampling=2)
    with Image.open(io.BytesIO(data)) as whole:
        ideal = whole.convert("RGB").resize((512, 384), Image.Resampling.BICUBIC)

    def drafted(width: int) -> Image.Image:
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft("RGB", (width, width * 3 // 4))
            return opened.convert("RGB").resize((512, 384), Image.Resampling.BICUBIC)

    for width in (512, 1024):
        decode = cpu(partial(drafted, width))
        for method in (1, 4):
            small = drafted(width)
            out = saved(small, "WEBP", lossless=False, quality=80, method=method)
            encode = cpu(partial(saved, small, "WEBP", lossless=False, quality=80, method=method))
            with Image.open(io.BytesIO(out)) as shown:
                after = psnr(shown.convert("RGB"), ideal)
            yield (
                f"| {width} | {method} | {decode:.0f} | {encode:.0f} | {psnr(small, ideal):.1f} | {after:.1f} "
                f"| {len(out) / 1000:.0f} |"
            )


def table(*columns: str) -> list[str]:
    return ["", "| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]


def introduction(timed: bool) -> str:
    import pillow_heif
    import rawpy

    return INTRODUCTION.format(
        options=" --time" if timed else "",
        date=datetime.datetime.now(datetime.UTC).date(),
        pillow=features.version("pil"),
        jpeg=features.version("libjpeg_turbo"),
        webp=features.version("webp"),
        avif=features.version("avif"),
        heif=pillow_heif.__version__,
        libheif=pillow_heif.libheif_info()["libheif"],
        rawpy=rawpy.__version__,
        libraw=".".join(map(str, rawpy.libraw_version)),
        python=platform.python_version(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time", action="store_true")
    timed = parser.parse_args().time
    lines = [introduction(timed).rstrip()]
    lines += table(
        "format", "names", "told by", "decoder", "frames", "alpha", "colour", "orientation", "megapixels",
        "half of the file",
    )  # fmt: skip
    for kind, names in EXTENSIONS.items():
        cells = [
            kind, " ".join(names), TOLD_BY[kind], DECODERS.get(kind, "Pillow"), frames(kind), alpha(kind),
            profile(kind), orientation(kind), limit(kind), left_when_cut(kind),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "## Traps", *table("sample", "decoded, in a process that may salvage")]
    lines += [f"| {odd} | {outcome(make, name)} |" for odd, make, name in traps()]
    if timed:
        lines += [
            "",
            "## Time",
            "",
            f"12 megapixels, one of {os.cpu_count()} processors (shared with others), CPU ms.",
        ]
        lines += table("", "MB", "pixels for the encoder", "and a preview", "its KB", "pixels from the preview")
        lines += times()
        lines += ["", PREVIEWS]
        lines += table("decoded at, px", "WebP method", "decode ms", "save ms", "dB before", "dB after", "KB")
        lines += preview_choices()
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
