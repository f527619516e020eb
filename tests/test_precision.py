"""An image tower in fewer bits: used only where a test on the user's photos shows that nobody will notice."""

import json
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from core.errors import ModelError
from core.types import Pixels, Progress, Vectors
from encoders import precision, precision_export
from encoders.base import Encoder, unit
from encoders.fake import FakeEncoder
from encoders.openclip import OpenClipEncoder
from encoders.precision import (
    OpenVinoImages,
    SelfTest,
    adds_wide,
    best,
    multiplies_bf16,
    overlap,
    precisions,
    self_test,
    with_precision,
)
from encoders.runtime import Export
from tests.tiny_models import tiny_encoder, tiny_model

TAGS = [f"{colour} {thing}" for colour in ("red", "green", "dark") for thing in ("cat", "dog", "car", "house")]
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=["vit", pytest.param("siglip2", marks=pytest.mark.long)])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpenClipEncoder:
    made: OpenClipEncoder = tiny_encoder(tiny_model(tmp_path_factory.mktemp("models") / request.param, request.param))
    return made


@pytest.fixture(autouse=True)
def no_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every processor look alike; the tests of bf16 ask by themselves."""
    monkeypatch.setattr(precision, "multiplies_bf16", lambda _: False)
    monkeypatch.setattr(precision, "adds_wide", lambda _: True)


def photos(encoder: Encoder, count: int) -> Pixels:
    """Return pictures as different as photos are: a few colours in soft patches, and grain."""
    dice = np.random.default_rng(0)
    size = encoder.image_input.size
    coarse = dice.integers(0, 256, (count, 4, 4, 3))
    patches = np.repeat(np.repeat(coarse, -(-size // 4), axis=1), -(-size // 4), axis=2)[:, :size, :size]
    return np.clip(patches + dice.normal(0, 12, patches.shape), 0, 255).astype(np.uint8)


class Altered:
    """An image tower whose rows are changed on their way out."""

    def __init__(self, images: Any, change: Callable[[Vectors], Vectors]) -> None:
        self._images, self._change = images, change

    def images(self, pixels: Pixels) -> Vectors:
        return self._change(self._images.images(pixels))


# --- the graph in 8 bits


def multiplied(
    op: str,
    rows: Floats,
    weights: Floats,
    bias: Floats | None = None,
    folder: Path = Path(),
    bits: int = 8,
    **options: Any,
) -> Floats:
    """Return what a graph of one product gives after it was rewritten."""
    constants = [numpy_helper.from_array(weights, "w")]
    constants += [numpy_helper.from_array(bias, "b")] if bias is not None else []
    node = helper.make_node(op, ["x", *(constant.name for constant in constants)], ["y"], **options)
    inner, outer = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    graph = helper.make_graph([node], "one", [inner], [outer], constants)
    source = folder / "source.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), source)
    target = folder / "target"
    target.mkdir()
    precision_export.export(str(target), str(source), str(bits))
    made = onnx.load(target / precision_export.GRAPH)
    assert made.graph.node[0].op_type == "MatMul8"
    session = onnxruntime.InferenceSession(target / precision_export.GRAPH, providers=["CPUExecutionProvider"])
    result: Floats = session.run(None, {"x": rows})[0]
    return result


@pytest.mark.parametrize(("bits", "most"), [(8, 127), (7, 63)])
def test_numbers_that_the_bits_hold_are_multiplied_exactly(tmp_path: Path, bits: int, most: int) -> None:
    rows = np.float32([[0, 51, 255], [-255, 0, 0], [-100, 0, 155]])  # each spans 255 steps of 1
    weights = np.float32([[most, 0], [-1, 2 * most], [3, -2]])  # columns in steps of 1 and 2
    assert np.abs(multiplied("MatMul", rows, weights, folder=tmp_path, bits=bits) - rows @ weights).max() < 0.01


def test_a_product_with_a_bias_and_turned_weights_keeps_both(tmp_path: Path) -> None:
    rows, weights = np.float32([[0, 255], [-255, 0]]), np.float32([[127, 1], [0, 127], [-127, 127]])
    bias = np.float32([1000, 0, -5])
    got = multiplied("Gemm", rows, weights, bias, tmp_path, transB=1)
    assert np.abs(got - (rows @ weights.T + bias)).max() < 0.01


@pytest.mark.parametrize("bits", [7, 8])
def test_weights_that_would_overflow_16_bits_do_not(tmp_path: Path, bits: int) -> None:
    """Signed weights of 8 bits saturate on x86 without VNNI: 255 * 127 * 2 is more than 16 bits hold."""
    rows, weights = np.tile(np.float32([0, 255, 255, 255]), (4, 16)), np.full((64, 8), 127, dtype=np.float32)
    got = multiplied("MatMul", rows, weights, folder=tmp_path, bits=bits)
    assert np.abs(got / (rows @ weights) - 1).max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_a_row_of_equal_numbers_is_no_exception(tmp_path: Path, value: float) -> None:
    rows, weights = np.full((2, 8), value, dtype=np.float32), np.eye(8, dtype=np.float32)
    assert np.abs(multiplied("MatMul", rows, weights, folder=tmp_path) - rows).max() < 1e-5


def test_8_bits_keep_steps_and_sums() -> None:
    whole, steps, sums = precision_export.quantised(np.float32([[1, 0], [-0.5, 0]]), 8)
    assert whole.tolist() == [[255, 128], [64, 128]]
    assert np.allclose(steps, [1 / 127, 1])
    assert np.allclose(sums, [63 / 127, 0])


def test_7_bits_keep_steps_and_sums() -> None:
    whole, steps, sums = precision_export.quantised(np.float32([[1, 0], [-0.6, 0]]), 7)
    assert whole.tolist() == [[63, 0], [-38, 0]]
    assert np.allclose(steps, [1 / 63, 1])
    assert np.allclose(sums, [25 / 63, 0])


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("flags : sse4_2 avx2 avx512f", False), ("flags : avx2 avx_vnni", True), ("Features : fp asimd crc32", True)],
)
def test_the_processor_says_whether_it_adds_wide(tmp_path: Path, flags: str, expected: bool) -> None:
    (tmp_path / "cpuinfo").write_text(flags, encoding="utf-8")
    assert adds_wide(tmp_path / "cpuinfo") is expected
    assert not adds_wide(tmp_path / "none")


# --- an encoder in another precision


def test_int8_is_the_same_space_and_nearly_the_same_vectors(encoder: OpenClipEncoder) -> None:
    pixels = photos(encoder, 24)
    other = with_precision(encoder, "int8")
    expected, got = encoder.encode_images(pixels), other.encode_images(pixels)
    assert (other.space, other.image_input, other.batch_size) == (encoder.space, encoder.image_input, 32)
    assert 0.99 < np.sum(expected * got, axis=1).min() < 0.9999999
    assert (expected @ expected.T).min() < 0.99  # or the comparison would say nothing
    assert (other.encode_texts(TAGS) == encoder.encode_texts(TAGS)).all()


def test_processors_that_add_narrowly_have_seven_bits_too(
    encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "adds_wide", lambda _: False)
    assert precisions(encoder) == ("int7", "int8")
    pixels = photos(encoder, 8)
    other = with_precision(encoder, "int7")
    assert 0.99 < np.sum(encoder.encode_images(pixels) * other.encode_images(pixels), axis=1).min() < 0.9999999
    assert (other.encode_images(pixels) != with_precision(encoder, "int8").encode_images(pixels)).any()
    monkeypatch.undo()
    monkeypatch.setattr(precision, "adds_wide", lambda _: True)
    with pytest.raises(ValueError, match="cannot run in int7 on this machine"):
        with_precision(encoder, "int7")


def test_int8_vectors_do_not_depend_on_the_batch(encoder: OpenClipEncoder) -> None:
    other = with_precision(encoder, "int8")
    pixels = np.concatenate([photos(encoder, 3), np.zeros_like(photos(encoder, 1))])
    single = np.concatenate([other.encode_images(photo[None]) for photo in pixels])
    assert np.abs(other.encode_images(pixels) - single).max() < 1e-3


def test_the_8_bit_graph_is_made_once_and_again_when_it_is_damaged(
    encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_precision(encoder, "int8")
    (folder,) = encoder.export.folder.parent.glob(f"{encoder.export.folder.name}-int8-{precision._RECIPE}")
    assert set(Export(folder).manifest["files"]) == {"image.onnx", "image.onnx.data"}
    (folder / "image.onnx.data").write_bytes(bytes((folder / "image.onnx.data").stat().st_size))
    with pytest.raises(ModelError, match="is damaged; run the command again"):
        with_precision(encoder, "int8").encode_images(photos(encoder, 1))
    assert with_precision(encoder, "int8").encode_images(photos(encoder, 1)).shape == (1, encoder.space.dim)
    monkeypatch.setattr(subprocess, "run", None)
    assert with_precision(encoder, "int8").encode_images(photos(encoder, 1)).shape == (1, encoder.space.dim)


def test_only_exported_models_of_open_clip_have_other_precisions(encoder: OpenClipEncoder, builtin: Encoder) -> None:
    assert precisions(encoder) == ("int8",)
    assert precisions(FakeEncoder()) == precisions(builtin) == ()
    assert precisions(with_precision(encoder, "int8")) == ()
    assert precisions(encoder.with_images(Altered(encoder, unit))) == ()  # as the towers in torch


def test_fp32_is_the_encoder_itself_and_an_unknown_precision_an_error(encoder: OpenClipEncoder) -> None:
    assert with_precision(encoder, "fp32") is encoder
    with pytest.raises(ValueError, match="cannot run in fp8 on this machine"):
        with_precision(encoder, "fp8")
    with pytest.raises(ValueError, match="fake cannot run in int8"):
        with_precision(FakeEncoder(), "int8")


# --- the test


def altered(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder, speedup: float, **changes: Callable[[Vectors], Vectors]
) -> None:
    """Give an encoder precisions that change its vectors, all of them as fast as `speedup` says."""

    def with_changed(one: Encoder, name: str, _: object = None) -> Encoder:
        return encoder.with_images(Altered(encoder._images, changes[name]))

    monkeypatch.setattr(precision, "precisions", lambda _: tuple(changes))
    monkeypatch.setattr(precision, "with_precision", with_changed)
    monkeypatch.setattr(precision, "_speedup", lambda *_: speedup)


def turned(cosine: float) -> Callable[[Vectors], Vectors]:
    """Return a change that turns every row by the same angle, each in a direction of its own."""

    def change(rows: Vectors) -> Vectors:
        dice = np.random.default_rng(0)
        across = dice.standard_normal(rows.shape).astype(np.float32)
        across = unit(across - np.sum(across * rows, axis=1, keepdims=True) * rows)
        return unit(cosine * rows + (1 - cosine**2) ** 0.5 * across)

    return change


def one_bad(rows: Vectors) -> Vectors:
    changed = rows.copy()
    changed[-1] = turned(0.9)(rows)[-1]
    return changed


@pytest.mark.parametrize(
    ("change", "speedup", "passed", "reason"),
    [
        (turned(1.0), 1.2, True, ""),
        (turned(0.99999), 1.5, True, ""),
        (turned(0.9985), 1.5, False, "cosine 0.9985, needed 0.999"),
        (one_bad, 1.5, False, "cosine 0.9000, needed 0.999"),
        (turned(1.0), 1.19, False, "speedup 1.1900, needed 1.2"),
        (lambda rows: rows * np.nan, 1.5, False, "cosine nan, needed 0.999"),
        (lambda rows: np.roll(rows, 1, axis=0), 1.5, False, "cosine"),
    ],
    ids=["equal", "close", "turned", "one photo turned", "slow", "no numbers", "mixed up"],
)
def test_a_precision_has_to_be_close_and_fast(
    monkeypatch: pytest.MonkeyPatch,
    encoder: OpenClipEncoder,
    change: Callable[[Vectors], Vectors],
    speedup: float,
    passed: bool,
    reason: str,
) -> None:
    pixels, texts = photos(encoder, 16), encoder.encode_texts(TAGS)
    altered(monkeypatch, encoder, speedup, candidate=change)
    (test,) = self_test(encoder, pixels, encoder.encode_images(pixels), texts)
    assert (test.precision, test.photos, test.passed) == ("candidate", 16, passed)
    assert test.reason.startswith(reason)
    assert bool(test.reason) != test.passed


def test_the_fastest_that_passed_comes_first() -> None:
    slow, fast = (SelfTest(name, 50, 1.0, 1.0, speed, True) for name, speed in (("int8", 1.3), ("bf16", 1.9)))
    assert best([slow, fast]) == best([fast, slow]) == "bf16"
    assert best([slow, SelfTest("bf16", 50, 0.9, 1.0, 9.0)]) == "int8"
    assert best([SelfTest("int8", 50, 0.9, 1.0, 9.0)]) == best([]) == "fp32"


def test_tests_are_ordered(monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder) -> None:
    pixels = photos(encoder, 16)
    altered(monkeypatch, encoder, 0.0, bad=turned(0.5), slow=turned(1.0), fast=turned(1.0))
    speeds = iter([9.0, 1.3, 1.8])
    monkeypatch.setattr(precision, "_speedup", lambda *_: next(speeds))
    tests = self_test(encoder, pixels, encoder.encode_images(pixels), encoder.encode_texts(TAGS))
    assert [test.precision for test in tests] == ["fast", "slow", "bad"]
    assert best(tests) == "fast"


def test_a_precision_that_cannot_be_had_is_refused_and_ends_no_run(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder
) -> None:
    def refuse(*_: object) -> Encoder:
        raise ModelError("the disk that holds the cache is full;\nfree 300 MB there")

    monkeypatch.setattr(precision, "with_precision", refuse)
    told: list[Progress] = []
    tests = self_test(
        encoder,
        photos(encoder, 4),
        encoder.encode_images(photos(encoder, 4)),
        np.zeros((0, 3), np.float32),
        told.append,
    )
    assert [test.as_dict() for test in tests] == [
        {"precision": "int8", "photos": 4, "cosine": 0.0, "overlap": 0.0, "speedup": 0.0, "passed": False,
         "reason": "the disk that holds the cache is full; free 300 MB there"}
    ]  # fmt: skip
    assert [progress.stage for progress in told] == ["testing the model in int8 (once)"]


def test_a_model_with_outliers_is_refused(tmp_path: Path) -> None:
    """One number of every row a thousand times too large, and undone by the weights: the same model, in fp32."""
    from safetensors.numpy import load_file, save_file

    folder = tiny_model(tmp_path / "outliers", "vit")
    file = folder / "open_clip_model.safetensors"
    state = load_file(file)
    for name, values in state.items():
        if name.startswith("visual.transformer.resblocks"):
            if ".ln_1." in name or ".ln_2." in name:
                values[0] *= 1000
            elif name.endswith(("in_proj_weight", "c_fc.weight")):
                values[:, 0] /= 1000
    save_file(state, file)
    encoder = tiny_encoder(folder)
    pixels = photos(encoder, 24)
    tests = self_test(encoder, pixels, encoder.encode_images(pixels), encoder.encode_texts(TAGS))
    assert [(test.precision, test.passed) for test in tests] == [("int8", False)]
    assert 0 < tests[0].cosine < 0.99
    assert "cosine" in tests[0].reason
    assert best(tests) == "fp32"


def test_the_report_of_a_real_test_is_json(encoder: OpenClipEncoder) -> None:
    pixels = photos(encoder, 16)
    (test,) = self_test(encoder, pixels, encoder.encode_images(pixels), encoder.encode_texts(TAGS))
    assert json.loads(json.dumps(test.as_dict())) == test.as_dict()
    assert test.as_dict().keys() == {"precision", "photos", "cosine", "overlap", "speedup", "passed", "reason"}
    assert 0.9 < test.cosine < 1
    assert 0.5 < test.overlap <= 1
    assert 0 < test.speedup < 100


# --- overlap, by hand


def circle(*degrees: float) -> Vectors:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_overlap_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "NEAREST", 2)
    rows, other = circle(0, 10, 30, 70), circle(0, 10, 45, 50)
    # Nearest two of the photo at 0: 10 and 30, now 10 and 45. At 10: 0 and 30, now 0 and 45. At 30: 10 and 0, now
    # (it is at 45) 50 and 10. At 70: 30 and 10, now (at 50) 45 and 10.
    assert overlap(rows, rows, other, other, own=True) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    # A text at 5 finds 0 and 10 in both; one at 55 finds 70 and 30, now 50 and 45; one at
    # 20.5: 30 and 10, now 10 and 0.
    assert overlap(circle(5, 55, 20.5), rows, circle(5, 55, 20.5), other) == pytest.approx((1 + 1 + 0.5) / 3)
    assert overlap(rows, rows, rows, rows, own=True) == 1


def test_overlap_takes_as_many_neighbours_as_there_are() -> None:
    rows = circle(0, 10, 20)
    assert overlap(rows, rows, circle(0, 80, 200), circle(0, 80, 200), own=True) == 1


# --- bf16 on OpenVINO


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16 sha_ni", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        ("", False),
        (None, False),
    ],
)
def test_the_processor_says_whether_it_multiplies_bf16(tmp_path: Path, flags: str | None, expected: bool) -> None:
    path = tmp_path / "cpuinfo"
    if flags is not None:
        path.write_text(f"processor\t: 0\n{flags}\n")
    assert multiplies_bf16(path) is expected


needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed")
HERE = multiplies_bf16(Path("/proc/cpuinfo"))


def test_bf16_is_a_precision_where_openvino_and_the_processor_have_it(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder
) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda _: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert precisions(encoder) == ("int8", "bf16")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert precisions(encoder) == ("int8",)


@needs_openvino
def test_openvino_reads_what_was_exported(monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder) -> None:
    """In fp32, which every processor has."""
    monkeypatch.setattr(precision, "BF16", "f32")
    pixels = photos(encoder, 20)
    rows = encoder.with_images(OpenVinoImages(encoder.export)).encode_images(pixels)
    assert np.sum(rows * encoder.encode_images(pixels), axis=1).min() > 0.99999


@needs_openvino
@pytest.mark.skipif(not HERE, reason="this processor does not multiply bf16")
def test_bf16_is_the_same_space_and_nearly_the_same_vectors(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder
) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda _: True)
    pixels = photos(encoder, 24)
    other = with_precision(encoder, "bf16")
    assert other.space == encoder.space
    rows, expected = other.encode_images(pixels), encoder.encode_images(pixels)
    assert 0.99 < np.sum(rows * expected, axis=1).min() < 0.9999999
    tests = self_test(encoder, pixels, expected, encoder.encode_texts(TAGS))
    assert {test.precision for test in tests} == {"int8", "bf16"}


@needs_openvino
@pytest.mark.skipif(HERE, reason="this processor multiplies bf16")
def test_openvino_in_another_precision_than_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, encoder: OpenClipEncoder
) -> None:
    monkeypatch.setattr(precision, "multiplies_bf16", lambda _: True)
    with pytest.raises(ValueError, match="OpenVINO computes in f32 on this processor"):
        with_precision(encoder, "bf16")
