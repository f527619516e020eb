"""Load CLAP through transformers, and turn it into two graphs and the tables beside them. Runs in a child process."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize

from core.errors import ModelError
from core.types import WINDOW_SECONDS, Samples, Vectors
from encoders.clap import MAX_TOKENS, plain, repeated, token_ids
from encoders.graph import held, rows_of, to_onnx
from encoders.mel import Mel, MelSpec, log_mel
from encoders.runtime import MANIFEST, describe

PROBES = (
    "a dog barks",
    "",
    "rain",
    "The sound of TWO cats & a waterfall, at night!",
    "ein Kätzchen miaut im Schnee",
    "一只猫 🐈 naïve_word's  <mask> <pad> \n",
    "a crowd cheers while a band plays " * 20,
)
"""Texts that have to give transformers' own token ids, and vectors equal to torch's."""
MAX_DIFFERENCE = 1e-4
"""What our spectrograms may differ from transformers' by, in dB."""
_COMPUTED = ("position_ids", "token_type_ids", "relative_position_index")
"""Tables that weights may lack, since they hold nothing learned."""


class SoundTower(nn.Module):
    """Log-mel spectrograms (n, frames, bands), in dB, to unit sound vectors (n, dim)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, mels: Tensor) -> Tensor:
        """Encode into unit rows."""
        rows: Tensor = self.model.get_audio_features(input_features=mels.unsqueeze(1)).pooler_output
        return rows


class TextTower(nn.Module):
    """Token embeddings (n, length, width), ids and mask (n, length) to unit text vectors (n, dim)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text, self.projection = model.text_model, model.text_projection
        self.padding = model.config.text_config.pad_token_id

    def forward(self, embeddings: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Encode, at the positions that RoBERTa counts: from behind the padding's id, which is padding's own."""
        counted = (ids != self.padding).long()
        positions = torch.cumsum(counted, 1) * counted + self.padding
        pooled = self.text(inputs_embeds=embeddings, attention_mask=mask, position_ids=positions).pooler_output
        return normalize(self.projection(pooled), dim=-1)


class TorchTowers:
    """The model in torch, for what cannot be exported."""

    def __init__(self, folder: Path, remedy: str) -> None:
        self._model, _, self._tokenizer = load_model(folder, remedy)
        self._sound = SoundTower(self._model)

    @torch.inference_mode()
    def sounds(self, mels: Mel) -> Vectors:
        """Return unit rows for spectrograms of shape (n, frames, bands)."""
        rows: Vectors = self._sound(torch.from_numpy(mels)).numpy()
        return rows

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit rows for texts."""
        tokens = tokens_of(self._tokenizer, texts)
        rows: Vectors = self._model.get_text_features(**tokens).pooler_output.numpy()
        return rows


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> dict[str, Tensor]:
    """Return transformers' own ids and mask, cut as ours are, padded to the longest."""
    options = {"padding": True, "truncation": True, "max_length": MAX_TOKENS, "return_tensors": "pt"}
    found = tokenizer([plain(text) for text in texts], **options)
    return {name: found[name] for name in ("input_ids", "attention_mask")}


def load_model(folder: Path, remedy: str) -> tuple[Any, Any, Any]:
    """Return the model, ready for inference in fp32, its extractor and its tokenizer; raises ModelError.

    remedy: how to get sound files.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        config = transformers.ClapConfig.from_pretrained(folder, local_files_only=True)
        model, found = transformers.ClapModel.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
        if lacking := sorted(name for name in found["missing_keys"] if not name.endswith(_COMPUTED)):
            raise ValueError(f"the weights lack {lacking[0]}")
        extractor = transformers.ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
        tokenizer = transformers.RobertaTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if len(tokenizer) != config.text_config.vocab_size:
            raise ValueError(f"its tokenizer has {len(tokenizer)} tokens, not {config.text_config.vocab_size}")
    except Exception as error:  # whatever files can be wrong in
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"CLAP cannot be loaded from {folder}: {reason}; {remedy}") from error
    return model.eval(), extractor, tokenizer


def spec_of(model: Any, extractor: Any, remedy: str) -> MelSpec:
    """Return how spectrograms are made for the model; raises ModelError where its way is another than ours.

    remedy: how to get a model that hears as ours does.
    """
    if model.config.audio_config.enable_fusion or extractor.truncation == "fusion":
        # transformers marks one recording of each batch as a long one, by chance: its vector depends on the others.
        raise ModelError(f"this is a CLAP with fusion, whose vectors depend on chance; {remedy}")
    if extractor.padding != "repeatpad" or extractor.nb_max_samples != WINDOW_SECONDS * extractor.sampling_rate:
        raise ModelError(f"this CLAP does not hear {WINDOW_SECONDS:.0f} seconds, repeated where shorter; {remedy}")
    spec = MelSpec(
        rate=extractor.sampling_rate, fft=extractor.fft_window_size, hop=extractor.hop_length,
        bands=extractor.feature_size, low=extractor.frequency_min, high=extractor.frequency_max,
    )  # fmt: skip
    for sound in probe_sounds(spec.rate):
        expected = extractor(sound, sampling_rate=spec.rate, return_tensors="np")["input_features"][0, 0]
        ours = log_mel(repeated(sound, extractor.nb_max_samples), spec)
        if ours.shape != expected.shape or not np.abs(ours - expected).max() <= MAX_DIFFERENCE:
            raise ModelError(f"the spectrograms of this CLAP are made in a way that is not known; {remedy}")
    return spec


def probe_sounds(rate: int) -> list[Samples]:
    """Return sounds to compare spectrograms and towers on: noise, a chirp, a short tone, clicks, a whisper."""
    rng = np.random.default_rng(0)
    time = np.arange(int(WINDOW_SECONDS * rate)) / rate
    sounds = [
        0.2 * rng.standard_normal(len(time)),
        0.5 * np.sin(2 * np.pi * (100 + 500 * time) * time),
        0.3 * np.sin(2 * np.pi * 440 * time[: rate * 3 // 2]),
        (np.arange(len(time)) % (rate // 3) == 0).astype(float),
        1e-4 * rng.standard_normal(rate * 7),
    ]
    return [sound.astype(np.float32) for sound in sounds]


def export(folder: str, snapshot: str, remedy: str) -> None:
    """Write sound.onnx, text.onnx, tokens.npy, tokenizer.json and the manifest; raises ModelError.

    Where a graph or the tokenizer does not come out equal, the manifest says why in `torch`, and nothing is kept.
    """
    target = Path(folder)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    model, extractor, tokenizer = load_model(Path(snapshot), remedy)
    spec = spec_of(model, extractor, remedy)
    manifest: dict[str, Any] = {
        "source": snapshot,
        "dim": model.config.projection_dim,
        "spec": asdict(spec),
        "length": extractor.nb_max_samples,
        "versions": {name: version(name) for name in ("torch", "onnx", "transformers", "tokenizers")},
        "torch": "",
    }
    try:
        cosines = _export_sound(model, spec, extractor.nb_max_samples, target)
        manifest["cosine"] = min(cosines + _export_text(model, tokenizer, target))
    except Exception as error:  # each exporter and each tower fails in its own way
        manifest["torch"] = " ".join(str(error).split())[:200] or type(error).__name__
        for path in target.iterdir():
            path.unlink()
    manifest["files"] = describe(target)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _export_sound(model: Any, spec: MelSpec, length: int, target: Path) -> list[float]:
    """Write the sound tower for windows of one length; returns its cosines to torch, for batches of several sizes."""
    mels = torch.from_numpy(np.stack([log_mel(repeated(sound, length), spec) for sound in probe_sounds(spec.rate)]))
    tower, path = SoundTower(model).eval(), target / "sound.onnx"
    expected = rows_of(tower, {"mels": mels})
    cosines = [to_onnx(tower, {"mels": mels[:2]}, path, beside=True, expected=expected[:2])]
    return cosines + [held(path, {"mels": mels[rows]}, expected[rows]) for rows in (slice(2, 3), slice(0, None))]


def _export_text(model: Any, tokenizer: Any, target: Path) -> list[float]:
    """Write the text tower, its token table and the tokenizer; returns the tower's cosines to torch."""
    tokens = tokens_of(tokenizer, PROBES)
    _export_words(tokenizer, tokens, target)
    with torch.inference_mode():
        expected = model.get_text_features(**tokens).pooler_output.numpy()
        table = model.text_model.get_input_embeddings().weight.half()
    np.save(target / "tokens.npy", table.numpy())
    model.text_model.set_input_embeddings(None)  # or the graph would carry the table
    tower, path = TextTower(model).eval(), target / "text.onnx"
    ids, mask = tokens["input_ids"], tokens["attention_mask"]
    inputs = {"embeddings": table[ids].float(), "ids": ids, "mask": mask}
    # Traced at its full length, the graph would hold for that one alone.
    few = {name: value[:2, : int(mask[:2].sum(1).max())] for name, value in inputs.items()}
    cosines = [to_onnx(tower, few, path, tuple(few), beside=True, expected=expected[:2])]
    return [*cosines, held(path, inputs, expected)]


def _export_words(tokenizer: Any, tokens: dict[str, Tensor], target: Path) -> None:
    """Write the tokenizer as one that needs no transformers, and hold it to the ids that transformers gave."""
    own = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    own.enable_truncation(MAX_TOKENS)
    own.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token)
    path = str(target / "tokenizer.json")
    own.save(path, pretty=False)
    ids, mask = token_ids(Tokenizer.from_file(path), PROBES)
    if not (np.array_equal(ids, tokens["input_ids"]) and np.array_equal(mask, tokens["attention_mask"])):
        raise ModelError("its tokenizer cannot be had without transformers")
