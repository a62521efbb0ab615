"""Laws of the planner over drawn worlds: conservation, nothing twice, targets met, determinism, lossless steps."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregator.ledger.accounts import LedgerAccount
from aggregator.plan.codec import decode_step, encode_step
from aggregator.plan.planner import plan
from aggregator.plan.situation import LineState
from aggregator.plan.sizing import shares_of, smallest
from aggregator.plan.steps import action_id
from aggregator.portfolio.portfolio import View
from aggregator.units import RAY
from tests.unit.plan.world import USDC, WETH, A, B, C, World, financed, owed, supplied, wallet

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """One client with positions on A and B at any health, cash here and there, a line that lends much, little or nothing."""
    eth = draw(st.integers(1200, 2600))
    balances: dict[LedgerAccount, int] = {}
    for chain_id in (A, B):
        weth = draw(st.integers(0, 200))
        share = draw(st.integers(0, 96))
        balances[supplied(chain_id, "weth")] = weth * WETH
        balances[owed(chain_id, "usdc")] = -(weth * eth * share // 100) * USDC
        balances[wallet(chain_id, "usdc")] = draw(st.sampled_from([0, 700, 40_000])) * USDC
        balances[wallet(chain_id, "hyp_usdc")] = draw(st.sampled_from([0, 0, 9_000])) * USDC
        balances[financed(chain_id)] = -draw(st.sampled_from([0, 0, 15_000])) * USDC
        balances[wallet(chain_id, "weth")] = draw(st.sampled_from([0, 0, 20])) * WETH
    balances[wallet(C, "usdc")] = draw(st.sampled_from([0, 30_000, 300_000])) * USDC
    room = draw(st.sampled_from([0, 20_000, 2_000_000])) * USDC
    index = draw(st.sampled_from([RAY, RAY + RAY // 7]))
    signed = {a: (1 if n > 0 else -1) * shares_of(abs(n), index) for a, n in balances.items() if a.place != "wallet"}
    shared = {**balances, **signed}
    lines = dict.fromkeys((A, B, C), LineState(5 * room, room))
    return World({a: n for a, n in shared.items() if n}, eth=Decimal(eth), lines=lines, index=index)


@given(worlds())
@FEW
def test_plan__any_world__effects_sum_to_zero_per_asset_and_needs_are_served_once(world: World) -> None:
    found = plan(world.situation())
    assert len({s.need_key for s in found.steps}) == len(found.steps)
    for step in found.steps:
        sums: dict[str, int] = {}
        for t in step.effects:
            for account, sign in ((t.debit, 1), (t.credit, -1)):
                sums[account.asset] = sums.get(account.asset, 0) + sign * t.atoms
        assert set(sums.values()) <= {0}
        assert step.effects and step.actions and step.reason.endswith(".")


@given(worlds())
@FEW
def test_plan__counted_as_done__nothing_of_it_is_planned_again(world: World) -> None:
    """What remains is only what the first plan could not serve: the same need is never planned twice."""
    first = plan(world.situation())
    live = frozenset(s.need_key for s in first.steps)
    again = plan(replace(world.after(first), live_needs=live).situation())
    assert not live & {s.need_key for s in again.steps}
    topped = {s.need_key for s in first.steps if s.kind == "top_up"}
    full = all(line.room_atoms >= 2_000_000 * USDC for line in world.lines.values())
    if full:
        free = plan(world.after(first).situation())
        assert not topped & {s.need_key for s in free.steps}


@given(worlds())
@FEW
def test_close_out__any_world__reaches_its_target_and_not_much_further_or_says_why(world: World) -> None:
    situation = world.situation()
    found = plan(situation)
    steps = [s for s in found.steps if s.kind == "close_out"]
    if not situation.close_out:
        assert not steps
        return
    before = situation.books[View.PROJECTED].report.risk
    if before.net_liquidation_value >= before.close_out_target:
        assert not steps
        return
    after = world.after(replace(found, steps=tuple(steps))).situation().books[View.PROJECTED].report
    missing = after.risk.close_out_target - after.risk.net_liquidation_value
    if missing > 0:
        assert found.refusals or steps, "an unserved breach is told"
    if len(steps) == 1 and missing <= 0:
        healths = [v.health_factor for v in after.venues if v.position in steps[0].reason or v.health_factor is not None]
        at_the_venues_limit = any(h is not None and h < Decimal("1.02") for h in healths)
        assert at_the_venues_limit or -missing <= steps[0].effect_usd * Decimal("0.006") + 1


@given(worlds())
@FEW
def test_close_out__optimistic_view_is_fine__never_acts(world: World) -> None:
    rich = {**world.balances, wallet(C, "usdc"): 10**9 * USDC}
    found = plan(replace(world, own_views={View.OPTIMISTIC: rich}).situation())
    assert not [s for s in found.steps if s.kind == "close_out"]


@given(worlds())
@FEW
def test_top_up__any_world__lifts_the_position_or_spends_all_it_may(world: World) -> None:
    found = plan(world.situation())
    after = world.after(found).situation()
    for step in (s for s in found.steps if s.kind == "top_up"):
        position = f"{step.chain_id}:aave_v3:{step.safe}"
        view = next(v for v in after.books[View.PROJECTED].report.venues if v.position == position)
        spent_all = step.draw_atoms >= world.lines[step.chain_id].room_atoms
        assert view.health_factor is None or view.health_factor >= Decimal("1.1999") or spent_all


@given(worlds())
@FEW
def test_plan__equal_worlds__equal_ids_and_steps_that_come_back_from_json(world: World) -> None:
    one, two = plan(world.situation()), plan(world.situation())
    assert [action_id("x", s) for s in one.steps] == [action_id("x", s) for s in two.steps]
    for step in one.steps:
        assert decode_step(json.loads(json.dumps(encode_step(step)))) == step
        assert action_id("x", step) != action_id("y", step)
        assert action_id("x", replace(step, deadline=step.deadline + 5)) == action_id("x", step), "times are not in the id"
        assert action_id("x", replace(step, sequence=step.sequence + 1)) != action_id("x", step)


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(1, 10**9))
def test_smallest__threshold__found_within_one_step(limit: int, step: int, threshold: int) -> None:
    found = smallest(limit, step, lambda n: n >= threshold)
    if threshold > limit:
        assert found is None
    else:
        assert found is not None and threshold <= found < threshold + step and found <= limit
