"""Measure the bridge from sounds to pictures: how long it takes, and what it finds where the truth is known.

    python benchmarks/bridge.py toy                  # made-up spaces with a gap, whose map is known
    python benchmarks/bridge.py first                # the first fit and a refit, the built-in model on the joint side
    python benchmarks/bridge.py clap [--texts 512]   # a text tower of CLAP's size, with random weights

`first` has a stand-in for the sound side: the mean of MiniLM's token embeddings, a bag of words, which costs nothing
and is a space of its own. So its time is that of the built-in model's text tower, and its recall that of words
against sentences; CLAP adds what `clap` measures on a sample. Times are wall time, and CPU time of all threads.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from core.types import Space, Vectors
from encoders import bridge
from encoders.base import unit
from encoders.builtin import export_folder
from encoders.builtin import load as load_builtin
from encoders.captions import captions
from encoders.runtime import Export
from glimpse.defaults import settings
from tests.toy_spaces import toy


class BagOfWords:
    """The mean of the token embeddings of a text."""

    def __init__(self, export: Export) -> None:
        self._tokenizer = Tokenizer.from_file(str(export.path("tokenizer.json")))
        self._table = np.load(export.path("tokens.npy")).astype(np.float32)
        dim = self._table.shape[1]
        self.space = Space("sound:words", "1", dim, dim)

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return unit(np.stack([self._table[encoding.ids].mean(axis=0) for encoding in encodings]))


class Watch:
    """Prints how long what it guards took."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.monotonic() - self._wall, time.process_time() - self._cpu
        print(f"{self._what:56}{wall:8.1f} s wall{cpu:8.1f} s CPU")


def toys() -> None:
    print("R@1 of 1,000 sounds among their pictures; 512 dimensions, gap 1.5, 23,000 texts, three seeds")
    print(
        f"{'noise':>6}{'true map':>10}{'bridge':>8}{'sounds centred with the texts':>31}{'not centred':>13}  alphas"
    )
    for noise in (0.5, 1.0, 1.5, 2.0):
        found, alphas = [], []
        for seed in range(3):
            made = toy(seed, texts=23_000, sound_dim=512, joint_dim=512, gap=1.5, noise=noise)
            fitted = bridge.fit(made.sound_texts, made.joint_texts, 512)
            means = (None, made.sound_texts.mean(axis=0), np.zeros(512, np.float32))
            found.append([made.recall(made.true_map), *(made.recall(fitted.matrix, mean) for mean in means)])
            alphas.append(fitted.alpha)
        true, ours, theirs, none = np.mean(found, axis=0)
        print(f"{noise:6.1f}{true:10.3f}{ours:8.3f}{theirs:31.3f}{none:13.3f}  {alphas}")


def first() -> None:
    joint = load_builtin(settings().cache)
    sound = BagOfWords(Export(export_folder(settings().cache)))
    texts = captions()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        with Watch(f"{len(texts):,} captions through the built-in text tower"):
            theirs = bridge.text_vectors(joint, texts, cache)
        ours = bridge.text_vectors(sound, texts, cache)
        with Watch("a refit: stored vectors read, fitted, kept"):
            fitted = bridge.open_bridge(sound, joint, cache)
        with Watch("a bridge that is there"):
            bridge.open_bridge(sound, joint, cache)
        size = sum(path.stat().st_size for path in (cache / "captions" / joint.space.key).iterdir())
    print(f"{size / 1e6:.0f} MB of vectors a tower; alpha {fitted.alpha}, held-out R@1 {fitted.recall:.3f}")
    held = bridge._held_out(len(texts))
    ridge = bridge._Ridge(ours[~held], theirs[~held, : joint.space.shared_dim])
    for alpha in bridge.ALPHAS:
        mapped = (ours[held] - ridge.mean_x) @ ridge.solve(alpha)
        recall = bridge._recall(mapped, theirs[held, : joint.space.shared_dim] - ridge.mean_y)
        print(f"  alpha {alpha:<6} R@1 {recall:.3f} of {held.sum():,}")


def clap(count: int) -> None:
    import torch
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    torch.manual_seed(0)
    model = ClapTextModelWithProjection(ClapTextConfig()).eval()
    tokenizer = Tokenizer.from_file(str(Export(export_folder(settings().cache)).path("tokenizer.json")))
    texts = captions()
    sample = sorted(texts[:: max(1, len(texts) // count)], key=len)
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    with torch.inference_mode(), Watch(f"{len(sample):,} captions through CLAP's text tower ({size:.0f}M)"):
        for start in range(0, len(sample), 64):
            encodings = tokenizer.encode_batch(sample[start : start + 64])
            width = max(len(encoding.ids) for encoding in encodings)
            ids = torch.tensor([encoding.ids + [1] * (width - len(encoding.ids)) for encoding in encodings])
            model(input_ids=ids, attention_mask=(ids != 1).long())
    print(f"all {len(texts):,} are {len(texts) / len(sample):.1f} times as many")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("toy", "first", "clap"))
    parser.add_argument("--texts", type=int, default=512)
    options = parser.parse_args()
    if options.what == "toy":
        toys()
    elif options.what == "first":
        first()
    else:
        clap(options.texts)


if __name__ == "__main__":
    main()
