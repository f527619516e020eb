"""One self-contained page of thumbnails with scores: people would rather look, and listen."""

from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import MediaError
from core.types import Box, Hit, Kind
from glimpse.pages import picture_url, text, whole, write_page
from glimpse.players import moment_url, player
from glimpse.render import moment

PictureOf = Callable[[Hit], bytes]
"""Returns a small picture of a hit, WebP; raises MediaError."""
_STYLE = """
.hits { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 1rem; }
figure div { aspect-ratio: 1; display: grid; place-items: center; background: #8881; border-radius: 8px; }
img { max-width: 100%; max-height: 100%; border-radius: 6px; display: block; }
.audio { grid-template-rows: minmax(0, 1fr) auto; overflow: hidden; }
.audio img { width: 100%; height: 100%; border-radius: 0; }
.video { grid-template: minmax(0, 1fr) / minmax(0, 1fr); background: #222; }
.video > * { grid-area: 1 / 1; }
audio { width: 100%; height: 40px; }
video { width: 100%; height: 100%; border-radius: 6px; }
.part { container-type: size; }
.part span { position: relative; }
.part img { max-width: 100cqw; max-height: 100cqh; }
.part i { position: absolute; border: 2px solid #fff; outline: 1px solid #000; border-radius: 2px; opacity: .8; }
figure .none { padding: 1rem; }
.video .none { place-self: start center; color: #fff; }
a { color: inherit; }
i { font-style: normal; opacity: .7; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


def show_sheet(
    results: Sequence[tuple[str, Sequence[Hit]]], picture_of: PictureOf, path: Path | None, open_: bool
) -> None:
    """Write a page with one section per query, to `path` or a temporary file, and open it if that is wanted."""
    write_page(lambda: page(results, picture_of), path, open_, "results.html", "thumbnails")


def page(results: Sequence[tuple[str, Sequence[Hit]]], picture_of: PictureOf) -> str:
    """Return the page; it needs no other file, but plays recordings and films where they lie."""
    title = ", ".join(query for query, _ in results)
    return whole(title, _STYLE, "\n".join(_section(*result, picture_of) for result in results))


def _section(query: str, hits: Sequence[Hit], picture_of: PictureOf) -> str:
    figures = "".join(_figure(hit, picture_of) for hit in hits) or '<p class="none">nothing found</p>'
    return f'<h2>{text(query)}</h2><div class="hits">{figures}</div>'


def _figure(hit: Hit, picture_of: PictureOf) -> str:
    name, short = text(str(hit.path)), text(hit.path.name)
    url = reason = None
    try:
        url = picture_url(picture_of(hit))
    except MediaError as error:
        reason = f'<span class="none">{text(str(error))}</span>'
    shown = reason or f'<img alt="{short}" src="{url}">'
    box, caption = f"<div>{shown}</div>", short
    if hit.box and not reason:
        box = f'<div class="part"><span>{shown}<i style="{_place(hit.box)}"></i></span></div>'
    if hit.kind != Kind.PHOTO:
        plays = moment_url(hit.path, hit.start, hit.end)
        before = (reason or "") if hit.kind == Kind.VIDEO else shown  # a film shows its picture in the player
        box = f'<div class="{text(hit.kind)}">{before}{player(hit.kind, plays, short, url)}</div>'
        when = f" <i>{moment(hit)}</i>" if hit.start is not None else ""
        caption = f'<a href="{plays}">{short}</a>{when}'  # for what the browser itself cannot play
    return f'<figure title="{name}">{box}<figcaption>{_likeness(hit)}{caption}</figcaption></figure>'


def _likeness(hit: Hit) -> str:
    """Return score and confidence, and whether words were found, as far as there are any."""
    score = f"<b>{hit.score:.3f}</b> " if hit.score else ""
    sure = f"<i>{hit.confidence:.0%}</i> " if hit.confidence is not None else ""
    return score + sure + ("<i>by its words</i> " if hit.by_name else "")


def _place(box: Box) -> str:
    """Return where to draw a part of a photo over its picture, as CSS."""
    left, top, right, bottom = (100 * side for side in box)
    return f"left:{left:.2f}%;top:{top:.2f}%;right:{100 - right:.2f}%;bottom:{100 - bottom:.2f}%"
