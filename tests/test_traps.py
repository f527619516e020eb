"""The traps of pretrained encoders, each with the tests that close it; those that had none are below.

`TRAPS` is the list: number, what goes wrong, and where it is tested.
"""

import ast
import importlib
import logging
import os
import pickle
import socket
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from packaging.requirements import Requirement

import glimpse
from core.errors import ModelError
from core.types import Pixels, Progress, Space, Vectors
from encoders import openclip_source, registry
from encoders.base import Encoder
from encoders.fake import FakeEncoder
from encoders.openclip_source import find_source
from search.length import is_cut
from tests.conftest import ROOT
from tests.tiny_models import FAMILIES, tiny_model

TRAPS: dict[int, tuple[str, tuple[str, ...]]] = {
    1: (
        "the preparation of photos differs from tag to tag",
        (
            "openclip::test_the_tags_are_those_of_open_clip",
            "openclip::test_photos_are_prepared_as_the_configuration_says",
            "openclip::test_pixels_equal_those_of_open_clip",
            "openclip::test_the_revision_is_of_what_decides_the_vectors",
            "omni::test_photos_come_close_to_the_originals",
        ),
    ),
    2: (
        "a path given as `pretrained` silently takes OpenAI's preparation",
        (
            "openclip::test_a_configuration_without_preprocessing_is_refused",
            "traps::test_open_clip_is_never_asked_for_weights",
        ),
    ),
    3: (
        "weights made with QuickGELU under a model without it, or the other way round",
        (
            "openclip::test_quick_gelu_is_taken_from_the_configuration",
            "openclip::test_a_model_that_cannot_be_had_is_told_in_one_line",
            "traps::test_every_mismatch_of_quick_gelu_is_an_error",
        ),
    ),
    4: (
        "a tokenizer that is not the model's own, or pads or cleans otherwise",
        (
            "openclip::test_clip_tokens_equal_those_of_open_clip",
            "openclip::test_foreign_tokens_equal_those_of_open_clip",
            "traps::test_siglip_2_pads_to_64_and_cleans_its_texts",
            "omni::test_texts_equal_sentence_transformers",
            "omni::test_the_prompt_reaches_the_tokenizer",
        ),
    ),
    5: (
        "a text longer than the model reads is cut without a word",
        (
            "traps::test_a_text_that_is_cut_is_known",
            "traps::test_a_question_that_is_cut_is_told",
            "omni::test_a_long_text_is_cut",
        ),
    ),
    6: (
        "a model in training mode; rows that are not of length 1",
        (
            "traps::test_models_are_ready_for_inference",
            "encoders::test_photos_become_unit_rows",
            "encoders::test_a_batch_of_photos_equals_its_single_photos",
            "omni::test_it_runs_in_fp32_without_the_tower_for_sound",
        ),
    ),
    7: (
        "half precision where it is slow or wrong",
        (
            "openclip::test_vectors_equal_those_of_open_clip",
            "omni::test_other_precisions_are_refused",
            "omni::test_on_a_gpu_it_runs_in_bf16",
            "omni::test_bf16_comes_close",
        ),
    ),
    8: ("torch.compile compiles anew for every shape", ("traps::test_what_the_code_never_does",)),
    9: (
        "formats and settings that let a download run code",
        (
            "traps::test_what_the_code_never_does",
            "traps::test_a_pickle_under_the_name_of_safetensors_is_not_run",
            "builtin::test_the_weights_are_read_without_running_code",
            "openclip::test_what_a_folder_lacks_is_named",
            "models::test_only_what_cannot_run_code_is_fetched_and_the_weights_last",
            "models::test_a_repository_without_safetensors_is_refused",
            "omni::test_pickled_weights_are_not_looked_at",
        ),
    ),
    10: (
        "transformers 5 returns objects where it returned tensors",
        (
            "traps::test_what_the_code_never_does",
            "traps::test_features_are_taken_out_of_what_transformers_returns",
            "traps::test_ranges_of_versions_end",
            "clap::test_sounds_equal_transformers",
            "clap::test_texts_equal_transformers",
        ),
    ),
    11: (
        "photos on their side, see-through, in 16 bits, too large; two ways of resizing",
        (
            "photo::test_every_orientation_gives_the_upright_photo",
            "photo::test_what_shows_through_is_white",
            "photo::test_every_mode_shows_its_colour",
            "photo::test_a_bomb_is_refused_by_its_header",
            "photo::test_decoding_at_a_fraction_equals_decoding_whole",
            "traps::test_a_question_is_prepared_as_the_index_was",
        ),
    ),
    12: (
        "random crops and sample rates of sound",
        (
            "omni::test_it_runs_in_fp32_without_the_tower_for_sound",
            "clap::test_no_part_of_a_long_window_is_taken_by_chance",
            "clap::test_how_it_hears_is_said_by_the_model_and_not_by_a_default",
            "clap::test_spectrograms_equal_those_of_transformers",
        ),
    ),
    13: (
        "scores of different spaces are compared",
        (
            "traps::test_no_vector_of_another_space_is_ever_compared",
            "file_life::test_a_second_model_stands_beside_the_first",
            "file_life::test_a_new_revision_of_a_model_encodes_everything_again",
        ),
    ),
    14: (
        "tests that need the hub",
        ("traps::test_no_test_reaches_the_hub", "cli::test_processes_of_the_tests_have_no_network"),
    ),
    15: ("versions that drift", ("traps::test_ranges_of_versions_end",)),
}


@pytest.mark.parametrize("number", range(1, 16))
def test_every_trap_is_closed_by_tests_that_there_are(number: int) -> None:
    what, closed_by = TRAPS[number]
    assert what
    assert closed_by
    for name in closed_by:
        file, _, test = name.partition("::")
        tree = ast.parse((ROOT / "tests" / f"test_{file}.py").read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


@pytest.fixture(scope="module")
def exporter() -> Any:
    logging.getLogger("torch.__trace").propagate = False  # pytest would keep its thousands of lines
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("encoders.openclip_export")


@pytest.fixture(scope="module")
def tags(cache: Path) -> dict[str, Any]:
    return openclip_source._open_clip_models(cache, None)


# --- 2, 8, 9, 10, 12: what the code says


def calls() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield every call in encoders/, as written, with its keyword arguments."""
    for path in (ROOT / "encoders").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                keywords = {key.arg: ast.unparse(key.value) for key in node.keywords if key.arg}
                yield ast.unparse(node.func), keywords


def test_open_clip_is_never_asked_for_weights() -> None:
    """It is handed a folder with the configuration alone; the weights follow by load_checkpoint."""
    made = [keywords for name, keywords in calls() if name.startswith("open_clip.create")]
    assert made == [{"load_weights": "False", "pretrained_text": "False"}]
    assert {keywords.get("pretrained", "False") for _, keywords in calls()} == {"False"}


def test_what_the_code_never_does() -> None:
    never = {"compile", "tokenize", "get_image_features"}
    for name, keywords in calls():
        last = name.rpartition(".")[2]
        assert not (last in never and not name.startswith("re.")), name
        assert keywords.get("trust_remote_code", "False") == "False"
        assert keywords.get("weights_only", "True") == "True"
        if name in ("torch.load", "torch.jit.load", "pickle.load", "np.load"):
            assert name != "torch.load" or keywords["weights_only"] == "True"
            assert name != "torch.jit.load"
            assert keywords.get("allow_pickle", "False") == "False"
        if last == "from_pretrained":
            assert keywords["local_files_only"] == "True", name
            assert not name.endswith("Model.from_pretrained") or keywords["use_safetensors"] == "True"


def test_features_are_taken_out_of_what_transformers_returns() -> None:
    taken = called = 0
    for path in (ROOT / "encoders").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called += is_features(node)
            taken += isinstance(node, ast.Attribute) and node.attr == "pooler_output" and is_features(node.value)
    assert taken == called > 0


def is_features(node: ast.AST) -> bool:
    """Say whether this calls get_text_features or get_audio_features."""
    named = ("get_text_features", "get_audio_features")
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in named


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_pickle_under_the_name_of_safetensors_is_not_run(exporter: Any, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "vit", "vit")
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    (folder / "open_clip_model.safetensors").write_bytes(bomb)
    source = find_source("x", f"local-dir:{folder}", "", tmp_path)
    with pytest.raises(ModelError, match="does not fit its configuration"):
        exporter.load_model(source)
    assert not (tmp_path / "ran").exists()
    pickle.loads(bomb)
    assert (tmp_path / "ran").exists()


# --- 3


def test_every_mismatch_of_quick_gelu_is_an_error(
    tags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every tag of open_clip, under its model with the activation turned round."""
    turned = {
        model: known | {"config": known["config"] | {"quick_gelu": not known["config"].get("quick_gelu", False)}}
        for model, known in tags.items()
    }
    asked = 0
    for model, known in tags.items():
        for tag, weights in known["tags"].items():
            fits = weights["quick_gelu"] == known["config"].get("quick_gelu", False)
            for table, right in ((tags, fits), (turned, not fits)):
                monkeypatch.setattr(openclip_source, "_open_clip_models", lambda *_, table=table: table)
                name = f"open_clip:{model}/{tag}"
                with pytest.raises(ModelError) as caught:  # whether it fits or not: nothing is on this machine
                    find_source(name, name, "", tmp_path)
                assert ("QuickGELU" in str(caught.value)) == (not right)
                asked += 1
    assert asked > 300


# --- 4


def test_siglip_2_pads_to_64_and_cleans_its_texts(exporter: Any, tags: dict[str, Any], tmp_path: Path) -> None:
    """With the real configuration of each preset, and a tokenizer of our own in the place of its own."""
    folder = tiny_model(tmp_path / "siglip2", "siglip2")
    contexts = {}
    for preset in registry.presets().values():
        if not preset.source:
            continue
        model = preset.source.removeprefix("open_clip:").partition("/")[0]
        config = tags[model]["config"]
        local = find_source("x", f"local-dir:{folder}", "", tmp_path)
        foreign = "hf_tokenizer_name" in config["text_cfg"]
        source = openclip_source.Source("x", config, {}, "", "", local.tokenizer if foreign else "")
        ids = exporter.load_tokenizer(source)(["A  Cat" + "!" * foreign, "a cat"]).numpy()
        assert (ids[0] == ids[1]).all()
        contexts[preset.name] = ids.shape[1]
    assert contexts == {"small": 64, "base": 64, "large": 32}


# --- 5

LONG = "a red car in the rain beside a blue house on a hill, seen from the street at night in winter, "


def test_a_text_that_is_cut_is_known(builtin: Encoder) -> None:
    assert not is_cut(builtin, "a cat")
    assert not is_cut(builtin, LONG * 2)
    assert is_cut(builtin, LONG * 20)
    assert not is_cut(builtin, "!" * 200 + "a cat" + "." * 200)


@pytest.mark.parametrize("family", ["vit", "siglip2"])
def test_a_text_that_a_model_of_open_clip_cuts_is_known(exporter: Any, tmp_path: Path, family: str) -> None:
    source = find_source("x", f"local-dir:{tiny_model(tmp_path / family, family)}", "", tmp_path)
    encoder = FakeEncoder()
    encoder.encode_texts = exporter.TorchTowers(source).texts  # type: ignore[method-assign]
    assert is_cut(encoder, LONG * 2)  # they read 16 and 12 tokens
    assert not is_cut(encoder, "a cat")


def test_a_question_that_is_cut_is_told(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index([photos])
    told: list[Progress] = []
    library._progress = told.append
    own = FakeEncoder.encode_texts
    monkeypatch.setattr(FakeEncoder, "encode_texts", lambda self, texts: own(self, [text[:150] for text in texts]))
    library.search(f"red {'green ' * 12}")
    library.search("x.jpg.red", plus=["blue"])
    assert told == []
    library.search(f"red {'green ' * 60}", minus=["blue"])
    assert [progress.stage for progress in told] == [
        "the model reads only the beginning of 'red green green green green green green ...'"
    ]
    library.similar(photos / "red.png")
    assert len(told) == 1


# --- 6


@pytest.mark.parametrize("family", FAMILIES)
def test_models_are_ready_for_inference(exporter: Any, tmp_path: Path, family: str) -> None:
    source = find_source("x", f"local-dir:{tiny_model(tmp_path / family, family)}", "", tmp_path)
    model = exporter.load_model(source)
    assert not [name for name, module in model.named_modules() if module.training]


# --- 11


def test_a_question_is_prepared_as_the_index_was(
    library: glimpse.Library, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Pixels] = []
    own = FakeEncoder.encode_images

    def spy(self: FakeEncoder, pixels: Pixels) -> Vectors:
        seen.extend(pixels)
        return own(self, pixels)

    monkeypatch.setattr(FakeEncoder, "encode_images", spy)
    library.index([photos / "red.png"])
    outside = tmp_path / "outside.png"
    outside.write_bytes((photos / "red.png").read_bytes() + b"trailing")  # other bytes, the same picture
    library.similar(outside)
    assert len(seen) == 2
    assert np.array_equal(seen[0], seen[1])


# --- 13


class Other(FakeEncoder):
    """Another space of the same width, where every photo lies as near to red as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.space = Space(name="other", revision="1", dim=3, shared_dim=3)

    def encode_images(self, pixels: Pixels) -> Vectors:
        return np.tile(np.float32([1, 0, 0]), (len(pixels), 1))


def test_no_vector_of_another_space_is_ever_compared(
    library: glimpse.Library, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.index([photos])
    before = {hit.path: hit.score for hit in library.search("red")}
    models = {"fake": FakeEncoder, "other": Other}
    monkeypatch.setattr(registry, "load", lambda name, *_: models[name]())
    settings = library.settings
    with glimpse.Library(type(settings)(settings.library, settings.cache, "other")) as second:
        second.index()
        assert [round(hit.score, 3) for hit in second.search("red")] == [1, 1, 1, 1]
    library.close()
    assert {hit.path: hit.score for hit in library.search("red")} == before


# --- 14, 15


def test_no_test_reaches_the_hub() -> None:
    with pytest.raises((RuntimeError, UserWarning), match=r"tried to use socket"):
        socket.create_connection(("192.0.2.1", 443), timeout=0.1)
    assert not Path(constants.HF_HUB_CACHE).exists()
    assert os.environ["HF_HUB_CACHE"] == constants.HF_HUB_CACHE


def test_ranges_of_versions_end() -> None:
    """Of the libraries whose next major version may change vectors, or what they return."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ranges = {r.name: r.specifier for r in map(Requirement, project["dependencies"])}
    for name, newest, next_major in [
        ("transformers", "5.99", "6.0"),
        ("open_clip_torch", "3.99", "4.0"),
        ("timm", "1.99", "2.0"),
        ("tokenizers", "0.99", "1.0"),
    ]:
        assert newest in ranges[name]
        assert next_major not in ranges[name]
    assert "5.18.0" not in ranges["transformers"]  # has no EmbeddingGemma 2
