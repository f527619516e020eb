"""Decoding: whatever the format and however odd, upright, over white, square; or one clear reason."""

import io
import random
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from core.errors import MediaError
from core.types import Fit, ImageInput, Pixels
from media.photo import Photo, check_photo, decode_photo, thumbnail
from tests.conftest import DEMO, ROOT
from tests.samples import (
    BLACK,
    BLUE,
    GREEN,
    OPTIONS,
    RED,
    STORED,
    WHITE,
    T,
    chunk,
    jpeg_claiming,
    noise,
    png,
    saved,
    scene,
    with_orientation,
)

# The product ignores Pillow's remarks itself, but pytest's "error" comes before what a module sets.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

FORMATS = [*OPTIONS]
LETTERBOX = ImageInput(64, Fit.LETTERBOX)
FITS = [ImageInput(64, fit) for fit in Fit]


def both(photo: Photo) -> tuple[Pixels, tuple[int, int]]:
    return photo.frames[0], photo.size


def decoded(data: bytes, want: ImageInput = LETTERBOX) -> Pixels:
    return decode_photo(data, "photo", want).frames[0]


def far(a: Pixels, b: Pixels) -> float:
    """Return the mean difference in grey levels."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def psnr(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b.astype(float)).mean()))


def reason(data: bytes, name: str = "photo.jpg") -> str:
    """Return the reason why a photo is refused, which is one printable line without a path."""
    with pytest.raises(MediaError) as caught:
        decode_photo(data, name, LETTERBOX)
    with pytest.raises(MediaError):
        thumbnail(data, name, 64)
    text = str(caught.value)
    assert text.isprintable()
    assert 5 < len(text) < 200
    assert name not in text
    assert " object at 0x" not in text
    return text


# --- formats


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.TIF", "a.txt", "no extension", ".hidden"])
@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_decides_whatever_the_name(kind: str, name: str) -> None:
    pixels, size = both(decode_photo(saved(scene(), kind), name, LETTERBOX))
    assert size == (96, 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert far(pixels, decoded(saved(scene(), "PNG"))) < 3


@pytest.mark.parametrize("name", ["a.heic", "a.dng"])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_under_the_name_of_another_format_is_read(kind: str, name: str) -> None:
    assert decode_photo(saved(scene(), kind), name, LETTERBOX).size == (96, 64)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_is_told_by_its_first_bytes(kind: str) -> None:
    assert check_photo(saved(scene(), kind), "x") == kind


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"hello, I am a letter\n" * 9,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"8BPS\0\1" + bytes(99),
        b"PK\3\4" + bytes(99),
        b"BM, said the letter, is how a bitmap begins",
    ],
    ids=lambda data: repr(data[:8]),
)
def test_what_is_no_photo_is_refused_before_it_reaches_a_decoder(data: bytes) -> None:
    assert reason(data).startswith("not a photo in a known format")


# --- upright


@pytest.mark.parametrize("want", FITS, ids=lambda want: want.fit)
@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_orientation_gives_the_upright_photo(kind: str, orientation: int, want: ImageInput) -> None:
    pixels, size = both(decode_photo(with_orientation(scene(), kind, orientation), "photo", want))
    assert size == (96, 64)
    assert far(pixels, decoded(saved(scene(), "PNG"), want)) < 3


@pytest.mark.parametrize("orientation", STORED)
def test_a_large_jpeg_is_upright_and_keeps_its_full_size(orientation: int) -> None:
    data = with_orientation(scene((2400, 1600)), "JPEG", orientation)
    pixels, size = both(decode_photo(data, "photo", LETTERBOX))
    assert size == (2400, 1600)
    assert far(pixels, decoded(saved(scene((2400, 1600)), "PNG"))) < 3


def test_an_mpo_keeps_its_full_size() -> None:
    data = saved(scene((2400, 1600)), "MPO", save_all=True, append_images=[noise()])
    pixels, size = both(decode_photo(data, "photo", LETTERBOX))
    assert size == (2400, 1600)
    assert far(pixels, decoded(saved(scene(), "PNG"))) < 4


def exif(*entries: bytes, following: int = 0) -> bytes:
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + struct.pack("<I", following)


DAMAGED_EXIF = {
    "empty": b"",
    "garbage": b"\x13\x37" * 40,
    "cut in its header": b"II*\0",
    "cut in an entry": exif(struct.pack("<HHII", 0x0112, 3, 1, 6))[:14],
    "directory far away": b"II*\0" + struct.pack("<I", 2**31),
    "directory that follows itself": exif(struct.pack("<HHII", 0x0100, 3, 1, 6), following=8),
    "too many entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(60),
    "orientation 0": exif(struct.pack("<HHII", 0x0112, 3, 1, 0)),
    "orientation 9": exif(struct.pack("<HHII", 0x0112, 3, 1, 9)),
    "orientation as words": exif(struct.pack("<HHI4s", 0x0112, 2, 4, b"up!\0")),
    "orientation as three numbers": exif(struct.pack("<HHII", 0x0112, 3, 3, 26), bytes(12)),
    "orientation divided by zero": exif(struct.pack("<HHII", 0x0112, 5, 1, 26)) + bytes(8),
    "orientation of an unknown type": exif(struct.pack("<HHII", 0x0112, 99, 1, 6)),
    "orientation behind the end": exif(struct.pack("<HHII", 0x0112, 5, 1, 2**30)),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("body", DAMAGED_EXIF.values(), ids=DAMAGED_EXIF)
def test_damaged_exif_does_not_cost_the_photo(body: bytes, kind: str) -> None:
    pixels, size = both(decode_photo(saved(scene(), kind, exif=b"Exif\0\0" + body), "photo", LETTERBOX))
    assert size == (96, 64)
    assert far(pixels, decoded(saved(scene(), "PNG"))) < 3


def test_decoders_say_nothing_on_the_terminal(tmp_path: Path) -> None:
    photos = [saved(scene(), "JPEG", exif=b"Exif\0\0" + body) for body in DAMAGED_EXIF.values()]
    photos += [saved(noise(), kind)[:-2000] for kind in FORMATS]
    photos += [saved(noise(), "TIFF", compression=how)[:-2000] for how in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")]
    mpo = saved(scene(), "MPO", save_all=True, append_images=[noise()])
    photos += [mpo.replace(b"MPF\0II*\0", b"MPF\0II*\1", 1), apng_without_frames()]
    for number, data in enumerate(photos):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    code = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from core.errors import MediaError
from core.types import Fit, ImageInput
from media.photo import decode_photo
for path in pathlib.Path(sys.argv[2]).iterdir():
    try:
        decode_photo(path.read_bytes(), path.name, ImageInput(64, Fit.LETTERBOX))
    except MediaError:
        pass
"""
    command = [sys.executable, "-W", "always", "-c", code, str(ROOT), str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


def apng_without_frames() -> bytes:
    return png(8, 8, 8, 0, b"\0" * 72, chunk(b"acTL", struct.pack(">II", 0, 0)))


# --- colour


def half_clear(mode: str) -> Image.Image:
    """Left half black, right half clear (and black below)."""
    image = Image.new(mode, (64, 64), 0)
    alpha = Image.new("L", (64, 64), 0)
    alpha.paste(255, (0, 0, 32, 64))
    image.putalpha(alpha)
    return image


def palette() -> Image.Image:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([*BLACK, *RED])
    image.paste(1, (32, 0, 64, 64))
    return image


def two_tones(mode: str, left: object, right: object) -> Image.Image:
    image = Image.new(mode, (64, 64), left)  # type: ignore[arg-type]
    image.paste(right, (32, 0, 64, 64))  # type: ignore[call-overload]
    return image


SHOWS_THROUGH = {
    "RGBA": saved(half_clear("RGB"), "PNG"),
    "LA": saved(half_clear("L"), "PNG"),
    "RGBA in WebP": saved(half_clear("RGB"), "WEBP"),
    "RGBA in TIFF": saved(half_clear("RGB"), "TIFF"),
    "RGBA in AVIF": saved(half_clear("RGB"), "AVIF"),
    "RGBA in HEIF": saved(half_clear("RGB"), "HEIF"),
    "RGBA in GIF": saved(half_clear("RGB"), "GIF"),
    "P": saved(palette(), "PNG", transparency=1),
    "P with alphas": saved(palette(), "PNG", transparency=b"\xff\0"),
    "P in GIF": saved(palette(), "GIF", transparency=1),
    "RGB with a clear colour": saved(two_tones("RGB", BLACK, RED), "PNG", transparency=RED),
    "L with a clear grey": saved(two_tones("L", 0, 99), "PNG", transparency=99),
}


@pytest.mark.parametrize("data", SHOWS_THROUGH.values(), ids=SHOWS_THROUGH)
def test_what_shows_through_is_white(data: bytes) -> None:
    pixels = decoded(data)
    assert pixels[:, :30].max() <= 5
    assert pixels[:, 34:].min() >= 250


def test_clear_black_in_a_picture_of_one_bit_is_white() -> None:
    rows = (b"\0" + b"\xff" * 4 + bytes(4)) * 64
    assert decoded(png(64, 64, 1, 0, rows)).min() == 0
    assert decoded(png(64, 64, 1, 0, rows, chunk(b"tRNS", b"\0\0"))).min() == 255


def test_half_of_the_light_shows_through_half_clear_black() -> None:
    assert np.unique(decoded(saved(Image.new("RGBA", (64, 64), (0, 0, 0, 128)), "PNG"))).tolist() == [127]


def test_the_colour_under_clear_pixels_does_not_bleed_when_shrunk() -> None:
    image = Image.new("RGBA", (512, 512), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 256, 512))
    pixels = decoded(saved(image, "PNG"))
    assert np.ptp(pixels.astype(int), axis=-1).max() <= 1


def lab() -> Image.Image:
    return Image.merge("LAB", [Image.new("L", (64, 64), value) for value in (255, 128, 128)])


ODD_MODES = {
    "CMYK JPEG": (saved(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG"), RED, 4),
    "CMYK TIFF": (saved(Image.new("CMYK", (64, 64), (255, 0, 255, 0)), "TIFF"), GREEN, 4),
    "YCbCr JPEG": (saved(Image.new("RGB", (64, 64), BLUE), "JPEG"), BLUE, 4),
    "YCbCr TIFF": (saved(Image.new("YCbCr", (64, 64), (255, 128, 128)), "TIFF"), WHITE, 2),
    "grey JPEG": (saved(Image.new("L", (64, 64), 73), "JPEG"), (73,) * 3, 2),
    "1 bit PNG": (saved(Image.new("1", (64, 64), 1), "PNG"), WHITE, 0),
    "1 bit TIFF": (saved(Image.new("1", (64, 64), 1), "TIFF", compression="group4"), WHITE, 0),
    "1 bit BMP": (saved(Image.new("1", (64, 64), 0), "BMP"), BLACK, 0),
    "2 bit PNG": (png(64, 64, 2, 0, (b"\0" + b"\x55" * 16) * 64), (85,) * 3, 0),
    "16 bit grey PNG": (saved(Image.new("I;16", (64, 64), 73 * 257), "PNG"), (73,) * 3, 1),
    "16 bit grey TIFF": (saved(Image.new("I;16", (64, 64), 73 * 257), "TIFF"), (73,) * 3, 1),
    "16 bit grey TIFF, big-endian": (saved(Image.new("I;16B", (64, 64), 73 * 257), "TIFF"), (73,) * 3, 1),
    "32 bit grey TIFF": (saved(Image.new("I", (64, 64), 73 * 257), "TIFF"), (73,) * 3, 1),
    "float TIFF of 0..1": (saved(Image.new("F", (64, 64), 0.5), "TIFF"), (127,) * 3, 1),
    "float TIFF beyond 1": (saved(Image.new("F", (64, 64), 900.0), "TIFF"), WHITE, 0),
    "float TIFF with an infinity": (saved(two_tones("F", float("inf"), float("inf")), "TIFF"), BLACK, 0),
    "float TIFF of nothing": (saved(Image.new("F", (64, 64), float("nan")), "TIFF"), BLACK, 0),
    "16 bit RGB PNG": (png(64, 64, 16, 2, (b"\0" + b"\x49\x49\0\0\xff\xff" * 64) * 64), (73, 0, 255), 1),
    "16 bit RGBA PNG": (png(64, 64, 16, 6, (b"\0" + b"\x49\x49\0\0\0\0\xff\xff" * 64) * 64), (73, 0, 0), 1),
    "16 bit LA PNG": (png(64, 64, 16, 4, (b"\0" + b"\x49\x49\xff\xff" * 64) * 64), (73,) * 3, 1),
    "Lab TIFF": (saved(lab(), "TIFF"), WHITE, 2),
}


@pytest.mark.parametrize(("data", "colour", "tolerance"), ODD_MODES.values(), ids=ODD_MODES)
def test_every_mode_shows_its_colour(data: bytes, colour: tuple[int, int, int], tolerance: int) -> None:
    assert np.abs(decoded(data).astype(int) - colour).max() <= tolerance


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF", "HEIF"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    first, second = Image.new("RGB", (64, 64), RED), Image.new("RGB", (64, 64), BLUE)
    data = saved(first, kind, save_all=True, append_images=[second])
    assert np.abs(decoded(data).astype(int) - RED).max() <= 3


# --- geometry


def panorama(size: tuple[int, int] = (400, 100)) -> Image.Image:
    """Green, with a red left and a blue right end."""
    image = Image.new("RGB", size, GREEN)
    image.paste(RED, (0, 0, size[0] // 10, size[1]))
    image.paste(BLUE, (size[0] * 9 // 10, 0, *size))
    return image


def test_a_letterbox_shows_both_ends_between_white_bars() -> None:
    pixels = decoded(saved(panorama(), "PNG"))
    assert (pixels[:24] == 255).all()
    assert (pixels[40:] == 255).all()
    assert (pixels[24:40, :5] == RED).all()
    assert (pixels[24:40, 10:54] == GREEN).all()
    assert (pixels[24:40, -5:] == BLUE).all()


def test_a_tall_letterbox_has_its_bars_at_the_sides() -> None:
    pixels = decoded(saved(panorama().transpose(T.ROTATE_90), "PNG"))
    assert (pixels[:, :24] == 255).all()
    assert (pixels[:, 40:] == 255).all()
    assert (pixels[-5:, 24:40] == RED).all()


def test_a_squash_shows_both_ends_and_fills_the_square() -> None:
    pixels = decoded(saved(panorama(), "PNG"), ImageInput(64, Fit.SQUASH))
    assert (pixels[:, :5] == RED).all()
    assert (pixels[:, 10:54] == GREEN).all()
    assert (pixels[:, -5:] == BLUE).all()


def test_a_squash_keeps_the_detail_of_the_short_side() -> None:
    stripes = np.zeros((64, 1024, 3), dtype=np.uint8)
    stripes[::2] = 255
    pixels = decoded(saved(Image.fromarray(stripes), "PNG"), ImageInput(64, Fit.SQUASH))
    assert far(pixels, stripes[:, :64]) < 1


def test_a_crop_shows_the_middle_and_fills_the_square() -> None:
    assert (decoded(saved(panorama(), "PNG"), ImageInput(64, Fit.CROP)) == GREEN).all()


def test_a_small_photo_is_enlarged() -> None:
    assert far(decoded(saved(scene((12, 8)), "PNG")), decoded(saved(scene(), "PNG"))) < 6


@pytest.mark.parametrize("want", FITS, ids=lambda want: want.fit)
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (2, 3), (1, 65_000)])
def test_no_photo_is_too_thin(size: tuple[int, int], want: ImageInput) -> None:
    started = time.perf_counter()
    pixels, full = both(decode_photo(saved(Image.new("RGB", size, RED), "PNG"), "thin", want))
    assert full == size
    assert pixels.shape == (64, 64, 3)
    assert (pixels == RED).all(axis=-1).any()
    assert time.perf_counter() - started < 2


# --- JPEG


def test_a_progressive_jpeg_equals_a_baseline_one() -> None:
    with Image.open(DEMO / "cat.png") as cat:
        baseline, progressive = saved(cat, "JPEG"), saved(cat, "JPEG", progressive=True)
    assert far(decoded(baseline), decoded(progressive)) < 0.5


@pytest.mark.parametrize("want", [*FITS, ImageInput(224, Fit.LETTERBOX)], ids=str)
def test_decoding_at_a_fraction_equals_decoding_whole(want: ImageInput) -> None:
    with Image.open(DEMO / "coffee.png") as coffee:
        data = saved(coffee.resize((4000, 3000), Image.Resampling.BICUBIC), "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        whole = image.convert("RGB")
    pixels, size = both(decode_photo(data, "coffee.jpg", want))
    square = {
        Fit.LETTERBOX: lambda: ImageOps.pad(whole, (want.size,) * 2, Image.Resampling.BICUBIC, color=WHITE),
        # as torchvision's Resize and CenterCrop do it: 85 x 64 px, of which 10 on the left and 11 on the right go
        Fit.CROP: lambda: whole.resize((85, 64), Image.Resampling.BICUBIC).crop((10, 0, 74, 64)),
        Fit.SQUASH: lambda: whole.resize((want.size,) * 2, Image.Resampling.BICUBIC),
    }[want.fit]()
    assert size == (4000, 3000)
    assert psnr(pixels, np.asarray(square)) > 40


# --- limits


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (png(30_000, 30_000, 8, 2, b"\0" * 99), "30000 x 30000 pixels are more than the limit of 200 megapixels"),
        (png(2**31 - 1, 2**31 - 1, 1, 0, b"\0"), "megapixels"),
        (jpeg_claiming(20_000, 20_000, progressive=True), "20000 x 20000 pixels are more than the limit of 200"),
        (jpeg_claiming(65_000, 65_000, progressive=False), "65000 x 65000 pixels are more than the limit of 2000"),
        (saved(scene(), "BMP").replace(struct.pack("<ii", 96, 64), struct.pack("<ii", 99_999, 99_999)), "megapixels"),
    ],
    ids=["PNG", "PNG, as large as can be", "progressive JPEG", "JPEG", "BMP"],
)
def test_a_bomb_is_refused_by_its_header(data: bytes, limit: str) -> None:
    started = time.perf_counter()
    assert limit in reason(data)
    assert time.perf_counter() - started < 0.5


def test_200_megapixels_of_a_phone_are_not_too_many() -> None:
    data = saved(Image.new("L", (16_384, 12_288), 99), "JPEG")
    pixels, size = both(decode_photo(data, "phone.jpg", LETTERBOX))
    assert size == (16_384, 12_288)
    assert (pixels[16:48] == 99).all()


# --- damage


@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_photo_that_was_cut_short_is_refused(kind: str, part: float) -> None:
    data = saved(noise(), kind)
    reason(data[: max(16, int(len(data) * part))])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "HEIF"])
def test_the_reason_says_that_a_photo_was_cut_short(kind: str) -> None:
    data = saved(noise(), kind)
    assert reason(data[: len(data) // 2]) == "the file is cut short"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_header_with_nothing_behind_it_is_refused(kind: str) -> None:
    reason(saved(scene(), kind)[:32])
    reason(saved(scene(), kind)[:32] + bytes(1000))


def test_a_name_with_odd_characters_does_not_show_in_the_reason() -> None:
    reason(b"rubbish", "/home/me/a\nb\x1b[31m.jpg")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut out, double or overwrite a few places, mostly in the header."""
    body = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        at = chance.randrange(min(len(body), chance.choice([40, 200, len(body)])))
        length = chance.choice([1, 2, 4, 50])
        match chance.randrange(4):
            case 0:
                body[at] ^= 1 << chance.randrange(8)
            case 1:
                body[at : at + length] = chance.randbytes(length)
            case 2:
                del body[at : at + length]
            case _:
                body[at:at] = body[at : at + length]
        if not body:
            break
    return bytes(body)


SEEDS = {
    **{kind: saved(noise((24, 16)), kind) for kind in FORMATS},
    "oriented JPEG": with_orientation(noise((24, 16)), "JPEG", 6),
    "oriented TIFF": with_orientation(noise((24, 16)), "TIFF", 8),
    "progressive JPEG": saved(noise((24, 16)), "JPEG", progressive=True),
    "MPO": saved(noise((24, 16)), "MPO", save_all=True, append_images=[scene((8, 8))]),
    "LZW TIFF": saved(noise((24, 16)), "TIFF", compression="tiff_lzw"),
    "JPEG TIFF": saved(noise((24, 16)), "TIFF", compression="jpeg"),
    "16 bit TIFF": saved(Image.new("I;16", (24, 16), 999), "TIFF"),
    "float TIFF": saved(Image.new("F", (24, 16), 0.5), "TIFF"),
    "palette PNG": saved(palette().resize((24, 16)), "PNG", transparency=1),
    "animated GIF": saved(scene((24, 16)), "GIF", save_all=True, append_images=[noise((24, 16))] * 3),
    "animated PNG": saved(scene((24, 16)), "PNG", save_all=True, append_images=[noise((24, 16))] * 3),
    "animated WebP": saved(scene((24, 16)), "WEBP", save_all=True, append_images=[noise((24, 16))] * 3),
}


@pytest.mark.parametrize("seed", SEEDS)
def test_rubbish_raises_nothing_but_a_reason(seed: str, capfd: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        data = mutated(SEEDS[seed], chance)
        for use in (lambda d: decode_photo(d, "photo", chance.choice(FITS)), lambda d: thumbnail(d, "photo", 32)):
            try:
                use(data)
            except MediaError as error:
                assert str(error).isprintable()
                assert len(str(error)) < 200
    if "TIFF" not in seed:  # libtiff writes its complaints to the terminal by itself
        assert capfd.readouterr() == ("", "")


def test_threads_do_not_disturb_each_other() -> None:
    photos = [with_orientation(noise(), kind, 6) for kind in ("JPEG", "PNG", "WEBP", "TIFF")] * 8
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(decoded, photos))
    assert all((a == decoded(b)).all() for a, b in zip(together, photos, strict=True))


# --- thumbnails


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_thumbnail_is_an_upright_webp_of_the_size_asked(kind: str, orientation: int) -> None:
    data = thumbnail(with_orientation(scene((960, 640)), kind, orientation), "photo", 96)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size, image.mode) == ("WEBP", (96, 64), "RGB")
        assert dict(image.getexif()) == {}
        assert far(np.asarray(image), np.asarray(scene())) < 8


def test_a_thumbnail_is_never_larger_than_the_photo() -> None:
    with Image.open(io.BytesIO(thumbnail(saved(scene((30, 20)), "PNG"), "photo", 512))) as image:
        assert image.size == (30, 20)


def test_a_thumbnail_lies_on_white() -> None:
    with Image.open(io.BytesIO(thumbnail(saved(half_clear("RGB"), "PNG"), "photo", 64))) as image:
        assert np.asarray(image.convert("RGB"))[:, 40:].min() > 245


def profile_with_red_and_green_exchanged() -> bytes:
    """Return an ICC profile (version 2, matrix) of sRGB's primaries, the first two exchanged."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white, blue = (0.9642, 1.0, 0.8249), (0.1431, 0.0606, 0.7141)
    red, green = (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971)
    name = b"exchanged"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    xyz = {b"wtpt": white, b"rXYZ": green, b"gXYZ": red, b"bXYZ": blue}
    tags = {b"desc": desc + bytes(-len(desc) % 4), **{k: b"XYZ \0\0\0\0" + fixed(*v) for k, v in xyz.items()}}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", offset + len(body), len(value))
        body += value
    size = 128 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ").ljust(36, b"\0")
    return (header + b"acsp").ljust(68, b"\0").ljust(68, b"\0") + fixed(*white) + bytes(48) + table + body


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_of_another_profile_become_srgb(mode: str) -> None:
    out = io.BytesIO()
    Image.new(mode, (64, 64), "red").save(out, "PNG", icc_profile=profile_with_red_and_green_exchanged())
    pixels, _ = both(decode_photo(out.getvalue(), "wide.png", ImageInput(8, Fit.SQUASH)))
    assert np.abs(pixels[4, 4].astype(int) - (0, 255, 0)).max() < 12


def test_a_broken_profile_is_ignored() -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG", icc_profile=b"no profile at all")
    pixels, _ = both(decode_photo(out.getvalue(), "odd.png", ImageInput(8, Fit.SQUASH)))
    assert tuple(pixels[4, 4]) == (255, 0, 0)


def test_a_jpeg_whose_first_scan_lacks_components_is_held_to_the_lower_limit() -> None:
    """The decoder keeps all coefficients of such a file: 735 bytes would take 12 GB."""
    data = bytearray(jpeg_claiming(44_000, 44_000, progressive=False))
    at = data.index(b"\xff\xda") + 4
    data[at] += 1
    assert "more than the limit of 200" in reason(bytes(data))
