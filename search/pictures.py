"""Pictures as queries: read and embed one file."""

from pathlib import Path

from core.errors import MediaError, QueryError
from core.types import Vector
from encoders.base import Encoder
from media.files import FileBytes, read_file
from media.photo import check_photo, decode_photo


def read_query(path: Path) -> FileBytes:
    """Read a picture that somebody asks with; raises QueryError."""
    if path.is_dir():
        raise QueryError(f"{path} is a folder; name a file in it")
    try:
        file = read_file(str(path))
        check_photo(file.data, path.name)
    except MediaError as error:
        raise QueryError(f"{path} cannot be used as a picture: {error}") from error
    return file


def encode_photo(file: FileBytes, path: Path, encoder: Encoder) -> Vector:
    """Return the unit vector of a picture, shape (dim,); raises QueryError."""
    try:
        pixels = decode_photo(file.data, path.name, encoder.image_input).frames[0]
    except MediaError as error:
        raise QueryError(f"{path} cannot be used as a picture: {error}") from error
    row: Vector = encoder.encode_images(pixels[None])[0]
    return row
