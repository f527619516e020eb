"""Whatever a file says, its reader gives something well-formed or one reason; a photo never costs more than itself.

For hours: GLIMPSE_FUZZ_SECONDS=3600 pytest -m long tests/test_fuzz.py -s
"""

import json
import math
import os
import random
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import glimpse
from core.errors import MediaError
from core.types import Fit, ImageInput, Metadata
from media import photo as photo_module
from media.containers import blocks_of
from media.iptc import read_iptc
from media.kinds import HEAD_BYTES, PHOTO_FORMATS, photo_format, sniff
from media.metadata import merge, read_metadata
from media.photo import Photo, check_photo, decode_photo, is_big, thumbnail
from media.sidecar import read_sidecar, sidecars_of
from media.values import DESCRIPTION_LENGTH, MAX_KEYWORDS, NAME_LENGTH
from tests.conftest import paint
from tests.mutants import SEEDS, SIDECARS, TAKEOUT, mutated

# The product ignores Pillow's remarks itself, but pytest's "error" comes before what a module sets.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),
    pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning"),
]

WANTED = [ImageInput(32, fit) for fit in Fit]
SOURCES = {None, "sidecar", "exif", "xmp", "iptc", "gps", "takeout", "name", "modified"}
MANY = settings(
    max_examples=1500, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module", autouse=True)
def small_limits() -> Iterator[None]:
    """Hold photos to a few megapixels, so that headers which say anything cost neither time nor memory here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photo_module, "MEGAPIXELS_DRAFT", 16)
        patch.setattr(photo_module, "MEGAPIXELS_WHOLE", 8)
        patch.setattr(photo_module, "MEGAPIXELS_COSTLY", 4)
        patch.setattr(photo_module, "MIDDLE_PIXELS_AT_MOST", 8_000_000)
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 4_000_000)
        yield


# --- what well-formed is


def assert_reason(error: MediaError) -> None:
    text = str(error)
    assert text.isprintable(), ascii(text)
    assert 5 < len(text) < 300, text
    assert " object at 0x" not in text


def assert_text(text: str | None, longest: int) -> None:
    if text is not None:
        assert 0 < len(text) <= longest
        assert text == text.strip()
        assert not any(ord(letter) < 32 and letter != "\n" for letter in text), ascii(text)
        text.encode("utf-8")  # half a character has none


def assert_metadata(found: Metadata) -> None:
    for name in (found.make, found.camera, found.lens, found.title, *found.keywords):
        assert_text(name, NAME_LENGTH)
        assert name is None or "\n" not in name
    assert_text(found.description, DESCRIPTION_LENGTH)
    assert len(found.keywords) <= MAX_KEYWORDS
    for value in (found.exposure, found.aperture, found.focal_length):
        assert value is None or 0 < value < math.inf
    assert found.iso is None or (type(found.iso) is int and 1 <= found.iso <= 10**9)
    assert found.rating is None or (type(found.rating) is int and -1 <= found.rating <= 5)
    assert (found.latitude is None) == (found.longitude is None)
    assert found.latitude is None or abs(found.latitude) <= 90
    assert found.longitude is None or abs(found.longitude) <= 180
    assert found.altitude is None or -12_000 <= found.altitude <= 100_000
    assert found.taken is None or datetime.fromisoformat(found.taken).tzinfo is None
    assert found.offset is None or (type(found.offset) is int and abs(found.offset) <= 14 * 60)
    assert found.taken_from in SOURCES
    assert type(found.motion) is bool
    json.dumps(asdict(found), allow_nan=False, ensure_ascii=False).encode("utf-8")


def assert_photo(found: Photo, want: ImageInput, preview: int) -> None:
    assert len(found.frames) in (1, 2)
    for frame in found.frames:
        assert frame.shape == (want.size, want.size, 3)
        assert frame.dtype == np.uint8
    assert all(side > 0 for side in found.size)
    assert type(found.damaged) is bool
    assert (found.preview is not None) == (preview > 0)
    assert found.preview is None or found.preview[8:12] == b"WEBP"


# --- readers of photos


def read_photo(name: str, data: bytes, want: ImageInput = WANTED[0]) -> None:
    """Do to a file what an index run, a query and a page do."""
    head = data[:HEAD_BYTES]
    assert sniff(head) in (None, *PHOTO_FORMATS)
    assert photo_format(head, name) in (None, *PHOTO_FORMATS)
    assert type(is_big(data, name)) is bool
    for kind in {sniff(head), "RAW"} - {None}:
        assert_metadata(read_metadata(data, str(kind)))
        for block in (block for blocks in blocks_of(data, str(kind)).values() for block in blocks):
            assert type(block) is bytes
    assert_metadata(read_iptc(data))
    for salvage in (False, True):
        try:
            check_photo(data, name)
            assert_photo(decode_photo(data, name, want, preview=48, salvage=salvage), want, 48)
        except MediaError as error:
            assert_reason(error)
    try:
        assert thumbnail(data, name, 16)[8:12] == b"WEBP"
    except MediaError as error:
        assert_reason(error)


def read_beside(name: str, data: bytes) -> None:
    try:
        found = read_sidecar(name, data)
    except MediaError as error:
        assert_reason(error)
        return
    assert_metadata(found)
    assert_metadata(merge(Metadata(), [found], name, 0))


@pytest.mark.parametrize("kind", ["photos", "sidecars"])
def test_the_seeds_are_whole(kind: str) -> None:
    """Mutations of what is refused from the start would show nothing."""
    if kind == "photos":
        for seed, (name, data) in SEEDS.items():
            if seed not in ("RAF", "CR3"):  # metadata alone
                assert decode_photo(data, name, WANTED[0]).damaged is False, seed
        named = {seed for seed, (name, data) in SEEDS.items() if read_metadata(data, check_photo(data, name)).make}
        assert named >= {"JPEG", "PNG", "WebP", "TIFF", "AVIF", "HEIF", "DNG", "RAF", "CR3"}
    else:
        for name, data in SIDECARS.values():
            assert read_sidecar(name, data).latitude == pytest.approx(48.2, abs=0.1)


@MANY
@given(st.sampled_from(sorted(SEEDS)), st.sampled_from(WANTED), st.randoms(use_true_random=True))
def test_a_damaged_photo_gives_something_well_formed_or_one_reason(
    seed: str, want: ImageInput, chance: random.Random
) -> None:
    name, data = SEEDS[seed]
    read_photo(name, mutated(data, chance), want)


@settings(MANY, max_examples=1000)
@given(st.sampled_from(sorted(SIDECARS)), st.randoms(use_true_random=True))
def test_a_damaged_sidecar_gives_something_well_formed_or_one_reason(seed: str, chance: random.Random) -> None:
    name, data = SIDECARS[seed]
    read_beside(name, mutated(data, chance))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**30), 10**30) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@settings(MANY, max_examples=300)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(json.loads(TAKEOUT), JSON)), JSON)
def test_any_json_of_takeout_is_read_or_refused(said: dict[str, object], inner: object) -> None:
    places = {"latitude": inner, "longitude": 1, "altitude": inner}
    for whole in (
        {**json.loads(TAKEOUT), **said},
        {**json.loads(TAKEOUT), "geoData": places, "photoTakenTime": {"timestamp": inner}},
    ):
        read_beside("a.json", json.dumps(whole).encode())


@settings(MANY, max_examples=300)
@given(st.binary(max_size=40), st.binary(max_size=60), st.frozensets(st.binary(max_size=12), max_size=3))
def test_any_name_and_any_beginning_will_do(head: bytes, name: bytes, others: frozenset[bytes]) -> None:
    assert sniff(head) in (None, *PHOTO_FORMATS)
    assert photo_format(head, os.fsdecode(name)) in (None, *PHOTO_FORMATS)
    present = others | {name, name + b".xmp", name + b".json"}
    assert set(sidecars_of(name, present)) <= present


# --- a whole run


def test_an_index_run_over_mutants_loses_nothing_else(library: glimpse.Library, tmp_path: Path) -> None:
    """Each file is found or is told with its reason, and the good ones between them are all found."""
    folder, chance = tmp_path / "photos", random.Random(4)
    folder.mkdir()
    seeds, good = sorted(SEEDS), set[Path]()
    for number in range(300):
        name, data = SEEDS[seeds[number % len(seeds)]]
        (folder / f"{number:03}-{name}").write_bytes(mutated(data, chance) + number.to_bytes(2, "big"))
        beside, said = SIDECARS[chance.choice(sorted(SIDECARS))]
        (folder / f"{number:03}-{name}{Path(beside).suffix}").write_bytes(mutated(said, chance))
        if number % 20 == 0:
            good.add(folder / f"{number:03}-good.png")
            paint(folder / f"{number:03}-good.png", (number % 256, 99, 0))
    report = library.index([folder])
    found = {
        path for hit in library.search("red", k=999, cut=False) for path in (hit.path, *hit.also, *hit.companions)
    }
    failed = {failure.path: failure.reason for failure in report.failures}
    photos = {path for path in folder.iterdir() if path.suffix not in (".xmp", ".json")}
    assert not found & failed.keys()
    assert {path for path in photos if path not in found | failed.keys() and sniff(path.read_bytes())} == set()
    assert good <= found
    assert report.failed == len(failed) > 50 < len(found)
    for reason in (*failed.values(), *report.notes):
        assert reason.isprintable()
        assert "its decoder" not in reason, reason  # neither crashed nor timed out
    again = library.index()
    assert (again.added, again.changed, again.encoded) == (0, 0, 0)
    for path in found:
        assert_metadata(library.info(path).metadata)


# --- as long as it may take


@pytest.mark.long
def test_mutants_for_as_long_as_there_is_time(tmp_path: Path) -> None:
    """Every failure names its number: GLIMPSE_FUZZ_SEED=NUMBER begins there. A crash leaves its file in tmp_path."""
    first = int(os.environ.get("GLIMPSE_FUZZ_SEED", random.SystemRandom().randrange(10**12)))
    until = time.monotonic() + float(os.environ.get("GLIMPSE_FUZZ_SECONDS", "600"))
    readers = [(seed, read_photo) for seed in SEEDS.values()] + [(seed, read_beside) for seed in SIDECARS.values()]
    number = first
    while time.monotonic() < until:
        chance = random.Random(number)
        (name, data), read = chance.choice(readers)
        damaged = mutated(data, chance)
        (tmp_path / "input").write_bytes(damaged)
        began = time.process_time()
        try:
            read(name, damaged)
        except Exception as error:
            error.add_note(f"GLIMPSE_FUZZ_SEED={number}")
            raise
        assert time.process_time() - began < 10, f"GLIMPSE_FUZZ_SEED={number}"
        number += 1
    print(f"\nGLIMPSE_FUZZ_SEED={first}: {number - first:,} files")
