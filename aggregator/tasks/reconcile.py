"""Reconcile: every holding of every account against its network, at finalised block hashes.

Invariants: both sides are of the same block; an answer that could not be had is never taken for zero, it is a failure named in the
report; drift names safe, ledger account, both figures, block and hash, and quarantines that holding alone. Native coin leaves no
logs: it is compared at the block of its last true-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.store import reconciliations
from aggregator.store.db import Store
from aggregator.store.reconciliations import Drift, LedgerSide
from chains import protocols
from chains.errors import ChainError
from chains.networks.network import Network
from chains.rpc import Rpc, reads
from chains.types import ZERO_ADDRESS, Address, BlockRef, ChainId, Hash, Read

Question = tuple[str, Address, Read]


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """What was compared. cut: the finalised block per network; failures: (chain id, why) of networks that could not be read."""

    cut: Mapping[int, BlockRef]
    accounts_checked: int
    holdings_checked: int
    drift: tuple[Drift, ...]
    failures: tuple[tuple[int, str], ...] = ()

    def body(self) -> dict[str, Any]:
        """As JSON: quantities as decimal strings."""
        return {
            "cut": {str(c): {"number": str(b.number), "hash": b.hash} for c, b in sorted(self.cut.items())},
            "accounts_checked": self.accounts_checked, "holdings_checked": self.holdings_checked,
            "drift": [d.body() for d in self.drift], "failures": [{"chain_id": c, "why": why} for c, why in self.failures],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compared:
    """One network's outcome: which clients, which ledger accounts by key, and where they disagree."""

    block: BlockRef
    clients: frozenset[str]
    checked: frozenset[str]
    drift: tuple[Drift, ...]


async def reconcile(
    store: Store, rpcs: Mapping[ChainId, Rpc], networks: Mapping[ChainId, Network], actor: str = "reconcile"
) -> ReconcileReport:
    """Compare all networks, keep the result, quarantine drift. A network that was never followed is left out.

    Raises Retryable when the database is away; a network that cannot be read is a failure in the report.
    """
    outcomes = await asyncio.gather(*(_network(store, rpcs[c], networks[c]) for c in networks))
    done = {int(c): found for c, found in zip(networks, outcomes, strict=True) if isinstance(found, Compared)}
    failures = tuple((int(c), found) for c, found in zip(networks, outcomes, strict=True) if isinstance(found, str))
    cut = {c: found.block for c, found in done.items()}
    clients = frozenset().union(*(found.clients for found in done.values()))
    checked = frozenset().union(*(found.checked for found in done.values()))
    drift = tuple(d for found in done.values() for d in found.drift)
    await asyncio.to_thread(reconciliations.save, store, cut, len(clients), checked, drift, actor)
    return ReconcileReport(cut, len(clients), len(checked), drift, failures)


async def _network(store: Store, rpc: Rpc, network: Network) -> Compared | str | None:
    """One network compared, the reason why it could not be, or None when it was never followed."""
    side = await asyncio.to_thread(reconciliations.ledger_side, store, network.chain_id)
    if side is None:
        return None
    asked = questions(network, side)
    logged = [q for q in asked if not _native(q)]
    native = [q for q in asked if _native(q)]
    try:
        answers = await _answers(rpc, network, side.block.hash, logged)
        if native:
            answers |= await _answers(rpc, network, side.native_at, native)
    except (ChainError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return compare(side, answers)


def questions(network: Network, side: LedgerSide) -> list[Question]:
    """Every read of every safe. Native coin is asked only of those for whom some was booked: the next true-up books the others."""
    booked = {a.client for a in side.posted if a.asset == f"{network.chain_id}:{ZERO_ADDRESS}"} if side.native_at else set()
    asked = [(client, safe, read) for client, safe in side.safes for read in protocols.reads(network, safe)]
    return [q for q in asked if not _native(q) or q[0] in booked]


def _native(question: Question) -> bool:
    return question[2].asset.endswith(f":{ZERO_ADDRESS}")


async def _answers(rpc: Rpc, network: Network, at: Hash, asked: Sequence[Question]) -> dict[LedgerAccount, tuple[Address, int]]:
    """(safe, signed balance) per ledger account at one block. Raises ValueError for a read that reverted or has another shape."""
    raw = await reads.multicall_at(rpc, network, at, [read.call for _, _, read in asked])
    found: dict[LedgerAccount, tuple[Address, int]] = {}
    for (client, safe, read), answer in zip(asked, raw, strict=True):
        account = LedgerAccount(client, network.chain_id, read.place, Kind(read.kind), read.asset)
        if answer is None:
            raise ValueError(f"{account.key()} cannot be read: the call to {read.call.to} reverted")
        before = found.get(account, (safe, 0))[1]
        found[account] = (safe, before + read.sign * read.decode(answer))
    return found


def compare(side: LedgerSide, answers: Mapping[LedgerAccount, tuple[Address, int]]) -> Compared:
    """Pure: where ledger and network disagree. A posted balance that no read covers is drift too: nothing proves it."""
    first = dict(reversed(side.safes))
    drift = []
    for account in sorted({*answers, *(a for a, atoms in side.posted.items() if atoms)}):
        ledger = side.posted.get(account, 0)
        safe, network = answers.get(account, (first.get(account.client, Address("")), None))
        if network != ledger:
            at = side.block
            drift.append(Drift(account.chain_id, account.client, safe, account.key(), ledger, network, at.number, at.hash))
    clients = frozenset(client for client, _ in side.safes)
    return Compared(side.block, clients, frozenset(a.key() for a in answers), tuple(drift))
