"""Real anvil nodes with the baked state, a migrated PostgreSQL, and index daemons in this process or in one of their own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aggregator import settings
from aggregator.daemons import index
from aggregator.store import journal
from aggregator.store.db import Store
from chains import abi
from chains.rpc import Rpc, reads
from chains.types import Address
from tests.chain.node_world import Node, as_anyone, node
from tests.store.conftest import migrated_url, shared_store, store
from tests.store.sim import link, stored_balances
from tests.unit.pure_world import ALICE, BOB

__all__ = ["migrated_url", "shared_store", "store"]
WAIT_S = 40.0


@dataclass
class Followed:
    """A store and the nodes whose networks are followed into it."""

    store: Store
    nodes: dict[int, Node]

    def config(self) -> settings.Settings:
        url = self.store.engine.url.render_as_string(hide_password=False)
        rpc = tuple(f"{c}={n.url}" for c, n in self.nodes.items())
        return replace(
            settings.Settings(), database_url=url, deployment=self.store.deployment, networks=tuple(self.nodes), rpc=rpc, poll_ms=20
        )

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[asyncio.Event]:
        """An index daemon in this process, stopped with the block."""
        stop = asyncio.Event()
        running = asyncio.create_task(index.run(self.config(), stop))
        try:
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(running, 15)

    def process(self) -> subprocess.Popen[bytes]:
        """An index daemon of its own, by the command line."""
        config = self.config()
        given = {
            "ISTHMUS_DATABASE_URL": config.database_url, "ISTHMUS_DEPLOYMENT": config.deployment, "ISTHMUS_POLL_MS": "20",
            "ISTHMUS_NETWORKS": ",".join(map(str, config.networks)), "ISTHMUS_RPC": ",".join(config.rpc),
        }  # fmt: skip
        line = [sys.executable, "-m", "aggregator", "--no-bootstrap", "run", "index"]
        return subprocess.Popen(line, env={**os.environ, **given}, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2])

    async def until(self, what: str, true: Callable[[], bool]) -> None:
        """Wait for something to become true in the store. Fails naming it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + WAIT_S
        while not await asyncio.to_thread(true):
            if loop.time() > end:
                pytest.fail(f"waited {WAIT_S} s for {what}; cursors: {self._cursors()}")
            await asyncio.sleep(0.01)

    def _cursors(self) -> str:
        found = [journal.load_cursor(self.store, c) for c in self.nodes]
        return "; ".join("none" if c is None else f"{c.chain_id} {c.head.number} {c.state} {c.state_reason}" for c in found)

    async def level(self, chain_id: int, rpc: Rpc) -> None:
        """Wait until the store's head is the node's."""
        head = await reads.head(rpc)

        def reached() -> bool:
            cursor = journal.load_cursor(self.store, chain_id)
            return cursor is not None and cursor.head == head

        await self.until(f"head {head.number} of {chain_id}", reached)

    def usdc(self, chain_id: int) -> dict[str, int]:
        """Posted and pending USDC of each client's wallet on a network."""
        token = self.nodes[chain_id].network.tokens["usdc"].address
        return {
            a.client: b.total for a, b in stored_balances(self.store).items()
            if a.client and a.chain_id == chain_id and a.asset == f"{chain_id}:{token}"
        }  # fmt: skip


async def pay(rpc: Rpc, world: Node, source: Address, destination: Address, atoms: int) -> None:
    """Move USDC from anybody."""
    data = abi.call_data("transfer(address,uint256)", destination, atoms)
    await as_anyone(rpc, source, world.network.tokens["usdc"].address, data)


async def on_chain(rpc: Rpc, world: Node, holder: Address) -> int:
    """USDC of anybody at the node's head."""
    head = await reads.head(rpc)
    answer = await reads.call_at(rpc, head.hash, world.network.tokens["usdc"].address, abi.call_data("balanceOf(address)", holder))
    return abi.uint_at(answer, 0)


@pytest.fixture
def followed(store: Store) -> Iterator[Followed]:
    """Network A, mining a block per transaction, with two linked accounts."""
    with node(71001, interval_s=1) as world:
        found = Followed(store, {71001: world})
        link(store, 71001, ALICE, "alice")
        link(store, 71001, BOB, "bob")
        yield found
        with suppress(ProcessLookupError):
            store.close()
