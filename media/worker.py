"""The decode process: reads and decodes one file at a time for `media.isolated`, which started it.

Whatever a hostile or broken file does to a decoder, it does to this process. Messages are JSON, followed by arrays as
plain bytes: nothing that comes back can run code.
"""

import contextlib
import json
import os
import resource
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import MediaError, TemporaryMediaError
from core.types import Fit, Frame, ImageInput, Interpolation, Window
from media.files import read_file
from media.metadata import read_metadata
from media.photo import check_photo, decode_photo, decode_preview, is_big

if TYPE_CHECKING:
    from media.playback import Playback

READY = b"ready"
"""What is said first: from then on, whatever happens is the file's doing."""
ALIVE = b'{"alive": true}'
"""What is said every ALIVE_SECONDS while bytes of a long file come in, so that its length is no reason to give up."""
ALIVE_SECONDS = 1.0
MEMORY = 3 << 30
"""Bytes of address space: what the largest photo within the limits of `media.photo` needs, and no more."""


def serve(connection: Connection) -> None:
    """Answer requests until the other side is gone."""
    photos, recordings = _Photos(connection), _Recordings(connection)
    try:
        while True:
            request = json.loads(connection.recv_bytes())
            try:
                answer, parts = (photos if request["do"] in ("read", "decode", "preview") else recordings)(request)
            except MediaError as error:
                answer, parts = {"failure": str(error), "retry": isinstance(error, TemporaryMediaError)}, []
            except MemoryError:
                answer, parts = {"failure": "not enough memory to decode it", "retry": True}, []
            connection.send_bytes(json.dumps({**answer, "parts": len(parts)}).encode())
            for part in parts:
                connection.send_bytes(part)
    finally:
        recordings.close()


Answer = tuple[dict[str, Any], list[bytes]]


class _Photos:
    """Answers what is asked of photos; holds the bytes of the one that was read last."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._data = b""

    def __call__(self, request: dict[str, Any]) -> Answer:
        match request["do"]:
            case "read":
                file = read_file(path := b64decode(request["path"]))
                self._data = file.data
                big = is_big(self._data, os.path.basename(os.fsdecode(path)))
                return {"digest": file.digest.hex(), "stat": file.stat, "big": big}, []
            case "decode":
                held, self._data = self._data, b""  # or its bytes would stay while nothing is to do
                return _decoded(held, request)
            case _:
                data = self._connection.recv_bytes()
                return {}, [decode_preview(data, _input(request["want"]), request["least"]).tobytes()]


class _Recordings:
    """Answers what is asked of sounds and films; holds the one that was opened last."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._playback: Playback | None = None
        self._going: Iterator[list[Frame]] | Iterator[list[Window]] = iter(())
        self._said = 0.0

    def __call__(self, request: dict[str, Any]) -> Answer:
        match request["do"]:
            case "open":
                self.close()
                from media.playback import Playback  # FFmpeg, which photos do without

                self._playback = Playback(b64decode(request["path"]), self._alive)
                if not request["whole"]:
                    return {}, []
                digest, stat = self._playback.digest()
                return {"digest": digest.hex(), "stat": stat}, []
            case "describe":
                kind, metadata, size, has_sound = self._opened().described()
                said = {"kind": kind, "metadata": asdict(metadata), "size": size, "has_sound": has_sound}
                return said, []
            case "frames":
                self._going = self._opened().frames(_input(request["want"]))
                return self._next()
            case "windows":
                self._going = self._opened().windows(request["rate"])
                return self._next()
            case "next":
                return self._next()
            case "draw":
                drawn = self._opened().preview(request["size"])
                return {}, [drawn] if drawn else []
            case _:
                self.close()
                return {}, []

    def close(self) -> None:
        """Let go of the file."""
        self._going = iter(())
        if self._playback:
            self._playback.close()
            self._playback = None

    def _next(self) -> Answer:
        """Return some more of what is being gone through, no spans at its end."""
        playback = self._opened()
        lot: Any = next(self._going, [])
        parts = [np.ascontiguousarray(x.pixels if isinstance(x, Frame) else x.samples).tobytes() for x in lot]
        spans = [(item.span.start, item.span.end) for item in lot]
        return {"spans": spans, "damaged": playback.damaged, "seconds": playback.seconds}, parts

    def _opened(self) -> "Playback":
        if self._playback is None:
            raise MediaError("its decoder crashed before")
        return self._playback

    def _alive(self) -> None:
        now = time.monotonic()
        if now - self._said >= ALIVE_SECONDS:
            self._said = now
            self._connection.send_bytes(ALIVE)


def _decoded(data: bytes, request: dict[str, Any]) -> Answer:
    """Return what is written in a photo, and its pixels and preview as far as they are wanted."""
    kind = check_photo(data, request["name"])
    answer: dict[str, Any] = {"metadata": asdict(read_metadata(data, kind))}
    if not request["want"]:
        return answer, []
    want = _input(request["want"])
    photo = decode_photo(data, request["name"], want, request["preview"], salvage=True, tiles=request["tiles"])
    pictures = [*photo.frames, *(pixels for _, pixels in photo.tiles)]
    parts = [np.ascontiguousarray(picture).tobytes() for picture in pictures]
    answer |= {"size": photo.size, "damaged": photo.damaged, "preview": bool(photo.preview)}
    answer |= {"frames": len(photo.frames), "tiles": [box for box, _ in photo.tiles]}
    return answer, [*parts, *([photo.preview] if photo.preview else [])]


def _input(want: dict[str, Any]) -> ImageInput:
    return ImageInput(want["size"], Fit(want["fit"]), Interpolation(want["interpolation"]), want["margin"])


def main() -> None:
    """Limit this process, and serve the connection whose descriptor is the last argument."""
    if sys.platform != "darwin":  # macOS has the call and ignores it
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    connection = Connection(int(sys.argv[-1]))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send_bytes(READY)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # LibRaw and libtiff talk to whoever is there
        serve(connection)


if __name__ == "__main__":
    main()
