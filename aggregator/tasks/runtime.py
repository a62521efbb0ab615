"""Runtime: what a worker process keeps between tasks: database, networks, nodes, keys, and one event loop in its own thread.

Made when the first task asks, once per process: a forked worker never shares connections with its parent. Tasks call `run`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aggregator import settings as settings_module
from aggregator.errors import ConfigInvalid, NotFound
from aggregator.settings import Settings
from aggregator.store.db import Store
from aggregator.store.slots import PgSlots
from chains.networks.network import FOLDER, Network, OwnContracts, load_many
from chains.rpc import Rpc
from chains.signer import LocalSigner

T = TypeVar("T")
TASK_LIMIT_S = 45.0


class Runtime:
    """One process's tools. Safe to use from several threads; `close` ends its connections."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigInvalid for a wrong setting or network file, Retryable when the database does not answer."""
        self.settings = settings
        self.store = Store.connect(settings.database_url, settings.deployment)
        folder = Path(settings.networks_folder) if settings.networks_folder else FOLDER
        self.networks: Mapping[int, Network] = {int(c): n for c, n in load_many(settings.networks, folder).items()}
        self.slots = PgSlots(self.store)
        self._rpcs: dict[int, Rpc] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="isthmus-tasks", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the process's loop and wait for it. Raises what it raises, TimeoutError after a task's limit."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, TASK_LIMIT_S), self._loop).result()

    def network(self, chain_id: int) -> Network:
        """The network's file. Raises NotFound for one that this process does not serve."""
        if chain_id not in self.networks:
            raise NotFound(f"network {chain_id} is not served here; add it to the setting networks")
        return self.networks[chain_id]

    def own(self, chain_id: int) -> OwnContracts:
        """Our contracts on a network. Raises ConfigInvalid when its file names none."""
        own = self.network(chain_id).protocols.isthmus
        if own is None:
            raise ConfigInvalid(f"chains/networks/{chain_id}.toml: [protocols.isthmus] is missing; nothing can be dispatched there")
        return own

    def rpc(self, chain_id: int) -> Rpc:
        """Nodes of a network. Only from coroutines that `run` runs."""
        network = self.network(chain_id)
        if chain_id not in self._rpcs:
            urls = self.settings.rpc_urls(chain_id, network.rpc_urls)
            self._rpcs[chain_id] = Rpc(network.chain_id, urls, timeout_s=5.0)
        return self._rpcs[chain_id]

    def gas(self) -> LocalSigner:
        """The key that pays gas. Raises ConfigInvalid when it is not set."""
        if not self.settings.gas_key:
            raise ConfigInvalid("gas_key is not set: set ISTHMUS_GAS_KEY to a hex key with native coin on every network")
        return LocalSigner(self.settings.gas_key)

    def planners(self) -> tuple[LocalSigner, ...]:
        """The planner signers of this process, in ascending order of their addresses."""
        return tuple(sorted((LocalSigner(k) for k in self.settings.planner_keys), key=lambda s: int(s.address, 16)))

    def close(self) -> None:
        """End nodes' and database connections and the loop."""

        async def end() -> None:
            for rpc in self._rpcs.values():
                await rpc.close()

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()
        self.store.close()


_MADE: dict[int, Runtime] = {}
_CHOSEN: list[Settings] = []
_LOCK = threading.Lock()


def use(settings: Settings) -> None:
    """Settings for this process's runtime, instead of those of its environment. Before the first `current`."""
    with _LOCK:
        _CHOSEN.append(settings)


def current() -> Runtime:
    """This process's runtime. What a forked child inherited from its parent is left alone: its connections are not the child's."""
    with _LOCK:
        pid = os.getpid()
        if pid not in _MADE:
            _MADE[pid] = Runtime(_CHOSEN[-1] if _CHOSEN else settings_module.load())
        return _MADE[pid]
