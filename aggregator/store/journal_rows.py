"""Blocks, raw logs and what they said, as rows. Each function writes inside the caller's transaction.

Invariants: a block's incarnation counts how often it was adopted; raw logs are written once per block hash and never again with
other content; what a network said besides quantities (prices, interest, events) is canonical while `orphaned` is false.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert

from aggregator.errors import LedgerBroken
from aggregator.ledger.book import AddressBook
from aggregator.portfolio.interest import interest_states
from aggregator.store.event_log import NewEvent
from aggregator.store.tables import chain_events, interest, prices, raw_logs
from chains import events as ev
from chains.networks.network import Network
from chains.types import Address, BlockRef, Log

WORD = 32
SUBJECTS = ("safe", "holder", "sender", "recipient", "lender", "feed", "pool", "reserve", "line")
_BLOCKS = text(
    """
    insert into blocks as b (deployment, chain_id, number, hash, parent_hash, timestamp, incarnation, digest)
    select :deployment, :chain_id, r.number, r.hash, r.parent_hash, r.timestamp, 1, r.digest
    from unnest(cast(:numbers as bigint[]), cast(:hashes as text[]), cast(:parents as text[]), cast(:times as bigint[]),
                cast(:digests as text[])) as r (number, hash, parent_hash, timestamp, digest)
    on conflict (deployment, chain_id, number, hash) do update
      set orphaned = false, incarnation = b.incarnation + 1, digest = excluded.digest where b.orphaned
    returning b.hash, b.incarnation
    """
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """One block with its watched logs and what they mean: hop 2's answer, ready to be posted and adopted."""

    block: BlockRef
    logs: tuple[Log, ...] = ()
    events: tuple[ev.Event, ...] = ()

    def digest(self) -> str:
        """Hash of logs and events, '' when there are none: what a replay of the block is compared by."""
        if not self.logs and not self.events:
            return ""
        total = hashlib.sha256()
        for log in self.logs:
            total.update(f"{log.ref.log_index}|{log.ref.tx_hash}|{log.address}|{log.tx_index}|".encode())
            total.update(b"".join(log.topics) + b"|" + log.data + b"\n")
        for event in self.events:
            total.update(repr(event).encode())
        return total.hexdigest()


def insert_blocks(conn: Connection, deployment: str, items: Sequence[Decoded]) -> dict[tuple[int, str], int]:
    """Adopt blocks that are not canonical yet. Returns the incarnation of each by (chain id, block hash)."""
    blocks = [i.block for i in items]
    given = {
        "deployment": deployment, "chain_id": blocks[0].chain_id, "numbers": [b.number for b in blocks],
        "hashes": [b.hash for b in blocks], "parents": [b.parent_hash for b in blocks],
        "times": [b.timestamp for b in blocks], "digests": [i.digest() for i in items],
    }  # fmt: skip
    found = {(int(blocks[0].chain_id), str(r.hash)): int(r.incarnation) for r in conn.execute(_BLOCKS, given)}
    if len(found) != len(blocks):
        raise LedgerBroken(f"block_adopted_twice: network {blocks[0].chain_id}, one of {blocks[0].number}..{blocks[-1].number}")
    return found


def insert_logs(
    conn: Connection, deployment: str, items: Sequence[Decoded], incarnations: Mapping[tuple[int, str], int]
) -> None:
    """Write raw logs; those of a block that came back must be what they were. Raises LedgerBroken when they are not."""
    rows = [_log_row(deployment, log) for item in items for log in item.logs]
    if not rows:
        return
    again = {h for (_, h), count in incarnations.items() if count > 1}
    if again:
        rows = _unknown(conn, deployment, rows, again)
    if rows:
        conn.execute(insert(raw_logs), rows)


def _unknown(conn: Connection, deployment: str, rows: list[dict[str, Any]], again: set[str]) -> list[dict[str, Any]]:
    query = select(raw_logs).where(
        raw_logs.c.deployment == deployment, raw_logs.c.chain_id == rows[0]["chain_id"], raw_logs.c.block_hash.in_(again)
    )
    known = {(r["block_hash"], r["log_index"]): dict(r) for r in conn.execute(query).mappings()}
    new = []
    for row in rows:
        before = known.get((row["block_hash"], row["log_index"]))
        if before is None:
            new.append(row)
        elif before != row:
            raise LedgerBroken(
                f"log_returned_with_other_content: network {row['chain_id']} block {row['block_hash']} log {row['log_index']}; "
                f"ask another node which of the two is right"
            )
    return new


def _log_row(deployment: str, log: Log) -> dict[str, Any]:
    return {
        "deployment": deployment, "chain_id": log.ref.chain_id, "block_number": log.ref.block_number,
        "block_hash": log.ref.block_hash, "log_index": log.ref.log_index, "tx_hash": log.ref.tx_hash, "tx_index": log.tx_index,
        "address": log.address, "topics": b"".join(log.topics), "data": log.data,
    }  # fmt: skip


def insert_said(
    conn: Connection, deployment: str, network: Network, items: Sequence[Decoded], book: AddressBook,
    incarnations: Mapping[tuple[int, str], int],
) -> list[NewEvent]:  # fmt: skip
    """Write prices, interest states and events. Returns the event log rows for prices and opened accounts."""
    news: list[NewEvent] = []
    price_rows: list[dict[str, Any]] = []
    interest_rows: list[dict[str, Any]] = []
    for item in items:
        for event in item.events:
            if isinstance(event, ev.PricePublished):
                name = feed_name(network, event.feed)
                count = incarnations[(int(event.ref.chain_id), str(event.ref.block_hash))]
                price_rows.append(_price_row(deployment, event, name, count))
                news.append(_price_news(event, name))
            elif isinstance(event, ev.IndexUpdated):
                interest_rows += _interest_rows(deployment, event, item.block.timestamp, book)
            elif isinstance(event, ev.AccountOpened):
                client = book.client_of(event.ref.chain_id, event.safe) or ""
                body = {"number": str(event.ref.block_number), "tx_hash": event.ref.tx_hash}
                news.append(NewEvent("safe.opened", event.ref.chain_id, client, event.safe, body))
    _upsert(conn, prices, price_rows, ("orphaned", "incarnation"))
    _upsert(conn, interest, interest_rows, ("orphaned",))
    insert_events(conn, deployment, [e for item in items for e in item.events], book)
    return news


def insert_events(conn: Connection, deployment: str, events: Sequence[ev.Event], book: AddressBook) -> None:
    """Write decoded events as JSON; token movements between strangers are left to the raw logs."""
    parts: dict[tuple[str, int], int] = {}
    rows: list[dict[str, Any]] = []
    for event in events:
        place = (event.ref.block_hash, event.ref.log_index)
        part = parts[place] = parts.get(place, -1) + 1
        subject = subject_of(event, book)
        if subject is not None:
            rows.append(
                {"deployment": deployment, **_place(event), "part": part, "tx_hash": event.ref.tx_hash,
                 "kind": type(event).__name__, "subject": subject, "body": body_of(event), "orphaned": False}
            )  # fmt: skip
    _upsert(conn, chain_events, rows, ("orphaned", "kind", "subject", "body"))


def _upsert(conn: Connection, table: Any, rows: list[dict[str, Any]], changed: tuple[str, ...]) -> None:
    if not rows:
        return
    statement = insert(table)
    columns = {name: statement.excluded[name] for name in changed}
    conn.execute(statement.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=columns), rows)


def _place(event: ev.Event) -> dict[str, Any]:
    r = event.ref
    return {"chain_id": r.chain_id, "block_number": r.block_number, "block_hash": r.block_hash, "log_index": r.log_index}


def feed_name(network: Network, where: Address) -> str:
    """Name of the feed whose aggregator or proxy stands at `where`; the address itself when the file names none."""
    return next((n for n, f in network.feeds.items() if where in (f.aggregator, f.proxy)), where)


def _price_row(deployment: str, event: ev.PricePublished, name: str, incarnation: int) -> dict[str, Any]:
    return {
        "deployment": deployment, **_place(event), "feed": name, "incarnation": incarnation, "answer": event.answer,
        "round_id": event.round_id, "updated_at": event.updated_at, "orphaned": False,
    }  # fmt: skip


def _price_news(event: ev.PricePublished, name: str) -> NewEvent:
    body = {"feed": name, "answer": str(event.answer), "updated_at": event.updated_at, "number": str(event.ref.block_number),
            "hash": event.ref.block_hash, "tx_hash": event.ref.tx_hash}  # fmt: skip
    return NewEvent("price.published", event.ref.chain_id, "", name, body)


def _interest_rows(deployment: str, event: ev.IndexUpdated, timestamp: int, book: AddressBook) -> Iterator[dict[str, Any]]:
    for state in interest_states(event, timestamp, book):
        yield {
            "deployment": deployment, **_place(event), "place": state.place, "asset": state.token, "index_ray": state.index,
            "rate_ray": state.rate, "updated_at": state.updated_at, "orphaned": False,
        }  # fmt: skip


def subject_of(event: ev.Event, book: AddressBook) -> str | None:
    """Address that the event is about; None for a token movement that touches neither a safe nor a credit line."""
    if isinstance(event, ev.Moved):
        chain_id = event.ref.chain_id
        known = (w for w in (event.destination, event.source) if (chain_id, w) in book.safes or book.lines.get(chain_id) == w)
        return next(known, None)
    return next((str(getattr(event, name)) for name in SUBJECTS if hasattr(event, name)), "")


def body_of(event: ev.Event) -> dict[str, Any]:
    """The event's fields as JSON: numbers as decimal strings, because they may be larger than a double holds."""
    return {f.name: _json(getattr(event, f.name)) for f in fields(event) if f.name != "ref"}


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_json(v) for v in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
