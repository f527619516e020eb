"""EmbeddingGemma 2, small and with random weights, in the hub's layout, held to sentence-transformers on those files.

The contract that every encoder keeps to is imported from `tests.test_encoders` and runs on this one, too.
"""

import io
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

import glimpse
from core.errors import ModelError
from core.resources import data_path
from core.settings import Settings
from core.types import WINDOW_SECONDS, Fit, ImageInput, Pixels, Progress, Samples, Vectors
from encoders import omni, registry
from encoders.base import unit
from encoders.cuda import has_cuda
from encoders.omni import OmniEncoder, load_ears, load_model, without_bars
from media.film import frames
from media.photo import decode_photo
from media.recording import open_recording
from media.sound import windows as windows_of
from search.tags import read_vocabulary
from tests import films
from tests.conftest import ROOT, paint, run
from tests.films import tone, write_film, write_sound
from tests.test_encoders import (  # noqa: F401
    TEXTS,
    test_a_batch_of_photos_equals_its_single_photos,
    test_a_batch_of_texts_equals_its_single_texts,
    test_a_large_batch_of_texts_keeps_its_order,
    test_a_photo_of_one_grey_is_no_exception,
    test_every_text_has_a_vector,
    test_nothing_in_is_nothing_out,
    test_photos_become_unit_rows,
    test_photos_keep_their_order,
    test_texts_become_unit_rows,
    test_the_leading_block_of_a_photo_has_the_norm_that_the_space_says,
    test_the_pixels_given_are_not_written_to,
    test_the_pixels_wanted_are_sound,
    test_the_same_input_gives_the_same_vector,
    test_the_space_is_of_the_preset_that_was_asked_for,
    test_the_space_is_sound,
)
from tests.tiny_models import OMNI_PROMPTS, into_hub, write_omni

REPO = "google/embeddinggemma-2"
PRESET = registry.preset("omni")
ASPECTS = {"4:3": (1600, 1200), "3:2": (1620, 1080), "16:9": (1920, 1080), "3:4": (1200, 1600), "1:1": (900, 900)}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads cost more than they help where a layer takes a tenth of a millisecond."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the model to fp32 where there is a GPU, too: there it runs in bf16, of which three tests tell."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write_omni(tmp_path_factory.mktemp("omni"))


@pytest.fixture(autouse=True)
def snapshot(folder: Path, own_place: None) -> Path:
    """The model in the Hugging Face cache of this very test."""
    return into_hub(REPO, folder)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notes")


@pytest.fixture
def encoder(snapshot: Path, notes: Path) -> OmniEncoder:
    return load(notes)


@pytest.fixture
def squares(encoder: OmniEncoder) -> Pixels:
    return np.stack([decode_photo(jpeg(photo), "a.jpg", encoder.image_input).frames[0] for photo in scenes()])


photos = squares
"""What the contract calls photos; ours are whole pictures rather than noise, for the sake of the bars."""


@pytest.fixture(scope="session")
def own(folder: Path) -> Any:
    """The model as its card loads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(
            str(folder), device="cpu", local_files_only=True, model_kwargs={"dtype": "float32"}
        )


def load(cache: Path, told: list[Progress] | None = None) -> OmniEncoder:
    loaded = registry.load("omni", cache, None if told is None else told.append)
    assert isinstance(loaded, OmniEncoder)
    return loaded


def scenes() -> Iterator[Image.Image]:
    """Pictures of smooth colours and edges in every aspect."""
    rng = np.random.default_rng(0)
    for size in ASPECTS.values():
        small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        yield small.resize(size, Image.Resampling.BICUBIC)


def jpeg(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=95)
    return file.getvalue()


def cosines(a: Any, b: Any) -> Any:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


# --- the vectors are the model's own


def test_texts_equal_sentence_transformers(encoder: OmniEncoder, own: Any) -> None:
    texts = [*TEXTS, "", "Ein Kätzchen im Schnee", "一只猫在雪地里", "word " * 100]
    assert cosines(encoder.encode_texts(texts), own.encode(texts, prompt_name="query")).min() >= 0.9999
    assert cosines(encoder.encode_texts(texts), own.encode(texts)).max() < 0.9999  # the prompt is not for nothing


def test_photos_equal_sentence_transformers(encoder: OmniEncoder, own: Any, squares: Pixels) -> None:
    expected = own.encode([Image.fromarray(without_bars(square)) for square in squares])
    assert cosines(encoder.encode_images(squares), expected).min() >= 0.9999


def test_photos_come_close_to_the_originals(encoder: OmniEncoder, own: Any, squares: Pixels) -> None:
    """Through our square a photo is resized twice; with bars, or squashed, it would be another photo."""
    expected = own.encode([Image.open(io.BytesIO(jpeg(photo))) for photo in scenes()])
    assert cosines(encoder.encode_images(squares), expected).min() > 0.995
    wants = [ImageInput(384, Fit.SQUASH), ImageInput(384, Fit.LETTERBOX)]
    for want in wants:
        others = np.stack([decode_photo(jpeg(photo), "a.jpg", want).frames[0] for photo in scenes()])
        assert cosines(encoder.encode_images(others), expected).min() < 0.99


def test_the_prompt_reaches_the_tokenizer(encoder: OmniEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    tokenizer = encoder._processor.tokenizer

    def spy(texts: list[str], **options: Any) -> Any:
        asked.extend(texts)
        return tokenizer(texts, **options)

    monkeypatch.setattr(encoder._processor, "tokenizer", spy)
    encoder.encode_texts(["a cat"])
    assert asked == [OMNI_PROMPTS["query"] + "a cat"]


def test_a_long_text_is_cut(encoder: OmniEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omni, "MAX_TOKENS", 64)
    rows = encoder.encode_texts(["a cat " * 100, "a cat " * 200, "a dog"])
    assert np.abs(rows[0] - rows[1]).max() < 1e-6
    assert np.abs(rows[0] - rows[2]).max() > 1e-3


# --- the square and the photo in it


def test_the_square_holds_a_wide_photo_at_the_resolution_of_the_model(encoder: OmniEncoder) -> None:
    """70 tokens of 48 pixels: 11 x 6 for a photo of 16:9; with the 280 of the real model, 22 x 12."""
    assert encoder.image_input == ImageInput(11 * 48, Fit.LETTERBOX, margin=1)
    encoder._processor.image_processor.max_soft_tokens = 280
    again = OmniEncoder(encoder.space, encoder._processor, encoder._model, encoder._add_ears)
    assert again.image_input.size == 22 * 48


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (64, 64), (64, 1), (1, 64), (64, 63), (63, 64)])
def test_bars_are_cut_and_nothing_else(size: tuple[int, int]) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(2, 256, (*size[::-1], 3), dtype=np.uint8))
    file = io.BytesIO()
    photo.save(file, "PNG")
    square = decode_photo(file.getvalue(), "a.png", ImageInput(64, Fit.LETTERBOX, margin=1)).frames[0]
    assert square.shape == (64, 64, 3)
    assert np.array_equal(without_bars(square), np.asarray(photo))


@pytest.mark.parametrize("grey", [0, 1, 2, 255])
def test_a_photo_of_one_grey_stays_whole(grey: int) -> None:
    assert without_bars(np.full((8, 8, 3), grey, np.uint8)).shape == (8, 8, 3)


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (1, 1), (3, 500)])
def test_no_photo_is_too_thin(encoder: OmniEncoder, size: tuple[int, int]) -> None:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(file, "PNG")
    rows = encoder.encode_images(decode_photo(file.getvalue(), "a.png", encoder.image_input).frames[0][None])
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


# --- how it is loaded


def test_it_runs_in_fp32_without_the_tower_for_sound(encoder: OmniEncoder, own: Any) -> None:
    import torch

    assert {parameter.dtype for parameter in encoder._model.parameters()} == {torch.float32}
    assert not encoder._model.training
    assert encoder._model.audio_tower is None
    assert own[0].auto_model.audio_tower is not None


@pytest.mark.parametrize("name", ["float16", "float64", "int8"])
def test_other_precisions_are_refused(folder: Path, name: str) -> None:
    import torch

    with pytest.raises(ValueError, match=rf"^the model runs in float32 or bfloat16, not in torch\.{name}$"):
        load_model(folder, getattr(torch, name))


def test_on_a_gpu_it_runs_in_bf16(folder: Path, monkeypatch: pytest.MonkeyPatch, notes: Path) -> None:
    import torch

    asked: list[Any] = []

    def refuse(_: Path, dtype: Any) -> Any:
        asked.append(dtype)
        raise ValueError("no further")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(omni, "load_model", refuse)
    with pytest.raises(ModelError):
        load(notes)
    assert asked == [torch.bfloat16]


@pytest.mark.skipif(not has_cuda(), reason="there is no NVIDIA GPU")
def test_a_real_gpu_gives_nearly_the_same_vectors(
    encoder: OmniEncoder, squares: Pixels, windows: list[Samples], monkeypatch: pytest.MonkeyPatch, notes: Path
) -> None:
    import torch

    expected = encoder.encode_texts(TEXTS), encoder.encode_images(squares), encoder.sounds().encode_sounds(windows)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gpu = load(notes)
    assert (gpu.space, gpu._model.device.type, gpu._model.dtype) == (encoder.space, "cuda", torch.bfloat16)
    found = gpu.encode_texts(TEXTS), gpu.encode_images(squares), gpu.sounds().encode_sounds(windows)
    for rows, wanted in zip(found, expected, strict=True):
        assert rows.dtype == np.float32
        assert cosines(rows, wanted).min() > 0.99


def test_bf16_comes_close(encoder: OmniEncoder, folder: Path, squares: Pixels) -> None:
    import torch

    processor, model = load_model(folder, torch.bfloat16)
    half = OmniEncoder(encoder.space, processor, model, encoder._add_ears)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert cosines(half.encode_texts(TEXTS), encoder.encode_texts(TEXTS)).min() > 0.99
    assert cosines(half.encode_images(squares[:2]), encoder.encode_images(squares[:2])).min() > 0.99
    assert half.encode_texts(TEXTS).dtype == np.float32


def test_it_says_that_it_takes_its_time(notes: Path) -> None:
    told: list[Progress] = []
    load(notes, told)
    assert [progress.stage for progress in told] == ["omni runs in torch, which takes seconds to start"]


def test_the_revision_is_of_what_decides_the_vectors(
    snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notes: Path
) -> None:
    known = {load(notes).space.revision}
    for name in omni.BESIDE:
        text = (snapshot / name).read_text()
        (snapshot / name).unlink()
        (snapshot / name).write_text(text + "\n")
        known.add(load(notes).space.revision)
    monkeypatch.setattr(omni, "RECIPE", 2)
    known.add(load(notes).space.revision)
    monkeypatch.setattr(omni, "QUERY_PROMPT", "query: ")
    known.add(load(notes).space.revision)
    assert len(known) == 3 + len(omni.BESIDE)
    again = load(notes).space
    assert again.revision in known
    assert (again.name, again.dim, again.shared_dim, again.centred) == ("omni", 24, 24, False)


# --- what may be wrong


def test_without_the_weights_the_way_to_get_them_is_told(snapshot: Path, notes: Path) -> None:
    assert PRESET.ready
    (snapshot / "model.safetensors").unlink()
    assert not PRESET.ready
    with pytest.raises(ModelError) as caught:
        load(notes)
    assert str(caught.value) == (
        "the model 'omni' (1,500 MB) is not on this machine; get it with: glimpse models get omni, "
        "or use --model builtin"
    )


@pytest.mark.parametrize("name", omni.BESIDE)
def test_a_file_that_is_not_there_is_named(snapshot: Path, notes: Path, name: str) -> None:
    (snapshot / name).unlink()
    place = Path(constants.HF_HUB_CACHE, "models--google--embeddinggemma-2")
    with pytest.raises(ModelError, match=rf"lacks {name}; delete {place} and run: glimpse models get omni$"):
        load(notes)


def damaged(snapshot: Path, name: str, contents: bytes) -> None:
    (snapshot / name).unlink()
    (snapshot / name).write_bytes(contents)


def without_a_tensor(snapshot: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(snapshot / "model.safetensors")
    del tensors["language_model.embedding_projection.weight"]
    (snapshot / "model.safetensors").unlink()
    save_file(tensors, snapshot / "model.safetensors", {"format": "pt"})


def other_width(snapshot: Path) -> None:
    config = json.loads((snapshot / "config.json").read_text())
    config["text_config"]["embedding_dim"] = 25
    damaged(snapshot, "config.json", json.dumps(config).encode())


def other_model(snapshot: Path) -> None:
    damaged(snapshot, "config.json", b'{"model_type": "bert"}')


DAMAGE: dict[str, Any] = {
    "no JSON": lambda snapshot: damaged(snapshot, "config.json", b"{"),
    "a list": lambda snapshot: damaged(snapshot, "config.json", b"[]"),
    "another model": other_model,
    "another width": other_width,
    "a tensor less": without_a_tensor,
    "no weights": lambda snapshot: damaged(snapshot, "model.safetensors", b"not weights at all"),
    "weights cut short": lambda snapshot: damaged(
        snapshot, "model.safetensors", (snapshot / "model.safetensors").read_bytes()[:-1000]
    ),
    "no tokenizer": lambda snapshot: damaged(snapshot, "tokenizer.json", b"{}"),
    "no processor": lambda snapshot: damaged(snapshot, "processor_config.json", b"nothing"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_one_line_with_a_remedy(snapshot: Path, notes: Path, damage: Any, capfd: Any) -> None:
    damage(snapshot)
    with pytest.raises(ModelError, match=r"^omni cannot be loaded: .*; delete .* run: glimpse models get omni$") as e:
        load(notes)
    assert "\n" not in str(e.value)
    assert capfd.readouterr() == ("", "")


def test_pickled_weights_are_not_looked_at(snapshot: Path, notes: Path) -> None:
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    with pytest.raises(ModelError, match="not on this machine"):
        load(notes)


# --- sounds


RATE = 16_000
LENGTHS = [8_000, 3, 16_000, 161, 39_999, 500, 160_000, 1_600, 12_345]  # more than go through at once


def noise(length: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.2, length).clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def windows() -> list[Samples]:
    """Noises in which something changes: fifty steps of loudness."""
    rng = np.random.default_rng(1)
    return [noise(n, i) * rng.random(-(-n // 3200)).repeat(3200)[:n].astype("f4") for i, n in enumerate(LENGTHS)]


def whole(folder: Path, dtype: Any) -> Any:
    """The model with everything, as transformers loads it."""
    import transformers

    model = transformers.EmbeddingGemma2Model.from_pretrained(folder, dtype=dtype, local_files_only=True)
    return model.eval()


def test_the_space_of_sounds_is_beside_the_joint_one(encoder: OmniEncoder) -> None:
    sounds, joint = encoder.sounds(), encoder.space
    assert (sounds.space.name, sounds.space.revision) == ("sound:omni", joint.revision)
    assert (sounds.space.dim, sounds.space.shared_dim, sounds.space.centred) == (24, 24, False)
    assert sounds.rate == RATE
    assert sounds.batch_size > 0


def test_sounds_equal_sentence_transformers(encoder: OmniEncoder, own: Any, windows: list[Samples]) -> None:
    """The shortest are filled up there, which takes none that is too short; with a prompt it would be others."""
    filled = [np.pad(window, (0, max(0, 161 - len(window)))) for window in windows]
    rows = encoder.sounds().encode_sounds(windows)
    assert rows.shape == (len(windows), 24)
    assert rows.dtype == np.float32
    assert cosines(rows, own.encode(filled)).min() >= 0.9999
    assert cosines(rows, own.encode(filled, prompt_name="document")).max() < 0.9999


def test_sounds_differ(encoder: OmniEncoder, windows: list[Samples]) -> None:
    rows = encoder.sounds().encode_sounds([window for window in windows if len(window) >= 8000])
    assert (rows @ rows.T - 2 * np.eye(len(rows))).max() < 0.9999


def test_a_batch_of_sounds_equals_its_single_sounds(encoder: OmniEncoder, windows: list[Samples]) -> None:
    sounds = encoder.sounds()
    together = sounds.encode_sounds(windows)
    single = np.concatenate([sounds.encode_sounds([window]) for window in windows])
    assert np.abs(together - single).max() < 1e-5
    assert np.array_equal(sounds.encode_sounds(windows), together)


@pytest.mark.parametrize("length", [0, 1, 2, 159, 160, 161, 162, 321, 1600, 159_999, 160_000])
def test_every_length_has_a_vector_and_leaves_its_samples_alone(encoder: OmniEncoder, length: int) -> None:
    window = noise(length)
    before = window.copy()
    rows = encoder.sounds().encode_sounds([window])
    assert np.isfinite(rows).all()
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-5
    assert np.array_equal(window, before)


@pytest.mark.parametrize("level", [0.0, 1e-30, -1.0, 1.0])
def test_silence_and_what_never_moves_are_no_exception(encoder: OmniEncoder, level: float) -> None:
    rows = encoder.sounds().encode_sounds([np.full(16_000, level, np.float32)])
    assert np.isfinite(rows).all()
    assert np.abs(np.linalg.norm(rows, axis=1) - 1).max() < 1e-5


def test_all_of_a_window_reaches_the_model(encoder: OmniEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token for 40 ms, four that mark beginnings and ends, and no prompt."""
    seen: list[list[int]] = []
    forward = encoder._model.forward

    def spy(**inputs: Any) -> Any:
        seen.extend(inputs["input_ids"].tolist())
        return forward(**inputs)

    monkeypatch.setattr(encoder._model, "forward", spy)
    encoder.sounds().encode_sounds([noise(int(WINDOW_SECONDS * RATE))])
    assert encoder._processor.tokenizer.decode(seen[0]) == "<bos><|audio>" + "<|audio|>" * 250 + "<audio|><eos>"


def test_no_sound_takes_no_tower(encoder: OmniEncoder, squares: Pixels) -> None:
    """Photos and words never pay for it, and are the same with it."""
    before = encoder.encode_texts(TEXTS), encoder.encode_images(squares[:1])
    assert encoder.sounds().encode_sounds([]).shape == (0, 24)
    assert encoder._model.audio_tower is encoder._model.embed_audio is None
    encoder.sounds().encode_sounds([noise(1600)])
    assert encoder._model.audio_tower is not None
    assert np.array_equal(encoder.encode_texts(TEXTS), before[0])
    assert np.array_equal(encoder.encode_images(squares[:1]), before[1])


def test_the_tower_is_opened_once(encoder: OmniEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def spy(folder: Path, model: Any) -> None:
        opened.append(folder)
        load_ears(folder, model)

    monkeypatch.setattr(omni, "load_ears", spy)
    for sounds in (encoder.sounds(), encoder.sounds()):
        sounds.encode_sounds([noise(1600)])
        sounds.encode_sounds([noise(1600)])
    assert len(opened) == 1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tower_that_comes_later_is_the_one_that_comes_at_once(
    snapshot: Path, encoder: OmniEncoder, windows: list[Samples], dtype: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(snapshot / "model.safetensors")
    bounds = [name for name in tensors if name.startswith("audio_tower") and name.endswith(("put_min", "put_max"))]
    assert bounds  # of numbers before and behind each layer: written with the weights, and infinite in ours
    tensors |= {name: torch.tensor(-1.5 if name.endswith("min") else 1.5).bfloat16() for name in bounds}
    (snapshot / "model.safetensors").unlink()
    save_file(tensors, snapshot / "model.safetensors", {"format": "pt"})

    processor, model = load_model(snapshot, getattr(torch, dtype))
    load_ears(snapshot, model)
    eager = whole(snapshot, getattr(torch, dtype))
    for part in ("audio_tower", "embed_audio"):
        later, once = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in
                       (getattr(model, part), getattr(eager, part)))  # fmt: skip
        assert later.keys() == once.keys()
        assert all(torch.equal(later[name], once[name]) for name in once)
        assert {value.dtype for value in later.values()} == {value.dtype for value in once.values()}
    assert not model.audio_tower.training
    rows = [
        OmniEncoder(encoder.space, processor, m, encoder._add_ears).sounds().encode_sounds(windows[:4])
        for m in (model, eager)
    ]
    assert np.array_equal(rows[0], rows[1])


def test_the_tower_comes_without_the_rest(snapshot: Path, encoder: OmniEncoder) -> None:
    """The other towers are not read a second time, or memory would hold them twice."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(snapshot / "model.safetensors")
    (snapshot / "model.safetensors").unlink()
    own = {name: value for name, value in tensors.items() if name.startswith(("audio_tower.", "embed_audio."))}
    assert 0 < len(own) < len(tensors)
    save_file(own, snapshot / "model.safetensors", {"format": "pt"})
    assert encoder.sounds().encode_sounds([noise(1600)]).shape == (1, 24)


def test_sounds_in_bf16_come_close(encoder: OmniEncoder, folder: Path, windows: list[Samples]) -> None:
    import torch

    processor, model = load_model(folder, torch.bfloat16)
    half = OmniEncoder(encoder.space, processor, model, lambda: load_ears(folder, model))
    rows = half.sounds().encode_sounds(windows[:6])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert rows.dtype == np.float32
    assert cosines(rows, encoder.sounds().encode_sounds(windows[:6])).min() > 0.99


def without_a_tensor_for_sound(snapshot: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(snapshot / "model.safetensors")
    del tensors["embed_audio.embedding_projection.weight"]
    (snapshot / "model.safetensors").unlink()
    save_file(tensors, snapshot / "model.safetensors", {"format": "pt"})


def without_a_tower(snapshot: Path) -> None:
    config = json.loads((snapshot / "config.json").read_text())
    damaged(snapshot, "config.json", json.dumps(config | {"audio_config": None}).encode())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_a_tensor_for_sound, "the weights lack embed_audio.embedding_projection.weight"),
        (without_a_tower, "these files have no tower for sound"),
    ],
)
def test_without_its_tower_sound_is_one_line_and_photos_go_on(
    snapshot: Path, notes: Path, squares: Pixels, damage: Any, reason: str, capfd: Any
) -> None:
    damage(snapshot)
    encoder = load(notes)
    place = Path(constants.HF_HUB_CACHE, "models--google--embeddinggemma-2")
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            encoder.sounds().encode_sounds([noise(1600)])
        assert str(caught.value) == (
            f"omni cannot be loaded: {reason}; delete {place} and run: glimpse models get omni"
        )
    assert len(encoder.encode_images(squares[:1])) == len(encoder.encode_texts(["a cat"])) == 1
    assert capfd.readouterr() == ("", "")


def test_files_that_went_away_meanwhile_are_one_line(encoder: OmniEncoder, snapshot: Path) -> None:
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"^omni cannot be loaded: .*; delete .* run: glimpse models get omni$"):
        encoder.sounds().encode_sounds([noise(1600)])


# --- from the command line, in processes of their own


def test_index_and_search(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    colours = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
    for name, colour in colours.items():
        paint(shown / f"{name}.png", colour)
    place = ("--library", tmp_path / "library")
    done = run("index", shown, "--model", "omni", *place)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"4 added")
    said = done.stderr.decode().splitlines()
    assert said[0] == "omni runs in torch, which takes seconds to start ..."
    assert "Traceback" not in done.stderr.decode()
    words = run("search", "a red car", "--json", *place)
    scores = [json.loads(line)["score"] for line in words.stdout.splitlines()]
    assert len(scores) == 4
    assert scores == sorted(scores, reverse=True)


# --- a library of photos, sounds and films


MADE = ("red.png", "street.jpg", "whistle.wav", "hiss.wav", "film.mp4")
ROUNDED = 3e-3
"""Rows are stored with 11 bits, and of little else than their mean."""


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("media")
    paint(place / "red.png", (255, 0, 0))
    (place / "street.jpg").write_bytes(jpeg(next(scenes())))
    write_sound(place / "whistle.wav", tone(2.0, 1500))
    write_sound(place / "hiss.wav", films.noise(6.0))
    write_film(place / "film.mp4", [((0, 0, 255), 2.0), ((0, 255, 0), 2.0)], sound=tone(4.0, 300))
    return place


@pytest.fixture
def indexed(media: Path, snapshot: Path, notes: Path, tmp_path: Path) -> Iterator[glimpse.Library]:
    with glimpse.Library(Settings(tmp_path / "library", notes, model="omni")) as library:
        report = library.index([media])
        assert (report.added, report.failures, report.notes) == (5, [], [])
        yield library


def seen_and_heard(encoder: OmniEncoder, media: Path) -> tuple[dict[str, Vectors], dict[str, Vectors]]:
    """Return the rows of pictures, and those of windows of sound, by name, straight from the model."""
    ears, want = encoder.sounds(), encoder.image_input
    seen, heard = {}, {}
    for name in MADE[:2]:
        seen[name] = encoder.encode_images(decode_photo((media / name).read_bytes(), name, want).frames[0][None])
    for name in MADE[2:]:
        with open_recording(media / name) as recording:
            heard[name] = ears.encode_sounds([window.samples for window in windows_of(recording, ears.rate)])
    with open_recording(media / MADE[4]) as recording:
        seen[MADE[4]] = encoder.encode_images(np.stack([frame.pixels for frame in frames(recording, want)]))
    return seen, heard


@pytest.mark.parametrize("asked", MADE)
def test_each_finds_each(asked: str, indexed: glimpse.Library, encoder: OmniEncoder, media: Path) -> None:
    """Photos and sounds are centred with their own means, those of this library, and so is what is asked with."""
    rows = seen_and_heard(encoder, media)
    seen, heard = ({n: unit(r - np.concatenate([*some.values()]).mean(0)) for n, r in some.items()} for some in rows)
    by_sound = asked in MADE[2:4]
    question = unit(heard[asked].mean(0)) if by_sound else None
    if question is None:  # of a film, the mean frame
        frame_mean = np.concatenate([*rows[0].values()]).mean(0)
        question = unit(unit(rows[0][asked].mean(0)) - frame_mean)
    sounds = {name: float((heard[name] @ question).max()) for name in MADE[2:4] if name != asked}
    assert shown(indexed.search(str(media / asked), kind="audio")) == pytest.approx(sounds, abs=ROUNDED)
    if by_sound:
        pictures = {name: float((seen[name] @ question).max()) for name in MADE[:2]}
        assert shown(indexed.search(str(media / asked), kind="photo")) == pytest.approx(pictures, abs=ROUNDED)
    everything = indexed.search(str(media / asked))
    assert {hit.path.name for hit in everything} == {*MADE} - {asked}
    assert indexed.suggest_tags(media / asked)


def test_words_find_each(indexed: glimpse.Library, encoder: OmniEncoder, media: Path) -> None:
    assert {hit.path.name for hit in indexed.search("a whistle")} == {*MADE}
    _, heard = seen_and_heard(encoder, media)
    tags = [word.tag for word in read_vocabulary(data_path("tags.tsv"))]
    question = unit(encoder.encode_texts(["a whistle"])[0] - encoder.encode_texts(tags).mean(0))
    mean = np.concatenate([*heard.values()]).mean(0)
    sounds = {name: float((unit(heard[name] - mean) @ question).max()) for name in MADE[2:4]}
    assert shown(indexed.search("a whistle", kind="audio")) == pytest.approx(sounds, abs=ROUNDED)


def shown(hits: list[glimpse.Hit]) -> dict[str, float]:
    return {hit.path.name: hit.score for hit in hits}


# --- the real one


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, notes: Path) -> OmniEncoder:
    place = Path(os.environ.get("GLIMPSE_TEST_HUB", "~/.cache/huggingface/hub")).expanduser()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(place))
    if not PRESET.ready:
        pytest.skip(f"{REPO} is not in {place} (GLIMPSE_TEST_HUB)")
    return load(notes)


@pytest.mark.long
def test_the_real_model_finds_the_demo_photos(real: OmniEncoder) -> None:
    names = ["cat.png", "coffee.png", "rocket.jpg", "astronaut.png"]
    demo = ROOT / "data" / "demo"
    pixels = np.stack([decode_photo((demo / n).read_bytes(), n, real.image_input).frames[0] for n in names])
    texts = ["a cat", "a cup of coffee", "a rocket on its launch pad", "an astronaut in a space suit"]
    scores = real.encode_texts(texts) @ real.encode_images(pixels).T
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.long
def test_the_real_model_tells_a_whistle_from_a_hiss(real: OmniEncoder) -> None:
    """Without their means, which would be most of it with two of each."""
    time = np.arange(5 * RATE) / RATE
    whistle = (0.3 * np.sin(2 * np.pi * 1500 * time)).astype(np.float32)
    sounds = real.sounds().encode_sounds([whistle, noise(5 * RATE)])
    texts = real.encode_texts(["a steady high whistle, one pure tone", "the hiss of white noise, static"])
    assert sounds.shape == (2, 768)
    assert (sounds[0] - sounds[1]) @ (texts[0] - texts[1]) > 0


@pytest.mark.long
def test_the_real_tower_equals_sentence_transformers(real: OmniEncoder, windows: list[Samples]) -> None:
    from encoders.hub import cached

    weights = cached(REPO, omni.WEIGHTS)
    assert weights is not None
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    tower = Transformer(str(weights.parent), model_kwargs={"dtype": "float32", "local_files_only": True})
    theirs = SentenceTransformer(modules=[tower, Pooling(768, pooling_mode="mean"), Normalize()], device="cpu")
    heard = [window for window in windows if len(window) > 161]
    assert cosines(real.sounds().encode_sounds(heard), theirs.encode(heard)).min() >= 0.999
