"""Load a model of open_clip, and turn it into two graphs and the tables beside them. Needs torch; runs in a child."""

import copy
import json
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transformer import TextTransformer, text_global_pool
from timm.utils import reparameterize_model
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn.functional import normalize

from core.errors import ModelError
from core.types import Pixels, Vectors
from encoders.graph import held, rows_of, to_onnx
from encoders.openclip_source import CONFIG, Source
from encoders.openclip_words import TOKENIZER, Words
from encoders.pieces import write_pieces
from encoders.runtime import MANIFEST, describe

PROBES = (
    "a cat",
    "",
    "Two dogs & a ball, on a BEACH at night!",
    "ein Kätzchen im Schnee",
    "一只猫在雪地里",
    "🐈 naïve_word's",
    "a photo of a very small house " * 20,
)
"""Texts that have to give open_clip's own token ids."""


class ImageTower(nn.Module):
    """Pixels (n, size, size, 3), uint8, to unit picture vectors (n, dim)."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        preprocess = model.visual.preprocess_cfg
        for name in ("mean", "std"):
            channels = np.broadcast_to(np.float32(preprocess[name]), 3)  # one number stands for all three
            self.register_buffer(name, torch.tensor(channels).view(1, 3, 1, 1))

    def prepared(self, pixels: Tensor) -> Tensor:
        """Return the pixels as the model was trained on them, (n, 3, size, size), fp32."""
        return (pixels.permute(0, 3, 1, 2).to(torch.float32) / 255 - self.mean) / self.std

    def features(self, pixels: Tensor) -> Tensor:
        """Encode into rows that are not scaled to length 1."""
        rows: Tensor = self.model.encode_image(self.prepared(pixels), normalize=False)
        return rows

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode into unit rows."""
        rows: Tensor = self.model.encode_image(self.prepared(pixels), normalize=True)
        return rows


class TextTower(nn.Module):
    """Token embeddings (n, context, width) and ids (n, context) to unit text vectors (n, dim).

    The ids stay: some towers take the vector at the largest one, or mask the padding.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.given = _Given()
        owner = getattr(model, "text", model)
        if hasattr(owner, "token_embedding"):
            self.embedding, owner.token_embedding = owner.token_embedding, self.given
        else:
            self.embedding = owner.transformer.get_input_embeddings()
            owner.transformer.set_input_embeddings(self.given)

    def forward(self, embeddings: Tensor, ids: Tensor) -> Tensor:
        """Encode, with the embeddings in place of those that the ids stand for."""
        self.given.forward = lambda _ids: embeddings
        rows: Tensor = self.model.encode_text(ids, normalize=True)
        return rows


class CausalTextTower(nn.Module):
    """Token embeddings (n, length, width) and ids (n, length) to unit text vectors (n, dim), at any length.

    For towers whose tokens see nothing behind them, and whose vector is taken at the largest id, the end token: what
    is behind the last of those can be left out.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.owner = getattr(model, "text", model)
        self.embedding, self.owner.token_embedding = self.owner.token_embedding, None

    @staticmethod
    def fits(model: Any) -> bool:
        """Return whether the model has such a tower."""
        owner = getattr(model, "text", model)
        if not isinstance(owner, open_clip.CLIP | TextTransformer) or owner.attn_mask is None:
            return False
        pool = owner.text_pool_type if isinstance(owner, open_clip.CLIP) else owner.pool_type
        return pool == "argmax" and getattr(owner, "cls_emb", None) is None

    def forward(self, embeddings: Tensor, ids: Tensor) -> Tensor:
        """Encode as open_clip.CLIP.encode_text does, with positions and mask cut to the length."""
        owner, length = self.owner, ids.shape[1]
        tokens = embeddings + owner.positional_embedding[:length]
        mask = owner.attn_mask[:length, :length]
        torch._check(mask.shape[0] == length)  # torch 2.11 cannot tell that by itself while it traces
        torch._check(mask.shape[1] == length)
        tokens = owner.transformer(tokens, attn_mask=mask)
        rows = text_global_pool(owner.ln_final(tokens), ids, "argmax")
        if isinstance(owner.text_projection, nn.Linear):
            rows = owner.text_projection(rows)
        elif owner.text_projection is not None:
            rows = rows @ owner.text_projection
        return normalize(rows, dim=-1)


class _Given(nn.Module):
    """Stands where a model looks up token embeddings, and gives those that were handed over."""


class TorchTowers:
    """The model in torch, for what cannot be exported."""

    def __init__(self, source: Source) -> None:
        self._model = load_model(source)
        self._image = ImageTower(self._model)
        self._tokenizer = load_tokenizer(source)

    @torch.inference_mode()
    def images(self, pixels: Pixels) -> Vectors:
        """Return unit rows for photos."""
        rows: Vectors = self._image(torch.tensor(pixels)).numpy()
        return rows

    def prepare_texts(self) -> None:
        """Do nothing: all of the model is there."""

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows for texts."""
        plain = [text.encode(errors="replace").decode() for text in texts]
        rows: Vectors = self._model.encode_text(self._tokenizer(plain), normalize=True).numpy()
        return rows


def load_model(source: Source) -> Any:
    """Return the model with its weights, ready for inference; raises ModelError.

    open_clip's own ways in are not taken: they look for weights themselves, fall back to OpenAI's preprocessing, and
    open any format.
    """
    config = copy.deepcopy(source.config)
    if source.text_model:
        config["text_cfg"]["hf_model_name"] = source.text_model
    with tempfile.TemporaryDirectory() as stage, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = json.dumps({"model_cfg": config, "preprocess_cfg": source.preprocess})
        Path(stage, CONFIG).write_text(settings, encoding="utf-8")
        try:
            model = open_clip.create_model(f"local-dir:{stage}", load_weights=False, pretrained_text=False)
            open_clip.load_checkpoint(model, source.weights)
        except Exception as error:  # whatever a configuration or weights can be wrong in
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"{source.weights} does not fit its configuration: {reason}") from error
    return model.eval()


def load_image_tower(source: Source) -> ImageTower:
    """Return the image tower alone; raises ModelError."""
    model = load_model(source)
    for name in [name for name, _ in model.named_children() if name != "visual"]:
        setattr(model, name, None)
    return ImageTower(model).eval()


def load_tokenizer(source: Source) -> Any:
    """Return open_clip's tokenizer for the model."""
    text = source.config["text_cfg"]
    options = {"context_length": text.get("context_length", 77), **(text.get("tokenizer_kwargs") or {})}
    if source.tokenizer:
        options["trust_remote_code"] = False  # whatever tokenizer_kwargs said
        return HFTokenizer(source.tokenizer, tokenizer_mode=text.get("tokenizer_mode"), **options)
    return SimpleTokenizer(**options)


def export(folder: str, source_json: str) -> None:
    """Write image.onnx, text.onnx, tokens.npy, tokenizer.json and the manifest; raises ModelError.

    Where a graph or the tokenizer does not come out equal, the manifest says why in `torch`, and nothing is kept.
    """
    target, source = Path(folder), Source(**json.loads(source_json))
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    model = load_model(source)
    height, width = _pair(model.visual.image_size)
    if height != width:
        raise ModelError(f"{source.name} takes photos of {width} x {height}; only square ones are supported")
    manifest: dict[str, Any] = {
        "source": json.loads(source_json),
        "size": height,
        "preprocess": model.visual.preprocess_cfg,
        "versions": {name: version(name) for name in ("torch", "onnx", "timm", "transformers", "open_clip_torch")},
        "torch": "",
    }
    tokenizer = load_tokenizer(source)
    with torch.inference_mode():
        manifest["dim"] = model.encode_text(tokenizer(["a cat"]), normalize=True).shape[-1]
    try:
        manifest |= _export_words(tokenizer, target) | _export_towers(model, tokenizer, height, target)
    except Exception as error:  # each exporter and each tower fails in its own way
        manifest["torch"] = " ".join(str(error).split())[:200] or type(error).__name__
        for path in target.iterdir():
            path.unlink()
    manifest["files"] = describe(target)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _export_towers(model: Any, tokenizer: Any, size: int, target: Path) -> dict[str, Any]:
    """Write both graphs and the token table."""
    image = {"pixels": torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)}
    expected = rows_of(ImageTower(model), image)
    # MobileCLIP was trained with branches that add up to one convolution.
    model.visual = reparameterize_model(model.visual, inplace=True)
    cosines = [to_onnx(ImageTower(model), image, target / "image.onnx", beside=True, expected=expected)]
    model.visual = None  # or the text's graph would carry its weights
    ids = tokenizer(list(PROBES))
    causal = CausalTextTower.fits(model)
    with torch.inference_mode():
        expected = model.encode_text(ids, normalize=True).numpy()
        text = CausalTextTower(model).eval() if causal else TextTower(model).eval()
        table = text.embedding(torch.arange(text.embedding.num_embeddings)).half()
    np.save(target / "tokens.npy", table.numpy())
    inputs, path = {"embeddings": table[ids].float(), "ids": ids}, target / "text.onnx"
    if causal:  # traced at its full length, the graph would hold for that one alone
        short = {name: value[:2, : int(ids[:2].argmax(-1).max()) + 1] for name, value in inputs.items()}
        cosines.append(to_onnx(text, short, path, tuple(short), beside=True, expected=expected[:2]))
        cosines.append(held(path, inputs, expected))
    else:
        cosines.append(to_onnx(text, inputs, path, beside=True, expected=expected))
    return {"cosine": min(cosines), "causal": causal}


def _export_words(tokenizer: Any, target: Path) -> dict[str, Any]:
    """Write the tokenizer, and hold it to open_clip's ids."""
    expected = tokenizer(list(PROBES)).numpy()
    words = {"how": tokenizer.clean_fn.__name__.removeprefix("_clean_"), "pieces": False, "zeroed": None}
    if isinstance(tokenizer, SimpleTokenizer):
        own = _simple(tokenizer)
    else:
        # After a call its backend holds the padding and the truncation that open_clip asks for.
        own = Tokenizer.from_str(tokenizer.tokenizer.backend_tokenizer.to_str())
        words["zeroed"] = tokenizer.tokenizer.sep_token_id if tokenizer.strip_sep_token else None
        # Without punctuation no text contains an added token, which the tables do not know.
        words["pieces"] = words["how"] == "canonicalize" and write_pieces(own, expected.shape[1], target)
    if not words["pieces"]:
        own.save(str(target / TOKENIZER), pretty=False)
    if not np.array_equal(Words(target, **words).ids(PROBES), expected):
        raise ModelError("its tokenizer cannot be had without transformers")
    return {"words": words}


def _simple(tokenizer: SimpleTokenizer) -> Tokenizer:
    """Return CLIP's byte-pair encoding as a tokenizer that needs no Python."""
    own = Tokenizer(models.BPE(tokenizer.encoder, list(tokenizer.bpe_ranks), end_of_word_suffix="</w>"))
    own.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(f"(?i){tokenizer.pat.pattern}"), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    ends = [(name, tokenizer.encoder[name]) for name in ("<start_of_text>", "<end_of_text>")]
    own.add_special_tokens([name for name, _ in ends])
    own.post_processor = processors.TemplateProcessing(single=f"{ends[0][0]} $A {ends[1][0]}", special_tokens=ends)
    own.enable_truncation(tokenizer.context_length)
    own.enable_padding(length=tokenizer.context_length, pad_id=0)
    return own


def _pair(size: Any) -> tuple[int, int]:
    return (size[0], size[1]) if isinstance(size, list | tuple) else (size, size)
