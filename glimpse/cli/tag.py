"""`glimpse tag`: suggestions, and what is said of them."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from core.errors import QueryError, UnknownFileError
from glimpse.cli.options import SomePath, count_option, json_option, library_option, model_option
from glimpse.cli.search import note_stage
from glimpse.defaults import settings

if TYPE_CHECKING:
    from glimpse.api import Library

FAILED = 2
_MEANS = """FILE is any number of files of the library, or folders: all that it has in them and below. A tag belongs
    to the bytes of a file, so two copies share theirs. No file is written to; for that: glimpse tag --write-xmp

    Exit code: 0, or 2 if a file is not in the library; the others are tagged all the same.
"""


class WithVerbs(click.Command):
    """A command whose first argument may be the name of another: FILE... would swallow the commands of a group."""

    verbs: dict[str, click.Command]

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return the context of the command that is meant."""
        if args and args[0] in self.verbs:
            return self.verbs[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=WithVerbs)
@click.argument("files", nargs=-1, type=SomePath(), metavar="FILE...")
@count_option(5)
@click.option("--write-xmp", is_flag=True, help="Write what was said of tags into sidecars, IMG.jpg.xmp.")
@click.option("--dry-run", is_flag=True, help="With --write-xmp: only say what would be written.")
@click.option("--undo", is_flag=True, help="Bring back what sidecars said before the last --write-xmp.")
@json_option
@library_option
@model_option
def tag(
    files: tuple[Path, ...],
    count: int,
    write_xmp: bool,
    dry_run: bool,
    undo: bool,
    json_: bool,
    library: Path | None,
    model: str | None,
) -> int:
    """Suggest tags for photos, sounds and films, with scores; best first. They need not be in the library.

    Suggestions learn from the tags of your photos: from keywords in them, and from what you say here. After some 50
    answers (accept, reject), they say how sure they are, in percent.

    \b
    glimpse tag add TAG FILE...      give a tag; levels with /: Places/Vienna
    glimpse tag remove TAG FILE...   take one away, though it be a keyword in the file
    glimpse tag accept TAG FILE...   a suggestion is right: as add, and answered
    glimpse tag reject TAG FILE...   a suggestion is wrong: it is not made again
    glimpse tag rename OLD NEW       for all, with the tags below it
    glimpse tag list [FILE...]       all tags with counts, or those of files

    A file that is called as one of these is ./add.

    --write-xmp writes the tags of everything of which something was said, or of FILE... only, into sidecars, where
    other programs find them (digiKam:TagsList, lr:hierarchicalSubject, dc:subject), and leaves all else in them as it
    is. Copies get theirs, too.

    Exit code: 0, or 2 if a file could not be read or written; the others are done all the same.

    \b
    Examples:
      glimpse tag -k 3 cat.jpg beach.jpg
      glimpse tag add Places/Vienna ~/Pictures/2023/vienna
      glimpse tag --write-xmp --dry-run
    """
    from glimpse.api import Library

    if dry_run and not write_xmp:
        raise click.UsageError("--dry-run is for --write-xmp")
    if undo and (write_xmp or files):
        raise click.UsageError("--undo takes back all of the last --write-xmp, and nothing else at the same time")
    if not (files or write_xmp or undo):
        raise click.UsageError("Missing argument 'FILE...'.")
    with Library(settings(library, model), note_stage) as opened:
        if undo:
            return _undo(opened, json_)
        if write_xmp:
            return _write_xmp(opened, files, dry_run, json_)
        return _suggest(opened, files, count, json_)


def _suggest(library: "Library", files: tuple[Path, ...], count: int, json_: bool) -> int:
    from glimpse import render

    code = 0
    for file in files:
        try:
            tags = library.suggest_tags(file, count)
        except QueryError as error:
            render.note(f"glimpse: {error}")
            code = FAILED
            continue
        if json_:
            render.emit_json({"path": str(file), "tags": [render.tag_dict(tag) for tag in tags]})
        else:
            render.say(render.tags_line(file, tags))
    return code


def _write_xmp(library: "Library", files: tuple[Path, ...], dry_run: bool, json_: bool) -> int:
    from core.types import Failure
    from glimpse import render

    unknown = _Unknown()
    written = failed = 0
    for change in library.write_xmp(files, dry_run, unknown):
        if isinstance(change, Failure):
            render.note(f"glimpse: {change.path}: {change.reason}")
            failed += 1
            continue
        written += 1
        if json_:
            render.emit_json({"path": str(change.path), "change": change.summary})
        else:
            render.say(f"{render.printable(change.path)}: {render.plain(change.summary)}")
    sidecars = f"{written:,} sidecar{'' if written == 1 else 's'}"
    if dry_run:
        render.note(f"{sidecars} would be written; nothing was changed")
    else:
        render.note(f"{sidecars} written" + ("; to take that back: glimpse tag --undo" if written else ""))
    return FAILED if failed or unknown.some else 0


def _undo(library: "Library", json_: bool) -> int:
    from core.types import Failure
    from glimpse import render

    code = 0
    for undone in library.undo_xmp():
        if isinstance(undone, Failure):
            render.note(f"glimpse: {undone.path}: {undone.reason}")
            code = FAILED
        elif json_:
            render.emit_json({"path": str(undone)})
        else:
            render.say(f"{render.printable(undone)}: as before")
    return code


class _Unknown:
    """Tells of files that the library does not know, one line each, and remembers that there were some."""

    some = False

    def __call__(self, error: UnknownFileError) -> None:
        from glimpse import render

        self.some = True
        render.note(f"glimpse: {error}")


def _verb(name: str, does: str, said: str) -> click.Command:
    """Return a command that says one thing of a tag for files. said: of how many, {}, in the past."""

    @click.command(name, help=f"{does}\n\n{_MEANS}", short_help=does)
    @click.argument("tag", metavar="TAG")
    @click.argument("files", nargs=-1, required=True, type=SomePath(), metavar="FILE...")
    @library_option
    def command(tag: str, files: tuple[Path, ...], library: Path | None) -> int:
        from glimpse import render
        from glimpse.api import Library

        unknown = _Unknown()
        with Library(settings(library)) as opened:
            judge: Callable[..., int] = getattr(opened, f"{name}_tag")
            render.note(said.format(f"{judge(tag, files, unknown):,}", tag))
        return FAILED if unknown.some else 0

    return command


@click.command("rename")
@click.argument("old")
@click.argument("new")
@library_option
def rename(old: str, new: str, library: Path | None) -> None:
    """Rename a tag, and all below it: Places to Orte renames Places/Vienna to Orte/Vienna.

    If NEW is there already, the two become one. Files keep their keywords until --write-xmp, and the library goes by
    the new name.

    \b
    Example:
      glimpse tag rename Places/Wien Places/Vienna
    """
    from glimpse import render
    from glimpse.api import Library

    with Library(settings(library)) as opened:
        render.note(f"{opened.rename_tag(old, new):,} had it, and have '{new}' now")


@click.command("list")
@click.argument("files", nargs=-1, type=SomePath(), metavar="[FILE...]")
@json_option
@library_option
def list_(files: tuple[Path, ...], json_: bool, library: Path | None) -> int:
    """Show all tags, and how many photos, sounds and films have each; or those of files, or of all in folders.

    Exit code: 0, or 2 if a file is not in the library; the others are shown all the same.

    \b
    Example:
      glimpse tag list ~/Pictures/cat.jpg
    """
    from glimpse import render
    from glimpse.api import Library

    code = 0
    with Library(settings(library)) as opened:
        for file in files or (None,):
            try:
                found = opened.tags(file)
            except UnknownFileError as error:
                render.note(f"glimpse: {error}")
                code = FAILED
                continue
            render.tag_list(file, found, json_)
    return code


WithVerbs.verbs = {
    "add": _verb("add", "Give files a tag.", "{} gained the tag '{}'"),
    "remove": _verb("remove", "Take a tag from files.", "{} lost the tag '{}'"),
    "accept": _verb("accept", "Say that the suggestion of a tag is right.", "{} gained the tag '{}'"),
    "reject": _verb("reject", "Say that the suggestion of a tag is wrong.", "noted; {} had the tag '{}'"),
    "rename": rename,
    "list": list_,
}
