"""Point at the character of a question where it goes wrong."""

from core.errors import QuerySyntaxError
from glimpse.render import plain

BEFORE, AFTER = 40, 30
"""Characters shown on either side: the question may be longer than a line."""


def pointed(error: QuerySyntaxError) -> list[str]:
    """Return the lines of an error: what is wrong, and, of a question of several words, where.

    Both lines of that are printable, and the second ends under the character, wide ones counted.
    """
    text, position = error.text, error.position
    if position == 0 and len(text.split()) == 1:
        return [error.message]
    from rich.cells import cell_len

    start, end = max(0, position - BEFORE), position + AFTER
    before = ("..." if start else "") + plain(text[start:position])
    after = plain(text[position:end]) + ("..." if end < len(text) else "")
    return [error.message, f"  {before}{after}", f"  {' ' * cell_len(before)}^"]
