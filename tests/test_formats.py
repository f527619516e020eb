"""Every format and every trap: HEIC, RAW, animations, previews, what is cut short, and what stays shut.

Which test holds which trap (the others lie with what they are about):

    EXIF orientation 1 to 8                 test_photo: every_orientation (JPEG PNG WEBP TIFF AVIF HEIF); here: RAW
    animated GIF, WebP, APNG, AVIF          here: of_an_animation, ...
    CMYK JPEG (inverted by Adobe) and TIFF  test_photo: every_mode
    16 bit grey PNG and TIFF                test_photo: every_mode
    16 bit RGB PNG (and TIFF)               test_photo: every_mode; here: sixteen_bits_of_each_colour
    float RGB TIFF                          here: floats_of_each_colour
    palette, tRNS, RGBA, LA                 test_photo: what_shows_through, does_not_bleed
    wide gamut, broken profile              here: wide_colours; test_photo: another_profile, broken_profile
    RAW                                     here: raw_*
    900 megapixel bomb                      here: bomb; test_photo: bomb_is_refused_by_its_header
    500 megapixel panorama                  here: panorama
    truncated JPEG, PNG; HEIC, AVIF         here: cut_short, salvage; test_photo: cut_short
    cut in its header, 0 bytes, text        test_photo: header_with_nothing_behind, no_photo; test_files: empty_file
      ... and not tried again               test_file_life: known_failure
    flipped bits, trailing garbage          here: flipped_bits, garbage_behind; test_photo: rubbish
    PNG named .jpg, no extension            test_photo: content_decides; test_file_life: known_by_its_content
    whitelist of formats                    here: stays_shut
    names that are not UTF-8                test_files: names_need_not_be_utf8; test_file_life: odd_names
    links: loops, to nowhere                test_files: link_to_nowhere, link_to_itself; test_file_life: not_followed
    FIFO, socket, device                    test_files: fifo, socket, device; test_file_life: pipe
    permission, failing disk, vanished      test_files: may_not_be_read, failing_disk, missing_file;
                                            test_file_life: temporary_failure, folder_that_cannot_be_read, empty
"""

import io
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.errors import MediaError, TemporaryMediaError
from core.types import Fit, ImageInput, Pixels
from media import photo
from media.heif import _display_p3
from media.kinds import EXTENSIONS
from media.photo import check_photo, decode_photo, decode_preview, thumbnail
from tests.conftest import DEMO, ROOT
from tests.samples import (
    GREEN,
    OPTIONS,
    RED,
    STORED,
    animated,
    described,
    dng,
    float_tiff,
    frame_colour,
    grey_jpeg,
    jpeg_claiming,
    noise,
    png,
    preview_page,
    saved,
    scene,
    tiff,
    with_orientation,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
SQUASH = ImageInput(16, Fit.SQUASH)
LETTERBOX = ImageInput(64, Fit.LETTERBOX)


def shown(data: bytes, name: str = "photo", want: ImageInput = LETTERBOX) -> Pixels:
    return decode_photo(data, name, want).frames[0]


def far(a: Pixels, b: Pixels) -> float:
    """Return the mean difference in grey levels."""
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def middle(pixels: Pixels) -> list[int]:
    return [int(value) for value in pixels[len(pixels) // 2, len(pixels) // 2]]


def near(pixels: Pixels, colour: tuple[int, ...], tolerance: int = 3) -> bool:
    return max(abs(a - b) for a, b in zip(middle(pixels), colour, strict=True)) <= tolerance


def failure(data: bytes, name: str = "photo", **options: bool) -> str:
    with pytest.raises(MediaError) as caught:
        decode_photo(data, name, LETTERBOX, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


def opened(webp: bytes | None) -> Image.Image:
    assert webp is not None
    with Image.open(io.BytesIO(webp)) as image:
        image.load()
        return image


# --- HEIF

FAST = {"enc_params": {"preset": "ultrafast"}}


def test_heif_is_read_only_by_who_has_one() -> None:
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from core.types import Fit, ImageInput
from media.photo import decode_photo
from tests.samples import saved, scene
assert decode_photo(saved(scene(), "JPEG"), "a.heic", ImageInput(8, Fit.SQUASH)).size == (96, 64)
print({"pillow_heif", "rawpy"} & set(sys.modules))
"""
    child = subprocess.run([sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, check=False)
    assert (child.stdout, child.stderr) == ("set()\n", "")


def test_of_several_pictures_in_a_heif_the_primary_one_is_taken() -> None:
    data = saved(scene(), "HEIF", save_all=True, append_images=[Image.new("RGB", (32, 16), GREEN)], primary_index=1)
    found = decode_photo(data, "a.heic", SQUASH)
    assert (found.size, len(found.frames)) == ((32, 16), 1)
    assert near(found.frames[0], GREEN)


def test_an_embedded_thumbnail_is_not_taken_for_the_photo() -> None:
    with Image.open(DEMO / "coffee.png") as coffee:
        image = coffee.convert("RGB").resize((1200, 900))
    plain, having = (saved(image, "HEIF", thumbnails=sizes, **FAST) for sizes in ([], [600]))
    assert len(having) > len(plain)
    assert (shown(plain) == shown(having)).all()


@pytest.mark.parametrize("mode", ["RGB;16", "L;16"])
def test_ten_bits_become_eight(mode: str) -> None:
    import pillow_heif

    values = np.full((64, 64, 3) if mode == "RGB;16" else (64, 64), 200 * 257, dtype="<u2")
    out = io.BytesIO()
    pillow_heif.from_bytes(mode=mode, size=(64, 64), data=values.tobytes()).save(out, quality=95)
    assert near(shown(out.getvalue()), (200,) * 3)


def test_a_photo_as_an_iphone_stores_it_in_tiles() -> None:
    data = saved(scene((1200, 800)), "HEIF", tile_size=512)
    found = decode_photo(data, "IMG_0001.HEIC", LETTERBOX, preview=512)
    assert found.size == (1200, 800)
    assert far(found.frames[0], shown(saved(scene(), "PNG"))) < 3
    assert opened(found.preview).size == (512, 341)


# --- RAW


def stored(image: Image.Image, orientation: int) -> Image.Image:
    turn = STORED[orientation]
    return image if turn is None else image.transpose(turn)


def exif(**tags: int) -> Image.Exif:
    made = Image.Exif()
    made[0x010F] = "Synthetic"
    for value in tags.values():
        made[0x0112] = value
    return made


LARGE, SMALL = scene((960, 640)), scene((480, 320))
RAW_KINDS: dict[str, Callable[[int], bytes]] = {
    "sensor": lambda o: dng(stored(LARGE, o), orientation=o),
    "linear 16 bit": lambda o: dng(stored(LARGE, o), orientation=o, linear=True),
    "JPEG preview": lambda o: dng(stored(LARGE, o), orientation=o, preview=preview_page(stored(SMALL, o), jpeg=True)),
    "RGB preview": lambda o: dng(stored(LARGE, o), orientation=o, preview=preview_page(stored(SMALL, o), jpeg=False)),
    "preview with EXIF of its own": lambda o: dng(
        stored(LARGE, o), orientation=o, preview=preview_page(stored(SMALL, o), jpeg=True, exif=exif(orientation=o))
    ),
    "preview whose EXIF has no orientation": lambda o: dng(
        stored(LARGE, o), orientation=o, preview=preview_page(stored(SMALL, o), jpeg=True, exif=exif())
    ),
    "preview that lies upright": lambda o: dng(
        stored(LARGE, o), orientation=o, preview=preview_page(SMALL, jpeg=True, exif=exif(orientation=1))
    ),
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", RAW_KINDS)
def test_raw_is_upright_however_it_is_shown(kind: str, orientation: int) -> None:
    found = decode_photo(RAW_KINDS[kind](orientation), "photo.dng", LETTERBOX, preview=128)
    assert found.size == (960, 640)
    assert far(found.frames[0], shown(saved(scene(), "PNG"))) < 3
    small = opened(found.preview)
    assert small.size == (128, 85)
    assert near(np.asarray(small.resize((16, 16)).crop((0, 0, 8, 8))), RED, 8)


GREEN_PREVIEW, GREY = Image.new("RGB", (480, 320), GREEN), Image.new("RGB", (960, 640), (99, 99, 99))


def test_raw_shows_its_preview_rather_than_its_sensor() -> None:
    assert near(shown(dng(GREY, preview=preview_page(GREEN_PREVIEW, jpeg=True)), "a.dng"), GREEN)


@pytest.mark.parametrize("jpeg", [True, False])
def test_raw_shows_its_sensor_where_the_preview_is_small(jpeg: bool) -> None:
    small = preview_page(GREEN_PREVIEW.resize((380, 255)), jpeg=jpeg)
    assert np.ptp(middle(shown(dng(GREY, preview=small), "a.dng"))) < 5


def test_raw_shows_its_sensor_where_the_preview_is_no_jpeg() -> None:
    tags, strip = preview_page(GREEN_PREVIEW, jpeg=True)
    assert np.ptp(middle(shown(dng(GREY, preview=(tags, bytes(len(strip)))), "a.dng"))) < 5


def test_raw_is_told_by_its_name_from_a_tiff() -> None:
    data = dng(GREY, preview=preview_page(GREEN_PREVIEW, jpeg=False))
    assert [check_photo(data, name) for name in ("a.dng", "a.NEF", "a.tif", "a")] == ["RAW", "RAW", "TIFF", "TIFF"]


@pytest.mark.parametrize("name", ["a.dng", "a.NEF", "a.cr2", "a.arw"])
def test_raw_in_name_only_is_read_by_its_content(name: str) -> None:
    assert near(shown(saved(Image.new("RGB", (96, 64), GREEN), "TIFF"), name), GREEN)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"FUJIFILMCCD-RAW 0201", "a.raf"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a.cr3"),
        (b"II*\0\x10\0\0\0CR\2\0", "a.cr2"),
        (b"IIU\0\x18\0\0\0", "a.rw2"),
    ],
)
def test_raw_that_nobody_can_read_is_one_reason(head: bytes, name: str) -> None:
    assert failure(head + bytes(999), name) == "a RAW photo of an unknown camera, or damaged"
    assert failure(b"Dear diary", name).startswith("not a photo in a known format")


def test_raw_without_preview_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "MEGAPIXELS_COSTLY", 0.5)
    assert "no preview, and 960 x 640 pixels" in failure(dng(LARGE), "a.dng")
    assert decode_photo(dng(LARGE, preview=preview_page(SMALL, jpeg=True)), "a.dng", SQUASH).size == (960, 640)


def test_raw_that_is_cut_short_never_shows_another_photo() -> None:
    """LibRaw would hand out uninitialised memory in place of the missing preview."""
    for data in (dng(GREY, preview=preview_page(GREEN_PREVIEW, jpeg=jpeg)) for jpeg in (True, False)):
        assert near(shown(data, "a.dng"), GREEN)
        for salvage in (False, True):
            assert failure(data[:1200], "a.dng", salvage=salvage) == "the file is cut short"


def test_raw_that_is_cut_behind_its_preview_still_shows_that() -> None:
    data = dng(GREY, preview=preview_page(GREEN_PREVIEW, jpeg=True))
    assert near(shown(data[: len(data) // 2], "a.dng"), GREEN)
    assert failure(dng(GREY)[:9999], "a.dng") == "the file is cut short"


def test_raw_rubbish_raises_nothing_but_a_reason() -> None:
    chance = random.Random(0)
    seeds = [dng(scene((60, 40))), dng(scene((60, 40)), preview=preview_page(scene((300, 280)), jpeg=True))]
    for number in range(150):
        data = bytearray(seeds[number % 2])
        for _ in range(chance.choice([1, 5, 20])):
            data[chance.randrange(min(len(data), chance.choice([60, 500, len(data)])))] = chance.randrange(256)
        try:
            decode_photo(bytes(data), "a.dng", SQUASH)
        except MediaError as error:
            assert str(error).isprintable()


# --- animations

ANIMATED = ["GIF", "WEBP", "AVIF", "PNG"]


@pytest.mark.parametrize("count", [1, 2, 3, 12])
@pytest.mark.parametrize("kind", ANIMATED)
def test_of_an_animation_the_first_and_the_middle_frame_are_taken(kind: str, count: int) -> None:
    frames = decode_photo(animated(kind, count), "photo", SQUASH, preview=32)
    assert near(frames.frames[0], frame_colour(0))
    assert near(np.asarray(opened(frames.preview)), frame_colour(0), 6)
    assert len(frames.frames) == (2 if count > 2 else 1)
    if count > 2:
        assert near(frames.frames[1], frame_colour(count // 2))


@pytest.mark.parametrize("kind", ["TIFF", "MPO", "HEIF"])
def test_pages_and_pictures_are_no_frames(kind: str) -> None:
    assert len(decode_photo(animated(kind, 5), "photo", SQUASH).frames) == 1


def test_both_frames_are_turned_and_lie_on_white() -> None:
    first, red, clear = scene().convert("RGBA"), *(Image.new("RGBA", (96, 64), (255, 0, 0, a)) for a in (255, 0))
    frames = [frame.transpose(STORED[6]) for frame in (first, red, clear, red)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], exif=exif(orientation=6))
    found = decode_photo(data, "photo", SQUASH)
    assert found.size == (96, 64)
    assert far(found.frames[0], shown(saved(scene(), "PNG"), want=SQUASH)) < 3
    assert (found.frames[1] == 255).all()


def test_a_broken_middle_frame_costs_only_itself() -> None:
    data = animated("PNG", 9)
    parts = data.split(b"fdAT")
    parts[4] = parts[4][:4] + b"\xff" * 9 + parts[4][13:]
    found = decode_photo(b"fdAT".join(parts), "photo", SQUASH)
    assert len(found.frames) == 1
    assert near(found.frames[0], frame_colour(0))


def test_a_long_animation_is_not_decoded_to_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    data = animated("GIF", 12)
    monkeypatch.setattr(photo, "MIDDLE_FRAME_AT_MOST", 3)
    assert near(decode_photo(data, "photo", SQUASH).frames[1], frame_colour(3))
    monkeypatch.setattr(photo, "MIDDLE_PIXELS_AT_MOST", 2 * 64 * 64)
    assert near(decode_photo(data, "photo", SQUASH).frames[1], frame_colour(2))


# --- colour


def test_sixteen_bits_of_each_colour_in_a_tiff() -> None:
    page = described(64, 64, 3, 16, 1, 2), np.full((64, 64, 3), (73 * 257, 0, 65535), "<u2").tobytes()
    assert near(shown(tiff(page)), (73, 0, 255), 1)


def test_floats_of_each_colour_are_one_reason() -> None:
    assert failure(float_tiff()) == "damaged: its header cannot be read"


def p3_in_srgb(colour: tuple[int, int, int]) -> list[int]:
    """Return what a Display P3 colour is in sRGB (CSS Color 4, section 17): both have D65 and one curve."""
    values = np.array(colour) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    matrix = [[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]
    turned = (np.array(matrix) @ light).clip(0, 1)
    encoded = np.where(turned <= 0.0031308, 12.92 * turned, 1.055 * turned ** (1 / 2.4) - 0.055)
    return [int(value) for value in np.round(255 * encoded)]


WIDE = (200, 100, 50)
NAMED_P3 = {"color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": 6}
WIDE_GAMUT = {
    **{kind: {"icc_profile": _display_p3()} for kind in OPTIONS if kind not in ("GIF", "BMP")},
    "HEIF by numbers": NAMED_P3,
}


@pytest.mark.parametrize("kind", WIDE_GAMUT)
def test_wide_colours_become_srgb(kind: str) -> None:
    data = saved(Image.new("RGB", (64, 64), WIDE), kind.split()[0], **WIDE_GAMUT[kind])
    assert near(shown(data), tuple(p3_in_srgb(WIDE)), 2)
    assert near(np.asarray(opened(thumbnail(data, "photo", 64))), tuple(p3_in_srgb(WIDE)), 4)


@pytest.mark.parametrize("numbers", [(1, 13), (9, 16), (12, 16)], ids=["sRGB", "HDR", "HDR in P3"])
def test_colours_by_numbers_that_are_srgb_or_unknown_stay(numbers: tuple[int, int]) -> None:
    named = {"color_primaries": numbers[0], "transfer_characteristics": numbers[1], "matrix_coefficients": 6}
    assert near(shown(saved(Image.new("RGB", (64, 64), WIDE), "HEIF", **named)), WIDE)


def test_the_profile_of_numbers_is_a_whole_one() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(_display_p3()))
    assert ImageCms.getProfileDescription(profile).strip() == "Display P3"
    assert len(_display_p3()) == int.from_bytes(_display_p3()[:4])


# --- limits


def test_a_bomb_of_900_megapixels_is_refused_by_its_header() -> None:
    data = png(30_000, 30_000, 1, 0, (b"\0" * 3751) * 30_000)
    assert len(data) < 200_000
    started = time.process_time()
    assert failure(data) == "30000 x 30000 pixels are more than the limit of 200 megapixels"
    assert time.process_time() - started < 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a process to RLIMIT_AS")
def test_a_panorama_of_500_megapixels_fits_into_little_memory(tmp_path: Path) -> None:
    (tmp_path / "panorama.jpg").write_bytes(grey_jpeg(50_000, 10_000))
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
sys.path.insert(0, sys.argv[1])
from core.types import Fit, ImageInput
from media.photo import decode_photo
data = open(sys.argv[2], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = decode_photo(data, "panorama.jpg", ImageInput(224, Fit.LETTERBOX), preview=512)
print(found.size, found.frames[0][112, 112].tolist())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path / "panorama.jpg")]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    result, kilobytes = child.stdout.splitlines()
    assert result == "(50000, 10000) [128, 128, 128]"
    assert int(kilobytes) < 100_000


def test_a_progressive_panorama_of_500_megapixels_is_refused() -> None:
    assert "more than the limit of 200" in failure(jpeg_claiming(50_000, 10_000, progressive=True))


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIF"])
def test_what_needs_more_memory_has_a_lower_limit(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "MEGAPIXELS_COSTLY", 0.005)
    assert failure(saved(scene(), kind)) == "96 x 64 pixels are more than the limit of 0.005 megapixels"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a process to RLIMIT_AS")
@pytest.mark.parametrize("kind", ["RAW", "PNG", "TIFF", "GIF"])
def test_memory_that_is_not_there_may_be_there_next_time(kind: str, tmp_path: Path) -> None:
    for name, size in (("small", (60, 40)), ("large", (3000, 2000))):
        image = Image.new("RGB", size, GREEN)
        (tmp_path / name).write_bytes(dng(image) if kind == "RAW" else saved(image, kind))
    code = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from core.types import Fit, ImageInput
from core.errors import TemporaryMediaError
from media.photo import decode_photo
small, large = (open(path, "rb").read() for path in sys.argv[2:])
want = ImageInput(64, Fit.LETTERBOX)
decode_photo(small, "a.dng", want)  # all libraries are there
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (3 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    decode_photo(large, "a.dng", want)
except TemporaryMediaError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path / "small"), str(tmp_path / "large")]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}  # arenas are reserved in advance
    child = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (child.stdout, child.stderr) == ("not enough memory to decode it\n", "")


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("Memory allocation error: Unspecified: Allocating 78930191 bytes failed", True),  # libheif
        ("Pixel allocation failed: Out of memory", True),  # libavif
        ("Memory allocation error: Security limit exceeded: Image size 40000x40000 exceeds the maximum", False),
    ],
)
def test_memory_that_a_library_lacks_is_told_from_its_own_limits(
    said: str, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(photo, "open_header", fail)
    with pytest.raises(MediaError) as caught:
        decode_photo(b"\xff\xd8\xff", "photo", LETTERBOX)
    assert isinstance(caught.value, TemporaryMediaError) is passes


# --- what is cut short


@pytest.mark.parametrize("part", [0.5, 0.99])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "GIF"])
def test_what_is_left_of_a_photo_that_is_cut_short_is_salvaged(kind: str, part: float) -> None:
    data = saved(noise((400, 300)), kind)
    cut = data[: int(len(data) * part)]
    assert failure(cut) == "the file is cut short"
    found = decode_photo(cut, "photo", LETTERBOX, preview=128, salvage=True)
    assert (found.damaged, found.size, opened(found.preview).size) == (True, (400, 300), (128, 96))
    if kind != "GIF":  # whose lines are interlaced
        first = slice(34, 54) if kind == "BMP" else slice(10, 30)  # a BMP begins at the bottom
        assert far(found.frames[0][first], shown(data)[first]) < 12
    assert failure(cut) == "the file is cut short"  # and the switch is off again


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "WEBP"])
def test_of_some_formats_nothing_is_left(kind: str) -> None:
    data = saved(noise((400, 300)), kind)
    for part in (0.5, 0.99):
        assert failure(data[: int(len(data) * part)], salvage=True) == failure(data[: int(len(data) * part)])


def test_a_photo_that_is_cut_before_its_first_pixel_is_not_salvaged() -> None:
    data = saved(noise((400, 300)), "JPEG")
    start = data.index(b"\xff\xda") + 14
    for cut in (data[:100], data[:start]):
        assert failure(cut, salvage=True) == "the file is cut short"


def test_a_whole_photo_is_not_damaged() -> None:
    assert decode_photo(saved(scene(), "JPEG"), "photo", LETTERBOX, salvage=True).damaged is False


def test_flipped_bits_do_not_cost_a_jpeg() -> None:
    data = bytearray(saved(noise((400, 300)), "JPEG"))
    data[len(data) * 2 // 3] ^= 4
    assert far(shown(bytes(data))[10:30], shown(saved(noise((400, 300)), "JPEG"))[10:30]) < 3


@pytest.mark.parametrize("kind", OPTIONS)
def test_garbage_behind_a_photo_does_not_matter(kind: str) -> None:
    data = saved(scene(), kind)
    assert far(shown(data + b"garbage" * 999), shown(data)) == 0


# --- what stays shut

OTHERS = ["EPS", "PDF", "TGA", "PCX", "PPM", "ICO", "ICNS", "SGI", "SPIDER", "DDS", "JPEG2000", "MSP", "XBM"]


@pytest.mark.parametrize("kind", OTHERS)
def test_a_format_that_pillow_knows_and_nobody_photographs_in_stays_shut(kind: str) -> None:
    mode = {"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(kind, "RGB")
    data = saved(scene((64, 64)).convert(mode), kind)
    for name in ("photo", "photo.jpg", f"photo.{kind.lower()}", "photo.dng"):
        assert failure(data, name).startswith("not a photo in a known format")


HEADS = {
    "PSD": b"8BPS\0\1" + bytes(99),
    "FPX": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(999),
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(99),
    "FITS": b"SIMPLE  =                    T" + b" " * 99,
    "FLI": b"\0\0\0\0\x11\xaf" + bytes(99),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "film": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(99),
    "QuickTime": b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(99),
}


@pytest.mark.parametrize("kind", HEADS)
def test_what_begins_like_another_format_stays_shut(kind: str) -> None:
    assert failure(HEADS[kind], "photo.jpg").startswith("not a photo in a known format")


# --- the table in docs/formats.md


def test_the_table_of_formats_is_what_the_program_knows() -> None:
    rows = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8").split("## Traps")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if row.startswith("|")][2:]
    assert [(row[0], tuple(row[1].split())) for row in cells] == list(EXTENSIONS.items())
    assert [row[7] for row in cells if row[7] != "none"] == ["8 of 8"] * 7


# --- previews


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "HEIF"])
def test_a_preview_is_an_upright_webp_of_the_size_asked(kind: str, orientation: int) -> None:
    found = decode_photo(with_orientation(scene((960, 640)), kind, orientation), "photo", LETTERBOX, preview=96)
    image = opened(found.preview)
    assert (image.format, image.size, dict(image.getexif())) == ("WEBP", (96, 64), {})
    assert far(np.asarray(image.convert("RGB")), np.asarray(scene())) < 8


def test_a_preview_is_made_only_when_asked_for_and_never_larger_than_the_photo() -> None:
    data = saved(scene((300, 200)), "PNG")
    assert decode_photo(data, "photo", LETTERBOX).preview is None
    assert opened(decode_photo(data, "photo", LETTERBOX, preview=512).preview).size == (300, 200)


@pytest.mark.parametrize("fit", Fit)
def test_a_preview_changes_nothing_of_what_the_encoder_sees(fit: Fit) -> None:
    with Image.open(DEMO / "coffee.png") as coffee:
        data = saved(coffee.convert("RGB").resize((4096, 3072), Image.Resampling.BICUBIC), "JPEG", quality=90)
    want = ImageInput(224, fit)
    without, having = decode_photo(data, "photo", want), decode_photo(data, "photo", want, preview=512)
    assert (without.frames[0] == having.frames[0]).all()


def psnr(a: Pixels, b: Pixels) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b.astype(float)).mean()))


def test_a_preview_of_a_photograph_is_small_and_good() -> None:
    with Image.open(DEMO / "coffee.png") as coffee:
        large = coffee.convert("RGB").resize((4096, 3072), Image.Resampling.BICUBIC)
    found = decode_photo(saved(large, "JPEG", quality=90), "photo", LETTERBOX, preview=512)
    assert found.preview is not None
    assert len(found.preview) < 40_000
    ideal = np.asarray(large.resize((512, 384), Image.Resampling.BICUBIC))
    assert psnr(np.asarray(opened(found.preview)), ideal) > 34


@pytest.mark.parametrize("want", [ImageInput(224, fit, margin=0) for fit in Fit], ids=lambda want: want.fit)
def test_a_stored_preview_shows_an_encoder_what_the_photo_does(want: ImageInput) -> None:
    with Image.open(DEMO / "coffee.png") as coffee:
        data = saved(coffee.convert("RGB").resize((2400, 1600)), "JPEG", exif=exif(orientation=6))
    found = decode_photo(data, "photo", want, preview=512)
    assert found.preview is not None
    again = decode_preview(found.preview, want)
    assert again.shape == found.frames[0].shape
    assert psnr(again, found.frames[0]) > 33


def test_a_damaged_preview_is_one_reason() -> None:
    with pytest.raises(MediaError) as caught:
        decode_preview(b"RIFF\x10\0\0\0WEBP" + bytes(99), LETTERBOX)
    assert not isinstance(caught.value, TemporaryMediaError)
