"""Find the files that ship with Glimpse, in a checkout and in an installed wheel alike."""

from pathlib import Path

import data


def data_path(*parts: str) -> Path:
    """Return the path of a file or folder below `data/`."""
    return Path(data.__file__).resolve().parent.joinpath(*parts)
