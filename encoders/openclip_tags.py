"""Write down which models and tags open_clip knows: asking it takes an import of torch. Runs in a child."""

import json
from pathlib import Path

import open_clip
from open_clip.constants import HF_SAFE_WEIGHTS_NAME

from encoders.runtime import MANIFEST, describe

_PREPARATION = ("mean", "std", "interpolation", "resize_mode")


def export(folder: str) -> None:
    """Write tags.json: by model its `config`, and by tag the weights' `repo` and `file`, `preprocess`, `quick_gelu`.

    file: the safetensors file; "" where there is none, since the other formats can run code when they are opened.
    """
    target = Path(folder)
    models = {name: {"config": open_clip.get_model_config(name), "tags": {}} for name in open_clip.list_models()}
    for model, tag in open_clip.list_pretrained():
        known = open_clip.get_pretrained_cfg(model, tag)
        repo, _, file = known.get("hf_hub", "").rpartition("/")
        stem, dot, ending = file.rpartition(".")
        safe = {"bin": f"{stem}.safetensors", "pth": f"{stem}.safetensors", "safetensors": file}.get(ending, "")
        models[model]["tags"][tag] = {
            "repo": repo,
            "file": (safe if dot else HF_SAFE_WEIGHTS_NAME) if repo else "",
            "preprocess": {key: known[key] for key in _PREPARATION if key in known},
            "quick_gelu": known.get("quick_gelu", False),
        }
    path = target / "tags.json"
    path.write_text(json.dumps(models), encoding="utf-8")
    (target / MANIFEST).write_text(json.dumps({"files": describe(target)}), encoding="utf-8")
