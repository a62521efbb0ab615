"""What handlers work with: the store, the networks, their nodes, and one waker for every stream of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

from aiohttp import web

from aggregator.settings import Settings
from aggregator.store.db import Store
from chains.networks.network import Network
from chains.rpc import Rpc
from chains.types import ChainId

A = ParamSpec("A")
T = TypeVar("T")


class Waker:
    """Tells all waiting streams that the event log grew. Fed by one listener, so that a thousand streams cost one connection."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.closed = False

    def wake(self) -> None:
        """Everybody who waits goes on once."""
        self._event.set()
        self._event = asyncio.Event()

    def close(self) -> None:
        """Streams end: the server stops."""
        self.closed = True
        self.wake()

    async def wait(self, timeout: float) -> bool:
        """True when something happened, False after `timeout` seconds."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True)
class Services:
    """Everything a handler may use. `rpcs` holds the networks that this process can read and may be empty."""

    store: Store
    settings: Settings
    networks: Mapping[ChainId, Network]
    rpcs: Mapping[ChainId, Rpc]
    waker: Waker = field(default_factory=Waker)

    async def read(self, function: Callable[A, T], *args: A.args, **kwargs: A.kwargs) -> T:
        """Runs a blocking store function on a thread, so that the loop serves others meanwhile."""
        return await asyncio.to_thread(function, *args, **kwargs)


SERVICES: Final = web.AppKey("services", Services)
