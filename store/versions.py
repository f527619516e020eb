"""Bring a database to the newest schema, or refuse one that is newer still."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from core.errors import LibraryError
from store import words
from store.names import DATABASE, NEWEST, REPAIR, check_version


def migrate(engine: Engine, folder: Path, to: str = "head") -> None:
    """Run the migrations that a database lacks, up to a version; raises LibraryError if it is newer than all.

    At the newest, the index of words is filled.
    """
    with engine.connect() as db:
        has_version = sa.inspect(db).has_table("alembic_version")
        version = db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() if has_version else None
        tables = set(sa.inspect(db).get_table_names()) - {"alembic_version"}
    check_version(version, folder)
    if tables and (version is None or int(version) < 1):
        raise LibraryError(f"{folder / DATABASE} is damaged (it has tables and no version); {REPAIR}")
    if version == NEWEST:
        return
    # Imported here: it costs a quarter of a second that only the first run has to pay.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    with engine.begin() as db:
        config.attributes["connection"] = db
        command.upgrade(config, to)
        if to == "head":
            words.refresh(db.connection.driver_connection)  # type: ignore[arg-type]
