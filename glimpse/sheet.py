"""One self-contained page of thumbnails with scores: people would rather look."""

import base64
import contextlib
import html
import os
import tempfile
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import GlimpseError, MediaError
from core.types import Hit
from glimpse.render import note, plain, printable

PictureOf = Callable[[Hit], bytes]
"""Returns a small picture of a hit, WebP; raises MediaError."""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title} - Glimpse</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 1100px; padding: 0 1rem; }}
h2 {{ font-weight: 600; margin: 2rem 0 .6rem; }}
.hits {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 1rem; }}
figure {{ margin: 0; }}
figure div {{ aspect-ratio: 1; display: grid; place-items: center; background: #8881; border-radius: 8px; }}
img {{ max-width: 100%; max-height: 100%; border-radius: 6px; display: block; }}
figcaption {{ font-size: .85rem; overflow-wrap: anywhere; margin-top: .3rem; }}
b {{ font-variant-numeric: tabular-nums; }}
.none {{ opacity: .6; }}
</style></head><body>
{sections}
</body></html>
"""


def show_sheet(
    results: Sequence[tuple[str, Sequence[Hit]]], picture_of: PictureOf, path: Path | None, open_: bool
) -> None:
    """Write a page with one section per query, to `path` or a temporary file, and open it if that is wanted."""
    if path is None:
        path = Path(tempfile.mkdtemp(prefix="glimpse-")) / "results.html"
    if path.suffix.lower() not in (".html", ".htm"):
        raise GlimpseError(f"the page {path} must be called something.html, so that it cannot overwrite a photo")
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(page(results, picture_of), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise GlimpseError(f"cannot write the page {path}: {(error.strerror or str(error)).lower()}") from error
    note(f"page of thumbnails: {printable(path)}")
    if open_ and not webbrowser.open(path.absolute().as_uri()):
        note("no browser could be started; open the page by hand")


def page(results: Sequence[tuple[str, Sequence[Hit]]], picture_of: PictureOf) -> str:
    """Return the page; it needs no other file."""
    title = _text(", ".join(query for query, _ in results))
    return _PAGE.format(title=title, sections="\n".join(_section(*result, picture_of) for result in results))


def _section(query: str, hits: Sequence[Hit], picture_of: PictureOf) -> str:
    figures = "".join(_figure(hit, picture_of) for hit in hits) or '<p class="none">nothing found</p>'
    return f'<h2>{_text(query)}</h2><div class="hits">{figures}</div>'


def _figure(hit: Hit, picture_of: PictureOf) -> str:
    name, short = _text(str(hit.path)), _text(hit.path.name)
    try:
        picture = base64.b64encode(picture_of(hit)).decode()
        shown = f'<img alt="{short}" src="data:image/webp;base64,{picture}">'
    except MediaError as error:
        shown = f'<span class="none">{_text(str(error))}</span>'
    return (
        f'<figure title="{name}"><div>{shown}</div><figcaption><b>{hit.score:.3f}</b> {short}</figcaption></figure>'
    )


def _text(text: str) -> str:
    """Return a text as it may stand between tags and in attributes, printable."""
    return html.escape(plain(text))
