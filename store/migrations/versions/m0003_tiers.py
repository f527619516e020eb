"""Index tiers: deleted vectors are listed, instead of a new epoch that made every index file useless."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Replace epochs by tombstones, and have room for the tier that somebody chose."""
    op.drop_column("spaces", "epoch")
    op.add_column("library", sa.Column("tier", sa.String))
    op.create_index("ix_vectors_space_id", "vectors", ["space_id"])
    op.create_index("ix_files_gone", "files", ["content_id"], sqlite_where=sa.text("gone"))
    op.create_table(
        "tombstones",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("space_id", sa.Integer, sa.ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("vector_id", sa.Integer, nullable=False),
        sa.Column("fingerprint", sa.String, nullable=False),
        sqlite_autoincrement=True,
    )
