"""Idempotent requests: the first answer under a key is kept and repeated; the same key with another body is refused.

A request that died while running may be taken over after `STALE_S` seconds: what it did by then is found again by the ticket's own
unique key, so that taking over never does a thing twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from aggregator.errors import Conflict
from aggregator.store.db import Store
from aggregator.store.tables import requests

STALE_S = 30


class KeyReused(Conflict):
    """The key belongs to a request with another body."""


class StillRunning(Conflict):
    """The first request with this key has not answered yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The first answer: HTTP status and JSON body."""

    status: int
    body: Mapping[str, Any]


def begin(store: Store, client: str, key: str, digest: str) -> Answer | None:
    """None: the caller is the first and must `finish` or `release`. An Answer: repeat it.

    Raises KeyReused for another digest under the key, StillRunning while the first runs.
    """
    named = {"deployment": store.deployment, "client": client, "idempotency_key": key}
    where = [requests.c[name] == value for name, value in named.items()]
    with store.transaction() as connection:
        made = connection.execute(insert(requests).values(**named, digest=digest).on_conflict_do_nothing()
                                  .returning(requests.c.digest)).first()  # fmt: skip
        if made is not None:
            return None
        row = connection.execute(
            select(requests.c.digest, requests.c.status, requests.c.answer,
                   (requests.c.created_at < func.now() - timedelta(seconds=STALE_S)).label("stale")).where(*where).with_for_update()
        ).one_or_none()  # fmt: skip
        if row is None or (row.status == 0 and row.digest == digest and not row.stale):
            raise StillRunning(f"the first request with Idempotency-Key {key} is still running; repeat it in a second")
        if row.digest != digest:
            raise KeyReused(f"Idempotency-Key {key} was used for another request; make a new one for each new intent")
        if row.status == 0:
            connection.execute(update(requests).values(created_at=func.now()).where(*where))
            return None
        return Answer(row.status, row.answer)


def finish(store: Store, client: str, key: str, answer: Answer) -> None:
    """Keeps the first answer for good."""
    with store.transaction() as connection:
        connection.execute(
            update(requests).values(status=answer.status, answer=dict(answer.body)).where(
                requests.c.deployment == store.deployment, requests.c.client == client, requests.c.idempotency_key == key)
        )  # fmt: skip


def release(store: Store, client: str, key: str) -> None:
    """Forgets a request that ended without a decision, so that the same key may try again."""
    with store.transaction() as connection:
        connection.execute(
            delete(requests).where(
                requests.c.deployment == store.deployment, requests.c.client == client, requests.c.idempotency_key == key,
                requests.c.status == 0)
        )  # fmt: skip
