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

from core.errors import ModelError
from core.types import Fit, ImageInput, Pixels, Progress
from encoders import omni, registry
from encoders.omni import OmniEncoder, load_model, without_bars
from media.photo import decode_photo
from tests.conftest import ROOT, paint, run
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
    assert OmniEncoder(encoder.space, encoder._processor, encoder._model).image_input.size == 22 * 48


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


def test_bf16_comes_close(encoder: OmniEncoder, folder: Path, squares: Pixels) -> None:
    import torch

    processor, model = load_model(folder, torch.bfloat16)
    half = OmniEncoder(encoder.space, processor, model)
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


# --- the real one


@pytest.mark.long
def test_the_real_model_finds_the_demo_photos(monkeypatch: pytest.MonkeyPatch, notes: Path) -> None:
    real = Path(os.environ.get("GLIMPSE_TEST_HUB", "~/.cache/huggingface/hub")).expanduser()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(real))
    if not PRESET.ready:
        pytest.skip(f"{REPO} is not in {real} (GLIMPSE_TEST_HUB)")
    encoder = load(notes)
    names = ["cat.png", "coffee.png", "rocket.jpg", "astronaut.png"]
    demo = ROOT / "data" / "demo"
    pixels = np.stack([decode_photo((demo / n).read_bytes(), n, encoder.image_input).frames[0] for n in names])
    texts = ["a cat", "a cup of coffee", "a rocket on its launch pad", "an astronaut in a space suit"]
    scores = encoder.encode_texts(texts) @ encoder.encode_images(pixels).T
    assert scores.argmax(1).tolist() == [0, 1, 2, 3]
