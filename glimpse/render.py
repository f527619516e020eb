"""What people and programs see: results on stdout, everything else on stderr."""

import contextlib
import json
import math
import os
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.diagnosis import Diagnosis
from core.errors import GlimpseError
from core.types import Box, Hit, IndexReport, Info, Kind, Metadata, SpaceStatus, Status, Tag

if TYPE_CHECKING:
    from glimpse.api import Library

SHOWN_FAILURES = 5
SHOWN_NOTES = 20


def emit(text: str, end: str = "\n") -> None:
    """Write a result for programs to stdout, as it is; names that are not UTF-8 come out as the bytes they are.

    Ends the program, without complaint, when the reader (head, less) has seen enough.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write((text + end).encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would fail too
        sys.exit(0)
    except (OSError, AttributeError) as error:  # a full disk; no stdout at all
        why = getattr(error, "strerror", None) or "it is closed"
        raise GlimpseError(f"the results cannot be written to stdout: {why.lower()}") from error


def emit_json(value: dict[str, Any]) -> None:
    """Write a result for programs to stdout, as one line of JSON in ASCII."""
    emit(json.dumps(value).replace("\x7f", "\\u007f"))  # the one control character that dumps lets through


def emit_path(path: Path, end: str = "\n") -> None:
    """Write a path to stdout: as it is for programs, and printable for a terminal, as `ls` does."""
    emit(printable(path) if is_for_people() else str(path), end)


def is_for_people() -> bool:
    """Say whether somebody looks at stdout."""
    return sys.stdout is not None and sys.stdout.isatty()


def say(text: str) -> None:
    """Write a result for people to stdout; of what could play with the terminal, only line breaks are let through."""
    emit("\n".join(map(plain, text.split("\n"))))


def note(text: str) -> None:
    """Tell something on stderr, if anybody still listens there."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:  # print would turn to stdout
            print(plain(text), file=sys.stderr, flush=True)


def printable(path: Path) -> str:
    """Return a path for people."""
    return plain(str(path))


def plain(text: str) -> str:
    """Spell out what is not printable: controls, marks that turn the direction of writing, bytes outside UTF-8."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _spelt(c) for c in text)


def _spelt(character: str) -> str:
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(character)[1:-1]


def clock(seconds: float) -> str:
    """Return a time as a player shows it: 0:42, 1:02:03; parts of a second are left out."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def clocks(start: float, end: float) -> str:
    """Return from when to when as a player shows it; begun seconds count."""
    return f"{clock(start)}-{clock(math.ceil(round(end, 2)))}"


def moment(hit: Hit) -> str:
    """Return when in a recording something was found, "" for photos: 0:42-0:52 of sound, 0:42 of a film."""
    if hit.start is None:
        return ""
    if hit.kind == Kind.VIDEO or hit.end is None:
        return clock(hit.start)
    return clocks(hit.start, hit.end)


def hit_line(hit: Hit) -> str:
    """Return score, how sure it is, path, when or where it happens, and how much of the same is there besides."""
    when = f"  {moment(hit)}" if hit.start is not None else ""
    where = f"  at {box_text(hit.box)}" if hit.box else ""
    more = f"  (+{len(hit.also)} more)" if hit.also else ""
    alike = f"  (+{hit.collapsed} much alike)" if hit.collapsed else ""
    beside = "".join(f"  + {printable(Path(path.name))}" for path in hit.companions)
    words = "  (by its words)" if hit.by_name and hit.score else ""
    sure = "" if hit.confidence is None else f"  {hit.confidence:4.0%}"
    date = f"{hit.taken[:10]}  " if hit.taken else ""
    return f"{_score(hit)}{sure}  {date}{printable(hit.path)}{when}{where}{words}{more}{alike}{beside}"


def _score(hit: Hit) -> str:
    """Return a score, or what stands in its place where there is no likeness to anything."""
    if hit.score:
        return f"{hit.score:6.3f}"
    return "  name" if hit.by_name else "     -"


def box_text(box: Box) -> str:
    """Return where in a photo something is, from its top left, in hundredths of its width and height."""
    left, top, right, bottom = (round(100 * side) for side in box)
    return f"{left}-{right}% x {top}-{bottom}%"


def contribution_lines(hit: Hit) -> list[str]:
    """Return a line for what each term adds to the score, and one for their sum, where that was asked for."""
    if not hit.contributions:
        return []
    rows = [*hit.contributions, ("=", sum(value for _, value in hit.contributions))]
    return [f"{value:+14.3f}  {plain(name)}" for name, value in rows]


def hit_dict(hit: Hit) -> dict[str, Any]:
    """Return a hit as plain values; the schema is in README.md. Bytes that are not UTF-8 become \\udcXX (PEP 383)."""
    row: dict[str, Any] = {"path": str(hit.path), "score": round(hit.score, 6), "kind": hit.kind, "id": hit.id}
    row |= {"start": _seconds(hit.start), "end": _seconds(hit.end), "by_name": hit.by_name}
    row["confidence"] = None if hit.confidence is None else round(hit.confidence, 4)
    row["box"] = None if hit.box is None else [round(side, 4) for side in hit.box]
    row |= {"collapsed": hit.collapsed, "taken": hit.taken}
    if hit.contributions:
        row["contributions"] = [{"term": name, "adds": round(value, 6)} for name, value in hit.contributions]
    return row | {"also": [str(path) for path in hit.also], "companions": [str(path) for path in hit.companions]}


def _seconds(time: float | None) -> float | None:
    return None if time is None else round(time, 3)


def tags_line(file: Path, tags: list[Tag]) -> str:
    """Return a file with its tags in one line, and how sure they are where that is known."""
    return f"{printable(file)}: " + ", ".join(
        f"{plain(tag.name)} {f'{tag.score:.2f}' if tag.confidence is None else f'{tag.confidence:.0%}'}"
        for tag in tags
    )


def tag_dict(tag: Tag) -> dict[str, Any]:
    """Return a suggestion as JSON has it."""
    sure = None if tag.confidence is None else round(tag.confidence, 4)
    return {
        "tag": tag.name,
        "score": round(tag.score, 4),
        "group": tag.group,
        "examples": tag.examples,
        "confidence": sure,
    }


def tag_list(file: Path | None, tags: list[tuple[str, int]], json_: bool) -> None:
    """Show the tags of a file or a folder, one line for all, or those of everything (None), one a line."""
    counts = [{"tag": name, "count": count} for name, count in tags]
    if file is None:
        for count in counts:
            if json_:
                emit_json(count)
            else:
                say(f"{count['count']:8,}  {plain(str(count['tag']))}")
    elif json_:
        emit_json({"path": str(file), "tags": counts})
    else:
        several = any(count > 1 for _, count in tags)
        names = (f"{plain(name)} ({count:,})" if several else plain(name) for name, count in tags)
        say(f"{printable(file)}: " + ", ".join(names))


def summary(report: IndexReport) -> str:
    """Return what an index run did in one line."""
    counts = ", ".join(
        f"{getattr(report, name):,} {name}" for name in ("added", "changed", "moved", "gone", "unchanged", "failed")
    )
    if report.dry_run:
        return f"would be: {counts}; nothing was changed"
    return f"{counts} in {report.seconds:.1f} s ({report.photos_per_second:.1f} files/s)"


def index_report(report: IndexReport) -> None:
    """Tell on stderr what needs a person's eye: folders that were not seen, files that could not be read."""
    for text in report.notes[:SHOWN_NOTES]:
        note(f"note: {text}")
    if len(report.notes) > SHOWN_NOTES:
        note(f"... and {len(report.notes) - SHOWN_NOTES:,} more notes; all of them: glimpse index --json")
    if report.damaged:
        note(f"note: {report.damaged:,} photos are cut short; they are found by what is left of them")
    for failure in report.failures[:SHOWN_FAILURES]:
        note(f"could not read {printable(failure.path)}: {failure.reason}")
    if len(report.failures) > SHOWN_FAILURES:
        note(f"... and {len(report.failures) - SHOWN_FAILURES:,} more; all of them: glimpse status --errors")


def note_model_once(library: "Library") -> None:
    """Say, when a library is new, which model it gets and what would be better."""
    from encoders.registry import FALLBACK, default

    if not library.exists() and (library.settings.model or default()) == FALLBACK:
        note(
            "The built-in model knows about a thousand things, in English. "
            "A stronger one, small, can be had with: glimpse models get small"
        )


def info_dict(info: Info) -> dict[str, Any]:
    """Return what is known about a file as plain values; the schema is in README.md."""
    return {
        "path": str(info.path),
        "id": info.id,
        "kind": info.kind,
        "size": info.size,
        **asdict(info.metadata),
        "place": asdict(info.place) if info.place else None,
        "models": list(info.models),
        "companions": [str(path) for path in info.companions],
        "belongs_to": None if info.belongs_to is None else str(info.belongs_to),
        "failure": info.failure,
        "damaged": info.damaged,
    }


def info_text(info: Info) -> str:
    """Return what is known about a file for people, a line for each thing that is."""
    said, size, place = info.metadata, info.size, info.place
    rows = [
        (info.kind or "file", printable(info.path)),
        ("unreadable", info.failure),
        ("belongs to", info.belongs_to and printable(info.belongs_to)),
        ("size", size and f"{size[0]} x {size[1]}" + (", cut short" if info.damaged else "")),
        ("length", said.duration is not None and clock(said.duration)),
        ("taken", said.taken and f"{said.taken.replace('T', ' ')}{_offset(said.offset)} ({said.taken_from})"),
        ("place", place and ", ".join(part for part in (place.town, place.region, place.country) if part)),
        ("position", _position(said)),
        ("camera", ", ".join(part for part in (_camera(said), said.lens) if part)),
        ("exposure", _exposure(said)),
        ("rating", said.rating is not None and f"{said.rating} of 5"),
        ("title", said.title),
        ("artist", said.artist),
        ("description", said.description),
        ("keywords", ", ".join(said.keywords)),
        ("with", ", ".join(printable(Path(path.name)) for path in info.companions)),
        ("motion", said.motion and "a short video lies in the file"),
        ("models", ", ".join(info.models)),
    ]
    return "\n".join(f"{name:11} {plain(str(value))}" for name, value in rows if value)


def _offset(minutes: int | None) -> str:
    """Return an offset from UTC as +01:00, nothing where it is unknown."""
    if minutes is None:
        return ""
    return f" {'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _position(said: Metadata) -> str:
    if said.latitude is None or said.longitude is None:
        return ""
    high = "" if said.altitude is None else f", {said.altitude:.0f} m"
    return f"{said.latitude:.5f}, {said.longitude:.5f}{high}"


def _camera(said: Metadata) -> str:
    """Return maker and model, the maker once: Canon's models begin with it."""
    make, camera = said.make or "", said.camera or ""
    return camera if camera.lower().startswith(make.lower()) else f"{make} {camera}".strip()


def _exposure(said: Metadata) -> str:
    seconds = said.exposure
    parts = [
        seconds and (f"1/{1 / seconds:.0f} s" if seconds < 0.4 else f"{seconds:g} s"),
        said.aperture and f"f/{said.aperture:g}",
        said.iso and f"ISO {said.iso}",
        said.focal_length and f"{said.focal_length:g} mm",
    ]
    return ", ".join(part for part in parts if part)


def status_dict(status: Status) -> dict[str, Any]:
    """Return the status as plain values; the schema is in README.md."""
    return {
        "library": str(status.library),
        "model": status.model,
        "files": status.files,
        "companions": status.companions,
        "gone": status.gone,
        "contents": status.contents,
        "kinds": status.kinds,
        "failures": status.failures,
        "damaged": status.damaged,
        "bytes": status.bytes,
        "previews": status.previews,
        "preview_bytes": status.preview_bytes,
        "roots": [str(root) for root in status.roots],
        "spaces": [asdict(space) for space in status.spaces],
        "last_run": status.last_run,
        "tiles": status.tiles,
    }


def status_text(status: Status) -> str:
    """Return the status for people."""
    rows = [
        ("library", f"{printable(status.library)} ({status.bytes / 1e6:,.1f} MB)"),
        *((("model" if space.current else "and"), _space_text(space)) for space in _current_first(status.spaces)),
        ("files", f"{status.files:,}, {status.contents:,} distinct: {_kinds(status)}"),
        *(("index", index_text(space)) for space in status.spaces if space.current),
        ("tiles", _tiles_text(status)),
        ("previews", f"{status.previews:,} ({status.preview_bytes / 1e6:,.1f} MB)"),
        ("gone", f"{status.gone:,} files" + (" (forget them with: glimpse prune)" if status.gone else "")),
        (
            "unreadable",
            f"{status.failures:,}" + (" (list: glimpse status --errors)" if status.failures else ""),
        ),
    ]
    if status.companions:
        rows.append(("belonging", f"{status.companions:,} RAWs and movies beside their photos"))
    if status.damaged:
        rows.append(("damaged", f"{status.damaged:,} photos are cut short"))
    rows += [("folder", printable(root)) for root in status.roots]
    if run := status.last_run:
        when = datetime.fromtimestamp(run["finished"]).astimezone().strftime("%Y-%m-%d %H:%M")
        ended = "stopped early" if run["interrupted"] else "complete"
        rows.append(("last run", f"{when}, {ended}: {run['added']:,} added, {run['failed']:,} failed"))
    return "\n".join(f"{name:11} {value}" for name, value in rows)


def _tiles_text(status: Status) -> str:
    """Return which photos have vectors of parts, and what those cost: time to encode, time to search, and room."""
    count, size = (sum(getattr(space, name) for space in status.spaces) for name in ("tiles", "tile_bytes"))
    share = count / max(1, sum(space.vectors for space in status.spaces))
    cost = f": {count:,}, {share:.0%} of all that is encoded and compared ({size / 1e6:,.1f} MB)" if count else ""
    return {"none": "of no photos", "wide": "of wide photos", "all": "of large photos"}.get(status.tiles, "?") + cost


def learned_text(report: dict[str, Any]) -> str:
    """Return how well something learned to hear, a line for each way that was tried."""
    lines = [
        f"learned from {report['recordings']:,} recordings ({report['pairs']:,} windows); "
        f"kept: {report['kind']}, as judged by {report['held_out']:,} of them while they were held out",
        f"{'':9} {'sound -> picture':^29}   {'picture -> sound':^29}",
        f"{'':9} {' R@1   R@5  R@10  median rank':29}   {' R@1   R@5  R@10  median rank':29}",
    ]
    for name, found in report["found"].items():
        ways = (_ranks(found.get(way, found)) for way in ("sound_to_picture", "picture_to_sound"))  # chance has one
        lines.append(f"{name:9} {'   '.join(ways)}")
    return "\n".join(lines)


def _ranks(found: dict[str, float]) -> str:
    recalls = "  ".join(f"{found[f'R@{k}']:4.2f}".replace("0.", " .") for k in (1, 5, 10))
    return f"{recalls}  {found['median_rank']:11.1f}"


def _kinds(status: Status) -> str:
    """Return how many there are of each kind."""
    names = {"photo": "photo", "audio": "sound", "video": "film"}
    return ", ".join(f"{n:,} {names[kind]}{'' if n == 1 else 's'}" for kind, n in status.kinds.items()) or "none"


def _current_first(spaces: tuple[SpaceStatus, ...]) -> list[SpaceStatus]:
    return sorted(spaces, key=lambda space: not space.current)


def _space_text(space: SpaceStatus) -> str:
    """Return what a library has of one model in one line."""
    parts = [f"{plain(space.model)}: {space.vectors:,} vectors"]
    if space.from_previews:
        parts.append(f"{space.from_previews:,} from previews")
    if space.missing:
        what = "recordings" if space.modality == "sound" else "photos"
        parts.append(f"{space.missing:,} {what} missing")
    if space.precision != "fp32" or space.self_test:
        parts.append(f"{space.precision}, {self_test_text(space)}")
    return ", ".join(parts)


def index_text(space: SpaceStatus) -> str:
    """Return how nearest photos are found in one line."""
    index = space.index
    if index["tier"] == "ivf":
        text = f"inverted file, {index['nprobe']:,} of {index['lists']:,} lists, {_recall(index)}"
    elif refused := index.get("refused"):
        text = f"exact; an inverted file of {refused['lists']:,} lists found too little ({_recall(refused)})"
    else:
        text = "exact: every vector is compared"
    behind = space.vectors - index["covers"]
    return text + (f"; {behind:,} newer ones beside it" if behind > 0 and index["covers"] else "")


def _recall(facts: dict[str, Any]) -> str:
    """Return what was measured of an inverted file."""
    return "recall@10 " + ", ".join(f"{value:.3f} for {kind}" for kind, value in facts["recall"].items())


def self_test_text(space: SpaceStatus) -> str:
    """Return what was measured before a precision was chosen."""
    tests = space.self_test or []
    found = [test for test in tests if test["precision"] == space.precision] or tests
    if not found:
        return "not tested"
    best = found[0]
    return (
        f"{best['precision']} tested on {best['photos']} photos: cosine {best['cosine']:.4f}, "
        f"top-10 overlap {best['overlap']:.2f}, {best['speedup']:.1f}x as fast"
    )


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Return a line for each thing that was looked at, and what can be done below those where something can."""
    lines = []
    for found in diagnosis.findings:
        lines.append(f"{found.state:9}{found.check:12}{plain(found.text)}")
        if found.remedy:
            lines.append(f"{'':21}-> {plain(found.remedy)}")
    return "\n".join(lines)
