"""Find what an open_clip model is made of: its configuration, preprocessing, weights and tokenizer, all on this disk.

Three ways to name one: a preset, `open_clip:MODEL/TAG` (weights in the Hugging Face cache), and `local-dir:PATH`
(a folder in the hub's own layout). Each gives a Source; nothing is ever downloaded.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.errors import ModelError
from core.types import ProgressCallback
from encoders.hub import cached, digest, refuse_code
from encoders.openclip_words import TOKENIZER
from encoders.runtime import ensure_export

RECIPE = 1
"""Raised whenever the vectors change, so that old ones are not compared with new ones."""
LOCAL, TAGGED = "local-dir:", "open_clip:"
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
"""Names of weight files, in open_clip's order."""
ENCODER_CONFIG = "config.json"


@dataclass(frozen=True)
class Source:
    """All that decides what vectors a model gives; hashes name the files' bytes.

    config: open_clip's `model_cfg`; preprocess: its `preprocess_cfg`; tokenizer: the folder of tokenizer.json, "" for
    open_clip's own; text_model: the folder with the configuration of a text tower from transformers, "" for none.
    """

    name: str
    config: dict[str, Any]
    preprocess: dict[str, Any]
    weights: str
    weights_hash: str
    tokenizer: str = ""
    tokenizer_hash: str = ""
    text_model: str = ""

    @property
    def revision(self) -> str:
        """A hash of everything but the places where the files lie."""
        parts = (RECIPE, self.config, self.preprocess, self.weights_hash, self.tokenizer_hash)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the source as text, for the exporter's command line."""
        return json.dumps(asdict(self))


def find_source(
    name: str, source: str, missing: str, cache: Path, progress: ProgressCallback | None = None
) -> Source:
    """Return what the model is made of; raises ModelError.

    name: what --model takes; source: `open_clip:MODEL/TAG` or `local-dir:PATH`; missing: what to tell about weights
    that are not there, "" to name the file that is.
    """
    if source.startswith(LOCAL):
        return _local(Path(source.removeprefix(LOCAL)).expanduser().resolve(), cache)
    return _tagged(name, source.removeprefix(TAGGED), missing, cache, progress)


def _local(folder: Path, cache: Path) -> Source:
    """Take everything from a folder in the hub's layout."""
    path = folder / CONFIG
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        config, preprocess = settings["model_cfg"], settings["preprocess_cfg"]
        text = config["text_cfg"]
        if not all(isinstance(part, dict) for part in (text, config["vision_cfg"], preprocess)):
            raise TypeError("a part is no table")
    except OSError as error:
        raise ModelError(f"{folder} is no open_clip model: it has no {CONFIG}; name a folder that has") from error
    except (ValueError, KeyError, TypeError) as error:
        what = "preprocess_cfg" if str(error) == "'preprocess_cfg'" else "model_cfg"
        raise ModelError(
            f"{path} lacks a sound {what}, or photos would be prepared wrongly; copy it from the model's page"
        ) from error
    weights = next((folder / file for file in WEIGHTS if (folder / file).is_file()), None)
    if weights is None:
        found = sorted(folder.glob("*.safetensors"))
        if len(found) != 1:
            raise ModelError(f"{folder} has no {WEIGHTS[0]}; other formats can run code: convert the weights")
        weights = found[0]
    return _source(f"{LOCAL}{folder}", config, preprocess, weights, folder if _foreign(text) else None, cache)


def _tagged(name: str, tagged: str, missing: str, cache: Path, progress: ProgressCallback | None) -> Source:
    """Take the configuration from open_clip, the files from the Hugging Face cache."""
    model, _, tag = tagged.replace("\\", "/").rpartition("/")
    model = model.replace("/", "-")
    models = _open_clip_models(cache, progress)
    if model not in models:
        raise ModelError(f"open_clip knows no model '{model}'; the form is {TAGGED}MODEL/TAG, as in ViT-B-32/openai")
    tags = models[model]["tags"]
    if tag not in tags:
        raise ModelError(f"open_clip has no weights '{tag}' for {model}; it has: {', '.join(tags) or 'none'}")
    known, config = tags[tag], models[model]["config"]
    if known["quick_gelu"] != config.get("quick_gelu", False):
        right = model.removesuffix("-quickgelu") if config.get("quick_gelu") else f"{model}-quickgelu"
        raise ModelError(f"the weights '{tag}' do not fit {model} (QuickGELU); use {TAGGED}{right}/{tag}")
    if not known["file"]:
        raise ModelError(f"the weights '{tag}' of {model} are not offered as safetensors, and others can run code")
    weights = _needed(known["repo"], known["file"], name, missing)
    tokenizer = _foreign(config["text_cfg"])
    folder = _needed(tokenizer, TOKENIZER, name, missing).parent if tokenizer else None
    return _source(name, config, known["preprocess"], weights, folder, cache)


def _source(
    name: str, config: dict[str, Any], preprocess: dict[str, Any], weights: Path, tokenizer: Path | None, cache: Path
) -> Source:
    """Add the hashes, and the configuration of a text tower from transformers."""
    notes = cache / "hashes"
    if name != name.encode(errors="replace").decode():
        raise ModelError(f"{name} has bytes in its name that are not UTF-8; rename the folder")
    if ":" in (tower := str(config["vision_cfg"].get("timm_model_name"))):
        raise ModelError(
            f"{name} has its photo tower elsewhere ({tower}), where nothing is looked up; use another model"
        )
    if tokenizer and not (tokenizer / TOKENIZER).is_file():
        raise ModelError(f"{tokenizer} has no {TOKENIZER}; copy the tokenizer's files from the model's page")
    text_model = config["text_cfg"].get("hf_model_name")
    text_folder = _text_model(text_model, tokenizer, name) if text_model else None
    for folder in filter(None, (tokenizer, text_folder)):
        refuse_code(folder)
    return Source(
        name=name,
        config=config,
        preprocess=preprocess,
        weights=str(weights),
        weights_hash=digest(weights, notes),
        tokenizer=str(tokenizer or ""),
        tokenizer_hash=digest(tokenizer / TOKENIZER, notes) if tokenizer else "",
        text_model=str(text_folder or ""),
    )


def _text_model(repo: str, beside: Path | None, name: str) -> Path:
    """Return the folder with the text tower's configuration: beside the tokenizer, or in the Hugging Face cache."""
    if beside and (beside / ENCODER_CONFIG).is_file():
        return beside
    return _needed(repo, ENCODER_CONFIG, name, "").parent


def _foreign(text: dict[str, Any]) -> str:
    """Return the repository of a tokenizer from transformers, "" where open_clip's own is meant."""
    return str(text.get("hf_tokenizer_name") or "")


def _needed(repo: str, file: str, name: str, missing: str) -> Path:
    """Return a file of the Hugging Face cache; raises ModelError with the way to get it."""
    path = cached(repo, file)
    if path is None:
        raise ModelError(missing or f"{name} needs {file}, which is not on this machine: hf download {repo} {file}")
    return path


def _open_clip_models(cache: Path, progress: ProgressCallback | None) -> dict[str, Any]:
    """Return open_clip's models and tags, written down once for each of its versions."""
    folder = cache / "models" / f"open_clip-{version('open_clip_torch')}-tags"
    export = ensure_export("encoders.openclip_tags", folder, progress)
    with export.reading():
        models: dict[str, Any] = json.loads(export.path("tags.json").read_text(encoding="utf-8"))
        return models
