"""Chapters 3 and 4: the ETH feeds fall, once near liquidation, then on below the second client's maintenance margin.

The story only moves the market and watches: what follows is decided by the running deployment.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

from aggregator.local import story_faults, story_reads
from aggregator.local.story_cast import ETH_USD, ClientCast
from aggregator.local.story_stage import Stage
from aggregator.margin.parameters import Parameters

LIVE = {"planned", "dispatched", "mined"}
QUIET_ROUNDS = 12
STEP, SETTLE_S = 0.04, 1.0
WARNING = Decimal(str(Parameters().warning_health_factor))


async def price(stage: Stage, usd: float) -> None:
    """Move every network's ETH feed."""
    await stage.stack.market(cmd="price", asset="ETH", usd=usd)
    stage.say(f"the ETH feeds of all networks now say {usd:,.2f} USD")


async def done(stage: Stage, client: str, kind: str, known: set[str]) -> dict[str, Any]:
    """The first action of that kind, not in `known`, that a network has executed."""

    async def probe() -> dict[str, Any] | None:
        for row in await stage.read(story_reads.actions, client):
            if row["kind"] == kind and row["action_id"] not in known and row["status"] in {"mined", "confirmed"}:
                return row
        return None

    return await stage.until(f"a {kind} for {client}", probe)


async def quiet(stage: Stage) -> None:
    """Until every action is final and nothing new was planned for a while."""
    calm = 0

    async def probe() -> bool | None:
        nonlocal calm
        rows = await stage.read(story_reads.actions, None)
        calm = 0 if any(r["status"] in LIVE for r in rows) else calm + 1
        return True if calm >= QUIET_ROUNDS else None

    await stage.until("all actions to be final", probe, 60)


async def first_fall(stage: Stage) -> None:
    """Chapter 3, with the faults of chapter 5 in the middle of it."""
    marlow, tern = stage.cast.clients
    gate = stage.stack.gate
    assert gate is not None
    gate.close()
    await price(stage, stage.cast.first_price)
    caught, top_up = await asyncio.gather(
        story_faults.kill_between_sign_and_send(stage, tern), done(stage, marlow.client, "top_up", set())
    )
    taken = await liquidated(stage, marlow)
    stage.check(
        "the top-up came before the liquidator",
        not taken,
        f"{top_up['kind']} {top_up['action_id'][:10]} on A, mined, nothing taken",
    )
    sent, _ = await asyncio.gather(watch_transit(stage, marlow), story_faults.reorganise(stage, marlow, caught))
    stage.check(
        "in transit the quantity stands in exactly one ledger account", sent["accounts"] == 1 and sent["atoms"] > 0, str(sent)
    )
    await repaid(stage, marlow)


async def liquidated(stage: Stage, cast: ClientCast) -> list[dict[str, Any]]:
    """What the liquidator bot took from a client, as indexed from the network."""
    return await stage.read(story_reads.liquidations, cast.client)


async def watch_transit(stage: Stage, cast: ClientCast) -> dict[str, Any]:
    """The rebalance leaves C: while the bridge holds it, its quantity stands in one in_transit account."""

    async def probe() -> dict[str, Any] | None:
        return await stage.read(story_reads.in_transit, cast.client)

    return await stage.until("collateral of the rebalance in transit", probe)


async def repaid(stage: Stage, cast: ClientCast) -> None:
    """Until the client owes its credit lines nothing worth naming."""

    async def probe() -> bool | None:
        owed = await stage.read(story_reads.line_debt_usd, cast.client)
        return True if owed < 1.0 else None

    await stage.until(f"the rebalance to repay {cast.title}'s credit line", probe, 60)
    stage.check("the rebalance repaid the credit line", True, f"{cast.title} owes A's line less than 1 USD")


async def last_fall(stage: Stage) -> None:
    """Chapter 4: close-out to the target, no further."""
    _, tern = stage.cast.clients
    await price(stage, stage.cast.last_price)
    action = await done(stage, tern.client, "close_out", set())
    await quiet(stage)
    report = await stage.read(story_reads.margin, tern.client)
    reached = report["net_liquidation_value"] >= report["close_out_target"]
    over = report["net_liquidation_value"] - report["close_out_target"]
    room = report["close_out_target"] / 50
    held = f"{report['net_liquidation_value']:,.0f} held against {report['close_out_target']:,.0f}"
    stage.check(
        "close-out reached its target",
        reached and report["state"] != "close_out",
        f"{action['effect_usd']:,.0f} USD of ETH sold, {held}",
    )
    stage.check("close-out went no further", over <= room, f"{over:,.0f} USD above the target, at most {room:,.0f}")


async def mild_fall(stage: Stage) -> None:
    """A fall in small steps, each settled before the next: whatever nears liquidation is topped up, nothing else happens."""
    now = ETH_USD
    while now > stage.cast.last_price:
        now = max(stage.cast.last_price, now * (1 - STEP))
        await price(stage, round(now, 2))
        await asyncio.sleep(SETTLE_S)
        await quiet(stage)
    for cast in stage.cast.clients:
        report = await stage.read(story_reads.report_of, cast.client)
        taken = await liquidated(stage, cast)
        weakest = min(v.health_factor for v in report.venues if v.health_factor is not None)
        kept = not taken and report.state.value in {"ok", "call"} and weakest >= WARNING
        found = f"weakest health factor {weakest:.3f}, state {report.state.value}, {len(taken)} liquidations"
        stage.check(f"{cast.title} comes through", kept, found)


async def fall_without_planner(stage: Stage) -> dict[str, Any] | None:
    """What happens without us: the bot takes the first client's collateral; the loss is what the planner would have saved.

    The loss is the net liquidation value of what the client held before the fall, at the prices after it, minus what it has then;
    None where the fall does not reach liquidation.
    """
    marlow, _ = stage.cast.clients
    held = await stage.read(story_reads.report_of, marlow.client)
    await price(stage, stage.cast.first_price)
    await price(stage, stage.cast.last_price)

    if marlow.health_factor * stage.cast.last_price / ETH_USD >= 1:
        await asyncio.sleep(SETTLE_S)
        taken = await liquidated(stage, marlow)
        stage.check("a fall this small liquidates nobody, with or without the planner", not taken, f"{len(taken)} liquidations")
        return None

    async def probe() -> list[dict[str, Any]] | None:
        return await liquidated(stage, marlow) or None

    taken = await stage.until("the liquidator bot", probe)

    async def assessed() -> dict[str, Any] | None:
        found: dict[str, Any] = await stage.read(story_reads.margin, marlow.client)
        return found if found["blocks"].get(marlow.venue_chain, 0) >= taken[-1]["block_number"] else None

    after = await stage.until("a margin report after the liquidation", assessed)
    before = story_reads.revalued(held, "ETH", stage.cast.last_price)
    lost = before - after["net_liquidation_value"]
    stage.check(
        "without the planner the bot liquidates the first client", lost > 0, f"{lost:,.2f} USD of net liquidation value lost"
    )
    return {
        "client": marlow.client,
        "net_liquidation_value_before_usd": str(before),
        "net_liquidation_value_after_usd": str(after["net_liquidation_value"]),
        "net_liquidation_value_lost_usd": str(lost),
        "liquidations": taken,
    }
