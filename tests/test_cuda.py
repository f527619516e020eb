"""Encoding on a GPU, on the CPU where there is none: the same code, the same vectors, and no run that fails."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import image_tower
from core.types import Pixels, Progress, Vectors
from encoders import cuda, openclip_export
from encoders.cuda import CudaTowers, best_batch, bulk, has_cuda
from encoders.fake import FakeEncoder
from encoders.openclip import OpenClipEncoder
from encoders.precision import precisions
from tests.conftest import ROOT
from tests.tiny_models import tiny_encoder, tiny_model

open_clip, torch = pytest.importorskip("open_clip"), pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try no large ones: many processors only imitate bf16, and take long."""
    monkeypatch.setattr(cuda, "MOST", 64)


class MeanColour(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A tower that can be computed by hand, and takes so many photos at most; it keeps the sizes it was given."""

    def __init__(self, most: int = 10**6) -> None:
        super().__init__()
        self.most = most
        self.sizes: list[int] = []

    def features(self, pixels: Any) -> Any:
        self.sizes.append(len(pixels))
        if len(pixels) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return pixels.float().mean(dim=(1, 2))


def towers(tower: Any, batch: int | None = None, size: int = 8, **options: Any) -> CudaTowers:
    made = CudaTowers(tower, size, options.pop("instead", never), device="cpu", **options)
    made.batch = batch or made.batch
    if hasattr(tower, "sizes"):
        tower.sizes.clear()
    return made


def never(_: Pixels) -> Vectors:
    raise AssertionError("nothing is wrong with the GPU")


def colours(count: int) -> Pixels:
    """Return photos of one colour each, no two alike."""
    rows = np.random.default_rng(0).integers(1, 256, (count, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(rows, (count, 8, 8, 3))


def directions(pixels: Pixels) -> Vectors:
    return FakeEncoder().encode_images(pixels)


# --- the vectors


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> OpenClipEncoder:
    made: OpenClipEncoder = tiny_encoder(tiny_model(tmp_path_factory.mktemp("models") / "vit", "vit"))
    return made


@pytest.fixture(scope="module")
def pixels(encoder: OpenClipEncoder) -> Pixels:
    size = encoder.image_input.size
    return np.random.default_rng(0).integers(0, 256, (70, size, size, 3), dtype=np.uint8) // np.uint8([[[1, 2, 3]]])


def test_a_tower_in_bf16_gives_nearly_the_vectors_of_fp32(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder, pixels: Pixels
) -> None:
    monkeypatch.setattr(cuda, "MOST", 32)
    tower = openclip_export.load_image_tower(encoder.source)
    rows = towers(tower, 32, encoder.image_input.size).images(pixels)
    expected = encoder.encode_images(pixels)
    assert (rows.shape, rows.dtype) == (expected.shape, np.float32)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)  # in bf16 they were off by a thousandth
    assert 0.999 < np.sum(rows * expected, axis=1).min() < 0.9999999
    assert (expected @ expected.T).min() < 0.999  # or the comparison would say nothing


def test_the_image_tower_leaves_the_text_tower_behind(encoder: OpenClipEncoder) -> None:
    tower = openclip_export.load_image_tower(encoder.source)
    whole = openclip_export.load_model(encoder.source)
    count = sum(weights.numel() for weights in tower.parameters())
    visual = sum(weights.numel() for weights in whole.visual.parameters())
    assert visual <= count < 1.1 * visual
    assert sum(weights.numel() for weights in whole.parameters()) > 2 * visual


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 150])
def test_photos_keep_their_order_whatever_the_batch(count: int) -> None:
    tower = MeanColour()
    photos = colours(count)
    rows = towers(tower, 32).images(photos)
    assert rows.shape == (count, 3)
    assert np.allclose(rows, directions(photos), atol=1e-6)
    assert tower.sizes == [32] * (count // 32) + [count % 32] * (count % 32 > 0)


def test_the_pixels_given_are_not_written_to() -> None:
    photos = colours(3)
    assert not photos.flags.writeable
    assert len(towers(MeanColour()).images(photos)) == 3


# --- memory


def test_too_large_a_batch_is_halved_and_stays_so() -> None:
    tower = MeanColour()
    made = towers(tower, 64)
    tower.most = 20  # another program has taken the memory
    photos = colours(100)
    assert np.allclose(made.images(photos), directions(photos), atol=1e-6)
    assert made.batch == 16
    tower.sizes.clear()
    made.images(photos)
    assert max(tower.sizes) == 16


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("CUDA error: unspecified")]
)
def test_a_gpu_that_fails_leaves_the_photos_to_the_cpu(error: Exception) -> None:
    told: list[Exception] = []
    tower = MeanColour()
    made = towers(tower, 64, instead=directions, tell=told.append)

    def fail(_: Any) -> Any:
        tower.sizes.append(0)
        raise error

    tower.features = fail  # type: ignore[method-assign]
    photos = colours(10)
    for _ in range(2):
        assert np.allclose(made.images(photos), directions(photos), atol=1e-6)
    assert told == [error]
    assert len(tower.sizes) in (1, 7)  # 64, 32, 16, 8, 4, 2, 1, and not again


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({32: 100, 64: 180, 128: 300, 256: 500}, 256),
        ({32: 100, 64: 104}, 32),
        ({32: 100, 64: 106, 128: 111}, 64),
        ({32: 100, 64: 90}, 32),
        ({32: 100, 64: 200}, 64),  # 128 does not fit
        ({}, 16),  # nor does 32
    ],
)
def test_a_batch_grows_while_that_pays_and_fits(
    monkeypatch: pytest.MonkeyPatch, rates: dict[int, float], expected: int
) -> None:
    monkeypatch.setattr(cuda, "MOST", 256)

    def rate(size: int) -> float:
        if size not in rates:
            raise MemoryError
        return rates[size]

    assert best_batch(rate, MemoryError) == expected


def test_a_tower_finds_a_batch_that_fits() -> None:
    assert towers(MeanColour(most=32)).batch == 32
    assert towers(MeanColour(most=8)).batch == 16
    assert towers(MeanColour(most=8)).images(colours(30)).shape == (30, 3)


# --- whether there is one


def driver(monkeypatch: pytest.MonkeyPatch, init: int = 0, count_result: int = 0, count: int = 1) -> None:
    def device_count(pointer: Any) -> int:
        pointer._obj.value = count
        return count_result

    library = SimpleNamespace(cuInit=lambda _: init, cuDeviceGetCount=device_count)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [({}, True), ({"count": 0}, False), ({"init": 100}, False), ({"count_result": 3}, False)],
)
def test_the_driver_says_whether_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, int], expected: bool
) -> None:
    driver(monkeypatch, **answers)
    assert has_cuda() is expected


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert has_cuda() is False


def test_asking_for_a_gpu_does_not_import_torch() -> None:
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from encoders.cuda import bulk, has_cuda\n"
        "from encoders.fake import FakeEncoder\n"
        "has_cuda()\n"
        "bulk(FakeEncoder())\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, ROOT], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


# --- for many photos


def test_without_a_gpu_the_encoder_itself_takes_many_photos(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder
) -> None:
    monkeypatch.setattr(cuda, "has_cuda", lambda: False)
    assert bulk(encoder) is encoder
    assert encoder.batch_size == 32


def test_other_models_stay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "has_cuda", lambda: True)
    fake = FakeEncoder()
    assert bulk(fake) is fake
    assert fake.batch_size == 32


def on_the_cpu(monkeypatch: pytest.MonkeyPatch, made: Callable[..., CudaTowers] = CudaTowers) -> None:
    monkeypatch.setattr(cuda, "has_cuda", lambda: True)
    monkeypatch.setattr(cuda, "CudaTowers", lambda *arguments: made(*arguments, device="cpu"))


def test_with_a_gpu_many_photos_go_there_in_one_space(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder, pixels: Pixels
) -> None:
    on_the_cpu(monkeypatch)
    many = bulk(encoder)
    assert many is not encoder
    assert many.space == encoder.space
    assert many.image_input == encoder.image_input
    assert many.batch_size in (64, 128)  # two batches
    assert np.sum(many.encode_images(pixels) * encoder.encode_images(pixels), axis=1).min() > 0.999
    assert many.encode_images(pixels[:0]).shape == (0, encoder.space.dim)
    assert (many.encode_texts(["a cat"]) == encoder.encode_texts(["a cat"])).all()
    assert precisions(many) == ()


@pytest.mark.parametrize(
    "error", [RuntimeError("the driver is\ntoo old"), torch.OutOfMemoryError("the driver is\ntoo old")]
)
def test_a_gpu_that_cannot_be_used_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> CudaTowers:
        raise error

    on_the_cpu(monkeypatch, refuse)
    told: list[Progress] = []
    assert bulk(encoder, told.append) is encoder
    assert [progress.stage for progress in told] == [
        f"{encoder.space.name} goes on without the GPU: the driver is too old"
    ]


@pytest.mark.skipif(not has_cuda(), reason="there is no NVIDIA GPU")
def test_a_real_gpu_gives_nearly_the_same_vectors(encoder: OpenClipEncoder, pixels: Pixels) -> None:
    many = bulk(encoder)
    assert many is not encoder
    several = np.concatenate([pixels] * 10)
    rows, expected = many.encode_images(several), encoder.encode_images(pixels)
    for part in rows.reshape(10, *expected.shape):
        assert np.sum(part * expected, axis=1).min() > 0.999


def test_the_benchmark_counts_the_operations_of_a_tower(
    encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 patches of 8 x 8 pixels, a token of the whole, and two layers of width 64, whose inner width is 256."""
    model = openclip_export.load_model(encoder.source)
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: model)
    _, size, operations = image_tower("tiny")
    projections = 16 * 192 * 64 + 2 * 17 * (4 * 64 * 64 + 2 * 64 * 256) + 64 * 24
    attention = 2 * 2 * 17 * 17 * 64
    assert size == 32
    assert operations == 2 * (projections + attention)


def test_the_benchmark_says_that_there_is_no_gpu(tmp_path: Path) -> None:
    if has_cuda():
        pytest.skip("there is an NVIDIA GPU")
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "no NVIDIA GPU is at hand: nothing was measured\n")
