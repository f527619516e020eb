"""Models of open_clip: the same vectors as its own interface gives, and every trap on the way there closed."""

import importlib
import json
import logging
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ftfy
import numpy as np
import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.errors import ModelError
from core.types import Fit, ImageInput, Interpolation, Progress, Vectors
from encoders import hub, openclip, openclip_source, registry
from encoders.openclip import OnnxTowers, OpenClipEncoder
from encoders.openclip_source import Source, find_source
from encoders.openclip_words import Words, clean
from encoders.pieces import Pieces, write_pieces
from encoders.runtime import Export
from media.photo import decode_photo
from tests.conftest import DEMO, ROOT
from tests.tiny_models import FAMILIES, HALF, OPENAI, SQUASH, clip, tiny_model, write_model

SLOW = {"pe", "convnext", "timm-resnet", "coca", "resnet", "mobileclip2-s3"}
BOTH_WAYS = {"siglip2", "coca", "transformers-text", "mobileclip2-s0", "mobileclip2-s3"}
"""Families whose tokens see what is behind them, the padding too."""
TEXTS = [
    "a cat",
    "Two dogs & a ball_game, on a BEACH!",
    "Ein Kätzchen im Schnee",
    "",
    "the 3 cats ate at noon " * 20,
    "🐈‍⬛ naïve l'été",
    "一只猫在雪地里",
    "<end_of_text> a cat",
    "&lt;b&gt; caf\u00c3\u00a9",
]


@pytest.fixture(scope="session")
def exporter() -> Any:
    logging.getLogger("torch.__trace").propagate = False  # pytest would keep its thousands of lines
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("encoders.openclip_export")


@pytest.fixture(scope="session")
def open_clip(exporter: Any) -> Any:
    return exporter.open_clip


Make = Callable[[Path], OpenClipEncoder]


@pytest.fixture
def encoder_of(exporter: Any, tmp_path: Path) -> Make:
    """Export in this process, which has torch already, rather than in a child that takes ten seconds to import it."""

    def make(folder: Path) -> OpenClipEncoder:
        source = source_of(folder, tmp_path)
        target = tmp_path / f"export-{source.revision}"
        target.mkdir()
        with warnings.catch_warnings():
            exporter.export(str(target), source.to_json())
        export = Export(target)
        assert export.manifest["torch"] == ""
        towers = OnnxTowers(export) if (target / "text.onnx").exists() else exporter.TorchTowers(source)
        return OpenClipEncoder(source, export, towers)

    return make


def source_of(folder: Path, cache: Path) -> Source:
    name = f"local-dir:{folder}"
    return find_source(name, name, "", cache)


def photos() -> list[Path]:
    """Return the demonstration photos but one in Adobe RGB: open_clip does not look at colour profiles."""
    paths = sorted(path for path in DEMO.iterdir() if path.suffix in (".png", ".jpg"))
    return [path for path in paths if path.name != "rocket.jpg"]


def own_vectors(open_clip: Any, folder: Path) -> tuple[Vectors, Vectors]:
    """Return what open_clip's documentation tells one to do, for the demonstration photos and TEXTS."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    pictures = []
    for path in photos():
        with Image.open(path) as image:
            pictures.append(preprocess(image.convert("RGB")))
    with torch.inference_mode():
        images = model.encode_image(torch.stack(pictures), normalize=True).numpy()
        return images, model.encode_text(tokenizer(TEXTS), normalize=True).numpy()


def our_vectors(encoder: OpenClipEncoder) -> tuple[Vectors, Vectors]:
    pixels = [decode_photo(path.read_bytes(), path.name, encoder.image_input).frames[0] for path in photos()]
    return encoder.encode_images(np.stack(pixels)), encoder.encode_texts(TEXTS)


def cosines(a: Vectors, b: Vectors) -> Vectors:
    return np.sum(a * b, axis=-1)


# --- the same vectors


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in FAMILIES]
)
def test_vectors_equal_those_of_open_clip(family: str, encoder_of: Make, open_clip: Any, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / family, family)
    encoder = encoder_of(folder)
    expected, got = own_vectors(open_clip, folder), our_vectors(encoder)
    # Pillow and torchvision share out an odd margin differently, by one pixel of these models' 32.
    enough = 0.97 if encoder.image_input.fit is Fit.LETTERBOX else 0.9999
    assert cosines(got[0], expected[0]).min() >= enough
    assert cosines(got[1], expected[1]).min() >= 0.9999
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])  # as short as each of them is
    assert cosines(alone, expected[1]).min() >= 0.9999
    assert encoder.export.manifest.get("causal", False) == (family not in BOTH_WAYS)
    for rows in expected:  # or the comparison would say nothing
        assert (rows @ rows.T).min() < 0.999
    assert encoder.space.dim == encoder.space.shared_dim == expected[0].shape[1]
    assert not encoder.space.centred


@pytest.mark.parametrize(
    ("manifest", "ids", "length"),
    [
        ({"causal": True}, [[7, 2, 9, 0, 0, 0]], 3),
        ({"causal": True}, [[7, 2, 9, 0, 0, 0], [7, 2, 2, 2, 9, 0]], 5),
        ({"causal": True}, [[7, 9, 3, 9, 0, 0]], 2),
        ({"causal": True}, [[7, 2, 2, 2, 2, 9]], 6),
        ({"causal": False}, [[7, 2, 9, 0, 0, 0]], 6),
        ({}, [[7, 2, 9, 0, 0, 0]], 6),  # written before graphs took any length
    ],
)
def test_what_is_behind_the_last_end_token_is_left_out(
    manifest: dict[str, Any], ids: list[list[int]], length: int
) -> None:
    class Words:
        def ids(self, _: object) -> Any:
            return np.array(ids)

    class Session:
        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(name="embeddings"), SimpleNamespace(name="ids")]

        def run(self, _: object, inputs: dict[str, Any]) -> list[Any]:
            return [inputs["ids"], inputs["embeddings"]]

    class Towers(OnnxTowers):
        def _open_text(self) -> Any:
            return Session(), Words(), np.zeros((10, 4), np.float16)

    towers = Towers(SimpleNamespace(manifest=manifest))  # type: ignore[arg-type]
    assert towers.texts(["any"] * len(ids)).tolist() == [row[:length] for row in ids]


def test_quick_gelu_is_taken_from_the_configuration(exporter: Any, tmp_path: Path) -> None:
    """The weights are the same, the vectors are not; nor is the revision."""
    sources = [source_of(tiny_model(tmp_path / name, name), tmp_path) for name in ("vit", "vit-quickgelu")]
    plain, quick = (exporter.TorchTowers(source).texts(TEXTS) for source in sources)
    assert np.abs(plain - quick).max() > 1e-3
    assert sources[0].weights_hash == sources[1].weights_hash
    assert sources[0].revision != sources[1].revision


@pytest.mark.parametrize(
    ("preprocess", "want"),
    [
        (OPENAI, ImageInput(32, Fit.CROP, Interpolation.BICUBIC, 0)),
        (HALF | SQUASH, ImageInput(32, Fit.SQUASH, Interpolation.BICUBIC, 0)),
        (
            HALF | {"interpolation": "bilinear", "resize_mode": "squash"},
            ImageInput(32, Fit.SQUASH, Interpolation.BILINEAR, 0),
        ),
        (
            OPENAI | {"resize_mode": "longest", "fill_color": 127},
            ImageInput(32, Fit.LETTERBOX, Interpolation.BICUBIC, 127),
        ),
    ],
)
def test_photos_are_prepared_as_the_configuration_says(
    preprocess: dict[str, Any],
    want: ImageInput,
    encoder_of: Make,
    exporter: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("to_onnx", "held"):
        monkeypatch.setattr(exporter, name, lambda *_, **__: 1.0)
    encoder = encoder_of(write_model(tmp_path / "model", FAMILIES["vit"][0], preprocess))
    assert encoder.image_input == want


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(640, 480), (301, 503), (90, 70), (1000, 100)])
def test_pixels_equal_those_of_open_clip(
    open_clip: Any, tmp_path: Path, mode: str, interpolation: str, size: tuple[int, int]
) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    with Image.open(DEMO / "coffee.png") as coffee:
        photo = coffee.convert("RGB").resize(size)
    photo.save(tmp_path / "photo.png")
    settings = {"size": 64, "mean": (0.0,) * 3, "std": (1.0,) * 3, "interpolation": interpolation}
    expected = image_transform_v2(PreprocessCfg(resize_mode=mode, **settings), is_train=False)(photo)
    want = ImageInput(64, openclip._FITS[mode], Interpolation(interpolation), 0)
    got = decode_photo((tmp_path / "photo.png").read_bytes(), "photo.png", want).frames[0]
    difference = np.abs(got.transpose(2, 0, 1) / 255 - expected.numpy())
    assert difference.mean() < (0.002 if mode != "longest" else 0.03)  # an odd margin moves the photo by a pixel


# --- the same token ids


def strings(count: int) -> list[str]:
    """Return texts of all kinds: words, punctuation, other scripts, entities, long ones."""
    dice = random.Random(0)
    alphabets = [
        "abcdefghijklmnopqrstuvwxyz",
        "ABCDEFGHIJ0123456789",
        "'s't're've'm'll'd.,!?-_&;:()\"#@/\\",
        "äöüßéèçñøåİıſŒœ",
        "абвгдежзийклмнопрстуфхцчшщъыьэюя",
        "一只猫在雪地里山水火木金土日月",
        "قطة في الثلج",
        "あいうえおカタカナ",
        "한국어고양이",
        "🐈🏔️👩🏽‍🚀❤️🎂",
        "\u0301\u200d\ufe0f\u00a0\u2028▁½²Ⅷ①𝒜",
    ]
    made = []
    for _ in range(count):
        words = []
        for _ in range(dice.randint(0, 12)):
            letters = dice.choice(alphabets) if dice.random() < 0.5 else alphabets[0]
            words.append("".join(dice.choices(letters, k=dice.randint(1, 9))))
        made.append(dice.choice([" ", " ", "  ", "_", "\n"]).join(words))
    return [*TEXTS, *made, "word " * 300, "x" * 500, "I'LL we've &amp;amp; &lt;", "<start_of_text>", "a\tb\r\nc"]


@pytest.mark.parametrize("how", ["lower", "whitespace", "canonicalize"])
def test_clip_tokens_equal_those_of_open_clip(exporter: Any, tmp_path: Path, how: str) -> None:
    own = exporter.SimpleTokenizer(clean=how)
    exporter._simple(own).save(str(tmp_path / "tokenizer.json"))
    texts = strings(1500)
    got = Words(tmp_path, how, pieces=False, zeroed=None).ids(texts)
    wrong = [text for text, a, b in zip(texts, got, own(texts).numpy(), strict=True) if (a != b).any()]
    assert wrong == []


@pytest.mark.parametrize("family", ["siglip2", "transformers-text"])
def test_foreign_tokens_equal_those_of_open_clip(exporter: Any, open_clip: Any, tmp_path: Path, family: str) -> None:
    folder = tiny_model(tmp_path / family, family)
    own = open_clip.get_tokenizer(f"local-dir:{folder}")
    target = tmp_path / "export"
    target.mkdir()
    kept = exporter._export_words(own, target)["words"]
    assert kept["pieces"] == (family == "siglip2")
    texts = strings(1500)
    assert (Words(target, **kept).ids(texts) == own(texts).numpy()).all()


def test_mapped_pieces_equal_the_library(tmp_path: Path) -> None:
    """A vocabulary of thousands of random pieces, as deep merges as SigLIP 2's, the start of a text marked too."""
    from tokenizers import Tokenizer, models, normalizers, processors

    dice = random.Random(1)
    vocabulary = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3} | {f"<0x{b:02X}>": 4 + b for b in range(256)}
    pieces = [*"▁abcdefghijklmnopqrstuvwxyzйж一只猫"]
    vocabulary |= {piece: 260 + place for place, piece in enumerate(pieces)}
    merges: dict[tuple[str, str], None] = {}
    while len(merges) < 6000:
        left, right = dice.choice(pieces[:400]), dice.choice(pieces[:400])
        if len(left + right) <= 8:
            merges[left, right] = None
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                pieces.append(left + right)
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges), unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    ends = [("<bos>", 2), ("<eos>", 1)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=ends)
    tokenizer.add_special_tokens(["<pad>", "<eos>", "<bos>", "<unk>"])
    tokenizer.enable_truncation(32)
    tokenizer.enable_padding(length=32, pad_id=0)
    assert write_pieces(tokenizer, 32, tmp_path)
    texts = [clean(text, "canonicalize") for text in strings(1500)]
    assert (Pieces(tmp_path).ids(texts) == np.array([row.ids for row in tokenizer.encode_batch(texts)])).all()


def test_other_kinds_of_vocabulary_are_left_to_the_library(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    assert not write_pieces(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), 8, tmp_path)
    assert not write_pieces(Tokenizer(models.BPE({"a": 0}, [])), 8, tmp_path)


# --- where a model comes from


def test_the_revision_is_of_what_decides_the_vectors(tmp_path: Path) -> None:
    first = tiny_model(tmp_path / "first", "siglip2")
    revision = source_of(first, tmp_path).revision
    elsewhere = shutil.copytree(first, tmp_path / "elsewhere")
    assert source_of(elsewhere, tmp_path).revision == revision
    for file, old, new in [
        ("open_clip_config.json", b'"bicubic"', b'"bilinear"'),
        ("open_clip_config.json", b'"pool_type": "last"', b'"pool_type": "first"'),
        ("tokenizer.json", b'"<pad>"', b'"<PAD>"'),
        ("open_clip_model.safetensors", b"\x3e", b"\x3d"),
    ]:
        other = shutil.copytree(first, tmp_path / "other")
        data = (other / file).read_bytes()
        assert old in data
        (other / file).write_bytes(data.replace(old, new))
        assert source_of(other, tmp_path).revision != revision
        shutil.rmtree(other)


@pytest.mark.parametrize(
    ("remove", "said"),
    [
        ("open_clip_config.json", "is no open_clip model: it has no open_clip_config.json"),
        ("open_clip_model.safetensors", "has no open_clip_model.safetensors; other formats can run code"),
        ("tokenizer.json", "has no tokenizer.json; copy the tokenizer's files"),
    ],
)
def test_what_a_folder_lacks_is_named(tmp_path: Path, remove: str, said: str) -> None:
    folder = tiny_model(tmp_path / "model", "siglip2")
    (folder / remove).rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=said) as caught:
        registry.load(f"local-dir:{folder}", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_configuration_without_preprocessing_is_refused(tmp_path: Path) -> None:
    """open_clip would take OpenAI's, and every vector would be a little wrong."""
    folder = tiny_model(tmp_path / "model", "vit")
    settings = json.loads((folder / "open_clip_config.json").read_text())
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings["model_cfg"]}))
    with pytest.raises(ModelError, match="lacks a sound preprocess_cfg, or photos would be prepared wrongly"):
        registry.load(f"local-dir:{folder}", tmp_path)


def test_weights_that_do_not_fit_are_refused(exporter: Any, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "vit", "vit")
    shutil.copy(tiny_model(tmp_path / "resnet", "resnet") / "open_clip_model.safetensors", folder)
    with pytest.raises(ModelError, match="does not fit its configuration: Error") as caught:
        exporter.export(str(tmp_path), source_of(folder, tmp_path).to_json())
    assert "\n" not in str(caught.value)


def test_photos_that_are_not_square_are_refused(exporter: Any, tmp_path: Path) -> None:
    config = clip({**FAMILIES["vit"][0]["vision_cfg"], "image_size": [32, 64]})
    source = source_of(write_model(tmp_path / "wide", config, OPENAI), tmp_path)
    with pytest.raises(ModelError, match="takes photos of 64 x 32; only square ones are supported"):
        exporter.export(str(tmp_path), source.to_json())


@pytest.fixture(scope="session")
def tags(cache: Path) -> dict[str, Any]:
    return openclip_source._open_clip_models(cache, None)


def test_the_tags_are_those_of_open_clip(tags: dict[str, Any], open_clip: Any) -> None:
    assert {(model, tag) for model, known in tags.items() for tag in known["tags"]} == set(
        open_clip.list_pretrained()
    )
    siglip = tags["ViT-B-32-SigLIP2-256"]["tags"]["webli"]
    assert siglip["preprocess"] == HALF | SQUASH
    assert tags["PE-Core-L-14-336"]["tags"]["meta"]["preprocess"]["interpolation"] == "bilinear"


def test_the_presets_are_where_open_clip_says(tags: dict[str, Any]) -> None:
    for preset in registry.presets().values():
        if preset.source:
            model, tag = preset.source.removeprefix("open_clip:").split("/")
            assert (tags[model]["tags"][tag]["repo"], tags[model]["tags"][tag]["file"]) == (preset.repo, hub.FILES[0])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:ViT-Z/openai", "open_clip knows no model 'ViT-Z'; the form is open_clip:MODEL/TAG"),
        ("open_clip:ViT-B-32", "the form is open_clip:MODEL/TAG"),
        ("open_clip:ViT-B-32/nobody", "open_clip has no weights 'nobody' for ViT-B-32; it has: openai, laion400m"),
        ("open_clip:ViT-B-32/openai", r"\(QuickGELU\); use open_clip:ViT-B-32-quickgelu/openai$"),
        ("open_clip:ViT-B-32-quickgelu/laion2b_s34b_b79k", "open_clip has no weights"),
        ("open_clip:ViT-B-32/laion2b_s34b_b79k", "not on this machine: hf download laion/CLIP-ViT-B-32-laion2B"),
        ("open_clip:RN50/yfcc15m", "not"),
        ("local-dir:/nowhere", "/nowhere is no open_clip model"),
    ],
)
def test_a_model_that_cannot_be_had_is_told_in_one_line(cache: Path, name: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        registry.load(name, cache)
    assert "\n" not in str(caught.value)


def in_hub(repo: str, folder: Path) -> Path:
    """Lay a folder into the Hugging Face cache; returns the snapshot."""
    place = Path(constants.HF_HUB_CACHE, f"models--{repo.replace('/', '--')}")
    snapshot = place / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (place / "blobs").mkdir()
    for path in folder.iterdir():
        blob = place / "blobs" / hub.digest(path, place)
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(blob)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("c0ffee")
    return snapshot


def test_a_tag_takes_weights_and_tokenizer_from_the_hub_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model(tmp_path / "siglip2", "siglip2")
    config = FAMILIES["siglip2"][0]
    config = config | {"text_cfg": config["text_cfg"] | {"hf_tokenizer_name": "timm/tiny"}}
    tag = {"repo": "timm/tiny", "file": hub.FILES[0], "preprocess": HALF | SQUASH, "quick_gelu": False}
    monkeypatch.setattr(
        openclip_source, "_open_clip_models", lambda *_: {"tiny": {"config": config, "tags": {"t": tag}}}
    )
    name = "open_clip:tiny/t"
    with pytest.raises(ModelError, match=r"needs open_clip_model\.safetensors, which is not on this machine"):
        find_source(name, name, "", tmp_path)
    snapshot = in_hub("timm/tiny", folder)
    source = find_source(name, name, "", tmp_path)
    assert (source.name, source.weights, source.tokenizer) == (name, str(snapshot / hub.FILES[0]), str(snapshot))
    local = source_of(folder, tmp_path)
    assert (source.weights_hash, source.tokenizer_hash) == (local.weights_hash, local.tokenizer_hash)


def test_the_hash_of_a_blob_is_its_name_and_another_is_remembered(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    (blobs / ("ab" * 32)).write_bytes(b"weights")
    (tmp_path / "link").symlink_to(blobs / ("ab" * 32))
    assert hub.digest(tmp_path / "link", tmp_path / "notes") == "ab" * 32
    (tmp_path / "file").write_bytes(b"weights")
    first = hub.digest(tmp_path / "file", tmp_path / "notes")
    assert len(list((tmp_path / "notes").iterdir())) == 1
    (next((tmp_path / "notes").iterdir())).write_text("cd" * 32)
    assert hub.digest(tmp_path / "file", tmp_path / "notes") == "cd" * 32
    (tmp_path / "file").write_bytes(b"other weights")
    assert hub.digest(tmp_path / "file", tmp_path / "notes") not in (first, "cd" * 32)


# --- without torch, and with it


def test_a_second_start_needs_no_torch(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "siglip2", "siglip2")
    code = (
        "import pathlib, sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from encoders import registry\n"
        "encoder = registry.load(sys.argv[2], pathlib.Path(sys.argv[3]))\n"
        "assert encoder.encode_texts(['a cat']).shape == (1, 96)\n"
        "print(sorted(name for name in sys.argv[4:] if name in sys.modules))\n"
    )
    heavy = ("torch", "open_clip", "timm", "transformers", "onnx", "PIL", "faiss", "httpx")
    command = [sys.executable, "-c", code, ROOT, f"local-dir:{folder}", tmp_path / "cache", *heavy]
    for _ in range(2):  # the first exports, in a child
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("[]\n", "")
    made = next((tmp_path / "cache" / "models").glob("*/manifest.json"))
    files = json.loads(made.read_text())["files"]
    assert {"image.onnx.data", "text.onnx.data", "tokens.npy", "pieces.json"} <= files.keys()


def test_what_cannot_be_exported_runs_in_torch_and_says_so(
    exporter: Any, open_clip: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_model(tmp_path / "resnet", "resnet")

    def refuse(*_: Any, **__: Any) -> float:
        raise ModelError("image.onnx differs from torch:\ncosine 0.5")

    def ensure_export(_: str, target: Path, __: object, arguments: list[str]) -> Export:
        target.mkdir(parents=True)
        with warnings.catch_warnings():
            exporter.export(str(target), *arguments)
        return Export(target)

    monkeypatch.setattr(exporter, "to_onnx", refuse)
    monkeypatch.setattr(openclip, "ensure_export", ensure_export)
    told: list[Progress] = []
    encoder = registry.load(f"local-dir:{folder}", tmp_path / "cache", told.append)
    said = (
        f"local-dir:{folder} runs in torch, which takes seconds to start: image.onnx differs from torch: cosine 0.5"
    )
    assert [progress.stage for progress in told] == [said]
    assert [path.name for path in (tmp_path / "cache" / "models").rglob("*.*")][1:] == ["manifest.json"]
    assert isinstance(encoder, OpenClipEncoder)
    for got, expected in zip(our_vectors(encoder), own_vectors(open_clip, folder), strict=True):
        assert cosines(got, expected).min() >= 0.9999
    assert np.isfinite(encoder.encode_texts(["caf\udce9"])).all()


@given(st.text(st.characters(max_codepoint=126, min_codepoint=32)))
def test_plain_texts_are_none_of_ftfys_business(text: str) -> None:
    """Why `clean` may do without it there."""
    assert "&" in text or ftfy.fix_text(text) == text
