"""Everything that a demo runs, started together: services, networks, outsiders, and the deployment itself.

The deployment's processes are those of a distributed one (`isthmus run ...`), told by environment where their database, broker
and nodes are, and forked from one process that has imported everything. Network B's dispatch worker reaches its node through a
gate, so that the story can stop it between signing and sending.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aggregator.clock import ticks_ms
from aggregator.local import actors_control
from aggregator.local.anvil import AnvilSpec
from aggregator.local.gate import Gate
from aggregator.local.nursery import Nursery
from aggregator.local.processes import Child, ChildDied, NotReady, Supervisor
from aggregator.local.services import Services, start_all
from aggregator.settings import demo_file
from aggregator.store import keys, migrate
from aggregator.store.db import Store
from chains.devnet import anvil, artifacts, bake, custody, layout, roles
from chains.networks.network import Network
from chains.types import ChainId

DEPLOYMENT = "devnet"
GATED = layout.B.chain_id
READY_S = 30.0
DESK_SCOPES = ("read", "simulate", "ticket", "admin")


@dataclass
class Stack:
    """A running deployment on this machine. Start it once; `check` raises ChildDied when a process ended by itself."""

    supervisor: Supervisor
    networks: Mapping[ChainId, Network]
    say: Callable[[str], None]
    seed: int = 1
    planner: bool = True
    api_port: int = 0
    services: Services | None = None
    store: Store | None = None
    gate: Gate | None = None
    nursery: Nursery | None = None
    api_url: str = ""
    desk_key: str = ""
    actors_port: int = 0
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.supervisor.folder

    def check(self) -> None:
        """Raises ChildDied naming the process that ended by itself."""
        self.supervisor.check()
        for child in self.children.values():
            if not child.dismissed and child.poll() is not None:
                raise child.death()

    async def start(self) -> None:
        """Bring everything up. Raises a ServiceError with its name and the fix."""
        self.nursery = Nursery(self.supervisor)
        await asyncio.to_thread(self._services)
        self.say("PostgreSQL, Valkey and three networks with their protocols answer")
        assert self.services is not None and self.store is not None
        self.gate = Gate(self.services.nodes[GATED].url)
        await self.gate.start()
        await asyncio.to_thread(self._spawn_daemons)
        await self._ready()
        self._leave_settings()

    def _services(self) -> None:
        states = bake.states(self.say)
        specs = [
            AnvilSpec(n.chain_id, n.block_time_ms / 1000, n.slots, load_state=states[n.chain_id]) for n in layout.NETWORKS.values()
        ]
        self.services = start_all(self.supervisor, networks=specs, binary=artifacts.anvil_path(), durable=False)
        for chain_id, node in self.services.nodes.items():
            # A booted node holds no state below its head: a few blocks make its finalised block readable.
            anvil.settle(node.url, layout.NETWORKS[chain_id])
        migrate.upgrade(self.services.database_url)
        self.store = Store.connect(self.services.database_url, DEPLOYMENT)
        self.desk_key = keys.create(self.store, "", DESK_SCOPES)

    def environment(self, *, gated: bool = False) -> dict[str, str]:
        """What a process of this deployment is told."""
        assert self.services is not None
        urls = {chain: node.url for chain, node in self.services.nodes.items()}
        if gated and self.gate:
            urls[GATED] = self.gate.url
        return {
            "ISTHMUS_DEPLOYMENT": DEPLOYMENT,
            "ISTHMUS_DATABASE_URL": self.services.database_url,
            "ISTHMUS_BROKER_URL": self.services.broker_url,
            "ISTHMUS_NETWORKS": ",".join(str(c) for c in urls),
            "ISTHMUS_RPC": ",".join(f"{c}={u}" for c, u in urls.items()),
            "ISTHMUS_API_PORT": str(self.api_port),
            "ISTHMUS_POLL_MS": "60",
            "ISTHMUS_REPORT_MS": "500",
            "ISTHMUS_PLANNER": "true" if self.planner else "false",
            "ISTHMUS_PLANNER_KEYS": ",".join(roles.key(r).hex() for r in custody.PLANNER_KEYS[: custody.QUORUM]),
            "ISTHMUS_TICKETER_KEYS": ",".join(roles.key(r).hex() for r in custody.TICKETER_KEYS[: custody.QUORUM]),
            "ISTHMUS_GAS_KEY": roles.key("gas").hex(),
        }

    def _isthmus(self, name: str, *words: str, gated: bool = False) -> Child:
        """One process of the deployment, as `isthmus run ...` would start it."""
        return self._fork(name, "aggregator.cli:main", ["--no-bootstrap", "run", *words], self.environment(gated=gated))

    def _fork(self, name: str, target: str, argv: Sequence[str], env: Mapping[str, str]) -> Child:
        assert self.nursery is not None
        self.children[name] = self.nursery.spawn(name, target, argv, env)
        return self.children[name]

    def _spawn_daemons(self) -> None:
        assert self.services is not None
        config = self.folder / "actors.json"
        urls = {str(c): node.url for c, node in self.services.nodes.items()}
        config.write_text(json.dumps({"networks": urls, "seed": self.seed}))
        self._fork("actors", "aggregator.local.actors:main", ["--config", str(config)], {})
        self._isthmus("index", "index")
        self._isthmus("assess", "assess")
        self._isthmus("api", "api")
        plain = [f"dispatch.{c}" for c in self.networks if c != GATED]
        self._isthmus("worker", "worker", "--queues", ",".join([*plain, "settle", "reconcile", "reports"]))
        self.start_gated_worker()

    def start_gated_worker(self) -> Child:
        """The dispatch worker of network B, behind the gate."""
        return self._isthmus("worker-b", "worker", "--queues", f"dispatch.{GATED}", gated=True)

    async def _ready(self) -> None:
        self.actors_port = int(json.loads(await self._line("actors", '{"ready"'))["control_port"])
        self.api_url = (await self._line("api", "api listens on ")).split()[-1]

    async def _line(self, name: str, start: str) -> str:
        """The line of its output by which a child says that it is ready."""
        child, deadline = self.children[name], ticks_ms() + READY_S * 1000
        while ticks_ms() < deadline:
            self.check()
            text = child.log.read_text() if child.log and child.log.exists() else ""
            found = next((line for line in text.splitlines() if line.startswith(start)), None)
            if found is not None:
                return found
            await asyncio.sleep(0.05)
        raise NotReady(f"{name} (pid {child.pid}) did not become ready within {READY_S:g} s{child.last_words()}")

    def page(self) -> str:
        """Address that opens the page in a browser: the key is taken once and becomes a cookie."""
        assert self.store is not None
        return f"{self.api_url}/enter?key={keys.create(self.store, '', ('read',))}"

    async def market(self, **command: object) -> dict[str, object]:
        """One command to the outsiders: price, status, pause_trading, resume_trading."""
        return await actors_control.ask(self.actors_port, command)

    def _leave_settings(self) -> None:
        """So that `isthmus margin` in another terminal finds this deployment. Readable by this user only."""
        path = demo_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"pid = {os.getpid()}"]
        for name, value in self.environment().items():
            lines.append(f"{name.removeprefix('ISTHMUS_').lower()} = {json.dumps(value)}")
        path.touch(mode=0o600, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")

    async def stop(self) -> None:
        """End everything; the supervisor removes the run folder."""
        demo_file().unlink(missing_ok=True)
        if self.gate:
            await self.gate.stop()
        if self.nursery:
            self.nursery.close()
        if self.store:
            self.store.close()
        await asyncio.to_thread(self.supervisor.stop)


__all__ = ["ChildDied", "Stack"]
