"""The precision of a Space: tested once on the user's own photos, written down, and used from then on."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import glimpse
import indexer.encoding
from core.settings import Settings
from core.types import Pixels, Vectors
from encoders.base import Encoder
from encoders.fake import FakeEncoder
from encoders.precision import FP32, INT8, SelfTest
from indexer.encoding import PhotoEncoder
from store.writer import Writer

GOOD = SelfTest(INT8, 4, 0.9999, 0.99, 2.0, True)
BAD = SelfTest(INT8, 4, 0.9, 0.5, 2.0, False, "cosine 0.9000, needed 0.999")


class Eight(FakeEncoder):
    """Stands for the fake encoder in 8 bits, and counts its photos."""

    def __init__(self) -> None:
        super().__init__()
        self.photos = 0

    def encode_images(self, pixels: Pixels) -> Vectors:
        self.photos += len(pixels)
        return super().encode_images(pixels)


class Bench:
    """A library with an encoder whose precisions are under control."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.library = Writer(place / "library")
        self.fake, self.eight = FakeEncoder(), Eight()
        self.space_id = self.library.add_space(self.fake.space)
        self.result = GOOD
        self.tests: list[tuple[int, int, int]] = []
        monkeypatch.setattr(indexer.encoding, "ENOUGH", 4)
        monkeypatch.setattr(indexer.encoding, "LEAST", 2)
        monkeypatch.setattr(indexer.encoding, "MANY", 1)
        monkeypatch.setattr(indexer.encoding, "precisions", lambda _: (INT8,))
        monkeypatch.setattr(indexer.encoding, "with_precision", lambda *_: self.eight)
        monkeypatch.setattr(indexer.encoding, "self_test", self.test)

    def test(self, encoder: Encoder, pixels: Pixels, rows: Vectors, texts: Vectors, _: object) -> list[SelfTest]:
        assert np.array_equal(rows, encoder.encode_images(pixels))
        self.tests.append((len(pixels), len(rows), len(texts)))
        return [self.result]

    def photos(self) -> PhotoEncoder:
        made = PhotoEncoder(self.library, self.space_id, self.fake, lambda _: None)
        made.prepare(100)
        return made


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    yield made
    made.library.close()


def some(count: int) -> Pixels:
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def test_the_first_photos_decide_and_the_others_follow(bench: Bench) -> None:
    photos = bench.photos()
    photos.encode(some(3))
    assert (bench.tests, bench.eight.photos) == ([], 0)
    photos.encode(some(3))
    assert bench.tests == [(4, 4, 198)]
    photos.encode(some(5))
    photos.finish()
    assert (len(bench.tests), bench.eight.photos) == (1, 5)
    assert bench.library.precision(bench.space_id) == (INT8, True)
    again = bench.photos()  # the next run
    again.encode(some(7))
    again.finish()
    assert (len(bench.tests), bench.eight.photos) == (1, 12)


def test_what_fails_is_not_used_and_not_tried_again(bench: Bench) -> None:
    bench.result = BAD
    photos = bench.photos()
    photos.encode(some(4))
    photos.encode(some(4))
    assert (bench.eight.photos, bench.library.precision(bench.space_id)) == (0, (FP32, True))
    bench.photos().encode(some(4))
    assert len(bench.tests) == 1


@pytest.mark.parametrize(("photos", "tests"), [(1, 0), (2, 1)])
def test_a_small_run_decides_at_its_end_if_it_is_not_too_small(bench: Bench, photos: int, tests: int) -> None:
    encoder = bench.photos()
    encoder.encode(some(photos))
    encoder.finish()
    assert len(bench.tests) == tests
    assert bench.library.precision(bench.space_id)[1] is bool(tests)


def test_a_run_of_few_photos_does_not_get_ready_for_many(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.library.set_precision(bench.space_id, INT8, [GOOD.as_dict()])
    monkeypatch.setattr(indexer.encoding, "MANY", 200)
    bench.photos().encode(some(4))
    assert bench.eight.photos == 0


def test_a_precision_that_this_machine_lacks_is_fp32(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object) -> Encoder:
        raise ValueError("fake cannot run in int8 on this machine")

    bench.library.set_precision(bench.space_id, INT8, [GOOD.as_dict()])
    monkeypatch.setattr(indexer.encoding, "with_precision", lacking)
    assert bench.photos().encode(some(4)).shape == (4, 3)


def test_a_gpu_needs_no_test(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Eight()
    monkeypatch.setattr(indexer.encoding, "bulk", lambda *_: gpu)
    photos = bench.photos()
    photos.encode(some(4))
    photos.finish()
    assert (gpu.photos, bench.tests, bench.library.precision(bench.space_id)) == (4, [], (FP32, False))


def test_the_status_tells_what_was_measured(
    photos: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, monkeypatch)
    bench.library.close()
    with glimpse.Library(Settings(tmp_path / "library", cache, "fake")) as library:
        assert library.index([photos]).encoded == 4
        (space,) = library.status().spaces
    assert (space.precision, space.self_test) == (INT8, [GOOD.as_dict()])
    assert json.dumps(space.self_test)
    from glimpse.render import status_text

    with glimpse.Library(Settings(tmp_path / "library", cache)) as library:
        shown = status_text(library.status())
    assert "int8 tested on 4 photos: cosine 0.9999, top-10 overlap 0.99, 2.0x as fast" in shown
