"""Players on a page: a browser's own controls, at the moment that was found.

They play the file where it lies: a browser lets a page that is a file play other files, and nothing is copied. From
a web server, the same page would stay silent.
"""

import html
from pathlib import Path

from core.types import Kind


def moment_url(path: Path, start: float | None = None, end: float | None = None) -> str:
    """Return a file's URL, fit for an attribute: any bytes of its name, and the seconds to play (Media Fragments).

    https://www.w3.org/TR/media-frags/#naming-time
    """
    url = path.absolute().as_uri()
    if start is not None:
        url += f"#t={start:.2f}" + (f",{end:.2f}" if end is not None and end > start else "")
    return html.escape(url)


def player(kind: str, url: str, label: str, poster: str | None = None) -> str:
    """Return a player for sound or a film, which reads nothing of the file before somebody plays it.

    url: from `moment_url`; label: what it plays, escaped; poster: URL of the picture that a film shows until then.
    """
    if kind == Kind.VIDEO:
        shown = f' poster="{poster}"' if poster else ""
        return f'<video controls preload="none"{shown} src="{url}" aria-label="{label}"></video>'
    return f'<audio controls preload="none" src="{url}" aria-label="{label}"></audio>'
