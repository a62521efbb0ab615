"""Fixtures of the task tests: a database per test, one network per module."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from aggregator.store import migrate
from aggregator.store.db import Store
from tests.tasks import kit


@pytest.fixture(scope="session")
def migrated_url(postgres_url: str) -> str:
    migrate.upgrade(postgres_url)
    return postgres_url


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    made = Store.connect(migrated_url, f"test-{secrets.token_hex(6)}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def stage() -> Iterator[kit.Stage]:
    with kit.stage() as made:
        yield made
