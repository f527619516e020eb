"""Find model files in this machine's Hugging Face cache; only `download` opens a connection."""

import hashlib
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import constants

from core.errors import ModelError

FILES = ("open_clip_model.safetensors", "open_clip_config.json", "tokenizer*.json", "special_tokens_map.json")
"""What a download fetches: no format that can run code."""
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


def folder() -> Path:
    """Return where the Hugging Face cache is."""
    return Path(constants.HF_HUB_CACHE)


def download(repo: str, announce: Callable[[int], None]) -> Path:
    """Download a model's weights and tokenizer to the Hugging Face cache; returns their folder, raises ModelError.

    announce: told the bytes, before the first is fetched. What is measured and what is fetched is one revision.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        info = HfApi().model_info(repo, files_metadata=True)
        wanted = [file for file in info.siblings or [] if any(fnmatch(file.rfilename, name) for name in FILES)]
        announce(sum(file.size or 0 for file in wanted))
        return Path(snapshot_download(repo, revision=info.sha, allow_patterns=[file.rfilename for file in wanted]))
    except Exception as error:  # the library has dozens of its own
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{repo} could not be downloaded: {reason}; the same command goes on where it stopped"
        ) from error
