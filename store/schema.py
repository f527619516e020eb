"""The tables of library.db, as SQLAlchemy sees them; migrations/ makes them.

A content is the bytes of a file; a file is a path under a root where they lie; a segment is the part of a content
that a vector stands for. Vectors are fp16, little-endian, in a table of their own. Paths are bytes, since not all
file names are UTF-8. Ids are never used again.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _table(name: str, *columns: Column[object] | UniqueConstraint | Index) -> Table:
    key: Column[object] = Column("id", Integer, primary_key=True, autoincrement=True)
    return Table(name, metadata, key, *columns, sqlite_autoincrement=True)


library = _table(
    "library",  # a single row
    Column("current_space_id", Integer, ForeignKey("spaces.id")),
    Column("preview", Integer),  # longer side of previews in px, 0 for none; null: nobody has said anything
    Column("tier", String),  # of the index: "exhaustive", "ivf"; null: whatever fits the size
    Column("tiles", String),  # which photos have vectors of parts, too: "none", "wide", "all"; null: not said
    Column("ocr", Boolean),  # whether text in photos is read; null: not said
)

spaces = _table(
    "spaces",
    Column("name", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("dim", Integer, nullable=False),
    Column("precision", String, nullable=False, server_default="fp32"),  # of the model's arithmetic for photos
    Column("self_test", Text),  # JSON: what was measured before it was chosen
    Column("modality", String, nullable=False, server_default="image"),  # "sound": of windows of sound
    UniqueConstraint("name", "revision"),
)

means = _table(
    "means",
    Column("space_id", Integer, ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False),
    Column("modality", String, nullable=False),
    Column("count", Integer, nullable=False),
    Column("mean", LargeBinary, nullable=False),  # float32
    UniqueConstraint("space_id", "modality"),
)

sources = _table(  # what people asked to index: looked at again by a run that names nothing
    "sources",
    Column("path", LargeBinary, nullable=False, unique=True),
    Column("folder", Boolean, nullable=False),
    Column("walk", Text),  # JSON: how its folders are walked, null for the plain way
)

roots = _table("roots", Column("path", LargeBinary, nullable=False, unique=True))

contents = _table(
    "contents",
    Column("digest", LargeBinary, nullable=False, unique=True),  # XXH3-128 of all bytes
    Column("kind", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("damaged", Boolean, nullable=False, server_default="0"),  # cut short: what is missing is grey
    Column("metadata", Text),  # JSON: what is written in the photo itself; null: nobody has looked yet
    Column("heard", Boolean, nullable=False, server_default="0"),  # its windows of sound are among the segments
    Column("text", Text),  # that can be read in a photo; null: nobody has looked
    Index("ix_contents_recordings", "kind", sqlite_where=text("kind != 'photo'")),
    # For filters: what is written in photos makes the table itself large.
    Index("ix_contents_sizes", "width", "height", "size"),
    Index("ix_contents_text", "id", sqlite_where=text("text > ''")),
)

files = _table(
    "files",
    Column("root_id", Integer, ForeignKey("roots.id", ondelete="CASCADE"), nullable=False),
    Column("path", LargeBinary, nullable=False),  # below the root
    Column("content_id", Integer, ForeignKey("contents.id"), index=True),  # null: it could not be read
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("device", BigInteger, nullable=False),
    Column("gone", Boolean, nullable=False, default=False),
    Column("failure", Text),  # why it could not be read
    Column("retry", Boolean, nullable=False, default=False),  # the failure may pass by itself
    # The photo that this file belongs to: a RAW to its JPEG, a Live Photo's movie to the photo.
    Column("primary_id", Integer, ForeignKey("files.id", ondelete="SET NULL"), index=True),
    Column("beside", String),  # a hash of the sidecars' names, sizes and times, null for none
    UniqueConstraint("root_id", "path"),
    Index("ix_files_gone", "content_id", sqlite_where=text("gone")),
)

metadata_of = _table(  # of a file and not of its bytes: sidecars belong to files
    "metadata",
    Column("file_id", Integer, ForeignKey("files.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("taken", String, index=True),  # local wall time, ISO 8601
    Column("offset", Integer),  # minutes east of UTC; null: unknown
    Column("taken_from", String),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("altitude", Float),
    Column("make", String),
    Column("camera", String),
    Column("lens", String),
    Column("exposure", Float),  # seconds
    Column("aperture", Float),
    Column("iso", Integer),
    Column("focal_length", Float),  # millimetres
    Column("rating", Integer),
    Column("title", Text),
    Column("description", Text),
    Column("motion", Boolean, nullable=False),
    Column("town", String),
    Column("region", String),
    Column("country", String),
    Column("duration", Float),  # seconds
    Column("artist", Text),
)

tags = _table("tags", Column("name", String, nullable=False, unique=True))

file_tags = _table(
    "file_tags",
    Column("file_id", Integer, ForeignKey("files.id", ondelete="CASCADE"), nullable=False),
    Column("tag_id", Integer, ForeignKey("tags.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("source", String, nullable=False),  # "file": keywords in the photo or beside it
    UniqueConstraint("file_id", "tag_id", "source"),
)

verdicts = _table(  # what a person says of a tag for a content, over what its files say
    "verdicts",
    Column("content_id", Integer, ForeignKey("contents.id", ondelete="CASCADE"), nullable=False),
    Column("tag_id", Integer, ForeignKey("tags.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("verdict", String, nullable=False),  # "added", "removed"; of a suggestion: "accepted", "rejected"
    UniqueConstraint("content_id", "tag_id"),
)

segments = _table(
    "segments",
    Column("content_id", Integer, ForeignKey("contents.id", ondelete="CASCADE"), nullable=False, index=True),
    # "whole"; "middle": the middle frame of an animation; "tile": a part of a photo; "frame" of a film; "window" of
    # sound
    Column("kind", String, nullable=False),
    Column("start", Float),  # seconds; null for photos
    Column("end", Float),
    Column("left", Float),  # the box of a tile in shares of the upright photo, 0..1 from its top left
    Column("top", Float),
    Column("right", Float),
    Column("bottom", Float),
)

towers = _table(  # that learned to hear from this library's own recordings; one a space
    "towers",
    Column("space_id", Integer, ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("revision", String, nullable=False),
    Column("weights", LargeBinary, nullable=False),  # safetensors
    Column("report", Text, nullable=False),  # JSON: how well it hears, measured on recordings kept aside
)

vectors = _table(
    "vectors",
    # The index has the ids of a space in their order: the newest is asked for at every search.
    Column("space_id", Integer, ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("segment_id", Integer, ForeignKey("segments.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("vector", LargeBinary, nullable=False),
    Column("from_preview", Boolean, nullable=False, server_default="0"),  # it deviates: docs/benchmarks.md
    UniqueConstraint("space_id", "segment_id"),
)

tombstones = _table(  # vectors that were deleted, as long as an index file may still have them
    "tombstones",
    Column("space_id", Integer, ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("vector_id", Integer, nullable=False),
    Column("fingerprint", String, nullable=False),  # names.fingerprint of the vector
)

runs = _table(
    "runs",
    Column("space_id", Integer, ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False),
    Column("finished", Float, nullable=False),  # seconds since 1970, UTC
    Column("summary", Text, nullable=False),  # JSON
)
