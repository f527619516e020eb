"""CLAP, small and with random weights, in the hub's layout, held to transformers on those files."""

import json
import logging
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants

from core.errors import ModelError
from core.types import WINDOW_SECONDS, Progress, Samples, Space, Vectors
from encoders import clap, registry
from encoders.clap import ClapEncoder, OnnxTowers, repeated
from encoders.mel import MelSpec, log_mel
from encoders.runtime import Export, ensure_export
from tests.conftest import ROOT, run
from tests.test_encoders import ODD_TEXTS, assert_unit_rows
from tests.tiny_clap import DIM, PREPROCESSOR, write_clap
from tests.tiny_models import into_hub

REPO = "laion/larger_clap_general"
PRESET = registry.preset("clap")
RATE = 48_000
SECONDS = np.arange(10 * RATE) / RATE
TEXTS = [
    "a dog barks",
    "",
    "Rain on a TIN roof & thunder!",
    "ein Kätzchen miaut im Schnee",
    "一只猫 🐈 naïve_word's",
    " two  spaces,\ta tab\nand lines ",
    "<mask> of a </s> token <pad>",
    "the dog and the cat " * 60,
]


def sounds() -> dict[str, Samples]:
    """Return recordings of ten seconds and of less."""
    rng = np.random.default_rng(0)
    made = {
        "noise": 0.2 * rng.standard_normal(len(SECONDS)),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * SECONDS),
        "chirp": 0.3 * np.sin(2 * np.pi * (100 + 500 * SECONDS) * SECONDS),
        "silence": np.zeros(len(SECONDS)),
        "whisper": 1e-5 * rng.standard_normal(len(SECONDS)),
        "click": (np.arange(len(SECONDS)) == 99).astype(float),
        "six seconds": 0.2 * rng.standard_normal(6 * RATE),
        "a prime number of samples": 0.2 * rng.standard_normal(100_003),
        "a second": 0.5 * np.sin(2 * np.pi * 330 * SECONDS[:RATE]),
        "one sample": np.ones(1),
    }
    return {name: sound.astype(np.float32) for name, sound in made.items()}


SOUNDS = sounds()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return write_clap(tmp_path_factory.mktemp("clap"))


@pytest.fixture(autouse=True)
def snapshot(folder: Path, own_place: None) -> Path:
    """The model in the Hugging Face cache of this very test."""
    return into_hub(REPO, folder)


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the model is exported once, by a child process as ever."""
    return tmp_path_factory.mktemp("exports")


@pytest.fixture
def encoder(snapshot: Path, exports: Path) -> ClapEncoder:
    return load(exports)


@pytest.fixture(scope="session")
def exporter() -> Any:
    logging.getLogger("torch.__trace").propagate = False  # pytest would keep its thousands of lines
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import encoders.clap_export as module

    return module


@pytest.fixture(scope="session")
def own(folder: Path) -> Iterator[Any]:
    """The model and its processor as its card loads them."""
    import torch
    import transformers as hf

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    hf.logging.set_verbosity_error()
    yield hf.ClapModel.from_pretrained(folder).eval(), hf.ClapProcessor.from_pretrained(folder)
    torch.set_num_threads(threads)


def load(cache: Path, told: list[Progress] | None = None) -> ClapEncoder:
    loaded = registry.sound_encoder(cache, None if told is None else told.append)
    assert isinstance(loaded, ClapEncoder)
    return loaded


def own_sounds(own: Any, windows: list[Samples]) -> Vectors:
    """Return what transformers makes of windows that are no longer than it hears."""
    import torch

    model, processor = own
    inputs = processor(audio=windows, sampling_rate=RATE, max_length=10 * RATE, return_tensors="pt")
    with torch.inference_mode():
        rows: Vectors = model.get_audio_features(**inputs).pooler_output.numpy()
    return rows


def own_texts(own: Any, texts: list[str]) -> Vectors:
    import torch

    model, processor = own
    inputs = processor(text=texts, padding=True, truncation=True, max_length=77, return_tensors="pt")
    with torch.inference_mode():
        rows: Vectors = model.get_text_features(**inputs).pooler_output.numpy()
    return rows


# --- spectrograms


@pytest.mark.parametrize("name", SOUNDS)
def test_spectrograms_equal_those_of_transformers(name: str) -> None:
    import transformers as hf

    extractor = hf.ClapFeatureExtractor(**PREPROCESSOR)
    expected = extractor(SOUNDS[name], sampling_rate=RATE, return_tensors="np")["input_features"][0, 0]
    ours = log_mel(repeated(SOUNDS[name], 10 * RATE), MelSpec())
    assert ours.shape == (1001, 64)
    assert np.abs(ours - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("window", "length", "expected"),
    [
        ([1, 2], 5, [1, 2, 1, 2, 0]),
        ([1, 2], 4, [1, 2, 1, 2]),
        ([1, 2, 3], 5, [1, 2, 3, 0, 0]),
        ([1, 2, 3], 3, [1, 2, 3]),
        ([1, 2, 3, 4], 3, [1, 2, 3]),
        ([7], 3, [7, 7, 7]),
        ([], 3, [0, 0, 0]),
    ],
)
def test_short_windows_are_repeated_and_long_ones_cut(
    window: list[float], length: int, expected: list[float]
) -> None:
    made = repeated(np.array(window, np.float32), length)
    assert made.tolist() == expected
    assert made.dtype == np.float32


# --- the vectors are the model's own


def test_sounds_equal_transformers(encoder: ClapEncoder, own: Any) -> None:
    windows = list(SOUNDS.values())
    rows, expected = encoder.encode_sounds(windows), own_sounds(own, windows)
    assert_unit_rows(rows, len(windows), DIM)
    assert (rows * expected).sum(1).min() >= 0.9999
    assert (rows[0] * expected[1:]).sum(1).max() < 0.9999  # other sounds are elsewhere


def test_texts_equal_transformers(encoder: ClapEncoder, own: Any) -> None:
    rows, expected = encoder.encode_texts(TEXTS), own_texts(own, TEXTS)
    assert_unit_rows(rows, len(TEXTS), DIM)
    assert (rows * expected).sum(1).min() >= 0.9999
    assert (rows[0] * expected[1:]).sum(1).max() < 0.9999


def test_tokens_equal_transformers(encoder: ClapEncoder, own: Any) -> None:
    _, tokenizer, _ = OnnxTowers(encoder.export)._text_tower
    ids, mask = clap.token_ids(tokenizer, TEXTS)
    expected = own[1].tokenizer(TEXTS, padding=True, truncation=True, max_length=77)
    assert ids.tolist() == expected["input_ids"]
    assert mask.tolist() == expected["attention_mask"]
    assert ids.shape[1] == 77


def test_the_towers_ran_without_torch(encoder: ClapEncoder) -> None:
    assert encoder.export.manifest["torch"] == ""
    assert encoder.export.manifest["cosine"] >= 0.9999


def test_a_window_has_the_same_vector_alone_and_among_others(encoder: ClapEncoder) -> None:
    windows = list(SOUNDS.values())
    rows = encoder.encode_sounds(windows)
    for i, window in enumerate(windows):
        assert np.array_equal(encoder.encode_sounds([window])[0], rows[i])
    assert np.array_equal(encoder.encode_sounds(windows[::-1]), rows[::-1])


def test_a_text_has_the_same_vector_alone_and_among_others(encoder: ClapEncoder) -> None:
    texts = [f"{text} {i}" for i in range(5) for text in TEXTS]
    rows = encoder.encode_texts(texts)
    assert_unit_rows(rows, 40, DIM)
    for i in (0, 15, 16, 39):
        assert np.abs(encoder.encode_texts([texts[i]])[0] - rows[i]).max() < 1e-5


def test_no_part_of_a_long_window_is_taken_by_chance(encoder: ClapEncoder) -> None:
    """The library's own extractor takes another ten seconds every time."""
    long = np.concatenate([SOUNDS["chirp"], SOUNDS["noise"][:RATE]])
    assert np.array_equal(encoder.encode_sounds([long, long]), encoder.encode_sounds([SOUNDS["chirp"]] * 2))


def test_what_is_given_is_not_written_to(encoder: ClapEncoder) -> None:
    window = SOUNDS["a second"].copy()
    window.flags.writeable = False
    encoder.encode_sounds([window])
    assert np.array_equal(window, SOUNDS["a second"])


def test_nothing_in_is_nothing_out(encoder: ClapEncoder) -> None:
    for rows in (encoder.encode_sounds([]), encoder.encode_texts([])):
        assert (rows.shape, rows.dtype) == ((0, DIM), np.float32)


def test_an_empty_window_is_silence(encoder: ClapEncoder) -> None:
    empty, silent = encoder.encode_sounds([np.zeros(0, np.float32), SOUNDS["silence"]])
    assert np.array_equal(empty, silent)


@pytest.mark.parametrize("name", ODD_TEXTS)
def test_every_text_has_a_vector(encoder: ClapEncoder, name: str) -> None:
    assert_unit_rows(encoder.encode_texts([ODD_TEXTS[name]]), 1, DIM)


def test_a_long_text_is_cut(encoder: ClapEncoder) -> None:
    rows = encoder.encode_texts(["a dog " * 100, "a dog " * 200, "a dog"])
    assert np.abs(rows[0] - rows[1]).max() < 1e-6
    assert np.abs(rows[0] - rows[2]).max() > 1e-3


def test_the_space_is_one_of_sound(encoder: ClapEncoder) -> None:
    assert encoder.space == Space("sound:clap", encoder.space.revision, DIM, DIM)
    assert encoder.space.key.startswith("sound-clap-")
    assert (encoder.rate, encoder.batch_size) == (RATE, 8)
    assert PREPROCESSOR["max_length_s"] == WINDOW_SECONDS


def test_how_it_hears_is_said_by_the_model_and_not_by_a_default(encoder: ClapEncoder) -> None:
    """The class's own default begins at 0 Hz."""
    assert encoder.export.manifest["spec"] == {
        "rate": 48000, "fft": 1024, "hop": 480, "bands": 64, "low": 50, "high": 14000,
    }  # fmt: skip


# --- torch stays at home


def test_neither_a_sound_nor_a_text_needs_torch_or_a_socket(encoder: ClapEncoder, exports: Path) -> None:
    """Sockets are forbidden by what conftest.py puts into PYTHONPATH."""
    code = (
        "import sys, numpy; from pathlib import Path; from encoders import registry\n"
        "encoder = registry.sound_encoder(Path(sys.argv[1]), print)\n"
        "encoder.encode_sounds([numpy.ones(9, numpy.float32)]); encoder.encode_texts(['a dog'])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(exports)], cwd=ROOT, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr


def test_where_the_graphs_differ_the_towers_run_in_torch(
    encoder: ClapEncoder, exporter: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differs(*_: Any, **__: Any) -> float:
        (tmp_path / "new" / "sound.onnx").touch()
        raise ModelError("sound.onnx differs from torch: cosine 0.5")

    monkeypatch.setattr(exporter, "to_onnx", differs)
    (tmp_path / "new").mkdir()
    exporter.export(str(tmp_path / "new"), str(folder), "")
    export = Export(tmp_path / "new")
    assert [path.name for path in export.folder.iterdir()] == ["manifest.json"]
    monkeypatch.setattr(clap, "ensure_export", lambda *_: export)
    told: list[Progress] = []
    other = load(tmp_path, told)
    assert [progress.stage for progress in told] == [
        "clap runs in torch, which takes seconds to start: sound.onnx differs from torch: cosine 0.5"
    ]
    windows = list(SOUNDS.values())[::3]
    assert (other.encode_sounds(windows) * encoder.encode_sounds(windows)).sum(1).min() >= 0.9999
    assert (other.encode_texts(TEXTS) * encoder.encode_texts(TEXTS)).sum(1).min() >= 0.9999


def test_tables_that_hold_nothing_learned_may_be_missing(
    exporter: Any, own: Any, tmp_path: Path, folder: Path
) -> None:
    from safetensors.torch import load_file, save_file

    place = shutil.copytree(folder, tmp_path / "model")
    tensors = load_file(place / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.endswith(exporter._COMPUTED)}
    assert len(tensors) - len(kept) == 5
    save_file(kept, place / "model.safetensors", {"format": "pt"})
    model, _, _ = exporter.load_model(place, "")
    for name, value in own[0].state_dict().items():
        assert (model.state_dict()[name] == value).all()


# --- which vectors they are


def test_the_revision_is_of_what_decides_the_vectors(
    snapshot: Path, tmp_path: Path, encoder: ClapEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clap, "ensure_export", lambda *_: encoder.export)
    known = {load(tmp_path).space.revision}
    assert known == {encoder.space.revision}
    texts = ["config.json", "preprocessor_config.json", "vocab.json", "merges.txt", "tokenizer_config.json"]
    for name in texts:
        text = (snapshot / name).read_text(encoding="utf-8")
        (snapshot / name).unlink()
        (snapshot / name).write_text(text + "\n", encoding="utf-8")
        known.add(load(tmp_path).space.revision)
    monkeypatch.setattr(clap, "RECIPE", 2)
    known.add(load(tmp_path).space.revision)
    monkeypatch.setattr(clap, "MAX_TOKENS", 64)
    known.add(load(tmp_path).space.revision)
    (snapshot / "tokenizer.json").write_text("{}")
    known.add(load(tmp_path).space.revision)
    assert len(known) == 4 + len(texts)


def test_a_tokenizer_in_one_file_is_as_good_as_tables(folder: Path, exporter: Any, own: Any, tmp_path: Path) -> None:
    place = shutil.copytree(folder, tmp_path / "model")
    own[1].tokenizer.backend_tokenizer.save(str(place / "tokenizer.json"))
    for name in clap.WORDS[1:]:
        (place / name).unlink()
    _, _, tokenizer = exporter.load_model(place, "")
    assert tokenizer(TEXTS)["input_ids"] == own[1].tokenizer(TEXTS)["input_ids"]


# --- where it is found, and what for


def test_it_is_none_until_it_is_there(snapshot: Path, exports: Path) -> None:
    assert PRESET.ready
    (snapshot / "model.safetensors").unlink()
    assert not PRESET.ready
    assert registry.sound_encoder(exports) is None


def test_pickled_weights_are_not_looked_at(snapshot: Path, exports: Path) -> None:
    """They are what the main branch of its repository has."""
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    assert registry.sound_encoder(exports) is None
    with pytest.raises(
        ModelError, match=r"^the model 'clap' \(780 MB\) is not on this machine; get it with: glimpse"
    ):
        clap.load(exports, None, PRESET)


def test_it_is_no_model_to_index_with(tmp_path: Path) -> None:
    said = (
        "'clap' hears for other models, by itself once it is on this machine, and sees nothing; use another: --model"
    )
    with pytest.raises(ModelError, match=said):
        registry.load("clap", tmp_path)
    done = run("index", tmp_path, "--model", "clap", "--library", tmp_path / "library")
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


# --- what may be wrong


@pytest.mark.parametrize("name", [*clap.BESIDE, *clap.WORDS[1:]])
def test_a_file_that_is_not_there_is_named(snapshot: Path, exports: Path, name: str) -> None:
    (snapshot / name).unlink()
    place = Path(constants.HF_HUB_CACHE, "models--laion--larger_clap_general")
    with pytest.raises(ModelError, match=rf"lacks {name}; delete {place} and run: glimpse models get clap$"):
        load(exports)


def edit(path: Path, **changes: Any) -> None:
    said = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(said | changes), encoding="utf-8")


def without_a_tensor(name: str) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(place / "model.safetensors")
        del tensors[name]
        save_file(tensors, place / "model.safetensors", {"format": "pt"})

    return change


def cut_short(place: Path) -> None:
    weights = (place / "model.safetensors").read_bytes()
    (place / "model.safetensors").write_bytes(weights[:-1000])


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "no JSON": lambda place: (place / "config.json").write_bytes(b"{"),
    "a list": lambda place: (place / "config.json").write_bytes(b"[]"),
    "another model": lambda place: (place / "config.json").write_bytes(b'{"model_type": "bert"}'),
    "another width": lambda place: edit(place / "config.json", projection_dim=25),
    "a tensor less": without_a_tensor("text_projection.linear1.weight"),
    "a statistic less": without_a_tensor("audio_model.audio_encoder.batch_norm.running_mean"),
    "no weights": lambda place: (place / "model.safetensors").write_bytes(b"not weights at all"),
    "weights cut short": cut_short,
    "no tokens": lambda place: (place / "vocab.json").write_bytes(b"{}"),
    "no merges": lambda place: (place / "merges.txt").write_bytes(b"\xff\xfe"),
    "an empty tokenizer": lambda place: (place / "tokenizer.json").write_bytes(b"{}"),
    "no extractor": lambda place: (place / "preprocessor_config.json").write_bytes(b"nothing"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_one_line_with_a_remedy(
    exporter: Any, folder: Path, tmp_path: Path, damage: Callable[[Path], Any]
) -> None:
    place = shutil.copytree(folder, tmp_path / "model")
    damage(place)
    (tmp_path / "new").mkdir()
    with pytest.raises(ModelError, match=r"^CLAP cannot be loaded from .*model: .*; get it anew$") as caught:
        exporter.export(str(tmp_path / "new"), str(place), "get it anew")
    assert "\n" not in str(caught.value)


def test_what_the_child_says_reaches_whoever_asked(snapshot: Path, tmp_path: Path) -> None:
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").write_bytes(b"not weights at all")
    said = (
        r"^the model could not be prepared in .*: CLAP cannot be loaded from .*; delete .* glimpse models get clap$"
    )
    with pytest.raises(ModelError, match=said):
        load(tmp_path)


OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "fusion": ({"truncation": "fusion"}, "is a CLAP with fusion, whose vectors depend on chance; another$"),
    "other padding": ({"padding": "pad"}, "does not hear 10 seconds, repeated where shorter; another$"),
    "other length": ({"max_length_s": 5}, "does not hear 10 seconds, repeated where shorter; another$"),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_model_that_hears_otherwise_is_refused(
    name: str, exporter: Any, folder: Path, tmp_path: Path, own: Any
) -> None:
    import transformers as hf

    changes, said = OTHER[name]
    edit(shutil.copytree(folder, tmp_path / "model") / "preprocessor_config.json", **changes)
    extractor = hf.ClapFeatureExtractor.from_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match=said):
        exporter.spec_of(own[0], extractor, "another")


def test_spectrograms_that_are_not_ours_are_refused(exporter: Any, own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they would be if a newer transformers made them otherwise."""
    monkeypatch.setattr(exporter, "log_mel", lambda *args: log_mel(*args) + np.float32(0.001))
    with pytest.raises(ModelError, match=r"are made in a way that is not known; another$"):
        exporter.spec_of(own[0], own[1].feature_extractor, "another")


def test_weights_with_fusion_are_refused_whatever_the_extractor_says(exporter: Any, tmp_path: Path) -> None:
    place = write_clap(tmp_path / "model", fusion=True)
    (place / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    (tmp_path / "new").mkdir()
    with pytest.raises(ModelError, match="is a CLAP with fusion"):
        exporter.export(str(tmp_path / "new"), str(place), "")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
def test_code_that_a_configuration_names_is_refused(snapshot: Path, exports: Path, name: str) -> None:
    text = json.loads((snapshot / name).read_text())
    (snapshot / name).unlink()
    (snapshot / name).write_text(json.dumps(text | {"auto_map": {"AutoModel": "own.Own"}}))
    with pytest.raises(ModelError, match=r"asks for code of its own to be run \(auto_map\), and none is"):
        load(exports)


@pytest.mark.parametrize("name", ["sound.onnx", "sound.onnx.data", "text.onnx", "tokenizer.json", "tokens.npy"])
def test_a_rotten_export_is_made_anew(encoder: ClapEncoder, tmp_path: Path, name: str) -> None:
    place = shutil.copytree(encoder.export.folder, tmp_path / "export")
    contents = bytearray((place / name).read_bytes())
    contents[:200] = b"\xff" * 200
    (place / name).write_bytes(contents)
    rotten = ClapEncoder(encoder.space, Export(place), OnnxTowers(Export(place)))
    with pytest.raises(ModelError, match="is damaged; run the command again, it is made anew"):
        _ = rotten.encode_sounds([SOUNDS["tone"]]) if "sound" in name else rotten.encode_texts(["a dog"])
    assert not (place / "manifest.json").exists()


def test_an_export_on_a_read_only_disk_is_used(encoder: ClapEncoder, exports: Path) -> None:
    place = encoder.export.folder
    for path in (place, exports, exports / "models"):
        path.chmod(0o555)
    try:
        assert load(exports).encode_texts(["a dog"]).shape == (1, DIM)
        assert ensure_export(clap.EXPORTER, place).folder == place
    finally:
        for path in (place, exports, exports / "models"):
            path.chmod(0o755)


# --- the real one


@pytest.mark.long
def test_the_real_model_tells_a_tone_from_noise(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    real = Path(os.environ.get("GLIMPSE_TEST_HUB", "~/.cache/huggingface/hub")).expanduser()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(real))
    if not PRESET.ready:
        pytest.skip(f"{REPO} is not in {real} (GLIMPSE_TEST_HUB)")
    encoder = load(cache)
    assert (encoder.space.dim, encoder.rate) == (512, RATE)
    assert encoder.export.manifest["torch"] == ""
    scores = (
        encoder.encode_texts(["a pure tone", "white noise"])
        @ encoder.encode_sounds([SOUNDS["tone"], SOUNDS["noise"]]).T
    )
    assert scores.argmax(1).tolist() == [0, 1]
    assert scores.argmax(0).tolist() == [0, 1]
