"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)


def _key(column: str, target: str, **options: object) -> sa.Column[int]:
    cascade = options.pop("ondelete", None)
    return sa.Column(column, sa.Integer, sa.ForeignKey(target, ondelete=cascade), **options)  # type: ignore[arg-type]


def upgrade() -> None:
    """Create the tables of version 0.1."""
    op.create_table(
        "spaces",
        _id(),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("revision", sa.String, nullable=False),
        sa.Column("dim", sa.Integer, nullable=False),
        sa.Column("epoch", sa.String, nullable=False),
        sa.UniqueConstraint("name", "revision"),
        sqlite_autoincrement=True,
    )
    op.create_table("library", _id(), _key("current_space_id", "spaces.id"), sqlite_autoincrement=True)
    op.create_table(
        "means",
        _id(),
        _key("space_id", "spaces.id", ondelete="CASCADE", nullable=False),
        sa.Column("modality", sa.String, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("mean", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("space_id", "modality"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sources",
        _id(),
        sa.Column("path", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("folder", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "roots",
        _id(),
        sa.Column("path", sa.LargeBinary, nullable=False, unique=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "contents",
        _id(),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "files",
        _id(),
        _key("root_id", "roots.id", ondelete="CASCADE", nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        _key("content_id", "contents.id", index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("device", sa.BigInteger, nullable=False),
        sa.Column("gone", sa.Boolean, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("retry", sa.Boolean, nullable=False),
        sa.UniqueConstraint("root_id", "path"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "segments",
        _id(),
        _key("content_id", "contents.id", ondelete="CASCADE", nullable=False, index=True),
        sa.Column("kind", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "vectors",
        _id(),
        _key("space_id", "spaces.id", ondelete="CASCADE", nullable=False),
        _key("segment_id", "segments.id", ondelete="CASCADE", nullable=False, index=True),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("space_id", "segment_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "runs",
        _id(),
        _key("space_id", "spaces.id", ondelete="CASCADE", nullable=False),
        sa.Column("finished", sa.Float, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
