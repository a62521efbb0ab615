"""The database: one engine, and the only two ways to open a transaction on it.

Invariants: every row belongs to one deployment, which the Store carries; no transaction is open across a call to a network or a
signature; a writer that appends to the event log does so last, so that the log's lock is held for the commit only. Trouble that
may pass (a restart, a deadlock, a lost connection) leaves as Retryable, everything else as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from aggregator.errors import ConfigInvalid, Retryable
from aggregator.store.tables import SCHEMA

MINIMUM_VERSION = 160000
DRIVER = "postgresql+psycopg"
CONNECT_TIMEOUT_S = 5


def checked_url(url: str) -> URL:
    """SQLAlchemy URL of PostgreSQL through psycopg. Raises ConfigInvalid naming the setting."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigInvalid("database_url is not a URL; set it to postgresql+psycopg://user@host:port/name") from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername=DRIVER)
    if parsed.drivername != DRIVER:
        raise ConfigInvalid(f"database_url starts with {parsed.drivername}://; it must be {DRIVER}://")
    return parsed


def open_engine(url: str, pool_size: int = 5) -> Engine:
    """Engine on PostgreSQL; nothing is connected yet."""
    arguments = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "isthmus"}
    return create_engine(checked_url(url), pool_size=pool_size, max_overflow=10, connect_args=arguments)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Database trouble that may pass becomes Retryable, with the server's first line."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        words = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        raise Retryable(f"database at {where}: {words[0]}; check that it runs and that database_url names it") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Retryable(f"database at {where}: the connection was lost") from error
        raise


class Store:
    """A database and the deployment whose rows are meant. Safe to share between threads."""

    def __init__(self, engine: Engine, deployment: str) -> None:
        self.engine = engine
        self.deployment = deployment
        url = engine.url
        self.where = f"{url.host or 'local socket'}:{url.port or 5432}/{url.database}"

    @classmethod
    def connect(cls, url: str, deployment: str, *, pool_size: int = 5) -> Store:
        """Store on a database that is new enough and has this code's schema.

        Raises ConfigInvalid for a wrong URL, server version or schema (the message names the fix), Retryable when nobody answers.
        """
        if not deployment:
            raise ConfigInvalid("deployment is empty; set ISTHMUS_DEPLOYMENT to the name of this deployment")
        store = cls(open_engine(url, pool_size), deployment)
        try:
            store.check()
        except BaseException:
            store.close()
            raise
        return store

    def check(self) -> None:
        """Raises as `connect` does."""
        with self.transaction() as conn:
            version = int(conn.execute(text("show server_version_num")).scalar_one())
            if version < MINIMUM_VERSION:
                raise ConfigInvalid(f"database at {self.where} is PostgreSQL {version // 10000}; 16 or newer is needed")
            known = conn.execute(text("select to_regclass('alembic_version')")).scalar_one()
            schema = known and conn.execute(text("select version_num from alembic_version")).scalar_one_or_none()
        if schema != SCHEMA:
            found = f"has schema {schema}" if schema else "has no schema yet"
            raise ConfigInvalid(f"database at {self.where} {found}, this code needs {SCHEMA}; run `isthmus migrate`")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One READ COMMITTED transaction: committed at the end, rolled back by any exception. Only store modules open one."""
        with translated(self.where), self.engine.begin() as conn:
            yield conn

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """One read-only REPEATABLE READ transaction: all its queries see the same moment."""
        with translated(self.where), self.engine.connect() as conn:
            conn.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with conn.begin():
                yield conn

    def close(self) -> None:
        """End all idle connections."""
        self.engine.dispose()
