"""A network made of Python: blocks with real ERC-20 logs, forks on demand, and the plain answer to what balances must be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert, text

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.balances import Balance
from aggregator.ledger.book import book_of
from aggregator.ledger.posting import post
from aggregator.store import journal
from aggregator.store.db import Store
from aggregator.store.journal import Adoption, Books, Decoded
from aggregator.store.leases import Lease
from aggregator.store.tables import clients, safes
from chains import abi, protocols
from chains.types import Address, BlockRef, ChainId, EventRef, Hash, Log, Rewind
from tests.unit.pure_world import NETWORKS, USDC, network

TRANSFER = abi.topic("Transfer(address,address,uint256)")
Move = tuple[Address, Address, int]


def digest(*parts: object) -> Hash:
    return Hash("0x" + hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest())


def transfer_log(block: BlockRef, index: int, tx: int, token: Address, move: Move) -> Log:
    source, destination, atoms = move
    ref = EventRef(block.chain_id, block.number, block.hash, index, digest(block.chain_id, "tx", tx))
    return Log(ref, token, (TRANSFER, abi.padded(source), abi.padded(destination)), abi.uint(atoms), tx)


@dataclass
class Sim:
    """One network. `tip` and `chain` are its canonical blocks; everything ever mined stays in `known` by hash."""

    chain_id: ChainId
    chain: list[Decoded] = field(default_factory=list)
    known: dict[Hash, Decoded] = field(default_factory=dict)

    def __post_init__(self) -> None:
        genesis = BlockRef(self.chain_id, 0, digest(self.chain_id, "genesis"), digest("none"), 1000)
        self.chain.append(Decoded(genesis))

    @property
    def head(self) -> BlockRef:
        return self.chain[-1].block

    def mine(self, *moves: Move, fork: str = "a", one_tx: bool = False) -> Decoded:
        """The next block; each move is a transaction of its own unless `one_tx`."""
        parent = self.head
        number = parent.number + 1
        block = BlockRef(self.chain_id, number, digest(parent.hash, fork, moves), parent.hash, parent.timestamp + 2)
        logs = tuple(transfer_log(block, i, 0 if one_tx else i, USDC, move) for i, move in enumerate(moves))
        item = Decoded(block, logs, protocols.decode(network(self.chain_id), logs))
        self.chain.append(item)
        self.known[block.hash] = item
        return item

    def fork(self, depth: int) -> tuple[Rewind, list[Decoded]]:
        """Drop `depth` blocks. Returns the rewind and what was dropped, oldest first."""
        dropped = self.chain[len(self.chain) - depth :]
        del self.chain[len(self.chain) - depth :]
        return Rewind(self.chain_id, self.head, tuple(d.block for d in dropped)), dropped

    def restore(self, items: Sequence[Decoded]) -> None:
        self.chain += items

    def adoption(self, items: Iterable[Decoded], finalised: BlockRef | None = None) -> Adoption:
        return Adoption(self.chain_id, tuple(items), finalised)


def plain_balances(
    sims: Sequence[Sim], held: Mapping[tuple[int, Address], str], final: Mapping[int, int]
) -> dict[LedgerAccount, Balance]:
    """What balances must be: the canonical logs posted with the book, those at or below `final` as posted."""
    found: dict[LedgerAccount, list[int]] = {}
    for sim in sims:
        for group in post([e for item in sim.chain for e in item.events], book_of(NETWORKS, held)):
            at = 0 if group.block_number <= final.get(sim.chain_id, 0) else 1
            for t in group.transfers:
                found.setdefault(t.debit, [0, 0])[at] += t.atoms
                found.setdefault(t.credit, [0, 0])[at] -= t.atoms
    return {a: Balance(*n) for a, n in found.items() if n != [0, 0]}


def stored_balances(store: Store) -> dict[LedgerAccount, Balance]:
    from aggregator.store.world import _account

    query = text(
        "select a.client, a.chain_id, a.place, a.kind, a.asset, b.posted, b.pending from balances b"
        " join ledger_accounts a on a.id = b.account_id where a.deployment = :d and (b.posted <> 0 or b.pending <> 0)"
    )
    with store.transaction() as conn:
        rows = conn.execute(query, {"d": store.deployment}).all()
    return {_account(r[:5]): Balance(int(r[5]), int(r[6])) for r in rows}


def link(store: Store, chain_id: int, safe: Address, client: str) -> None:
    """A client and its safe, custody intact, not in the book yet."""
    with store.transaction() as conn:
        known = text("select 1 from clients where deployment = :d and client = :c")
        if not conn.execute(known, {"d": store.deployment, "c": client}).scalar():
            conn.execute(insert(clients).values(
                deployment=store.deployment, client=client, tenant="t", title=client, state="open", mandate={}, mandate_version=0,
                mandate_signature=""))  # fmt: skip
        conn.execute(insert(safes).values(
            deployment=store.deployment, chain_id=chain_id, address=safe, client=client, linked_block=0, custody_intact=True,
            custody_reason=""))  # fmt: skip


def start(store: Store, lease: Lease, books: Books, *sims: Sim, held: dict[tuple[int, Address], str] | None = None) -> None:
    """Begin to follow the networks with these safes in the book."""
    for sim in sims:
        journal.begin(store, lease, sim.head)
    for (chain_id, safe), client in (held or {}).items():
        link(store, chain_id, safe, client)
        journal.post_history(store, books, chain_id, safe)


def states(store: Store) -> dict[str, str]:
    """State of every group by key."""
    with store.transaction() as conn:
        rows = conn.execute(text("select key, state from groups where deployment = :d"), {"d": store.deployment}).all()
    return {r.key: r.state for r in rows}
