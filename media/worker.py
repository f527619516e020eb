"""The decode process: reads and decodes one file at a time for `media.isolated`, which started it.

Whatever a hostile or broken file does to a decoder, it does to this process. Messages are JSON, followed by arrays as
plain bytes: nothing that comes back can run code.
"""

import contextlib
import json
import os
import resource
import sys
from base64 import b64decode
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from core.errors import MediaError, TemporaryMediaError
from core.types import Fit, ImageInput, Interpolation
from media.files import read_file
from media.metadata import read_metadata
from media.photo import check_photo, decode_photo, decode_preview, is_big

READY = b"ready"
"""What is said first: from then on, whatever happens is the file's doing."""
MEMORY = 3 << 30
"""Bytes of address space: what the largest photo within the limits of `media.photo` needs, and no more."""


def serve(connection: Connection) -> None:
    """Answer requests until the other side is gone."""
    data = b""
    while True:
        request = json.loads(connection.recv_bytes())
        try:
            match request["do"]:
                case "read":
                    file = read_file(path := b64decode(request["path"]))
                    data = file.data
                    answer: dict[str, Any] = {"digest": file.digest.hex(), "stat": file.stat}
                    answer["big"] = is_big(data, os.path.basename(os.fsdecode(path)))
                    del file
                    parts: list[bytes] = []
                case "decode":
                    held, data = data, b""  # or its bytes would stay while nothing is to do
                    answer, parts = _decoded(held, request)
                case "preview":
                    pixels = decode_preview(connection.recv_bytes(), _input(request["want"]), request["least"])
                    answer, parts = {}, [pixels.tobytes()]
        except MediaError as error:
            answer, parts = {"failure": str(error), "retry": isinstance(error, TemporaryMediaError)}, []
        except MemoryError:
            answer, parts = {"failure": "not enough memory to decode it", "retry": True}, []
        connection.send_bytes(json.dumps({**answer, "parts": len(parts)}).encode())
        for part in parts:
            connection.send_bytes(part)


def _decoded(data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Return what is written in a photo, and its pixels and preview as far as they are wanted."""
    kind = check_photo(data, request["name"])
    answer: dict[str, Any] = {"metadata": asdict(read_metadata(data, kind))}
    if not request["want"]:
        return answer, []
    want = _input(request["want"])
    photo = decode_photo(data, request["name"], want, preview=request["preview"], salvage=True)
    parts = [np.ascontiguousarray(frame).tobytes() for frame in photo.frames]
    answer |= {"size": photo.size, "damaged": photo.damaged, "frames": len(parts), "preview": bool(photo.preview)}
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
