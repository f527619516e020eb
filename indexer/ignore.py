"""What a walk leaves out because somebody said so: `--exclude`, and `.glimpseignore` files, which work as .gitignore.

As in Git: the last pattern that fits decides; a nearer file counts before one further up, and what was said on the
command line before both; nothing comes back from a folder that is left out, since a walk does not enter it.
"""

import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable

from core.errors import GlimpseError

IGNORE_FILE = b".glimpseignore"


class Rules:
    """The patterns that hold below one folder; raises GlimpseError for a line that is no pattern."""

    def __init__(self, folder: bytes, lines: Iterable[str]) -> None:
        """folder: where the patterns hold, as a path below the root, b"" for the root itself."""
        self._start = len(os.fsdecode(folder)) + 1 if folder else 0
        self._patterns = [pattern for line in lines for pattern in _patterns(line)]
        self._patterns.reverse()

    def verdict(self, path: str, is_folder: bool) -> bool | None:
        """Say whether a path below the root is left out (True), kept on purpose (False), or not spoken of (None)."""
        path = path[self._start :]
        for leave_out, only_folders, search in self._patterns:
            if (is_folder or not only_folders) and (match := search(path)) and match.lastindex is None:
                return leave_out
        return None


def left_out(rules: Iterable[Rules], path: bytes, is_folder: bool) -> bool:
    """Say whether rules, the ones that count most first, leave out a path below the root."""
    name = os.fsdecode(path)
    return next((said for each in rules if (said := each.verdict(name, is_folder)) is not None), False)


def read_rules(root: bytes, folder: bytes) -> tuple[Rules, ...]:
    """Return the rules in a folder's `.glimpseignore`, none where it has none.

    Raises GlimpseError where there is one that cannot be used: it may be there to keep things private.
    """
    path = os.path.join(root, folder, IGNORE_FILE)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ()
        with open(path, "rb") as file:
            text = file.read().removeprefix(b"\xef\xbb\xbf")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise GlimpseError(f"{IGNORE_FILE.decode()}: {(error.strerror or str(error)).lower()}") from error
    try:
        return (Rules(folder, map(os.fsdecode, text.split(b"\n"))),)
    except GlimpseError as error:
        raise GlimpseError(f"{IGNORE_FILE.decode()}: {error}") from error


def _patterns(line: str) -> list[tuple[bool, bool, Callable[[str], re.Match[str] | None]]]:
    """Compile a line: whether it leaves out or keeps, whether it speaks of folders only, and what finds it in a path.

    pathspec's expressions fit all that lies in a folder, too, and then say so in a group. A walk asks about each
    folder on the way, so that here only the thing itself counts, as Git's own walk does it.
    """
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # here: it takes a while, and few have patterns

    only_folders = line.rstrip().endswith("/")
    try:
        with warnings.catch_warnings():
            # [[:digit:]] and the like, which it would take for something else.
            warnings.simplefilter("error", FutureWarning)
            pattern = GitIgnoreSpecPattern(line.rstrip().rstrip("/") if only_folders else line)
    except (ValueError, re.error, FutureWarning) as error:
        shown = line.strip()[:60]
        raise GlimpseError(f"{shown!r} is not a pattern as in .gitignore") from error
    if pattern.regex is None or pattern.include is None:  # a comment, an empty line
        return []
    anchored = pattern.regex.pattern.startswith("^")
    return [(pattern.include, only_folders, pattern.regex.match if anchored else pattern.regex.search)]
