"""Find model files in this machine's Hugging Face cache; only `download` opens a connection."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import constants

from core.errors import ModelError

FILES = ("open_clip_model.safetensors", "open_clip_config.json", "tokenizer*.json", "special_tokens_map.json")
"""What a download of an open_clip model fetches: the weights, then what is beside them."""
OMNI_FILES = ("model.safetensors", "config.json", "processor_config.json", "tokenizer*.json")
"""The same of a model of transformers."""
CLAP_FILES = (
    "model.safetensors", "config.json", "preprocessor_config.json", "tokenizer*.json", "special_tokens_map.json",
    "vocab.json", "merges.txt",
)  # fmt: skip
"""The same of CLAP, whose tokenizer may be spread over tables. None of these names a format that can run code."""
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def cached(repo: str, name: str) -> Path | None:
    """Return where a file of a repository lies in the cache, None where it does not.

    Looks in the snapshot of `main`, or in the newest if there is none of that; huggingface_hub's own
    try_to_load_from_cache does the same in a tenth of a second, most of it imports.
    """
    place = folder() / f"models--{repo.replace('/', '--')}"
    snapshots, main = place / "snapshots", place / "refs" / "main"
    revisions = [snapshots / main.read_text(encoding="utf-8").strip()] if main.is_file() else []
    if snapshots.is_dir():
        revisions += sorted(snapshots.iterdir(), key=lambda path: -path.stat().st_mtime)
    return next((path for revision in revisions if (path := revision / name).is_file()), None)


def digest(path: Path, notes: Path) -> str:
    """Return a hash of a file's bytes: the hub's own where it names the file in the cache, else its SHA-256.

    notes: a folder that remembers the hash of a file that has not changed, since a gigabyte takes a second.
    """
    real = path.resolve()
    if real.parent.name == "blobs" and _HASH.fullmatch(real.name):
        return real.name
    stat = real.stat()
    key = repr((str(real), stat.st_size, stat.st_mtime_ns, stat.st_ino))
    note = notes / f"{hashlib.sha256(key.encode(errors='surrogateescape')).hexdigest()[:32]}.sha256"
    try:
        known = note.read_text(encoding="ascii")
        if _HASH.fullmatch(known):
            return known
    except (OSError, ValueError):
        pass
    with real.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        notes.mkdir(parents=True, exist_ok=True)
        note.write_text(found, encoding="ascii")
    except OSError:  # a read-only cache: hashed anew next time
        pass
    return found


def refuse_code(folder: Path) -> None:
    """Raise ModelError where a configuration names code of its own, which transformers would offer to run."""
    for path in sorted(folder.glob("*.json")):
        if path.name in ("tokenizer.json", "vocab.json"):  # data alone, and megabytes of it
            continue
        try:
            said = json.dumps(json.loads(path.read_text(encoding="utf-8")))  # anew, since "a" may be written \u0061
        except (OSError, ValueError):  # its reader will say
            continue
        if '"auto_map"' in said:
            raise ModelError(f"{path} asks for code of its own to be run (auto_map), and none is; use another model")


def folder() -> Path:
    """Return where the Hugging Face cache is."""
    return Path(constants.HF_HUB_CACHE)


def download(
    repo: str, files: Sequence[str], announce: Callable[[int], None], bars: bool = False, revision: str = "main"
) -> Path:
    """Download a model to the Hugging Face cache; returns its folder there, raises ModelError.

    files: patterns of names, first the weights, which come last: a model whose weights are there is whole.
    announce: told the bytes, before the first is fetched. What is measured and what is fetched is one revision, and
    what an interrupted download left is taken up. bars: huggingface_hub may draw its progress on stderr. revision: a
    branch of the repository, or one of its pull requests.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    if not bars:  # some of its bars are drawn whether or not there is a terminal
        disable_progress_bars()
    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True)
        found = {file.rfilename: file.size or 0 for file in info.siblings or []}
        wanted = [name for name in found if any(fnmatch(name, pattern) for pattern in files)]
        if files[0] not in wanted:
            raise ModelError(f"{repo} has no {files[0]}, and other formats can run code")
        announce(sum(found[name] for name in wanted))
        beside = [name for name in wanted if name != files[0]]
        if beside:  # no pattern at all would mean everything
            snapshot_download(repo, revision=info.sha, allow_patterns=beside)
        return Path(snapshot_download(repo, revision=info.sha, allow_patterns=[files[0]]))
    except ModelError:
        raise
    except Exception as error:  # the library has dozens of its own
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{repo} could not be downloaded: {reason}; the same command goes on where it stopped"
        ) from error
