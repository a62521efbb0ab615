"""What the index daemon does beside following: history of newly linked safes, custody that is due, true-ups of native coin.

Invariants: everything is read at one block hash; a read that a node cannot answer is given up and tried again at the next round,
never taken as an answer; custody counts as not intact until a read at an adopted block says otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from aggregator.store import journal
from aggregator.store.db import Store
from aggregator.store.journal import Books, LinkedSafe
from aggregator.store.leases import Lease
from chains import abi, custody
from chains.errors import BlockUnknown
from chains.networks.network import Network
from chains.rpc import Rpc, reads
from chains.rpc.errors import RpcError
from chains.types import Address, BlockRef, Call

log = logging.getLogger("isthmus.index")
TRUE_UP_MS = 3_000


@dataclass
class Upkeep:
    """The upkeep of one network. `safes` are the linked ones as of the last `look`."""

    store: Store
    books: Books
    network: Network
    rpc: Rpc
    safes: tuple[LinkedSafe, ...] = ()
    trued_up: int = -1

    async def look(self, head: BlockRef) -> None:
        """Read the linked safes; post the history of new ones, read custody that is due at `head`."""
        self.safes = await asyncio.to_thread(journal.linked_safes, self.store, self.network.chain_id)
        new = [s.address for s in self.safes if not s.in_book]
        for safe in new:
            groups = await asyncio.to_thread(journal.post_history, self.store, self.books, self.network.chain_id, safe)
            log.info("network %s: safe %s enters the book with %s past groups", self.network.chain_id, safe, len(groups))
            self.trued_up = -1
        due = [s.address for s in self.safes if s.custody_due]
        if due:
            await self._read_custody(head, due)

    async def _read_custody(self, head: BlockRef, due: list[Address]) -> None:
        calls = [call for safe in due for call in custody.reads(self.network, safe)]
        answers = await self._at(head, calls)
        if answers is None:
            return
        size = len(calls) // len(due)
        for i, safe in enumerate(due):
            found = custody.judge(self.network, safe, answers[i * size : (i + 1) * size])
            news = await asyncio.to_thread(
                journal.set_custody, self.store, self.network.chain_id, safe, found.intact, found.reason, head.number, head.hash
            )
            if news:
                log.info("network %s: custody of %s: %s", self.network.chain_id, safe, found.reason or "intact")

    async def true_up(self, lease: Lease, final: BlockRef) -> None:
        """Book the safes' native coin as of a finalised block, once every few seconds of blocks."""
        every = max(1, TRUE_UP_MS // self.network.block_time_ms)
        booked = [s.address for s in self.safes if s.in_book]
        if not booked or (self.trued_up >= 0 and final.number < self.trued_up + every):
            return
        where = self.network.protocols.multicall3.address
        answers = await self._at(final, [Call(where, abi.call_data("getEthBalance(address)", safe)) for safe in booked])
        if answers is None or None in answers:
            return
        native = {safe: abi.uint_at(a or b"", 0) for safe, a in zip(booked, answers, strict=True)}
        done = await asyncio.to_thread(journal.true_up, self.store, self.books, lease, final, native)
        self.trued_up = final.number
        if done:
            log.info("network %s: %s safes trued up at block %s", self.network.chain_id, len(done), final.number)

    async def _at(self, block: BlockRef, calls: list[Call]) -> list[bytes | None] | None:
        """Answers at one block, or None when the node cannot tell: the block is gone, or so old that its state was dropped."""
        try:
            return await reads.multicall_at(self.rpc, self.network, block.hash, calls) if calls else []
        except (BlockUnknown, RpcError):
            return None
