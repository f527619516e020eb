"""Sound and video: segments with their times, spaces of sound, and towers that learned to hear."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Have room for recordings and films beside photos, and try again those that were no photos."""
    op.add_column("spaces", sa.Column("modality", sa.String, nullable=False, server_default="image"))
    op.add_column("contents", sa.Column("heard", sa.Boolean, nullable=False, server_default="0"))
    op.create_index("ix_contents_recordings", "contents", ["kind"], sqlite_where=sa.text("kind != 'photo'"))
    op.add_column("segments", sa.Column("start", sa.Float))
    op.add_column("segments", sa.Column("end", sa.Float))
    op.add_column("metadata", sa.Column("duration", sa.Float))
    op.add_column("metadata", sa.Column("artist", sa.Text))
    op.create_table(
        "towers",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "space_id", sa.Integer, sa.ForeignKey("spaces.id", ondelete="CASCADE"), nullable=False, unique=True
        ),
        sa.Column("revision", sa.String, nullable=False),
        sa.Column("weights", sa.LargeBinary, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    # Movies beside photos are looked at again: long ones are films of their own.
    for ending in ("mov", "mp4", "m4v"):
        op.execute(f"UPDATE files SET primary_id = NULL WHERE CAST(path AS TEXT) LIKE '%.{ending}'")  # noqa: S608
    op.execute("UPDATE files SET retry = 1 WHERE failure LIKE 'not a photo in a known format%'")
