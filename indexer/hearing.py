"""What a run hears with: opened by the first recording, and what is told where nothing hears."""

from collections.abc import Callable

from core.errors import ModelError
from core.types import Kind, Modality
from encoders.base import SoundEncoder
from store.records import Recorded
from store.writer import Writer

Hearing = Callable[[bytes | None], SoundEncoder | None]
"""Returns what encodes sound, None where nothing does; given the weights of what learned to, if anything has."""
HEAR = "glimpse learn-sound teaches it, and glimpse models get clap fetches what was taught elsewhere"


class Ears:
    """A sound encoder with its space in the library.

    encoder: None where nothing hears, or nobody has opened it; heard: digests of recordings that need not be heard.
    """

    def __init__(self, library: Writer, space_id: int, hearing: Hearing) -> None:
        self._library, self._space_id, self._hearing = library, space_id, hearing
        self.known = library.heard_digests(None)
        self.heard: set[bytes] = set()
        self.encoder: SoundEncoder | None = None
        self.space_id: int | None = None
        self.broken = ""
        self._opened = False
        self._unheard = 0

    def open(self) -> bool:
        """Open what hears, and see what it has heard; says whether this was the first time."""
        if self._opened:
            return False
        self._opened = True
        try:
            self.encoder = self._hearing(self._library.tower(self._space_id))
        except ModelError as error:  # photos are taken in all the same
            self.broken = str(error)
        if self.encoder is not None:
            self.space_id = self._library.add_space(self.encoder.space, Modality.SOUND)
        self.heard = self._library.heard_digests(self.space_id)
        return True

    def complete(self, seen: set[bytes]) -> set[bytes]:
        """Return the digests of contents with all the vectors they can have; seen: those with vectors of pictures."""
        if not self.known:
            return seen
        films = self._library.films()
        return (seen - films) | (seen & films & self.heard) | (self.heard - films)

    def took(self, digest: bytes, recorded: Recorded) -> None:
        """Note a recording that was taken in."""
        self.heard.add(digest)
        self._unheard += recorded.kind is Kind.AUDIO and not recorded.heard

    def finish(self, model: str) -> str | None:
        """Return what to tell of sounds that were taken in by name alone, None for nothing."""
        if self.broken:
            return f"sounds are found by name only: {self.broken}"
        if not self._unheard or self.encoder is not None:
            return None
        many = f"{self._unheard:,} sound{' is' if self._unheard == 1 else 's are'}"
        return f"{many} found by name only: nothing hears for '{model}' yet; {HEAR}"
