"""The one numbered event log: what happened, in the order in which it became visible.

Invariants: a row is written in the same transaction as what it tells; numbers are given out under one advisory lock that is held
until commit, so a reader that has seen number n never misses a smaller one; rows are never changed or deleted. Appending is the
last thing a transaction does, because every other writer waits for that lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import Connection, select, text

from aggregator import clock
from aggregator.errors import Retryable
from aggregator.store.db import CONNECT_TIMEOUT_S, Store
from aggregator.store.tables import event_log

CHANNEL = "isthmus"
SYSTEM = "system"
# The identity default is evaluated above the sort, and the lock below it: numbers follow the order given and are taken under lock.
_APPEND = text(
    """
    with held as materialized (select pg_advisory_xact_lock(hashtextextended('isthmus:event_log', 0))),
    added as (
      insert into event_log (deployment, kind, chain_id, client, subject, body, actor)
      select :deployment, r.kind, r.chain_id, r.client, r.subject, r.body, r.actor
      from held, rows from (
        jsonb_to_recordset(cast(:rows as jsonb))
        as (kind text, chain_id bigint, client text, subject text, body jsonb, actor text)
      ) with ordinality as r (kind, chain_id, client, subject, body, actor, place)
      order by r.place
      returning seq
    )
    select max(seq), pg_notify(:channel, :deployment) from added
    """
)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A row to append. `body` holds quantities as decimal strings; client '' means that it concerns no one client."""

    kind: str
    chain_id: int = 0
    client: str = ""
    subject: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    actor: str = SYSTEM


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A row as it stands in the log."""

    seq: int
    kind: str
    chain_id: int
    client: str
    subject: str
    body: Mapping[str, Any]
    actor: str
    created_at: datetime


def append(conn: Connection, deployment: str, rows: Sequence[NewEvent]) -> int:
    """Append rows in their order and wake listeners at commit. Returns the last number, 0 when there was nothing to append."""
    if not rows:
        return 0
    items = [
        {"kind": r.kind, "chain_id": r.chain_id, "client": r.client, "subject": r.subject, "body": r.body, "actor": r.actor}
        for r in rows
    ]
    given = {"deployment": deployment, "rows": json.dumps(items), "channel": CHANNEL}
    return int(conn.execute(_APPEND, given).one()[0])


def after(
    store: Store, seq: int, limit: int = 500, client: str | None = None, kinds: Sequence[str] = ()
) -> list[LoggedEvent]:
    """Rows with a number above `seq`, in order. With `client`: that client's rows and those of no client (networks, prices)."""
    query = select(
        event_log.c.seq, event_log.c.kind, event_log.c.chain_id, event_log.c.client, event_log.c.subject, event_log.c.body,
        event_log.c.actor, event_log.c.created_at,
    ).where(event_log.c.deployment == store.deployment, event_log.c.seq > seq)  # fmt: skip
    if client is not None:
        query = query.where(event_log.c.client.in_([client, ""]))
    if kinds:
        query = query.where(event_log.c.kind.in_(list(kinds)))
    with store.snapshot() as conn:
        return [LoggedEvent(*row) for row in conn.execute(query.order_by(event_log.c.seq).limit(limit))]


def last_seq(conn: Connection, deployment: str) -> int:
    """The newest number of this deployment, 0 when there is none."""
    query = text("select seq from event_log where deployment = :deployment order by seq desc limit 1")
    return int(conn.execute(query, {"deployment": deployment}).scalar() or 0)


class Listener:
    """Waits for new rows on a connection of its own. Not shared between threads; `close` ends it.

    A wake-up says only that there may be something new: read with `after`. After a lost connection the next wait answers True.
    """

    def __init__(self, store: Store) -> None:
        self._deployment = store.deployment
        self._url = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._conn: psycopg.Connection[tuple[Any, ...]] | None = None

    def wait(self, timeout: float) -> bool:
        """True as soon as something was appended since the last wait, False after `timeout` seconds. Raises Retryable."""
        try:
            if self._conn is None:
                self._open()
                return True
            return self._noticed(self._conn, timeout)
        except psycopg.OperationalError as error:
            self.close()
            raise Retryable(f"listening for events: {error}; check that the database runs") from error

    def _noticed(self, conn: psycopg.Connection[tuple[Any, ...]], timeout: float) -> bool:
        end = clock.ticks_ms() + 1000 * timeout
        while True:
            left = max(0.0, (end - clock.ticks_ms()) / 1000)
            found = [n.payload for n in conn.notifies(timeout=left, stop_after=1)]
            if not found:
                return False
            if self._deployment in found:
                # What came together is one wake-up: later rows of the same burst are read by the same `after`.
                for _ in conn.notifies(timeout=0):
                    continue
                return True

    def _open(self) -> None:
        self._conn = psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        self._conn.execute(f"listen {CHANNEL}")

    def close(self) -> None:
        """End the connection; the next wait opens a new one."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
