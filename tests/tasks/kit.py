"""A network with one prime account that owes, and actions for it: the stage of the dispatch tests. Blocks come by themselves."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from aggregator.margin.parameters import Parameters
from aggregator.market.prices import Snapshot
from aggregator.plan import effects as fx
from aggregator.plan.steps import Plan, PostCondition, Step
from aggregator.settings import Settings
from aggregator.store import leases
from aggregator.store.actions import Decision, StoredAction, load, reserved, save_assessment
from aggregator.store.clients import open_client
from aggregator.store.db import Store
from aggregator.tasks.runtime import Runtime
from aggregator.tasks.settle import settle_action
from chains import abi
from chains.actions import AnyAction, Approve, Repay
from chains.devnet import anvil, bake, custody, lib, roles
from chains.devnet.layout import A
from chains.networks.network import Network
from chains.types import Address
from tests.chain.custody_calls import USDC, borrow_data
from tests.chain.custody_world import World, _build

ROOT = Path(__file__).parents[2]
CLIENT = "alpha"
BLOCK_MS = 250
PATIENCE_S = 40.0
T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """A node with blocks every quarter second, and one account that supplies WETH and owes USDC."""

    url: str
    world: World

    @property
    def chain_id(self) -> int:
        return int(self.world.network.chain_id)

    def served(self, need_key: str) -> int:
        """How often the module has served a need: the chain's own count of effects."""
        data = abi.selector("next(address,bytes32)") + abi.padded(self.world.safe) + bytes.fromhex(need_key[2:])
        answer = self.world.rpc("eth_call", {"to": self.world.own.module, "data": "0x" + data.hex()}, "latest")
        return int(answer, 16) - 1


@contextmanager
def stage() -> Iterator[Stage]:
    local = replace(A, block_time_ms=BLOCK_MS)
    network = Network.model_validate(bake.tables()[A.chain_id])
    with anvil.running(local, state=bake.states()[A.chain_id]) as url:
        world = _build(lib.connect(url, A.chain_id), network)
        world.send(world.pool, borrow_data(world, 200_000 * USDC), sender=world.impersonate(world.safe))
        yield Stage(url, world)


def settings_for(store: Store, url: str, broker: str = "", **more: Any) -> Settings:
    keys = tuple(roles.key(r).hex() for r in custody.PLANNER_KEYS[: custody.QUORUM])
    database = store.engine.url.render_as_string(hide_password=False)
    given = {
        "deployment": store.deployment, "database_url": database, "broker_url": broker,
        "networks": (A.chain_id,), "rpc": (f"{A.chain_id}={url}",), "planner_keys": keys, "gas_key": roles.key("gas").hex(),
    }  # fmt: skip
    return Settings(**{**given, **more})


@contextmanager
def runtime(store: Store, url: str, **more: Any) -> Iterator[Runtime]:
    made = Runtime(settings_for(store, url, **more))
    try:
        yield made
    finally:
        made.close()


def step(stage: Stage, atoms: int = 1000 * USDC, **changes: Any) -> Step:
    """A repayment of `atoms` with a draw, for a need of its own."""
    world, now = stage.world, stage.world.now()
    line, reserve = world.own.credit_line, fx.reserve_named(world.network, "usdc")
    assert reserve is not None
    actions: tuple[AnyAction, ...] = (Approve(world.usdc, world.pool, atoms), Repay("aave_v3", world.safe, world.usdc, atoms))
    effects = fx.effects([(fx.financing(CLIENT, stage.chain_id, line), -atoms, "drawn"),
                          (fx.debt(CLIENT, stage.chain_id, reserve), atoms, "repaid")])  # fmt: skip
    made = Step(
        kind="top_up", client=CLIENT, chain_id=stage.chain_id, safe=world.safe, need_key="0x" + secrets.token_hex(32), sequence=1,
        draw_atoms=atoms, actions=actions, deadline=now + 60, as_of_s=now, post=PostCondition(), effects=effects,
        decision_epoch=secrets.token_hex(8), reason="A test needs it.", effect_usd=Decimal(1000), cost_usd=Decimal(0),
    )  # fmt: skip
    return replace(made, **changes)


def plan_action(store: Store, wanted: Step) -> str:
    """Keep one step as a planned action; returns its id."""
    from sqlalchemy import select

    from aggregator.store.tables import clients

    with store.transaction() as conn:
        known = conn.execute(select(clients.c.client).where(clients.c.deployment == store.deployment)).first()
    if known is None:
        open_client(store, "default", CLIENT, "Alpha", "desk")
    with store.transaction() as conn:
        counted = reserved(conn, store.deployment, CLIENT)
    lease = leases.acquire(store, "assess", "test", 600)
    decision = Decision(CLIENT, None, Plan(CLIENT, (wanted,)), counted)
    ((name, _),) = save_assessment(store, lease, [decision], Snapshot({}), Parameters(), None)
    return name


def until(what: str, probe: Callable[[], T | None], patience_s: float = PATIENCE_S) -> T:
    """First answer of `probe` that is true."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {patience_s:g} s")


async def settled(made: Runtime, name: str) -> StoredAction:
    """Settle again and again until the action ended."""
    for _ in range(int(PATIENCE_S / 0.1)):
        await settle_action(made, name)
        found = load(made.store, name)
        if not found.live:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{name} is still {load(made.store, name).status}")


def worker(settings: Settings, log: Path, *, pool: str = "solo") -> subprocess.Popen[bytes]:
    """A real worker as a process of its own, told by its environment like any other. Pool 'isthmus': as `isthmus run worker`."""
    environment = {
        **os.environ, "ISTHMUS_DEPLOYMENT": settings.deployment, "ISTHMUS_DATABASE_URL": settings.database_url,
        "ISTHMUS_BROKER_URL": settings.broker_url, "ISTHMUS_NETWORKS": ",".join(map(str, settings.networks)),
        "ISTHMUS_RPC": ",".join(settings.rpc), "ISTHMUS_PLANNER_KEYS": ",".join(settings.planner_keys),
        "ISTHMUS_GAS_KEY": settings.gas_key,
    }  # fmt: skip
    served = f"dispatch.{A.chain_id},settle,reports"
    if pool == "isthmus":
        line = [sys.executable, "-m", "aggregator", "--no-bootstrap", "run", "worker", "--queues", served]
    else:
        line = [sys.executable, "-m", "celery", "-A", "aggregator.tasks.app", "worker", "-P", pool, "-c", "2", "-Q", served,
                "-l", "INFO", "--without-gossip", "--without-mingle"]  # fmt: skip
    with log.open("ab") as out:
        return subprocess.Popen(line, cwd=ROOT, env=environment, stdout=out, stderr=out)


def gas_address() -> Address:
    return Address(roles.address("gas").lower())
