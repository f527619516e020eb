"""Measure what each part of the built-in model's recipe is worth.

    python benchmarks/recipe.py --corpus DIR

Rebuilds the picture vectors in numpy from the network's features with parts of the recipe left out or changed, and
asks with the captions of DIR/captions.tsv (the format and the rule for "found" are those of benchmarks/quality.py).
mean log rank is the most sensitive column: lower is better, and differences below .03 are noise on 264 pictures.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import torch
from timm.data import ImageNetInfo

from benchmarks.quality import Captioned, read_corpus
from core.types import Fit, ImageInput
from encoders import builtin_export as towers
from encoders.base import unit
from encoders.builtin import IMAGE_SIZE, VISUAL_DIM
from media.photo import decode_photo

Rows = npt.NDArray[np.floating[Any]]


def features(corpus: list[Captioned], net: torch.nn.Module, fit: Fit) -> Rows:
    pixels = [decode_photo(c.path.read_bytes(), c.path.name, ImageInput(IMAGE_SIZE, fit)).frames[0] for c in corpus]
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        parts = [net.forward_head(net.forward_features(x[i : i + 16]), pre_logits=True) for i in range(0, len(x), 16)]  # type: ignore[operator]
    return torch.cat(parts).double().numpy()


def half_whitened(rows: Rows, power: float) -> Rows:
    values, axes = np.linalg.eigh(rows.T @ rows / len(rows))
    scaled: Rows = rows @ (axes * (values + values.mean()) ** (-power / 2)) @ axes.T
    return scaled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    corpus = read_corpus(parser.parse_args().corpus, "en")
    bert, tokenizer = towers._bert(), towers._tokenizer()
    text, table = towers.TextTower(bert).eval(), bert.embeddings.word_embeddings.weight.detach().half()

    def sentences(texts: list[str]) -> Rows:
        return towers._sentences(text, table, tokenizer, texts).double().numpy()

    net = towers._efficientnet()
    weights = net.classifier.weight.detach().double().numpy()
    bias = net.classifier.bias.detach().double().numpy()
    norms = np.linalg.norm(weights, axis=1)
    leading = np.linalg.svd(weights - weights.mean(0), full_matrices=False)[2][:VISUAL_DIM]
    info = ImageNetInfo("imagenet-1k")
    plain = list(open_clip.IMAGENET_CLASSNAMES)
    names = [f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}" for name in plain]
    defined = [
        f"{name}, {info.index_to_description(i, detailed=True).partition(': ')[2]}" for i, name in enumerate(names)
    ]
    captions = [c.caption[:1].lower() + c.caption[1:].rstrip(".") for c in corpus]
    asked = [
        sentences([wording.format(c) for c in captions]) for wording in ("{}", "a photo of {}", "a picture of {}")
    ]
    seen = {fit: features(corpus, net, fit) for fit in Fit}

    def row(
        name: str, classes: Rows, fit: Fit = Fit.LETTERBOX, heat: float = 2.0, hubs: float = 1.0, whiten: float = 0.5,
        queries: int = 2, top: int = 1000, share: float = 0.5,
    ) -> None:  # fmt: skip
        centre = classes.mean(0)
        rows = classes - centre
        logits = (seen[fit] @ weights.T + bias) / (norms / norms.mean()) ** hubs / heat
        logits[logits < np.sort(logits, axis=1)[:, [-top]]] = -np.inf
        odds = np.exp(logits - logits.max(1, keepdims=True))
        block = unit(((odds / odds.sum(1, keepdims=True)) @ half_whitened(rows, whiten)).astype(np.float32))
        visual = unit(seen[fit] @ leading.T)
        images = np.hstack([block * share**0.5, visual * (1 - share) ** 0.5])
        ranks = text_ranks(corpus, unit(sum(asked[:queries]) - queries * centre) @ block.T)
        found = [statistics.mean(rank <= k for rank in ranks) for k in (1, 5, 10)]
        log_rank = statistics.mean(np.log(ranks).tolist())
        near = precision(corpus, images @ images.T)
        print(f"{name:52}" + "".join(f"{r:7.3f}" for r in found) + f"{log_rank:9.3f}{near:8.3f}")

    print(f"{'':52}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'log rank':>9}{'p@5':>8}")
    n, b = sentences(names), unit((sentences(names) + sentences(defined)).astype(np.float32))
    row("plain ConSE: names, T 1, one query wording", sentences(plain), heat=1, hubs=0, whiten=0, queries=1, share=1)
    row("names with article, T 2, one query wording", n, hubs=0, whiten=0, queries=1)
    row("+ definitions", b, hubs=0, whiten=0, queries=1)
    row("+ logits divided by |w|", b, whiten=0, queries=1)
    row("+ half-whitened classes", b, queries=1)
    row("+ two query wordings: the built-in model", b)
    variants: list[tuple[str, Callable[[str], None]]] = [
        ("without definitions", lambda name: row(name, n)),
        ("definitions alone", lambda name: row(name, unit(sentences(defined)))),
        ("without division by |w|", lambda name: row(name, b, hubs=0)),
        ("without whitening", lambda name: row(name, b, whiten=0)),
        ("fully whitened", lambda name: row(name, b, whiten=1)),
        ("T 1", lambda name: row(name, b, heat=1)),
        ("T 1.5", lambda name: row(name, b, heat=1.5)),
        ("T 3", lambda name: row(name, b, heat=3)),
        ("top 50 classes only", lambda name: row(name, b, top=50)),
        ("three query wordings", lambda name: row(name, b, queries=3)),
        ("squashed to a square", lambda name: row(name, b, fit=Fit.SQUASH)),
        ("centre crop", lambda name: row(name, b, fit=Fit.CROP)),
        ("visual share .3", lambda name: row(name, b, share=0.7)),
        ("visual share .7", lambda name: row(name, b, share=0.3)),
    ]
    for name, measure in variants:
        measure(f"    {name}")


def text_ranks(corpus: list[Captioned], scores: Rows) -> list[int]:
    order = np.argsort(-scores, axis=1)
    return [
        next(r for r, j in enumerate(row, 1) if corpus[j].caption == item.caption)
        for item, row in zip(corpus, order, strict=True)
    ]


def precision(corpus: list[Captioned], scores: Rows) -> float:
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, axis=1)[:, :5]
    return statistics.mean(
        float(corpus[j].category == item.category) for item, row in zip(corpus, nearest, strict=True) for j in row
    )


if __name__ == "__main__":
    main()
