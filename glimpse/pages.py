"""Pages to look at: one file each, which needs no other, no script and no network."""

import base64
import contextlib
import html
import os
import tempfile
import webbrowser
from collections.abc import Callable
from pathlib import Path

from core.errors import GlimpseError
from glimpse.render import note, plain, printable

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; media-src file:; \
style-src 'unsafe-inline'">
<title>{title} - Glimpse</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 1100px; padding: 0 1rem; }}
h2 {{ font-weight: 600; margin: 2rem 0 .6rem; }}
figure {{ margin: 0; }}
figcaption {{ font-size: .85rem; overflow-wrap: anywhere; margin-top: .3rem; }}
b {{ font-variant-numeric: tabular-nums; }}
.none {{ opacity: .6; }}
{style}
</style></head><body>
{body}
</body></html>
"""


def whole(title: str, style: str, body: str) -> str:
    """Return a page. title: any text; style, body: CSS and HTML, where all that is not ours went through `text`."""
    return _PAGE.format(title=text(title), style=style.strip(), body=body)


def text(words: str) -> str:
    """Return words as they may stand between tags and in attributes, printable."""
    return html.escape(plain(words))


def picture_url(webp: bytes) -> str:
    """Return a picture as a URL that holds all of it."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def write_page(make: Callable[[], str], path: Path | None, open_: bool, name: str, what: str) -> None:
    """Write what `make` returns to `path`, or to `name` in a temporary folder, and open it if that is wanted.

    what: what the page shows, to tell where it lies. Raises GlimpseError where it cannot be written.
    """
    if path is None:
        path = Path(tempfile.mkdtemp(prefix="glimpse-")) / name
    if path.suffix.lower() not in (".html", ".htm"):
        raise GlimpseError(f"the page {path} must be called something.html, so that it cannot overwrite a photo")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(make(), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise GlimpseError(f"cannot write the page {path}: {(error.strerror or str(error)).lower()}") from error
    note(f"page of {what}: {printable(path)}")
    if open_ and not webbrowser.open(path.absolute().as_uri()):
        note("no browser could be started; open the page by hand")
