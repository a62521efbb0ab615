"""The stage of the demo's story: what every chapter may use, and how it waits.

Nothing here changes a number: the story acts through wallets, the market's control channel and the account API, and reads what the
running deployment stored. Waiting always has a name and an end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aggregator.client import IsthmusClient
from aggregator.clock import ticks_ms
from aggregator.errors import Broken
from aggregator.local.stack import Stack
from aggregator.local.story_cast import Cast
from aggregator.local.wallets import SafeWallet, Wallet
from aggregator.store import views
from aggregator.store.db import Store
from chains.networks.network import Network
from chains.rpc import Rpc
from chains.types import ChainId

T = TypeVar("T")
PAUSE_S = 0.05


class StoryFailed(Broken):
    """The story did not go as it must; the message names what was waited for or found."""


@dataclass
class Stage:
    """One run of the story."""

    cast: Cast
    stack: Stack
    store: Store
    api: IsthmusClient
    networks: Mapping[ChainId, Network]
    rpcs: Mapping[ChainId, Rpc]
    say: Callable[[str], None]
    wallets: dict[tuple[int, str], Wallet] = field(default_factory=dict)
    safes: dict[tuple[int, str], SafeWallet] = field(default_factory=dict)
    stages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    checks: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[dict[str, Any]] = field(default_factory=list)
    started_ms: float = field(default_factory=ticks_ms)

    def check(self, name: str, holds: bool, detail: str) -> None:
        """Note a promise of the story; a broken one fails the run at its end, with every other promise still looked at."""
        self.checks.append({"name": name, "holds": holds, "detail": detail})
        self.say(f"{'  ok  ' if holds else '  NO  '} {name}: {detail}")

    async def until(self, what: str, probe: Callable[[], Awaitable[T | None]], timeout_s: float = 40.0) -> T:
        """The first answer of `probe` that is not None. Raises StoryFailed naming `what`, ChildDied when a process ended."""
        deadline = ticks_ms() + timeout_s * 1000
        while True:
            found = await probe()
            if found is not None:
                return found
            self.stack.check()
            if ticks_ms() > deadline:
                raise StoryFailed(f"waited {timeout_s:g} s for {what}; see the logs in {self.stack.folder}/logs")
            await asyncio.sleep(PAUSE_S)

    async def read(self, function: Callable[..., T], *arguments: Any) -> T:
        """A blocking read of the store, off the loop."""
        return await asyncio.to_thread(function, self.store, *arguments)

    async def final(self, chain_id: int, block_number: int) -> None:
        """Until the deployment has seen this block become final: only then does it count in the cautious view."""

        async def probe() -> bool | None:
            rows = await self.read(views.networks)
            return any(r.chain_id == chain_id and r.finalised_number >= block_number for r in rows) or None

        await self.until(f"block {block_number} of network {chain_id} to become final", probe)
