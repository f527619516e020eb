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
)

metadata = MetaData()


def _table(name: str, *columns: Column[object] | UniqueConstraint | Index) -> Table:
    key: Column[object] = Column("id", Integer, primary_key=True, autoincrement=True)
    return Table(name, metadata, key, *columns, sqlite_autoincrement=True)


library = _table(
    "library",  # a single row
    Column("current_space_id", Integer, ForeignKey("spaces.id")),
)

spaces = _table(
    "spaces",
    Column("name", String, nullable=False),
    Column("revision", String, nullable=False),
    Column("dim", Integer, nullable=False),
    # Drawn anew whenever vectors are deleted, so that an index file made before is not taken for a newer one.
    Column("epoch", String, nullable=False),
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
)

roots = _table("roots", Column("path", LargeBinary, nullable=False, unique=True))

contents = _table(
    "contents",
    Column("digest", LargeBinary, nullable=False, unique=True),  # XXH3-128 of all bytes
    Column("kind", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
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
    UniqueConstraint("root_id", "path"),
)

segments = _table(
    "segments",
    Column("content_id", Integer, ForeignKey("contents.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String, nullable=False),  # "whole"
)

vectors = _table(
    "vectors",
    Column("space_id", Integer, ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False),
    Column("segment_id", Integer, ForeignKey("segments.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("vector", LargeBinary, nullable=False),
    UniqueConstraint("space_id", "segment_id"),
)

runs = _table(
    "runs",
    Column("space_id", Integer, ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False),
    Column("finished", Float, nullable=False),  # seconds since 1970, UTC
    Column("summary", Text, nullable=False),  # JSON
)
