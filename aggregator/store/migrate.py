"""Brings a database to this code's schema, by the Alembic revisions in `migrations/`.

Invariant: tables.SCHEMA is the newest revision; a database at another revision is refused by `Store.connect`. Concurrent upgrades
wait for each other. Alembic is imported only when something is to be done: every process that merely connects starts without it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import text

FOLDER = Path(__file__).resolve().parents[2] / "migrations"
_LOCK = "select pg_advisory_xact_lock(hashtextextended('isthmus:migrate', 0))"


def upgrade(url: str, revision: str = "head") -> None:
    """Apply every revision that the database lacks. Raises ConfigInvalid for a wrong URL, Retryable when nobody answers."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # before the import: it tells of every plug-in
    from alembic import command
    from alembic.config import Config

    from aggregator.store.db import open_engine, translated

    engine = open_engine(url)
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    try:
        with translated(str(engine.url.host)), engine.begin() as conn:
            conn.execute(text(_LOCK))
            config.attributes["connection"] = conn
            command.upgrade(config, revision)
    finally:
        engine.dispose()
