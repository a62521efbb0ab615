"""Adopting blocks: everything that a block changes, in one transaction (hops 3 and 4's input).

Invariants: adopted blocks link to the head by parent hash without a gap; rows, balances, ended reservations, cursor and event log
commit together or not at all; the same blocks again change nothing; other content under a canonical hash raises LedgerBroken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from aggregator.errors import LedgerBroken
from aggregator.ledger.book import AddressBook
from aggregator.ledger.posting import post
from aggregator.ledger.transfers import Group
from aggregator.store import event_log
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent
from aggregator.store.journal_ends import seen
from aggregator.store.journal_final import finalise_in
from aggregator.store.journal_groups import insert_groups, placed_of, told
from aggregator.store.journal_lock import Books, Locked, lock
from aggregator.store.journal_rows import Decoded, insert_blocks, insert_logs, insert_said
from aggregator.store.leases import Lease, prove
from chains import events as ev
from chains.types import BlockRef, ChainId

BOOK_LOCK = text("select pg_advisory_xact_lock(hashtextextended('isthmus:book', 0))")
Poster = Callable[[Sequence[ev.Event], AddressBook, Mapping[tuple[int, str], int]], tuple[Group, ...]]
_BEGIN = text(
    """
    insert into cursors (deployment, chain_id, head_number, head_hash, head_timestamp, finalised_number, finalised_hash,
                         finalised_timestamp, book_version)
    select :deployment, :chain_id, :number, :hash, :timestamp, :number, :hash, :timestamp, coalesce(max(book_version), 0)
    from cursors where deployment = :deployment
    """
)
_ADVANCE = text(
    """
    update cursors set head_number = :number, head_hash = :hash, head_timestamp = :timestamp, seen_at = now()
    where deployment = :deployment and chain_id = :chain_id
    """
)
_ADOPTED = text(
    """
    select number, hash, digest from blocks
    where deployment = :deployment and chain_id = :chain_id and not orphaned and number = any(:numbers)
    """
)


@dataclass(frozen=True, slots=True)
class Adoption:
    """Consecutive blocks of one network, oldest first, and the newest block known to be final (or None)."""

    chain_id: ChainId
    items: tuple[Decoded, ...]
    finalised: BlockRef | None = None


@dataclass(frozen=True, slots=True)
class Adopted:
    """What adopting changed: blocks that are new, groups that are new, keys of groups that became final."""

    blocks: tuple[BlockRef, ...]
    groups: tuple[Group, ...]
    posted: tuple[str, ...]


def begin(store: Store, lease: Lease, block: BlockRef) -> None:
    """Start to follow a network after `block`, which counts as adopted and final without its logs. A known one is left alone."""
    given = {"deployment": store.deployment, "chain_id": block.chain_id}
    with store.transaction() as conn:
        prove(conn, store.deployment, lease)
        conn.execute(BOOK_LOCK)
        known = text("select 1 from cursors where deployment = :deployment and chain_id = :chain_id")
        if conn.execute(known, given).scalar():
            return
        partition = f"raw_logs_{int(block.chain_id)}"
        if not conn.execute(text("select to_regclass(:name)"), {"name": partition}).scalar():
            conn.execute(text(f"create table {partition} partition of raw_logs for values in ({int(block.chain_id)})"))
        insert_blocks(conn, store.deployment, [Decoded(block)])
        conn.execute(_BEGIN, {**given, "number": block.number, "hash": block.hash, "timestamp": block.timestamp})
        event_log.append(conn, store.deployment, [_block_news(Decoded(block))])


def adopt(store: Store, books: Books, lease: Lease, adoption: Adoption, poster: Poster = post) -> Adopted:
    """Adopt blocks and, when told, finality. One transaction.

    Raises LeaseHeld (fenced), Broken (stopped network), LedgerBroken (gap, foreign block, other content under a known id).
    """
    deployment, chain_id = store.deployment, adoption.chain_id
    with store.transaction() as conn:
        cursor = lock(conn, deployment, lease, chain_id)
        fresh = _fresh(conn, deployment, cursor, adoption)
        news: list[NewEvent] = []
        groups: list[Group] = []
        if fresh:
            groups, news = _write(conn, deployment, books, cursor, fresh, poster)
        keys: list[str] = []
        if adoption.finalised is not None:
            keys, final_news = finalise_in(conn, deployment, cursor, adoption.finalised)
            news += final_news
        event_log.append(conn, deployment, news)
    return Adopted(tuple(i.block for i in fresh), tuple(groups), tuple(keys))


def _write(
    conn: Connection, deployment: str, books: Books, cursor: Locked, fresh: Sequence[Decoded], poster: Poster
) -> tuple[list[Group], list[NewEvent]]:
    head = fresh[-1].block
    chain_id = head.chain_id
    incarnations = insert_blocks(conn, deployment, fresh)
    news = [_block_news(item) for item in fresh]
    groups: list[Group] = []
    events = [e for item in fresh for e in item.events]
    insert_logs(conn, deployment, fresh, incarnations)
    if events:
        book = books.at(conn, deployment, chain_id, cursor.book_version)
        groups = insert_groups(conn, deployment, poster(events, book, incarnations))
        news += insert_said(conn, deployment, books.networks[chain_id], fresh, book, incarnations)
        news += seen(conn, deployment, chain_id, events)
        news += told(conn, deployment, "transfer.pending", placed_of(groups))
    given = {"deployment": deployment, "chain_id": chain_id, "number": head.number, "hash": head.hash, "timestamp": head.timestamp}
    conn.execute(_ADVANCE, given)
    return groups, news


def _block_news(item: Decoded) -> NewEvent:
    block = item.block
    body = {"number": str(block.number), "hash": block.hash, "timestamp": block.timestamp, "events": len(item.events)}
    return NewEvent("block.adopted", block.chain_id, body=body)


def _fresh(conn: Connection, deployment: str, cursor: Locked, adoption: Adoption) -> list[Decoded]:
    """The blocks that are not adopted yet, checked to link to the head; those that are must have the same content."""
    old = [i for i in adoption.items if i.block.number <= cursor.head_number]
    if old:
        given = {"deployment": deployment, "chain_id": adoption.chain_id, "numbers": [i.block.number for i in old]}
        known = {r.number: (r.hash, r.digest) for r in conn.execute(_ADOPTED, given)}
        for item in old:
            if known.get(item.block.number) != (item.block.hash, item.digest()):
                raise LedgerBroken(
                    f"block_returned_with_other_content: network {adoption.chain_id} block {item.block.number} {item.block.hash}, "
                    f"adopted is {known.get(item.block.number, ('none',))[0]}; rewind first, or compare its logs with another node"
                )
    fresh = [i for i in adoption.items if i.block.number > cursor.head_number]
    number, parent = cursor.head_number, cursor.head_hash
    for item in fresh:
        if item.block.number != number + 1 or item.block.parent_hash != parent:
            raise LedgerBroken(
                f"block_does_not_follow: network {adoption.chain_id} block {item.block.number} {item.block.hash} "
                f"after {number} {parent}; follow from the cursor"
            )
        number, parent = item.block.number, item.block.hash
    return fresh
