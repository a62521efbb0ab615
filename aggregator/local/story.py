"""The demo's story, chapter by chapter, and its report. Everything in it happens on real networks through the running deployment.

Chapters: 1 opening, 2 tickets, 3 first fall with 5 faults in its middle, 4 last fall, 6 reconcile. A calm day (`--shock 0`) has the
opening, the tickets and the reconcile; without the planner the liquidator bot shows what the planner is worth.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aggregator.clock import ticks_ms
from aggregator.local import story_opening, story_reads, story_shock, story_tickets
from aggregator.local.story_cast import C
from aggregator.local.story_stage import Stage
from aggregator.tasks.reconcile import reconcile
from chains.types import ChainId

CALM_S = 3.0


async def play(stage: Stage) -> dict[str, Any]:
    """Run the whole story. Returns the report; its `checks` say whether every promise held."""
    await _act(stage, "1. lenders and clients", _opening(stage))
    await snapshot(stage, "levered")
    marlow, _ = stage.cast.clients
    await _act(stage, "2. tickets", story_tickets.chapter(stage, marlow, stage.networks[ChainId(C)]))
    await snapshot(stage, "withdrawn")
    saving = None
    if stage.cast.calm:
        await _act(stage, "3. a calm day", _calm(stage))
    elif not stage.stack.planner:
        saving = await _act(stage, "3. the fall, without the planner", story_shock.fall_without_planner(stage))
        await snapshot(stage, "after_fall")
    elif stage.cast.mild:
        await _act(stage, "3. a mild fall", story_shock.mild_fall(stage))
        await snapshot(stage, "after_fall")
    else:
        await _act(stage, "3. and 5. the first fall, with faults", story_shock.first_fall(stage))
        await snapshot(stage, "after_first_fall")
        await _act(stage, "4. the fall goes on", story_shock.last_fall(stage))
        await snapshot(stage, "after_last_fall")
    found = await _act(stage, "6. reconcile", _reconcile(stage))
    return await report(stage, found, saving)


async def _act(stage: Stage, title: str, chapter: Any) -> Any:
    started = ticks_ms()
    stage.say(f"── {title}")
    outcome = await chapter
    stage.say(f"   {title}: {(ticks_ms() - started) / 1000:.1f} s")
    return outcome


async def _opening(stage: Stage) -> None:
    clients = [stage.cast.clients[i] for i in stage.cast.arrival]
    await story_opening.fund_lines(stage)
    await asyncio.gather(*(story_opening.open_client(stage, c) for c in clients))
    await asyncio.gather(*(story_opening.trade(stage, c) for c in clients))


async def _calm(stage: Stage) -> None:
    await asyncio.sleep(CALM_S)
    rows = await stage.read(story_reads.actions, None)
    stage.check("a calm day gives no action", not rows, f"{len(rows)} actions after {CALM_S:g} s of trading around {2000:,} USD")


async def _reconcile(stage: Stage) -> dict[str, Any]:
    if stage.stack.planner:
        await story_shock.quiet(stage)
    await stage.until("all of the story to be final", lambda: _final(stage))
    found = await reconcile(stage.store, stage.rpcs, stage.networks)
    stage.check(
        "every holding equals its network at a finalised block",
        not found.drift,
        f"{found.holdings_checked} holdings of {found.accounts_checked} accounts",
    )
    return found.body()


async def _final(stage: Stage) -> bool | None:
    pending = await stage.read(story_reads.pending_groups)
    return True if pending == 0 else None


async def snapshot(stage: Stage, name: str) -> None:
    """Every account's numbers at this point, once the engine has seen the newest blocks."""
    heads = {c: int(await rpc.call("eth_blockNumber", []), 16) for c, rpc in stage.rpcs.items()}
    for cast in stage.cast.clients:

        async def probe(client: str = cast.client) -> dict[str, Any] | None:
            found: dict[str, Any] = await stage.read(story_reads.margin, client)
            fresh = all(found["blocks"].get(c, 0) >= n for c, n in heads.items())
            return found if fresh else None

        found = await stage.until(f"a margin report of {cast.title} as of now", probe)
        stage.stages.setdefault(cast.client, []).append({"name": name, **story_reads.stage_row(found)})


async def report(stage: Stage, reconciled: dict[str, Any], saving: dict[str, Any] | None) -> dict[str, Any]:
    """The report of a run, as `--json` writes it."""
    networks = []
    for chain_id, rpc in stage.rpcs.items():
        head, final = [(await rpc.call("eth_getBlockByNumber", [tag, False]))["number"] for tag in ("latest", "finalized")]
        networks.append(
            {"chain_id": int(chain_id), "rpc_url": rpc.endpoints[0].url, "head": int(head, 16), "finalized": int(final, 16)}
        )
    actions = await stage.read(story_reads.actions_report)
    marlow = stage.cast.clients[0].client
    if stage.stack.planner and actions:
        once = all(a["executed_on_chain"] == 1 for a in actions)
        stage.check("every action was executed exactly once", once, f"{len(actions)} actions")
    return {
        "seed": stage.cast.seed,
        "planner": stage.stack.planner,
        "prices": {"opening": 2000.0, "first": stage.cast.first_price, "last": stage.cast.last_price},
        "networks": networks,
        "accounts": [{"account": c, "stages": rows} for c, rows in stage.stages.items()],
        "actions": actions,
        "refusals": stage.refusals,
        "faults": stage.faults,
        "reconcile": reconciled,
        "saving": saving,
        "timings_ms": await stage.read(story_reads.timings, marlow),
        "checks": stage.checks,
        "seconds": round((ticks_ms() - stage.started_ms) / 1000, 1),
        "ok": all(c["holds"] for c in stage.checks),
    }
