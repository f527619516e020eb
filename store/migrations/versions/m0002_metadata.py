"""Metadata, tags, companions, previews, precision."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.Integer, primary_key=True, autoincrement=True)


def _of_file(unique: bool = False) -> sa.Column[int]:
    return sa.Column(
        "file_id", sa.Integer, sa.ForeignKey("files.id", ondelete="CASCADE"), nullable=False, unique=unique
    )


def upgrade() -> None:
    """Add what is known of files, contents and spaces now, and have files read again that could not be."""
    op.add_column("spaces", sa.Column("precision", sa.String, nullable=False, server_default="fp32"))
    op.add_column("spaces", sa.Column("self_test", sa.Text))
    op.add_column("library", sa.Column("preview", sa.Integer))
    op.add_column("sources", sa.Column("walk", sa.Text))
    op.add_column("contents", sa.Column("damaged", sa.Boolean, nullable=False, server_default="0"))
    op.add_column("contents", sa.Column("metadata", sa.Text))
    # In words: alembic leaves the foreign key of a new column out on SQLite.
    op.execute("ALTER TABLE files ADD COLUMN primary_id INTEGER REFERENCES files (id) ON DELETE SET NULL")
    op.create_index("ix_files_primary_id", "files", ["primary_id"])
    op.add_column("files", sa.Column("beside", sa.String))
    op.add_column("vectors", sa.Column("from_preview", sa.Boolean, nullable=False, server_default="0"))
    op.create_table(
        "metadata",
        _id(),
        _of_file(unique=True),
        sa.Column("taken", sa.String, index=True),
        sa.Column("offset", sa.Integer),
        sa.Column("taken_from", sa.String),
        sa.Column("latitude", sa.Float),
        sa.Column("longitude", sa.Float),
        sa.Column("altitude", sa.Float),
        sa.Column("make", sa.String),
        sa.Column("camera", sa.String),
        sa.Column("lens", sa.String),
        sa.Column("exposure", sa.Float),
        sa.Column("aperture", sa.Float),
        sa.Column("iso", sa.Integer),
        sa.Column("focal_length", sa.Float),
        sa.Column("rating", sa.Integer),
        sa.Column("title", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("motion", sa.Boolean, nullable=False),
        sa.Column("town", sa.String),
        sa.Column("region", sa.String),
        sa.Column("country", sa.String),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tags", _id(), sa.Column("name", sa.String, nullable=False, unique=True), sqlite_autoincrement=True
    )
    op.create_table(
        "file_tags",
        _id(),
        _of_file(),
        sa.Column("tag_id", sa.Integer, sa.ForeignKey("tags.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("source", sa.String, nullable=False),
        sa.UniqueConstraint("file_id", "tag_id", "source"),
        sqlite_autoincrement=True,
    )
    # HEIC and RAW can be read now, and a photo that is cut short as far as it goes.
    op.execute(
        "UPDATE files SET retry = 1 WHERE failure LIKE '%not supported yet%' OR failure LIKE '%cut short%' "
        "OR failure LIKE 'not a photo in a known format%'"
    )
