"""Every error that Glimpse raises on purpose.

GlimpseError                 tell the person and stop; the message names the thing, the reason, the remedy
├── QueryError               the question itself cannot be answered
│   └── QuerySyntaxError     ... as typed, and this is the character where it goes wrong
├── MediaError               one file cannot be read; an index run records it and goes on
│   └── TemporaryMediaError  ... but may be readable next time (permissions, a vanished file)
├── ModelError               a model is unknown, absent or damaged
└── LibraryError             the library is missing, busy, damaged or too new
    ├── NoLibraryError       there is none yet, or a run that was to make it was killed as it did
    ├── UnknownFileError     it does not know a file that somebody asked about
    ├── LibraryBusyError     another process is writing to it
    └── OldLibraryError      it was made by an earlier version, and has to be brought up to date first
"""


class GlimpseError(Exception):
    """Stop and tell the person: the message names the thing, the reason and the remedy."""


class QueryError(GlimpseError):
    """The question cannot be answered as asked."""


class QuerySyntaxError(QueryError):
    """A question cannot be read as typed.

    message: what is wrong, without the place; text: what was typed; position: the character of it where it goes
    wrong, from 0.
    """

    SHOWN = 20

    def __init__(self, message: str, text: str, position: int) -> None:
        self.message, self.text, self.position = message, text, position
        there = text[position : position + self.SHOWN]
        super().__init__(f"{message} (at character {position + 1}{f': {there!r}' if there else ', the end'})")


class MediaError(GlimpseError):
    """A file cannot be read as a photo; the message is the reason, without the path."""


class TemporaryMediaError(MediaError):
    """A file could not be read this time; the next run tries again."""


class ModelError(GlimpseError):
    """A model is unknown, absent or damaged."""


class LibraryError(GlimpseError):
    """A library is missing, damaged, or was made by a newer version."""


class NoLibraryError(LibraryError):
    """There is no library yet."""


class LibraryBusyError(LibraryError):
    """Another process is writing to the library."""


class OldLibraryError(LibraryError):
    """A library was made by an earlier version; writing to it brings it up to date."""


class UnknownFileError(LibraryError):
    """A library does not know a file that somebody asked about."""
