"""Search your own photos: `glimpse.open(DIR).search("a cat")`.

import glimpse

with glimpse.open("my-library") as library:
    library.index(["~/Pictures"])
    for hit in library.search("a cat", k=10):
        print(hit.score, hit.path)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.errors import GlimpseError
    from core.types import Failure, Hit, IndexReport, Info, Metadata, Place, SpaceStatus, Status, Tag, Walk
    from glimpse.api import Library, open  # noqa: A004

__version__ = "0.1.0"
__all__ = [
    "Failure", "GlimpseError", "Hit", "IndexReport", "Info", "Library", "Metadata", "Place", "SpaceStatus", "Status",
    "Tag", "Walk", "__version__", "open",
]  # fmt: skip

_HOMES = {
    "GlimpseError": "core.errors",
    **dict.fromkeys(
        ("Failure", "Hit", "IndexReport", "Info", "Metadata", "Place", "SpaceStatus", "Status", "Tag", "Walk"),
        "core.types",
    ),
    **dict.fromkeys(("Library", "open"), "glimpse.api"),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used, so that `glimpse --help` answers at once."""
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'glimpse' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
