"""The index daemon: one task per network follows its head, decodes, posts and adopts (hops 1 to 3).

Invariants: only the holder of the lease 'index:<chain id>' writes, proven by its epoch inside each transaction; a session starts
from what the journal holds; a broken network stops alone, with its reason in its cursor, until a person resumes it; trouble that
may pass is waited for. The daemon ends between two transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aggregator import clock
from aggregator.daemons.upkeep import Upkeep
from aggregator.errors import Broken, LeaseHeld, NotFound, Retryable
from aggregator.settings import Settings
from aggregator.store import journal, leases
from aggregator.store.db import Store
from aggregator.store.journal import Adoption, Books, Decoded
from aggregator.store.journal_lock import STOPPED, NetworkStopped
from aggregator.store.leases import Lease
from chains import protocols
from chains.errors import BlockUnknown, ChainBroken, ChainRejected, ChainRetryable
from chains.follower import finality, next_steps
from chains.networks.network import FOLDER, Network, load_many
from chains.rpc import Rpc, reads
from chains.types import BlockRef, LogBatch, Rewind

log = logging.getLogger("isthmus.index")
LEASE_S = 2.0
TAKEOVER_S = 0.25
LOOK_S = 0.4
ALIVE_S = 1.0
BATCH = 200
BACKOFF_S = (0.1, 5.0)


async def run(settings: Settings, stop: asyncio.Event, store: Store | None = None) -> None:
    """Follow every network of the settings until `stop` is set. Raises what concerns all of them: ConfigInvalid, NetworkInvalid."""
    networks = load_many(settings.networks, Path(settings.networks_folder) if settings.networks_folder else FOLDER)
    own = store
    if own is None:
        own = await asyncio.to_thread(Store.connect, settings.database_url, settings.deployment)
    books = Books(networks)
    holder = f"{socket.gethostname()}:{os.getpid()}:{os.urandom(3).hex()}"
    try:
        async with contextlib.AsyncExitStack() as open_rpcs, asyncio.TaskGroup() as group:
            for chain_id, network in networks.items():
                rpc = await open_rpcs.enter_async_context(Rpc(chain_id, settings.rpc_urls(chain_id, network.rpc_urls)))
                indexer = Indexer(own, books, network, rpc, holder, settings.poll_ms / 1000)
                group.create_task(indexer.run(stop), name=f"index:{chain_id}")
    finally:
        if store is None:
            own.close()


@dataclass
class Indexer:
    """Follows one network. `recent` is the canonical tail from the finalised block to the head, as the journal holds it."""

    store: Store
    books: Books
    network: Network
    rpc: Rpc
    holder: str
    poll_s: float
    recent: list[BlockRef] = field(default_factory=list)
    looked_at: float = 0.0
    alive_at: float = 0.0
    wait_s: float = BACKOFF_S[0]

    async def run(self, stop: asyncio.Event) -> None:
        """Sessions under the lease, until `stop`. Never raises for what concerns this network alone."""
        while not stop.is_set():
            try:
                await self._session(stop)
            except LeaseHeld as error:
                log.debug("network %s: %s", self.network.chain_id, error)
                await pause(stop, TAKEOVER_S)
            except (Retryable, ChainRetryable, ChainRejected) as error:
                log.warning("network %s: %s; again in %.1f s", self.network.chain_id, error, self.wait_s)
                await pause(stop, self.wait_s)
                self.wait_s = min(2 * self.wait_s, BACKOFF_S[1])
            except NetworkStopped:
                await pause(stop, ALIVE_S)
            except (Broken, ChainBroken) as error:
                await self._halt(stop, f"{type(error).__name__}: {error}")
            except Exception as error:  # the daemon's boundary: a fault of ours stops this network, not the others
                log.exception("network %s: unexpected", self.network.chain_id)
                await self._halt(stop, f"unexpected {type(error).__name__}: {error}")

    async def _halt(self, stop: asyncio.Event, reason: str) -> None:
        """Write the reason down and wait until the network is resumed."""
        log.error("network %s stops: %s", self.network.chain_id, reason)
        with contextlib.suppress(Retryable, NotFound):  # before its first block there is no cursor to write to
            await asyncio.to_thread(journal.stop, self.store, self.network.chain_id, reason)
        await pause(stop, ALIVE_S)

    async def _session(self, stop: asyncio.Event) -> None:
        cursor = await asyncio.to_thread(journal.load_cursor, self.store, self.network.chain_id)
        if cursor is not None and cursor.state == STOPPED:
            await pause(stop, ALIVE_S)
            return
        async with self._leased() as lease:
            upkeep = Upkeep(self.store, self.books, self.network, self.rpc)
            await self._begin(lease)
            # Before the first block: accounts that are not watched would lose their logs.
            await upkeep.look(self.recent[-1])
            while not stop.is_set():
                more = await self._round(lease, upkeep)
                self.wait_s = BACKOFF_S[0]
                if not more:
                    await pause(stop, self.poll_s)

    @contextlib.asynccontextmanager
    async def _leased(self) -> AsyncIterator[Lease]:
        """The lease, renewed in the background. What a lost lease would have written is refused by its epoch."""
        name = f"index:{self.network.chain_id}"
        lease = await asyncio.to_thread(leases.acquire, self.store, name, self.holder, LEASE_S)
        log.info("network %s: epoch %s is ours", self.network.chain_id, lease.epoch)
        renewing = asyncio.create_task(self._renew(lease))
        try:
            yield lease
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            with contextlib.suppress(Retryable):
                await asyncio.to_thread(leases.release, self.store, lease)

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 4)
            with contextlib.suppress(Retryable):
                await asyncio.to_thread(leases.renew, self.store, lease, LEASE_S)

    async def _begin(self, lease: Lease) -> None:
        """Load the tail; a network that was never followed starts at its genesis, a production one at its finalised block."""
        self.recent = list(await asyncio.to_thread(journal.recent, self.store, self.network.chain_id))
        if not self.recent:
            local = self.network.kind == "local"
            first = await (reads.block_by_number(self.rpc, 0) if local else reads.block_by_tag(self.rpc, "finalized"))
            await asyncio.to_thread(journal.begin, self.store, lease, first)
            self.recent = list(await asyncio.to_thread(journal.recent, self.store, self.network.chain_id))

    async def _round(self, lease: Lease, upkeep: Upkeep) -> bool:
        """One look at the head. Returns whether there is more to fetch at once."""
        watched = protocols.watched(self.network) | protocols.watched_accounts(s.address for s in upkeep.safes)
        steps = await next_steps(self.rpc, self.network, self.recent, watched, limit=BATCH)
        if steps and isinstance(steps[0], Rewind):
            await self._rewind(lease, steps[0])
        batches = [s for s in steps if isinstance(s, LogBatch)]
        if batches:
            await asyncio.to_thread(self._adopt, lease, batches)
            self.recent += [b.block for b in batches]
            await self._finalise(lease, upkeep)
        now = clock.ticks_ms() / 1000
        if now - self.looked_at > LOOK_S:
            await upkeep.look(self.recent[-1])
            self.looked_at = now
        if batches:
            self.alive_at = now
        elif now - self.alive_at > ALIVE_S:
            await asyncio.to_thread(journal.seen_alive, self.store, self.network.chain_id)
            self.alive_at = now
        return len(batches) >= BATCH // 2

    def _adopt(self, lease: Lease, batches: Sequence[LogBatch]) -> None:
        """Decode and adopt, in one transaction."""
        items = tuple(Decoded(b.block, b.logs, protocols.decode(self.network, b.logs)) for b in batches)
        adopted = journal.adopt(self.store, self.books, lease, Adoption(self.network.chain_id, items))
        if adopted.groups or len(items) > 1:
            log.info("network %s: blocks to %s, %s groups", self.network.chain_id, items[-1].block.number, len(adopted.groups))

    async def _rewind(self, lease: Lease, back: Rewind) -> None:
        voided = await asyncio.to_thread(journal.rewind, self.store, lease, back)
        self.recent = [b for b in self.recent if b.number <= back.to.number]
        self.looked_at = 0.0
        log.warning(
            "network %s: %s blocks above %s orphaned, %s groups voided",
            self.network.chain_id, len(back.orphaned), back.to.number, len(voided),
        )  # fmt: skip

    async def _finalise(self, lease: Lease, upkeep: Upkeep) -> None:
        try:
            _, final = await finality(self.rpc, self.network, self.recent[-1], self.recent)
        except BlockUnknown:
            return  # the network moved on meanwhile; the next round follows it first
        if final.number > self.recent[0].number:
            await asyncio.to_thread(journal.finalise, self.store, lease, self.network.chain_id, final)
            self.recent = [b for b in self.recent if b.number >= final.number]
        await upkeep.true_up(lease, self.recent[0])


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep that ends early when the daemon is asked to stop."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
