"""Index, assess and dispatch on a real network: a fall of the price is answered by a top-up, a second one by a close-out."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

from aggregator.daemons import assess, index
from aggregator.settings import Settings
from aggregator.store import clients, event_log, leases, migrate, reports
from aggregator.store.db import Store
from aggregator.store.tables import actions
from aggregator.tasks.app import queues
from aggregator.tasks.scan import Scanner
from chains.devnet import feeds
from tests.chain.custody_calls import USDC, borrow_data, call_data, who
from tests.tasks import kit
from tests.unit.plan.world import WIDE

pytestmark = [pytest.mark.chain, pytest.mark.services, pytest.mark.slow]


def price(stage: kit.Stage, dollars: int) -> None:
    feed = stage.world.network.feeds["eth_usd"]
    feeds.submit(stage.world.w3, feeds.Feed(feed.proxy, feed.aggregator or ""), dollars * 10**8)


def lean(stage: kit.Stage) -> None:
    """1,000 WETH supplied, 1.4 million USDC borrowed, nothing in the wallet."""
    world = stage.world
    account, away = world.impersonate(world.safe), who("lender-1")
    world.send(world.pool, borrow_data(world, 1_200_000 * USDC), sender=account)
    for token in (world.usdc, world.weth):
        held = world.balance(token, world.safe)
        world.send(token, call_data("transfer(address,uint256)", away, held), sender=account)


@pytest.fixture
def store(postgres_url: str) -> Iterator[Store]:
    migrate.upgrade(postgres_url)
    made = Store.connect(postgres_url, f"test-{secrets.token_hex(6)}")
    clients.open_client(made, "default", kit.CLIENT, "Alpha", "desk")
    clients.set_mandate(made, kit.CLIENT, json.loads(WIDE.canonical()), 1, "", "desk")
    yield made
    made.close()


@asynccontextmanager
async def deployment(settings: Settings) -> AsyncIterator[None]:
    """Index and assess in this process, stopped with the block."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(index.run(settings, stop)), asyncio.create_task(assess.run(settings, stop))]
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)


def rows(store: Store) -> list[Any]:
    with store.transaction() as conn:
        return list(conn.execute(select(actions).where(actions.c.deployment == store.deployment).order_by(actions.c.planned_at)))


def confirmed(store: Store, kind: str) -> list[Any]:
    return [r for r in rows(store) if r.kind == kind and r.status == "confirmed"]


def followed(store: Store) -> bool:
    with store.transaction() as conn:
        return conn.execute(text("select 1 from cursors where deployment = :d"), {"d": store.deployment}).first() is not None


async def until(store: Store, what: str, probe: Callable[[], Any]) -> Any:
    for _ in range(400):
        found = await asyncio.to_thread(probe)
        if found:
            return found
        await asyncio.sleep(0.1)
    told = [(e.kind, e.body) for e in event_log.after(store, 0, 10_000) if e.kind.split(".")[0] in ("action", "network", "lane")]
    raise AssertionError(f"{what} did not happen; the log says {told[-8:]}")


async def begun(store: Store, stage: kit.Stage) -> None:
    """The account is linked, its history posted and assessed."""
    await until(store, "the first block", lambda: followed(store))
    clients.link_safe(store, kit.CLIENT, stage.chain_id, stage.world.safe, (True, ""), "desk")

    def known() -> bool:
        found = reports.latest(store, kit.CLIENT)
        return found is not None and found.risk.maintenance_margin > 0

    await until(store, "the first report", known)


async def test_assess__price_falls_twice__top_up_then_close_out_each_once(store: Store) -> None:
    with kit.stage() as stage, kit.runtime(store, stage.url) as made:
        await asyncio.to_thread(lean, stage)
        settings = kit.settings_for(store, stage.url, poll_ms=40)
        scanner = Scanner(made, queues(settings.networks))
        scanner.start()
        async with deployment(settings):
            await begun(store, stage)
            await asyncio.sleep(1)
            assert rows(store) == [], "a calm day needs nothing"
            await asyncio.to_thread(price, stage, 1800)
            (top_up,) = await until(store, "the top-up", lambda: confirmed(store, "top_up"))
            await asyncio.to_thread(price, stage, 1400)
            (close_out,) = await until(store, "the close-out", lambda: confirmed(store, "close_out"))
            await until(store, "the repaid line", lambda: confirmed(store, "rebalance"))
        scanner.stop()
        for row in rows(store):
            ended = sum(1 for other in rows(store) if other.need_key == row.need_key and other.status == "confirmed")
            assert stage.served(row.need_key) == ended
        for row in (top_up, close_out):
            assert row.price_seen_at < row.planned_at < row.signed_at < row.mined_at
            assert (row.planned_at - row.price_seen_at).total_seconds() < 1
    latest = reports.latest(store, kit.CLIENT)
    assert latest is not None and latest.state.value in ("ok", "call")
    assert all(reports.verify(store, report_id).equal for report_id in reports.newest_ids(store, 5))


async def test_assess__without_planner_and_behind_another_holder__watches_only(store: Store) -> None:
    with kit.stage() as stage:
        await asyncio.to_thread(lean, stage)
        held = leases.acquire(store, assess.LEASE, "other", 2.0)
        settings = replace(kit.settings_for(store, stage.url, poll_ms=40), planner=False)
        async with deployment(settings):
            await until(store, "the first block", lambda: followed(store))
            assert reports.latest(store, kit.CLIENT) is None, f"{held.holder} holds the lease"
            await begun(store, stage)
            await asyncio.to_thread(price, stage, 1400)

            def breached() -> bool:
                found = reports.latest(store, kit.CLIENT)
                return found is not None and found.state.value == "close_out"

            await until(store, "the breach", breached)
            await asyncio.sleep(1)
    assert rows(store) == []
