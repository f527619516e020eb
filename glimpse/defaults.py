"""Where things are kept unless somebody says otherwise. The only place that reads the environment."""

import os
from pathlib import Path

import platformdirs

from core.settings import Settings

LIBRARY_VARIABLE = "GLIMPSE_LIBRARY"
CACHE_VARIABLE = "GLIMPSE_CACHE"
OFFLINE_VARIABLES = ("GLIMPSE_OFFLINE", "HF_HUB_OFFLINE")
_UNSET = ("", "0", "false", "no", "off")


def data_folder() -> Path:
    """Return the folder for libraries in the user's data directory."""
    return Path(platformdirs.user_data_dir("glimpse", appauthor=False))


def offline() -> str:
    """Return the name of the variable that forbids the network, "" where none does."""
    return next((name for name in OFFLINE_VARIABLES if os.environ.get(name, "").lower() not in _UNSET), "")


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading ~/ replaced; `~name` stays a name, for that is what a file may be called."""
    text = os.fspath(path)
    return Path(text).expanduser() if text == "~" or text.startswith("~/") else Path(text)


def settings(library: Path | None = None, model: str | None = None) -> Settings:
    """Return settings from arguments, then GLIMPSE_LIBRARY and GLIMPSE_CACHE, then the user's directories."""
    named = os.environ.get(LIBRARY_VARIABLE)
    cache = os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("glimpse", appauthor=False)
    return Settings(
        library=expanded(library or named or data_folder() / "library"),
        cache=expanded(cache),
        model=model,
        workers=os.cpu_count() or 1,
    )
