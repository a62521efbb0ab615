"""The schema: revisions equal the tables, journal rows stay what they were, wrong databases are refused by name."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from aggregator.errors import ConfigInvalid, Retryable
from aggregator.store import journal, migrate
from aggregator.store.db import Store, open_engine
from aggregator.store.journal import Books
from aggregator.store.leases import Lease
from aggregator.store.tables import SCHEMA, metadata
from tests.store.sim import Sim, start
from tests.unit.pure_world import ALICE, STRANGER, A


def test_revisions__compared_with_tables__no_difference(database_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    migrate.upgrade(database_url)
    engine = open_engine(database_url)
    with engine.connect() as conn:
        options = {"compare_type": True, "compare_server_default": True, "target_metadata": metadata}
        assert compare_metadata(MigrationContext.configure(conn, opts=options), metadata) == []
        found = conn.execute(text("select version_num from alembic_version")).scalar_one()
    engine.dispose()
    assert found == SCHEMA


def test_downgrade__to_nothing_and_up_again__works(database_url: str) -> None:
    from alembic import command
    from alembic.config import Config

    migrate.upgrade(database_url)
    engine = create_engine(database_url)
    with engine.begin() as conn:
        config = Config()
        config.set_main_option("script_location", str(migrate.FOLDER))
        config.attributes["connection"] = conn
        command.downgrade(config, "base")
        left = conn.execute(text("select count(*) from pg_tables where schemaname = 'public'")).scalar_one()
    engine.dispose()
    assert left == 1  # alembic_version itself
    migrate.upgrade(database_url)
    Store.connect(database_url, "x").close()


def test_connect__database_without_schema__config_invalid_names_the_fix(database_url: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"has no schema yet, this code needs .*; run `isthmus migrate`"):
        Store.connect(database_url, "x")


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("", ConfigInvalid, "database_url is not a URL"),
        ("mysql://localhost/x", ConfigInvalid, "it must be postgresql"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/x", Retryable, "database at 127.0.0.1:1/x: .*check that it runs"),
    ],
)
def test_connect__wrong_or_dead_url__error_names_the_setting(url: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Store.connect(url, "x")


@pytest.mark.parametrize(
    "statement",
    [
        "update raw_logs set data = ''", "delete from raw_logs", "truncate raw_logs", "update transfers set atoms = 1",
        "delete from transfers", "update event_log set actor = 'me'", "delete from event_log", "delete from groups",
        "update groups set block_hash = ''", "delete from blocks", "update blocks set parent_hash = ''", "delete from chain_events",
        "update chain_events set tx_hash = ''",
    ],
)  # fmt: skip
def test_journal_tables__changed_by_hand__refused(store: Store, books: Books, lease: Lease, statement: str) -> None:
    sim = Sim(A)
    start(store, lease, books, sim, held={(int(A), ALICE): "alice"})
    journal.adopt(store, books, lease, sim.adoption([sim.mine((STRANGER, ALICE, 5))]))
    with pytest.raises(DatabaseError, match="append_only"), store.transaction() as conn:
        conn.execute(text(statement))


def test_group__left_its_final_state__refused(store: Store, books: Books, lease: Lease) -> None:
    sim = Sim(A)
    start(store, lease, books, sim, held={(int(A), ALICE): "alice"})
    item = sim.mine((STRANGER, ALICE, 5))
    journal.adopt(store, books, lease, sim.adoption([item], item.block))
    with pytest.raises(DatabaseError, match="group_left_final_state"), store.transaction() as conn:
        conn.execute(text("update groups set state = 'pending' where deployment = :d"), {"d": store.deployment})
