"""What every encoder keeps to, whichever it is; a new preset is tested by being in the table."""

from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from core.errors import ModelError
from core.types import Fit, Pixels, Vectors
from encoders import registry
from encoders.base import Encoder, unit
from encoders.fake import FakeEncoder
from tests.tiny_models import FAMILIES, tiny_model

TEXTS = ["a cat", "a red car in the rain", "red", "two dogs and a ball on a beach at night", "blue green", "x"]
ODD_TEXTS = {
    "nothing": "",
    "a space": " ",
    "a full stop": ".",
    "dots and spaces": " . . ",
    "lines": "a cat\non a\r\n\tmat\n",
    "a NUL": "a \0 cat",
    "only NUL": "\0",
    "emoji": "🐈‍⬛👩🏽‍🚀",
    "accents": "Ein Kätzchen im Schnee à la façon de Noël",
    "combining accents": "a\u0301" * 40,
    "Chinese": "一只猫在雪地里",
    "Arabic": "قطة في الثلج",
    "braces": "{} {0} {cat} {{",
    "percent": "%s %d %(cat)s",
    "special tokens": "[CLS] [SEP] [MASK] [PAD] [UNK]",
    "direction marks": "\u202ecat\u202c",
    "a byte that is no UTF-8": "caf\udce9",
    "half a surrogate pair": "\ud83d",
    "one word without end": "a" * 20_000,
    "5,000 words": "cat " * 5_000,
}


CACHES: dict[str, Path] = {}
"""Where the exports of models made up here lie: they are of no use in the user's own cache."""


@pytest.fixture(scope="module", params=["builtin", "fake", "siglip2", "vit"])
def encoder(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The presets that need no download, and two families of open_clip with random weights."""
    name = request.param
    if name in FAMILIES:
        place = tmp_path_factory.mktemp("models")
        name = f"local-dir:{tiny_model(place / name, name)}"
        cache = CACHES[name] = place / "cache"
    return registry.load(name, cache)


@pytest.fixture
def photos(encoder: Encoder) -> Pixels:
    size = encoder.image_input.size
    shape = (5, size, size, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8) // np.uint8([[[1, 2, 3]]])


def assert_unit_rows(rows: Vectors, count: int, dim: int) -> None:
    assert rows.shape == (count, dim)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


# --- every encoder


def test_the_space_is_sound(encoder: Encoder) -> None:
    space = encoder.space
    assert 0 < space.shared_dim <= space.dim
    assert 0 < space.shared_norm <= 1
    assert space.shared_norm == 1 or space.shared_dim < space.dim
    assert space.key.replace("-", "").replace("_", "").isalnum()


def test_the_space_is_of_the_preset_that_was_asked_for(encoder: Encoder, cache: Path) -> None:
    assert registry.load(encoder.space.name, CACHES.get(encoder.space.name, cache)).space == encoder.space


def test_the_pixels_wanted_are_sound(encoder: Encoder) -> None:
    assert encoder.image_input.size > 0
    assert isinstance(encoder.image_input.fit, Fit)


def test_photos_become_unit_rows(encoder: Encoder, photos: Pixels) -> None:
    assert_unit_rows(encoder.encode_images(photos), len(photos), encoder.space.dim)


def test_the_leading_block_of_a_photo_has_the_norm_that_the_space_says(encoder: Encoder, photos: Pixels) -> None:
    leading = encoder.encode_images(photos)[:, : encoder.space.shared_dim]
    assert np.allclose(np.linalg.norm(leading, axis=1), encoder.space.shared_norm, atol=1e-5)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_photo_of_one_grey_is_no_exception(encoder: Encoder, value: int) -> None:
    size = encoder.image_input.size
    assert_unit_rows(encoder.encode_images(np.full((1, size, size, 3), value, np.uint8)), 1, encoder.space.dim)


def test_texts_become_unit_rows(encoder: Encoder) -> None:
    assert_unit_rows(encoder.encode_texts(TEXTS), len(TEXTS), encoder.space.dim)


def test_texts_fill_the_shared_dimensions_only(encoder: Encoder) -> None:
    assert not encoder.encode_texts(TEXTS)[:, encoder.space.shared_dim :].any()


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
def test_every_text_has_a_vector(encoder: Encoder, text: str) -> None:
    assert_unit_rows(encoder.encode_texts([text]), 1, encoder.space.dim)


def test_a_batch_of_photos_equals_its_single_photos(encoder: Encoder, photos: Pixels) -> None:
    single = np.concatenate([encoder.encode_images(photo[None]) for photo in photos])
    assert np.abs(encoder.encode_images(photos) - single).max() < 1e-5


def test_a_batch_of_texts_equals_its_single_texts(encoder: Encoder) -> None:
    texts = [*TEXTS, *ODD_TEXTS.values()]
    single = np.concatenate([encoder.encode_texts([text]) for text in texts])
    assert np.abs(encoder.encode_texts(texts) - single).max() < 1e-5


def test_a_large_batch_of_texts_keeps_its_order(encoder: Encoder) -> None:
    texts = [f"{TEXTS[i % len(TEXTS)]} {i}" for i in range(150)]
    rows = encoder.encode_texts(texts)
    assert len(rows) == 150
    assert np.abs(rows[::-1] - encoder.encode_texts(texts[::-1])).max() < 1e-5
    assert np.abs(rows[149] - encoder.encode_texts([texts[149]])[0]).max() < 1e-5


def test_photos_keep_their_order(encoder: Encoder, photos: Pixels) -> None:
    rows = encoder.encode_images(photos)
    assert np.abs(rows[::-1] - encoder.encode_images(photos[::-1])).max() < 1e-5


def test_nothing_in_is_nothing_out(encoder: Encoder, photos: Pixels) -> None:
    assert encoder.encode_texts([]).shape == (0, encoder.space.dim)
    assert encoder.encode_images(photos[:0]).shape == (0, encoder.space.dim)
    assert encoder.encode_texts([]).dtype == np.float32


def test_the_same_input_gives_the_same_vector(encoder: Encoder, photos: Pixels, cache: Path) -> None:
    again = registry.load(encoder.space.name, CACHES.get(encoder.space.name, cache))
    assert (encoder.encode_images(photos) == again.encode_images(photos)).all()
    assert (encoder.encode_texts(TEXTS) == again.encode_texts(TEXTS)).all()


def test_the_pixels_given_are_not_written_to(encoder: Encoder, photos: Pixels) -> None:
    photos.flags.writeable = False
    encoder.encode_images(photos)


def test_texts_may_be_any_sequence(encoder: Encoder) -> None:
    assert (encoder.encode_texts(tuple(TEXTS)) == encoder.encode_texts(TEXTS)).all()


# --- the fake one, computed by hand

HALF, THIRD = 0.5**0.5, (1 / 3) ** 0.5


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("red", (1, 0, 0)),
        ("a Red   car", (1, 0, 0)),
        ("red blue", (HALF, 0, HALF)),
        ("yellow", (HALF, HALF, 0)),
        ("red red green", (0.8**0.5, 0.2**0.5, 0)),
        ("white", (THIRD, THIRD, THIRD)),
        ("a cat", (THIRD, THIRD, THIRD)),
        ("", (THIRD, THIRD, THIRD)),
    ],
)
def test_the_fake_encoder_adds_the_colours_a_text_names(text: str, row: tuple[float, ...]) -> None:
    assert np.allclose(FakeEncoder().encode_texts([text]), [row], atol=1e-6)


@pytest.mark.parametrize(
    ("colour", "row"),
    [
        ((255, 0, 0), (1, 0, 0)),
        ((1, 0, 0), (1, 0, 0)),
        ((0, 30, 40), (0, 0.6, 0.8)),
        ((0, 0, 0), (THIRD, THIRD, THIRD)),
        ((255, 255, 255), (THIRD, THIRD, THIRD)),
    ],
)
def test_the_fake_encoder_takes_the_mean_colour(colour: tuple[int, int, int], row: tuple[float, ...]) -> None:
    assert np.allclose(FakeEncoder().encode_images(np.full((1, 8, 8, 3), colour, np.uint8)), [row], atol=1e-6)


def test_the_fake_encoder_mixes_what_is_in_a_photo() -> None:
    photo = np.zeros((1, 8, 8, 3), np.uint8)
    photo[:, :4, :, 0] = photo[:, 4:, :, 2] = 255
    assert np.allclose(FakeEncoder().encode_images(photo), [[HALF, 0, HALF]], atol=1e-6)


# --- the table


def test_rows_are_scaled_to_one_and_zeros_stay() -> None:
    assert unit(np.float32([[3, 4], [0, 0]])).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0]]
    assert unit(np.float32([0, 5])).tolist() == [0, 1]
    assert unit(np.float64([[1e-20, 0]])).dtype == np.float32


def test_an_unknown_model_is_named_with_those_that_there_are(cache: Path) -> None:
    with pytest.raises(
        ModelError, match=r"there is no model 'clip'; the models are: builtin, small, base, large, omni, clap, open_"
    ):
        registry.load("clip", cache)


@pytest.mark.parametrize("name", ["small", "base", "large", "omni"])
def test_a_model_that_is_not_there_is_refused_with_its_size_and_a_way_to_get_it(cache: Path, name: str) -> None:
    said = (
        rf"^the model '{name}' \(\d,\d00 MB\) is not on this machine; get it with: glimpse models get {name}, or use"
    )
    with pytest.raises(ModelError, match=said):
        registry.load(name, cache)


def test_a_new_library_gets_the_preferred_model_once_it_is_there() -> None:
    assert registry.default() == "builtin"
    place = Path(constants.HF_HUB_CACHE, "models--timm--ViT-B-32-SigLIP2-256", "snapshots", "1234")
    place.mkdir(parents=True)
    (place / "open_clip_model.safetensors").touch()
    assert registry.default() == "small"
    assert [p.name for p in registry.presets().values() if p.ready] == ["builtin", "small", "fake"]


@pytest.mark.parametrize("preset", registry.presets().values(), ids=lambda preset: preset.name)
def test_every_preset_says_what_it_is_and_may_be_used_by_all(preset: registry.Preset) -> None:
    assert preset.what
    assert preset.licence in ("Apache-2.0", "MIT", "BSD-3-Clause")
    assert preset.megabytes >= 0
