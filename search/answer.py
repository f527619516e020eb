"""From a ranking to hits: the list ends where nothing is sure any more, and looks as somebody wants it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.query import Options, Order
from core.types import Hit
from search.ranking import Ranked
from store.reader import Reader


@dataclass(frozen=True)
class Answer:
    """Hits, and whether more was found that is not sure enough to be shown."""

    hits: tuple[Hit, ...]
    more: bool = False


def answered(reader: Reader, ranked: Sequence[Ranked], folder: Path | None, options: Options) -> Answer:
    """Return the hits of a ranking; folder: hits are named by their paths in it, where they lie elsewhere, too."""
    shown = [one for one in ranked if one.shown] if options.cut else list(ranked)
    more = len(shown) < min(len(ranked), options.k)
    if options.order is Order.DATE and not (options.cut and all(one.is_sure() for one in shown)):
        shown = shown[: options.k]  # the newest of what is nearest, and not of everything
    counts: dict[int, int] = {}
    if options.collapse:
        from search.diversity import collapsed

        shown, counts = collapsed(reader, shown)
    if options.diverse:
        from search.diversity import diverse

        shown = diverse(shown, options.k)
    taken: dict[int, str] = {}
    if options.order is Order.DATE or not any(one.row is not None for one in shown):  # which only filters leave
        from store.listing import taken_of

        taken = taken_of(reader, [one.asset.content_id for one in shown])
    if options.order is Order.DATE:
        shown.sort(key=lambda one: taken.get(one.asset.content_id, ""), reverse=True)
    hits = [_hit(one, counts.get(one.asset.content_id, 0), taken.get(one.asset.content_id)) for one in shown]
    return Answer(tuple(hit if folder is None else _seen_from(folder, hit) for hit in hits[: options.k]), more)


def _hit(one: Ranked, collapsed: int, taken: str | None) -> Hit:
    asset = one.asset
    first, *also = asset.paths
    start, end = (asset.span.start, asset.span.end) if asset.span else (None, None)
    return Hit(
        first,
        one.score,
        asset.kind,
        asset.content_id,
        also=tuple(also),
        companions=asset.companions,
        start=start,
        end=end,
        by_name=one.by_name,
        confidence=one.confidence if one.tells else None,
        box=asset.box,
        collapsed=collapsed,
        taken=taken,
        contributions=one.contributions,
    )


def _seen_from(folder: Path, hit: Hit) -> Hit:
    """Return a hit by its path in a folder, where the same bytes lie elsewhere, too."""
    first, *also = sorted((hit.path, *hit.also), key=lambda path: not path.is_relative_to(folder))
    return replace(hit, path=first, also=tuple(also))
