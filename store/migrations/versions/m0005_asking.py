"""Asking well: tiles of large photos, words to search, what people say of tags."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_OF_CONTENT = "SELECT id FROM files WHERE content_id = {row}.content_id"
_STALE = {
    ("files", "INSERT"): "VALUES (NEW.id)",
    ("files", "UPDATE OF root_id, path, content_id"): "VALUES (NEW.id)",
    ("files", "DELETE"): "VALUES (OLD.id)",
    ("roots", "UPDATE OF path"): "SELECT id FROM files WHERE root_id = NEW.id",
    ("contents", "UPDATE OF text"): "SELECT id FROM files WHERE content_id = NEW.id",
    ("metadata", "INSERT"): "VALUES (NEW.file_id)",
    ("metadata", "UPDATE"): "VALUES (OLD.file_id), (NEW.file_id)",
    ("metadata", "DELETE"): "VALUES (OLD.file_id)",
    ("file_tags", "INSERT"): "VALUES (NEW.file_id)",
    ("file_tags", "UPDATE"): "VALUES (OLD.file_id), (NEW.file_id)",
    ("file_tags", "DELETE"): "VALUES (OLD.file_id)",
    ("verdicts", "INSERT"): _OF_CONTENT.format(row="NEW"),
    ("verdicts", "UPDATE"): f"{_OF_CONTENT.format(row='OLD')} UNION {_OF_CONTENT.format(row='NEW')}",
    ("verdicts", "DELETE"): _OF_CONTENT.format(row="OLD"),
    ("tags", "UPDATE OF name"): "SELECT file_id FROM file_tags WHERE tag_id = NEW.id UNION SELECT f.id FROM files f "
    "JOIN verdicts v ON v.content_id = f.content_id WHERE v.tag_id = NEW.id",
}
"""What happens to which table, and the files of which there is something else to read then."""


def upgrade() -> None:
    """Have room for parts of photos, for the text in them, for verdicts on tags, and for an index of words."""
    op.add_column("library", sa.Column("tiles", sa.String))
    op.add_column("library", sa.Column("ocr", sa.Boolean))
    for side in ("left", "top", "right", "bottom"):
        op.add_column("segments", sa.Column(side, sa.Float))
    op.add_column("contents", sa.Column("text", sa.Text))
    op.create_index("ix_contents_sizes", "contents", ["width", "height", "size"])
    op.create_index("ix_contents_text", "contents", ["id"], sqlite_where=sa.text("text > ''"))
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("content_id", sa.Integer, sa.ForeignKey("contents.id", ondelete="CASCADE"), nullable=False),
        sa.Column("tag_id", sa.Integer, sa.ForeignKey("tags.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("verdict", sa.String, nullable=False),
        sa.UniqueConstraint("content_id", "tag_id"),
        sqlite_autoincrement=True,
    )
    op.execute(
        "CREATE VIRTUAL TABLE words USING fts5(name, title, tags, description, artist, place, text, date, folders, "
        "camera, tokenize = 'unicode61 remove_diacritics 2')"
    )
    op.execute("CREATE TABLE words_stale (file_id INTEGER PRIMARY KEY)")
    op.execute("INSERT INTO words_stale SELECT id FROM files")
    for number, ((table, event), files) in enumerate(_STALE.items(), 1):
        op.execute(
            f"CREATE TRIGGER words_{number:02} AFTER {event} ON {table} "
            f"BEGIN INSERT OR IGNORE INTO words_stale {files}; END"
        )
