"""Texts to token ids as open_clip's tokenizers do it, without torch."""

import html
import string
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from encoders.pieces import Pieces

TOKENIZER = "tokenizer.json"
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def clean(text: str, how: str) -> str:
    """Clean a text as open_clip does; how: whitespace, lower, or canonicalize (lower case, no punctuation)."""
    text = text.encode(errors="replace").decode()  # a command line may hold bytes that are no UTF-8
    if not (text.isascii() and text.isprintable() and "&" not in text):  # in such a text it changes nothing
        import ftfy  # here: most questions need neither it nor the time that it takes to import

        text = ftfy.fix_text(text)
    text = html.unescape(html.unescape(text)).strip()
    if how == "canonicalize":
        text = text.replace("_", " ").translate(_NO_PUNCTUATION).lower()
    text = " ".join(text.split())
    return text.lower() if how == "lower" else text


class Words:
    """A model's tokenizer, as an export holds it.

    how: the way to clean a text; pieces: the vocabulary lies in mapped tables; zeroed: an id that the model is to see
    as 0, or None.
    """

    def __init__(self, folder: Path, how: str, pieces: bool, zeroed: int | None) -> None:
        self._how = how
        self._zeroed = zeroed
        self._tokenize = Pieces(folder).ids if pieces else _ids_of(folder / TOKENIZER)

    def ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return token ids, shape (n, context)."""
        ids = self._tokenize([clean(text, self._how) for text in texts])
        return ids if self._zeroed is None else np.where(ids == self._zeroed, 0, ids)


def _ids_of(path: Path) -> Callable[[list[str]], npt.NDArray[np.int64]]:
    """Open a tokenizer that pads and truncates by itself."""
    tokenizer = Tokenizer.from_file(str(path))
    return lambda texts: np.array([encoding.ids for encoding in tokenizer.encode_batch(texts)], dtype=np.int64)
