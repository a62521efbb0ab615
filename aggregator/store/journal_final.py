"""Finality: pending groups become posted, reservations lapse, quantities without logs are trued up.

Invariants: only block times of finalised blocks end a reservation; a finalised block is one that was adopted and is canonical here;
the finalised cursor never goes back. A true-up is posted once per finalised block, as the difference to what is posted then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.ledger.posting import WALLET, post
from aggregator.ledger.transfers import GroupState, chain_group_key
from aggregator.store import event_log
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent
from aggregator.store.journal_ends import ticket_news
from aggregator.store.journal_groups import Placed, apply, insert_groups, placed_of, told
from aggregator.store.journal_lock import Books, Locked, lock
from aggregator.store.leases import Lease
from chains.events import TruedUp
from chains.types import ZERO_ADDRESS, Address, BlockRef, EventRef, Hash

TRUE_UP = Hash("true-up")
_TRUED_UP = text("update cursors set trued_up_hash = :hash where deployment = :deployment and chain_id = :chain_id")
_CANONICAL = text(
    """
    select incarnation from blocks
    where deployment = :deployment and chain_id = :chain_id and number = :number and hash = :hash and not orphaned
    """
)
# One statement, because it runs for every block while the head is followed. Block times of the finalised block end reservations.
_FINALISE = text(
    """
    with posted as (
      update groups set state = 'posted'
      where deployment = :deployment and chain_id = :chain_id and state = 'pending' and origin = 'chain' and block_number <= :number
      returning key, chain_id, block_number, block_hash, tx_hash
    ),
    expired as (
      update groups set state = 'expired'
      where deployment = :deployment and chain_id = :chain_id and state = 'pending' and origin in ('action', 'ticket')
        and expires_at < :timestamp
      returning key, chain_id, block_number, block_hash, tx_hash
    ),
    lapsed as (
      update tickets set state = 'lapsed'
      where deployment = :deployment and chain_id = :chain_id and state = 'open' and expiry < :timestamp
      returning ticket_id, client, safe, nonce
    ),
    moved as (
      update cursors c set finalised_number = :number, finalised_hash = :hash, finalised_timestamp = :timestamp, seen_at = now()
      from blocks b
      where c.deployment = :deployment and c.chain_id = :chain_id
        and b.deployment = :deployment and b.chain_id = :chain_id and b.number = :number and b.hash = :hash and not b.orphaned
      returning 1
    )
    select 'posted', key, chain_id, block_number, block_hash, tx_hash from posted
    union all select 'expired', key, chain_id, block_number, block_hash, tx_hash from expired
    union all select 'lapsed', ticket_id, :chain_id, nonce, client, safe from lapsed
    union all select 'moved', '', :chain_id, 0, '', '' from moved
    """
)
_POSTED_NATIVE = text(
    """
    select a.client, b.posted from ledger_accounts a join balances b on b.account_id = a.id
    where a.deployment = :deployment and a.key = any(:keys)
    """
)


def finalise(store: Store, lease: Lease, chain_id: int, block: BlockRef) -> list[str]:
    """Post every group at or below `block` and lapse what is past its deadline. Returns the keys that were posted.

    A block at or below the finalised cursor changes nothing. Raises LedgerBroken for a block that is not canonical here.
    """
    with store.transaction() as conn:
        cursor = lock(conn, store.deployment, lease, chain_id)
        keys, news = finalise_in(conn, store.deployment, cursor, block)
        event_log.append(conn, store.deployment, news)
    return keys


def finalise_in(conn: Connection, deployment: str, cursor: Locked, block: BlockRef) -> tuple[list[str], list[NewEvent]]:
    """As `finalise`, in the caller's transaction; returns posted keys and the event log rows still to be appended."""
    if block.number <= cursor.finalised_number:
        return [], []
    given = {
        "deployment": deployment, "chain_id": block.chain_id, "number": block.number, "hash": block.hash,
        "timestamp": block.timestamp,
    }  # fmt: skip
    found: dict[str, list[tuple[Any, ...]]] = {"posted": [], "expired": [], "lapsed": [], "moved": []}
    for row in conn.execute(_FINALISE, given):
        found[row[0]].append(tuple(row[1:]))
    if not found["moved"]:
        where = f"network {block.chain_id} block {block.number} {block.hash}"
        raise LedgerBroken(f"final_block_not_adopted: {where}; compare another node")
    posted = [Placed(*r) for r in found["posted"]]
    keys = [p.key for p in posted]
    apply(conn, deployment, keys, posted=1, pending=-1)
    news = told(conn, deployment, "transfer.posted", posted)
    news += [ticket_news("ticket.lapsed", block.chain_id, r[0], r[3], r[4], r[2]) for r in found["lapsed"]]
    news += told(conn, deployment, "transfer.voided", [Placed(*r) for r in found["expired"]])
    body = {"number": str(block.number), "hash": block.hash, "timestamp": block.timestamp, "posted": len(keys)}
    return keys, [*news, NewEvent("chain.finalised", block.chain_id, body=body)]


def true_up(store: Store, books: Books, lease: Lease, block: BlockRef, native: Mapping[Address, int]) -> list[TruedUp]:
    """Post the difference between native coin read at the finalised `block` (atoms by safe) and what the ledger holds.

    Returns what was posted: nothing when ledger and network agree, or when this block has its true-up already. A client is left
    out unless all its safes on the network are given. Raises LedgerBroken for a block above the finalised cursor or not canonical.
    """
    chain_id = block.chain_id
    with store.transaction() as conn:
        cursor = lock(conn, store.deployment, lease, chain_id)
        given = {"deployment": store.deployment, "chain_id": chain_id, "number": block.number, "hash": block.hash}
        incarnation = conn.execute(_CANONICAL, given).scalar()
        if incarnation is None or block.number > cursor.finalised_number:
            raise LedgerBroken(f"true_up_before_finality: network {chain_id} block {block.number}; finalise it first")
        book = books.at(conn, store.deployment, chain_id, cursor.book_version)
        safes = {safe: client for (chain, safe), client in book.safes.items() if chain == chain_id}
        deltas = _deltas(conn, store.deployment, chain_id, safes, native)
        events = [
            TruedUp(EventRef(chain_id, block.number, block.hash, place, TRUE_UP), ZERO_ADDRESS, safe, delta)
            for place, (safe, delta) in enumerate(sorted(deltas.items()))
        ]
        key = chain_group_key(chain_id, block.hash, TRUE_UP, incarnation)
        exists = text("select 1 from groups where deployment = :deployment and key = :key")
        conn.execute(_TRUED_UP, given)
        if not events or conn.execute(exists, {"deployment": store.deployment, "key": key}).scalar():
            return []
        groups = insert_groups(conn, store.deployment, post(events, book, {(chain_id, block.hash): incarnation}), GroupState.POSTED)
        event_log.append(conn, store.deployment, told(conn, store.deployment, "transfer.posted", placed_of(groups)))
    return events


def _deltas(
    conn: Connection, deployment: str, chain_id: int, safes: Mapping[Address, str], native: Mapping[Address, int]
) -> dict[Address, int]:
    asset = f"{chain_id}:{ZERO_ADDRESS}"
    keys = {c: LedgerAccount(c, chain_id, WALLET, Kind.POSITION, asset).key() for c in safes.values()}
    rows = conn.execute(_POSTED_NATIVE, {"deployment": deployment, "keys": list(keys.values())})
    held = {r.client: int(r.posted) for r in rows}
    found: dict[Address, int] = {}
    for client in keys:
        own = sorted(s for s, c in safes.items() if c == client)
        if all(s in native for s in own):
            found[own[0]] = sum(native[s] for s in own) - held.get(client, 0)
    return {safe: delta for safe, delta in found.items() if delta}
