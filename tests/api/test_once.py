"""Idempotency in the store: first, repeated, reused, still running, taken over, released."""

from __future__ import annotations

import pytest
from sqlalchemy import func, update

from aggregator.store import requests, tables
from aggregator.store.db import Store
from aggregator.store.requests import Answer, KeyReused, StillRunning
from tests.api.book import Book


@pytest.fixture
def store(book: Book) -> Store:
    return book.store


def test_begin__same_key_again__repeats_the_first_answer(store: Store) -> None:
    assert requests.begin(store, "marlow", "k-repeat", "d1") is None
    requests.finish(store, "marlow", "k-repeat", Answer(201, {"ticket_id": "0x1"}))
    assert requests.begin(store, "marlow", "k-repeat", "d1") == Answer(201, {"ticket_id": "0x1"})


def test_begin__same_key_other_body__is_refused(store: Store) -> None:
    requests.begin(store, "marlow", "k-reuse", "d1")
    with pytest.raises(KeyReused):
        requests.begin(store, "marlow", "k-reuse", "d2")
    assert requests.begin(store, "tern", "k-reuse", "d2") is None


def test_begin__while_the_first_runs__waits_then_takes_over(store: Store) -> None:
    requests.begin(store, "marlow", "k-run", "d1")
    with pytest.raises(StillRunning):
        requests.begin(store, "marlow", "k-run", "d1")
    old = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, requests.STALE_S + 1)
    with store.transaction() as conn:
        conn.execute(update(tables.requests).values(created_at=old).where(tables.requests.c.idempotency_key == "k-run"))
    assert requests.begin(store, "marlow", "k-run", "d1") is None
    with pytest.raises(StillRunning):
        requests.begin(store, "marlow", "k-run", "d1")


def test_release__of_an_undecided_request__frees_the_key(store: Store) -> None:
    requests.begin(store, "marlow", "k-free", "d1")
    requests.release(store, "marlow", "k-free")
    assert requests.begin(store, "marlow", "k-free", "d2") is None
    requests.finish(store, "marlow", "k-free", Answer(201, {}))
    requests.release(store, "marlow", "k-free")
    assert requests.begin(store, "marlow", "k-free", "d2") == Answer(201, {})
