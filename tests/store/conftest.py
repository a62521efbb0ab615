"""A migrated database, shared by the worker's tests; each test has a deployment of its own in it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from aggregator.store import journal, leases, migrate
from aggregator.store.db import Store
from aggregator.store.journal import Books
from aggregator.store.leases import Lease
from tests.unit.pure_world import A, B, C, network


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    migrate.upgrade(postgres_url)
    return postgres_url


@pytest.fixture(scope="session")
def shared_store(migrated_url: str) -> Iterator[Store]:
    store = Store.connect(migrated_url, "shared")
    yield store
    store.close()


def fresh(store: Store) -> Store:
    """The same database under a deployment that nobody used."""
    return Store(store.engine, f"test-{secrets.token_hex(6)}")


@pytest.fixture
def store(shared_store: Store) -> Store:
    return fresh(shared_store)


@pytest.fixture
def books() -> Books:
    return journal.Books({c: network(c) for c in (A, B, C)})


@pytest.fixture
def lease(store: Store) -> Lease:
    return leases.acquire(store, "index", "test", 600)
