"""A page to look inside what learned to hear: what drives each hidden unit most, to see and to listen to."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.errors import MediaError
from core.types import Kind, Span
from glimpse.pages import picture_url, text, whole, write_page
from glimpse.players import moment_url, player
from glimpse.render import clocks
from glimpse.units import Moment, Unit

PictureOf = Callable[[Path, Span], bytes]
"""Returns a spectrogram of a part of a recording, exactly from its start to its end, WebP; raises MediaError."""
_OPEN = 3
"""So many units are unfolded at first."""
_POINTS = 100
"""A curve is drawn through at most so many points."""
_STYLE = """
:root { --line: #8883; --soft: #8881; --mark: #c2410c; --bar: #2563eb; }
@media (prefers-color-scheme: dark) { :root { --mark: #fb923c; --bar: #60a5fa; } }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
p { max-width: 46rem; margin: .5rem 0; }
a { color: inherit; }
.units { list-style: none; padding: 0; margin: 0; display: grid; gap: 2px 1rem;
  grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); }
.units a { display: grid; grid-template-columns: 2.2rem 1fr; text-decoration: none; padding: .25rem .4rem;
  border-radius: 6px; font-size: .85rem; }
.units a:hover, summary:hover { background: var(--soft); }
.units b { opacity: .6; font-weight: 500; }
.units span { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.units u { grid-column: 2; }
u { display: block; height: 3px; border-radius: 2px; background: var(--bar); margin-top: 2px; }
details { border-top: 1px solid var(--line); }
summary { padding: .6rem .4rem; cursor: pointer; border-radius: 6px; }
summary b { margin-right: .5rem; }
section { scroll-margin-top: 3rem; padding: 0 .4rem 1.5rem; }
.moments { display: grid; gap: 1.2rem 1rem; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr));
  margin-top: 1rem; }
.look { position: relative; border-radius: 8px; overflow: hidden; background: var(--soft); }
.sound { height: 110px; background-size: 100% 100%; display: grid; place-items: center; padding: 0; }
.look svg { display: block; width: 100%; height: 40px; }
polyline { fill: none; stroke: var(--mark); stroke-width: 2; vector-effect: non-scaling-stroke; }
.mark { position: absolute; top: 0; bottom: 0; border: solid var(--mark); border-width: 0 2px; box-sizing: border-box;
  box-shadow: 0 0 0 1000px #0005; }
audio { width: 100%; height: 40px; margin-top: .4rem; display: block; }
.when { white-space: nowrap; }
.quiet { opacity: .7; font-size: .85rem; font-variant-numeric: tabular-nums; }
"""


def show_units(
    units: Sequence[Unit], title: str, picture_of: PictureOf, path: Path | None = None, open_: bool = False
) -> None:
    """Write the page to `path`, or to a temporary file, and open it if that is wanted."""
    write_page(lambda: page(units, title, picture_of), path, open_, "units.html", "what was learned")


def page(units: Sequence[Unit], title: str, picture_of: PictureOf) -> str:
    """Return the page, units in the order given; it needs no other file, but plays recordings where they lie."""
    alive = [unit for unit in units if unit.moments]
    if not alive:
        reason = "no unit answers to one recording more than to another" if units else "there are no recordings"
        return whole(title, _STYLE, f'<h1>{text(title)}</h1><p class="none">Nothing to show: {reason}.</p>')
    pictures = _Pictures(picture_of)
    details = "\n".join(_unit(unit, pictures, i < _OPEN) for i, unit in enumerate(alive))
    body = f"<h1>{text(title)}</h1>{_introduction(units, alive)}{_overview(alive)}<h2>Unit by unit</h2>\n{details}"
    return whole(title, _STYLE + pictures.style(), body)


class _Pictures:
    """Pictures as classes of style: one that is shown by many units is on the page once."""

    def __init__(self, picture_of: PictureOf) -> None:
        self._picture_of = picture_of
        self._boxes: dict[tuple[Path, Span], str] = {}
        self._numbers: dict[bytes, int] = {}

    def box(self, path: Path, shown: Span) -> str:
        """Return an element with the picture of a part of a recording, or with the reason why there is none."""
        key = path, shown
        if key not in self._boxes:
            label = text(f"spectrogram of {path.name}, {clocks(shown.start, shown.end)}")
            try:
                number = self._numbers.setdefault(self._picture_of(path, shown), len(self._numbers))
                self._boxes[key] = f'<div class="sound s{number}" role="img" aria-label="{label}"></div>'
            except MediaError as error:
                self._boxes[key] = f'<div class="sound none">{text(str(error))}</div>'
        return self._boxes[key]

    def style(self) -> str:
        """Return the classes of all pictures that were shown."""
        return "\n".join(
            f".s{n} {{ background-image: url({picture_url(webp)}); }}" for webp, n in self._numbers.items()
        )


def _introduction(units: Sequence[Unit], alive: Sequence[Unit]) -> str:
    named = sum(bool(unit.shared) for unit in alive)
    lines = [
        "Inside the network are units, each of which answers to something in a sound, and nobody told it to what. "
        "Here is, for each of them, when it answers most: the moments, each in another recording, and the words that "
        "these moments share more often than chance would have it.",
        f"{len(alive):,} {_units(len(alive))}, the most selective first; {named:,} of them can be put into words.",
    ]
    if silent := [str(unit.number) for unit in units if not unit.moments]:
        lines.append(
            f"Not shown, since they answer to all recordings alike: {_units(len(silent))} {', '.join(silent)}."
        )
    return "".join(f"<p>{line}</p>" for line in lines)


def _units(count: int) -> str:
    return "unit" if count == 1 else "units"


def _overview(units: Sequence[Unit]) -> str:
    most = max(unit.strength for unit in units)
    links = "".join(
        f'<li><a href="#unit-{unit.number}"><b>{unit.number}</b><span>{_words(unit)}</span>'
        f'<u style="width:{100 * unit.strength / most:.0f}%"></u></a></li>'
        for unit in units
    )
    return f'<nav id="units" aria-label="all units"><h2>All units</h2><ul class="units">{links}</ul></nav>'


def _words(unit: Unit) -> str:
    """Return what a unit answers to in a few words."""
    if not unit.shared:
        return '<span class="none">no word for it</span>'
    return text(", ".join(shared.tag for shared in unit.shared[:3]))


def _unit(unit: Unit, pictures: _Pictures, unfolded: bool) -> str:
    moments = "".join(_moment(moment, unit, pictures) for moment in unit.moments)
    # The target of a link lies inside, for then a browser unfolds what is around it.
    return (
        f"<details{' open' if unfolded else ''}><summary><b>unit {unit.number}</b>{_words(unit)}</summary>"
        f'<section id="unit-{unit.number}"><p>{_summary(unit)} <a href="#units">All units</a></p>'
        f'<div class="moments">{moments}</div></section></details>'
    )


def _summary(unit: Unit) -> str:
    """Return in a sentence or two what the moments share, and how far they rise above the rest."""
    n = len(unit.moments)
    parts = [
        f"{text(shared.tag)} in {round(shared.share * n)} of its {n} moments (of all sound: {_percent(shared.usual)})"
        for shared in unit.shared
    ]
    said = "; ".join(parts) or "Its moments share no word more often than chance would have it"
    return f"{said[:1].upper()}{said[1:]}. They rise {unit.strength:.1f} standard deviations above the average."


def _percent(part: float) -> str:
    return f"{100 * part:.0f}&nbsp;%" if part >= 0.01 else "less than 1&nbsp;%"


def _moment(moment: Moment, unit: Unit, pictures: _Pictures) -> str:
    name, shown, span = text(moment.path.name), moment.shown, moment.span
    url = moment_url(moment.path, span.start, span.end)
    length = max(shown.end - shown.start, 1e-9)
    left, width = (100 * part / length for part in (span.start - shown.start, span.end - span.start))
    tags = f'<div class="quiet">{text(", ".join(moment.tags))}</div>' if moment.tags else ""
    return (
        f'<figure title="{text(str(moment.path))}"><div class="look">{pictures.box(moment.path, shown)}'
        f'{_curve(moment, unit)}<div class="mark" style="left:{left:.1f}%;width:{width:.1f}%"></div></div>'
        f'{player(Kind.AUDIO, url, name)}<figcaption><b>{moment.activation:.2f}</b> <a href="{url}">{name}</a> '
        f'<span class="quiet when">{clocks(span.start, span.end)}</span>{tags}</figcaption></figure>'
    )


def _curve(moment: Moment, unit: Unit) -> str:
    """Return the unit over time as SVG, on a scale that all moments of the unit share."""
    low = min(float(other.values.min()) for other in unit.moments)
    high = max(float(other.values.max()) for other in unit.moments)
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in _points(moment, low, high))
    return (
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{points}"/></svg>'
    )


def _points(moment: Moment, low: float, high: float) -> Iterator[tuple[float, float]]:
    """Yield the curve from edge to edge, x 0..1000, y 92 (low) to 8; of many steps, the greatest of several."""
    stride = -(-len(moment.times) // _POINTS)
    times = [float(moment.times[i : i + stride].mean()) for i in range(0, len(moment.times), stride)]
    values = [float(moment.values[i : i + stride].max()) for i in range(0, len(moment.times), stride)]
    start, length = moment.shown.start, max(moment.shown.end - moment.shown.start, 1e-9)
    xs = [1000 * (time - start) / length for time in times]
    ys = [92 - 84 * (value - low) / max(high - low, 1e-9) for value in values]
    yield from zip([0, *xs, 1000], [ys[0], *ys, ys[-1]], strict=True)
