"""The cursor of one network: read it, lock it for one writer, and the address book that goes with it.

Invariants: every change of a network's journal locks its cursor row and proves the lease in the same statement; the book that a
block is posted with is the one whose version stands in the locked cursor, so that no log falls between the old book and the new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from aggregator.errors import Broken, LeaseHeld, NotFound
from aggregator.ledger.book import AddressBook, book_of
from aggregator.store.db import Store
from aggregator.store.leases import Lease
from chains.networks.network import Network
from chains.types import Address, BlockRef, ChainId, Hash

FOLLOWING, STOPPED = "following", "stopped"
_COLUMNS = """c.head_number, c.head_hash, c.head_timestamp, c.finalised_number, c.finalised_hash, c.finalised_timestamp,
  c.state, c.state_reason, c.book_version"""
_LOCK = text(
    f"""
    select {_COLUMNS} from cursors c
    join leases l on l.deployment = c.deployment and l.name = :name and l.epoch = :epoch and l.holder = :holder
    where c.deployment = :deployment and c.chain_id = :chain_id
    for update of c for share of l
    """
)
_LOAD = text(
    """
    select h.number, h.hash, h.parent_hash, h.timestamp, f.number, f.hash, f.parent_hash, f.timestamp,
           c.state, c.state_reason, c.seen_at, c.chain_id
    from cursors c
    join blocks h on h.deployment = c.deployment and h.chain_id = c.chain_id and h.number = c.head_number and h.hash = c.head_hash
    join blocks f on f.deployment = c.deployment and f.chain_id = c.chain_id and f.number = c.finalised_number
      and f.hash = c.finalised_hash
    where c.deployment = :deployment and (c.chain_id = :chain_id or :chain_id = 0)
    """
)
_RECENT = text(
    """
    select b.number, b.hash, b.parent_hash, b.timestamp from blocks b join cursors c using (deployment, chain_id)
    where b.deployment = :deployment and b.chain_id = :chain_id and not b.orphaned
      and b.number between c.finalised_number and c.head_number
    order by b.number
    """
)
_SAFES = text("select chain_id, address, client from safes where deployment = :deployment and in_book")


class NetworkStopped(Broken):
    """The network was stopped; the message says why."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one network has been followed. `seen_at`: wall clock of the last sign of life, for health only."""

    chain_id: ChainId
    head: BlockRef
    finalised: BlockRef
    state: str
    state_reason: str
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Locked:
    """The cursor as the writer that holds its lock sees it."""

    head_number: int
    head_hash: str
    head_timestamp: int
    finalised_number: int
    finalised_hash: str
    finalised_timestamp: int
    state: str
    state_reason: str
    book_version: int


def load_cursors(conn: Connection, deployment: str, chain_id: int = 0) -> dict[ChainId, Cursor]:
    """Cursors by chain id: one network's, or every network's for 0."""
    rows = conn.execute(_LOAD, {"deployment": deployment, "chain_id": chain_id})
    return {ChainId(r[11]): _cursor(ChainId(r[11]), tuple(r)) for r in rows}


def _cursor(chain_id: ChainId, r: tuple[Any, ...]) -> Cursor:
    head = BlockRef(chain_id, r[0], Hash(r[1]), Hash(r[2]), r[3])
    finalised = BlockRef(chain_id, r[4], Hash(r[5]), Hash(r[6]), r[7])
    return Cursor(chain_id, head, finalised, r[8], r[9], r[10])


def load_cursor(store: Store, chain_id: int) -> Cursor | None:
    """Cursor of one network, None before it was first followed."""
    with store.snapshot() as conn:
        return load_cursors(conn, store.deployment, chain_id).get(ChainId(chain_id))


def recent(store: Store, chain_id: int) -> tuple[BlockRef, ...]:
    """Canonical blocks from the finalised one to the head, oldest first; empty before the network was first followed."""
    with store.snapshot() as conn:
        rows = conn.execute(_RECENT, {"deployment": store.deployment, "chain_id": chain_id}).all()
    return tuple(BlockRef(ChainId(chain_id), r[0], Hash(r[1]), Hash(r[2]), r[3]) for r in rows)


def lock(conn: Connection, deployment: str, lease: Lease, chain_id: int) -> Locked:
    """Lock the cursor for this transaction and prove the lease. Raises LeaseHeld, NetworkStopped, NotFound before `begin`."""
    given = {"deployment": deployment, "chain_id": chain_id, "name": lease.name, "epoch": lease.epoch, "holder": lease.holder}
    row = conn.execute(_LOCK, given).one_or_none()
    if row is None:
        if not load_cursors(conn, deployment, chain_id):
            raise NotFound(f"network {chain_id} has no cursor in deployment {deployment}; journal.begin makes it")
        raise LeaseHeld(f"{lease.name}: epoch {lease.epoch} of {lease.holder} is over; nothing was written")
    found = Locked(*row)
    if found.state == STOPPED:
        raise NetworkStopped(f"network {chain_id} is stopped: {found.state_reason}; resume it when the reason is gone")
    return found


class Books:
    """Address books of these networks with the safes in the store, read again only when a safe was added."""

    def __init__(self, networks: Mapping[ChainId, Network]) -> None:
        self.networks: dict[int, Network] = dict(networks.items())
        self._known: dict[int, tuple[int, AddressBook]] = {}

    def at(self, conn: Connection, deployment: str, chain_id: int, version: int) -> AddressBook:
        """The book of `version`, which the caller read from the cursor of `chain_id` that it has locked."""
        known = self._known.get(chain_id)
        if known is not None and known[0] == version:
            return known[1]
        book = book_of(self.networks, safes_in_book(conn, deployment))
        self._known[chain_id] = (version, book)
        return book


def safes_in_book(conn: Connection, deployment: str) -> dict[tuple[int, Address], str]:
    """(chain id, safe) -> client of every safe whose logs are posted."""
    return {(r.chain_id, Address(r.address)): r.client for r in conn.execute(_SAFES, {"deployment": deployment})}
