"""Rewinding a network: blocks above the common ancestor are orphaned, their groups voided, what they ended lives again.

Invariants: nothing is deleted; balances return to exactly what they were before the orphaned blocks; a block at or below finality
is never taken back here: that raises ReorgPastFinality and the network stops for a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from aggregator.errors import LedgerBroken, ReorgPastFinality
from aggregator.store import event_log
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent
from aggregator.store.journal_ends import unseen
from aggregator.store.journal_groups import Placed, apply, told
from aggregator.store.journal_lock import Locked, lock
from aggregator.store.leases import Lease
from chains.types import BlockRef, Rewind

_CANONICAL = text(
    """
    select 1 from blocks
    where deployment = :deployment and chain_id = :chain_id and number = :number and hash = :hash and not orphaned
    """
)
_ORPHAN = text(
    """
    update blocks set orphaned = true
    where deployment = :deployment and chain_id = :chain_id and number > :number and not orphaned
    returning number, hash
    """
)
_VOID = text(
    """
    update groups set state = 'voided'
    where deployment = :deployment and chain_id = :chain_id and origin = 'chain' and state = 'pending' and block_number > :number
    returning key, chain_id, block_number, block_hash, tx_hash
    """
)
_FINAL = text(
    """
    select key from groups where deployment = :deployment and chain_id = :chain_id and origin = 'chain' and state = 'posted'
      and block_number > :number limit 1
    """
)
_UNSAY = [
    text(f"update {table} set orphaned = true where deployment = :deployment and chain_id = :chain_id"
         " and block_number > :number and not orphaned")
    for table in ("prices", "interest")
]  # fmt: skip
_UNSAY_EVENTS = text(
    """
    update chain_events set orphaned = true
    where deployment = :deployment and chain_id = :chain_id and block_number > :number and not orphaned
    returning kind, subject, body, block_hash, log_index, tx_hash
    """
)
_BACK = text(
    """
    update cursors set head_number = :number, head_hash = :hash, head_timestamp = :timestamp, seen_at = now()
    where deployment = :deployment and chain_id = :chain_id
    """
)


def rewind(store: Store, lease: Lease, back: Rewind) -> list[str]:
    """Take the network back to `back.to`. Returns the keys of voided groups; a rewind that was done already changes nothing.

    Raises ReorgPastFinality below the finalised cursor, LedgerBroken when `back.to` is not canonical here, LeaseHeld when fenced.
    """
    chain_id, to = back.chain_id, back.to
    with store.transaction() as conn:
        cursor = lock(conn, store.deployment, lease, chain_id)
        given = {"deployment": store.deployment, "chain_id": chain_id, "number": to.number, "hash": to.hash}
        _allowed(conn, cursor, given)
        orphaned = {r.hash: int(r.number) for r in conn.execute(_ORPHAN, given)}
        if not orphaned:
            return []
        if conn.execute(_FINAL, given).scalar() is not None:
            raise LedgerBroken(f"posted_group_above_finality: network {chain_id} above block {to.number}; run the ledger's audit")
        voided = [Placed(*r) for r in conn.execute(_VOID, given)]
        apply(conn, store.deployment, [p.key for p in voided], posted=0, pending=-1)
        for statement in _UNSAY:
            conn.execute(statement, given)
        events = [dict(r) for r in conn.execute(_UNSAY_EVENTS, given).mappings()]
        news = [_rewound(to, orphaned, voided, events), *told(conn, store.deployment, "transfer.voided", voided)]
        news += unseen(conn, store.deployment, chain_id, [(e["kind"], e["subject"], e["body"]) for e in events])
        conn.execute(_BACK, {**given, "timestamp": to.timestamp})
        event_log.append(conn, store.deployment, news)
    return [p.key for p in voided]


def _allowed(conn: Connection, cursor: Locked, given: Mapping[str, Any]) -> None:
    where = f"network {given['chain_id']} block {given['number']} {given['hash']}"
    if given["number"] < cursor.finalised_number:
        raise ReorgPastFinality(f"{where} lies below {cursor.finalised_number} {cursor.finalised_hash}, which was final")
    if conn.execute(_CANONICAL, given).scalar() is None:
        raise LedgerBroken(f"rewind_to_unknown_block: {where} is not canonical here; follow from the cursor")


def _rewound(to: BlockRef, orphaned: Mapping[str, int], voided: list[Placed], events: list[dict[str, Any]]) -> NewEvent:
    """The event log row of a rewind: each orphaned block with the groups and events that were inside."""
    blocks = [
        {
            "number": str(number),
            "hash": block_hash,
            "groups": [p.key for p in voided if p.block_hash == block_hash],
            "events": [
                {"kind": e["kind"], "subject": e["subject"], "log_index": e["log_index"], "tx_hash": e["tx_hash"]}
                for e in events if e["block_hash"] == block_hash
            ],
        }
        for block_hash, number in sorted(orphaned.items(), key=lambda pair: pair[1])
    ]  # fmt: skip
    return NewEvent("chain.rewound", to.chain_id, body={"to": {"number": str(to.number), "hash": to.hash}, "orphaned": blocks})
