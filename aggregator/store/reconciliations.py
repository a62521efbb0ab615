"""The ledger's side of a reconciliation, and what came out of one.

Invariants: balances and the finalised block are read in one moment, so posted balances are those of exactly that block; drift
quarantines the holding in the transaction that reports it, and a holding found equal again is released by it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, text
from sqlalchemy.dialects.postgresql import insert as upsert

from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.store import event_log
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent
from aggregator.store.journal_lock import load_cursors
from aggregator.store.tables import quarantine, reconciliations
from chains.types import Address, BlockRef, ChainId, Hash

_SAFES = text(
    "select client, address from safes where deployment = :deployment and chain_id = :chain_id and in_book order by client, address"
)
_POSTED = text(
    """
    select a.client, a.chain_id, a.place, a.kind, a.asset, coalesce(b.posted, 0) as posted
    from ledger_accounts a left join balances b on b.account_id = a.id
    where a.deployment = :deployment and a.chain_id = :chain_id and a.client = any(:clients)
      and a.kind in ('position', 'debt', 'financing')
    """
)
_TRUED_UP = text("select trued_up_hash from cursors where deployment = :deployment and chain_id = :chain_id")


@dataclass(frozen=True, slots=True)
class LedgerSide:
    """What the ledger says of one network as of `block`, its finalised one. native_at: block whose native coin is booked, or ''."""

    block: BlockRef
    native_at: Hash
    safes: tuple[tuple[str, Address], ...]
    posted: Mapping[LedgerAccount, int]


@dataclass(frozen=True, slots=True)
class Drift:
    """A holding on which ledger and network disagree, in signed atoms or shares; network_atoms None: no read covers it."""

    chain_id: int
    client: str
    safe: str
    account: str
    ledger_atoms: int
    network_atoms: int | None
    block_number: int
    block_hash: str

    def body(self) -> dict[str, Any]:
        """As JSON: quantities as decimal strings."""
        network = None if self.network_atoms is None else str(self.network_atoms)
        return {
            "chain_id": self.chain_id, "client": self.client, "safe": self.safe, "account": self.account,
            "ledger_atoms": str(self.ledger_atoms), "network_atoms": network,
            "block_number": str(self.block_number), "block_hash": self.block_hash,
        }  # fmt: skip

    def words(self) -> str:
        """One sentence that names everything."""
        found = "has no read" if self.network_atoms is None else f"holds {self.network_atoms}"
        return (
            f"network {self.chain_id} {found}, the ledger {self.ledger_atoms} of {self.account} (safe {self.safe}) "
            f"at block {self.block_number} {self.block_hash}"
        )


def ledger_side(store: Store, chain_id: int) -> LedgerSide | None:
    """The ledger as of the network's finalised block; None when the network was never followed."""
    given: dict[str, Any] = {"deployment": store.deployment, "chain_id": chain_id}
    with store.snapshot() as conn:
        cursor = load_cursors(conn, store.deployment, chain_id).get(ChainId(chain_id))
        if cursor is None:
            return None
        safes = tuple((r.client, Address(r.address)) for r in conn.execute(_SAFES, given))
        rows = conn.execute(_POSTED, {**given, "clients": sorted({c for c, _ in safes})})
        posted = {LedgerAccount(r.client, r.chain_id, r.place, Kind(r.kind), r.asset): int(r.posted) for r in rows}
        return LedgerSide(cursor.finalised, Hash(conn.execute(_TRUED_UP, given).scalar_one()), safes, posted)


def save(
    store: Store, cut: Mapping[int, BlockRef], accounts: int, checked: Collection[str], drift: Sequence[Drift], actor: str
) -> None:
    """Keep the result: quarantine what drifted, release what is equal again, tell both. `checked`: keys of accounts compared."""
    deployment = store.deployment
    wrong = {d.account for d in drift}
    with store.transaction() as conn:
        conn.execute(insert(reconciliations).values(
            deployment=deployment, cut=_cut(cut), accounts_checked=accounts, holdings_checked=len(checked),
            drift=[d.body() for d in drift]))  # fmt: skip
        if drift:
            rows = [
                {"deployment": deployment, "account_key": d.account, "reason": d.words(), "block_number": d.block_number,
                 "block_hash": d.block_hash} for d in drift
            ]  # fmt: skip
            made = upsert(quarantine)
            keep = {n: made.excluded[n] for n in ("reason", "block_number", "block_hash")}
            conn.execute(made.on_conflict_do_update(index_elements=["deployment", "account_key"], set_=keep), rows)
        gone = delete(quarantine).where(
            quarantine.c.deployment == deployment, quarantine.c.account_key.in_(sorted(set(checked) - wrong))
        )
        released = [r.account_key for r in conn.execute(gone.returning(quarantine.c.account_key))]
        news = [NewEvent("reconcile.drift", d.chain_id, d.client, d.account, d.body(), actor) for d in drift]
        body = {"cut": _cut(cut), "accounts_checked": accounts, "holdings_checked": len(checked), "drift": len(drift),
                "released": released}  # fmt: skip
        event_log.append(conn, deployment, [*news, NewEvent("reconcile.done", body=body, actor=actor)])


def _cut(cut: Mapping[int, BlockRef]) -> dict[str, Any]:
    return {str(c): {"number": str(b.number), "hash": b.hash} for c, b in sorted(cut.items())}
