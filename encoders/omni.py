"""EmbeddingGemma 2: photos, texts and sounds in one space, in torch through transformers.

What sentence-transformers does with the same files (the mean over all tokens, scaled to length 1) is short enough to
be done here. The tower for sound stays on the disk until there is something to hear.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import ModelError
from core.types import Fit, ImageInput, Pixels, Progress, ProgressCallback, Samples, Space, Vectors
from encoders.hub import cached, digest, refuse_code

if TYPE_CHECKING:
    from encoders.registry import Preset

RECIPE = 1
"""Raised whenever the vectors change, so that old ones are not compared with new ones."""
QUERY_PROMPT = "task: search result | query: "
"""What the model's card puts before a question. Photos and sounds take none: its prompts are for texts alone."""
MAX_TOKENS = 2048
"""Where a text is cut. The model could take 8,192, but attention needs memory by the square."""
WEIGHTS = "model.safetensors"
BESIDE = ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
"""What is read besides the weights."""

_MARGIN = 1
"""A grey that hardly any photo has along a whole edge; where one does, only that edge is lost."""
_BATCH = 8


class OmniEncoder:
    """Encode photos and texts with EmbeddingGemma 2.

    Texts are questions, tags included: a tag is what one would have searched for, and the mean of the tags is what
    questions are centred by, which takes the same prompt for both.

    add_ears: gives the model its tower for sound; called before the first sound, unless the model has it.
    """

    batch_size = 8  # 3 MB of pixels each, and seconds

    def __init__(self, space: Space, processor: Any, model: Any, add_ears: Callable[[], None]) -> None:
        self.space = space
        side, most = _grid(processor.image_processor)
        # The long side of a photo of 16:9 as the model wants it; narrower ones are shrunk once more, by less.
        self.image_input = ImageInput(side * isqrt(most * 16 // 9), Fit.LETTERBOX, margin=_MARGIN)
        self._processor = processor
        self._model = model
        self._add_ears = add_ears

    def sounds(self) -> "OmniSounds":
        """Return the encoder of sounds, which shares this one's model."""
        return OmniSounds(self.space, self._processor, self._model, self._add_ears)

    def encode_images(self, pixels: Pixels) -> Vectors:
        """Encode photos of shape (n, size, size, 3) into unit rows of shape (n, dim)."""
        return _batched(self._images, pixels, self.space)

    def prepare_texts(self) -> None:
        """Do nothing: all of the model is there."""

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, as questions, into unit rows of shape (n, dim)."""
        return _batched(self._texts, texts, self.space)

    def _images(self, pixels: Pixels) -> Vectors:
        """Hand the photos to the model's own preparation, which keeps their proportions."""
        import torch

        photos = [[torch.tensor(without_bars(square)).permute(2, 0, 1)] for square in pixels]
        return _pooled(
            self._model, self._processor(images=photos, input_data_format="channels_first", return_tensors="pt")
        )

    def _texts(self, texts: Sequence[str]) -> Vectors:
        asked = [QUERY_PROMPT + text.encode(errors="replace").decode() for text in texts]
        tokens = self._processor.tokenizer(
            asked, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        return _pooled(self._model, tokens)


class OmniSounds:
    """Encode sounds with EmbeddingGemma 2, into the same space as its photos and texts; 10 s are 250 tokens."""

    batch_size = 8

    def __init__(self, joint: Space, processor: Any, model: Any, add_ears: Callable[[], None]) -> None:
        self.space = Space(f"sound:{joint.name}", joint.revision, joint.dim, shared_dim=joint.dim)
        self.rate: int = processor.feature_extractor.sampling_rate
        # The first spectrum is of half a frame of nothing and this much sound; of less there would be none at all.
        self._least = processor.feature_extractor.frame_length // 2 + 1
        self._processor = processor
        self._model = model
        self._add_ears = add_ears

    def encode_sounds(self, windows: Sequence[Samples]) -> Vectors:
        """Encode windows of up to 10 s into unit rows of shape (n, dim); raises ModelError where the tower is not."""
        return _batched(self._sounds, windows, self.space)

    def _sounds(self, windows: Sequence[Samples]) -> Vectors:
        if self._model.audio_tower is None:
            self._add_ears()
        heard = [np.pad(window, (0, max(0, self._least - len(window)))) for window in windows]
        return _pooled(self._model, self._processor(audio=heard, return_tensors="pt"))


def _batched(encode: Any, inputs: Any, space: Space) -> Vectors:
    parts = [encode(inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    return np.concatenate([np.zeros((0, space.dim), dtype=np.float32), *parts])


def _pooled(model: Any, inputs: Any) -> Vectors:
    """Return the mean of the last layer over the tokens that are there, as unit rows, in fp32."""
    import torch

    with torch.inference_mode():
        states = model(**inputs.to(model.device)).last_hidden_state.float()
        mask = inputs["attention_mask"].unsqueeze(-1)
        mean = (states * mask).sum(1) / mask.sum(1)
        rows: Vectors = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
    return rows


def without_bars(square: Pixels) -> Pixels:
    """Cut off what a letterbox left beside a photo: whole lines of its margin at the edges; (size, size, 3) uint8.

    The model wants photos in their own proportions, and takes the mean over all it sees: grey bars would count.
    """
    photo = square
    margin = (square == _MARGIN).all(axis=-1)
    for axis in (0, 1):
        inside = np.flatnonzero(~margin.all(axis=1 - axis))
        if len(inside):
            photo = np.take(photo, np.arange(inside[0], inside[-1] + 1), axis)
    return photo


def _grid(preparation: Any) -> tuple[int, int]:
    """Return the side in pixels of what becomes one token, and how many of them a photo may have."""
    return preparation.patch_size * preparation.pooling_kernel_size, preparation.max_soft_tokens


def load(cache: Path, progress: ProgressCallback | None, preset: "Preset") -> OmniEncoder:
    """Load the model from the Hugging Face cache; raises ModelError."""
    weights = cached(preset.repo, WEIGHTS)
    if weights is None:
        raise ModelError(preset.missing)
    files = [weights, *(weights.parent / name for name in BESIDE)]
    for file in files:
        if not file.is_file():
            raise ModelError(f"{file.parent} lacks {file.name}; {_remedy(preset, weights.parent)}")
    refuse_code(weights.parent)
    if progress:
        progress(Progress(f"{preset.name} runs in torch, which takes seconds to start"))
    parts = (RECIPE, QUERY_PROMPT, MAX_TOKENS, [digest(file, cache / "hashes") for file in files])
    revision = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    import torch

    with _in_one_line(preset, weights.parent):
        on_gpu = torch.cuda.is_available()
        processor, model = load_model(weights.parent, torch.bfloat16 if on_gpu else torch.float32)
        model = model.to("cuda" if on_gpu else "cpu")
        dim = model.config.text_config.embedding_dim
        space = Space(preset.name, revision, dim, shared_dim=dim)

        def add_ears() -> None:
            with _in_one_line(preset, weights.parent):
                load_ears(weights.parent, model)

        return OmniEncoder(space, processor, model, add_ears)


@contextmanager
def _in_one_line(preset: "Preset", snapshot: Path) -> Iterator[None]:
    """Raise whatever files can be wrong in as a ModelError."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{preset.name} cannot be loaded: {reason}; {_remedy(preset, snapshot)}") from error


def load_model(folder: Path, dtype: Any) -> tuple[Any, Any]:
    """Return the processor and the model, without its tower for sound, ready for inference.

    dtype: torch.float32 or torch.bfloat16; in float16 the model gives no error but wrong vectors. Raises ValueError
    for another, and for weights that lack a part, which transformers would make up.
    """
    import torch
    import transformers

    if dtype not in (torch.float32, torch.bfloat16):
        raise ValueError(f"the model runs in float32 or bfloat16, not in {dtype}")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    config = transformers.EmbeddingGemma2Config.from_pretrained(folder, local_files_only=True)
    config.audio_config = None
    model = _weights(transformers.EmbeddingGemma2Model, folder, config, dtype)
    processor = transformers.EmbeddingGemma2Processor.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return processor, model


def load_ears(folder: Path, model: Any) -> None:
    """Give a model of `load_model` its tower for sound, in the model's precision and where the model is.

    It comes out as if it had been loaded with the rest. Raises ValueError where the files have none, or lack a part.
    """
    import transformers

    class Ears(transformers.EmbeddingGemma2Model):  # type: ignore[misc]  # to mypy it is Any
        """The whole without what the model has: nothing takes memory before its weights come."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            del self.language_model

    config = transformers.EmbeddingGemma2Config.from_pretrained(folder, local_files_only=True)
    if config.audio_config is None:
        raise ValueError("these files have no tower for sound")
    config.vision_config = None
    ears = _weights(Ears, folder, config, model.dtype).to(model.device)
    model.embed_audio, model.audio_tower = ears.embed_audio, ears.audio_tower


def _weights(kind: Any, folder: Path, config: Any, dtype: Any) -> Any:
    """Return a model of that kind, ready for inference; raises ValueError for a missing part."""
    model, found = kind.from_pretrained(
        folder, config=config, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    if found["missing_keys"]:
        raise ValueError(f"the weights lack {min(found['missing_keys'])}")
    return model.eval()


def _remedy(preset: "Preset", snapshot: Path) -> str:
    """Say how to get sound files; the whole folder must go, or the same bytes would be taken again."""
    return f"delete {snapshot.parent.parent} and run: glimpse models get {preset.name}"
