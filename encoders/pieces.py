"""Byte-pair encoding from tables that are mapped, not read.

The `tokenizers` library takes 1.3 s and 400 MB to open SigLIP 2's vocabulary of 256,000 pieces; a query needs a
hundred entries of it. So its merges lie in a sorted array of numbers, and only those asked for are looked up. The
library still does what comes before, from the same file without its vocabulary.
"""

import heapq
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

_CHARACTER, _BYTE = 1 << 62, 1 << 61
"""Marks that tell characters and bytes from pairs of ids (left << 32 | right) in the one table."""
_FILES = ("pieces.json", "pieces-keys.npy", "pieces-values.npy")


class Pieces:
    """A byte-pair encoding with byte fallback; gives what the Tokenizer gives from which write_pieces made it."""

    def __init__(self, folder: Path) -> None:
        kept, keys, values = (folder / name for name in _FILES)
        settings = json.loads(kept.read_text(encoding="utf-8"))
        shell = Tokenizer.from_str(json.dumps(settings["shell"]))
        self._normalizer, self._pre_tokenizer = shell.normalizer, shell.pre_tokenizer
        self._before, self._after = settings["before"], settings["after"]
        self._context, self._pad = settings["context"], settings["pad"]
        self._keys = np.load(keys, mmap_mode="r")
        self._values = np.load(values, mmap_mode="r")

    def ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return token ids, shape (n, context), padded and truncated."""
        rows = np.full((len(texts), self._context), self._pad, dtype=np.int64)
        room = self._context - len(self._before) - len(self._after)
        for row, text in zip(rows, texts, strict=True):
            ids = self._before + self._encode(text)[:room] + self._after
            row[: len(ids)] = ids
        return rows

    def _encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        if self._normalizer is not None:
            text = self._normalizer.normalize_str(text)
        words = self._pre_tokenizer.pre_tokenize_str(text) if self._pre_tokenizer is not None else [(text, None)]
        return [id_ for word, _ in words for id_ in self._merged(self._letters(word))]

    def _letters(self, word: str) -> list[int]:
        """Return the ids of a word's characters, of their bytes where the vocabulary lacks one."""
        ids: list[int] = []
        for character in word:
            found = self._find(_CHARACTER | ord(character))
            ids += [found[1]] if found else [self._find(_BYTE | byte)[1] for byte in character.encode()]  # type: ignore[index]
        return ids

    def _merged(self, ids: list[int]) -> list[int]:
        """Merge neighbours, the pair of the lowest rank first and of those the leftmost, until no pair is known."""
        following = [*range(1, len(ids)), -1]
        before = list(range(-1, len(ids) - 1))
        waiting: list[tuple[int, int, int]] = []

        def offer(left: int) -> None:
            if left >= 0 and following[left] >= 0 and (found := self._pair(ids[left], ids[following[left]])):
                heapq.heappush(waiting, (found[0], left, found[1]))

        for place in range(len(ids)):
            offer(place)
        while waiting:
            _, left, merged = heapq.heappop(waiting)
            right = following[left]
            if ids[left] < 0 or right < 0:
                continue
            found = self._pair(ids[left], ids[right])
            if found is None or found[1] != merged:  # a neighbour was merged meanwhile
                continue
            ids[left], ids[right] = merged, -1
            following[left] = following[right]
            if following[left] >= 0:
                before[following[left]] = left
            offer(before[left])
            offer(left)
        return [id_ for id_ in ids if id_ >= 0]

    def _pair(self, left: int, right: int) -> tuple[int, int] | None:
        return self._find(left << 32 | right)

    def _find(self, key: int) -> tuple[int, int] | None:
        """Return rank and id."""
        place = int(self._keys.searchsorted(np.uint64(key)))
        if place == len(self._keys) or int(self._keys[place]) != key:
            return None
        rank, id_ = self._values[place].tolist()
        return rank, id_


def write_pieces(tokenizer: Tokenizer, context: int, folder: Path) -> bool:
    """Write the tables of a tokenizer that pads and truncates to `context`; false where it is of another kind."""
    settings: dict[str, Any] = json.loads(tokenizer.to_str())
    model = settings["model"]
    vocabulary: dict[str, int] = model.get("vocab", {})
    plain = not any(
        model.get(key) for key in ("dropout", "ignore_merges", "continuing_subword_prefix", "end_of_word_suffix")
    )
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    if model["type"] != "BPE" or not model.get("byte_fallback") or not plain or not vocabulary.keys() >= set(bytes_):
        return False
    table = {_BYTE | byte: (0, vocabulary[name]) for byte, name in enumerate(bytes_)}
    table |= {_CHARACTER | ord(piece): (0, id_) for piece, id_ in vocabulary.items() if len(piece) == 1}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge if isinstance(merge, list) else merge.split(" ")
        table[vocabulary[left] << 32 | vocabulary[right]] = (rank, vocabulary[left + right])
    keys = np.array(sorted(table), dtype=np.uint64)
    np.save(folder / _FILES[1], keys)
    np.save(folder / _FILES[2], np.array([table[key] for key in keys.tolist()], dtype=np.int32))
    probe = "a"
    bare = tokenizer.encode(probe, add_special_tokens=False)
    inner = [id_ for id_, real in zip(bare.ids, bare.attention_mask, strict=True) if real]
    whole = tokenizer.encode(probe)
    outer = [id_ for id_, real in zip(whole.ids, whole.attention_mask, strict=True) if real]
    at = outer.index(inner[0])
    shell = settings | {"model": model | {"vocab": {}, "merges": [], "unk_token": None}, "added_tokens": []}
    kept = {
        "shell": shell | {"post_processor": None, "truncation": None, "padding": None},
        "before": outer[:at],
        "after": outer[at + len(inner) :],
        "context": context,
        "pad": settings["padding"]["pad_id"],
    }
    (folder / _FILES[0]).write_text(json.dumps(kept), encoding="utf-8")
    return True
