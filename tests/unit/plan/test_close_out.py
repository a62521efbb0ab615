"""Close-out: reaches its target and not much further, leg by leg, with or without somebody to lend it a dollar."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from aggregator.margin.report import State
from aggregator.plan.limits import Limits
from aggregator.plan.planner import plan
from aggregator.plan.situation import LineState
from aggregator.portfolio.portfolio import View
from chains.actions import Repay, RepayLine, Swap, Withdraw
from tests.unit.plan.world import USDC, WETH, A, B, C, World, levered, owed, supplied, wallet

BREACHED = World(levered(A, 100, 165_000), eth=Decimal(1900))


def over(world: World) -> Decimal:
    """USD by which the projected account stands above its close-out target once the plan is done."""
    risk = world.after(plan(world.situation())).situation().books[View.PROJECTED].report.risk
    return risk.net_liquidation_value - risk.close_out_target


def test_close_out__breach_of_maintenance__one_atomic_step_to_the_target_and_no_further() -> None:
    (step,) = [s for s in plan(BREACHED.situation()).steps if s.kind == "close_out"]
    assert [type(a).__name__ for a in step.actions] == ["Approve", "Repay", "Withdraw", "Approve", "Swap", "Approve", "RepayLine"]
    assert step.restrict_owner and step.draw_atoms > 0
    line, swap = step.actions[-1], step.actions[4]
    assert isinstance(line, RepayLine) and line.atoms == step.draw_atoms
    assert isinstance(swap, Swap) and swap.minimum_out >= step.draw_atoms
    grain = step.effect_usd * Decimal("0.005")
    assert 0 <= over(BREACHED) <= grain


def test_close_out__reached__state_is_no_breach_and_nothing_more_is_sold() -> None:
    after = BREACHED.mined(plan(BREACHED.situation())).situation()
    assert after.books[View.HEAD].report.state in (State.OK, State.CALL)
    assert not [s for s in plan(after).steps if s.kind == "close_out"]


def test_close_out__already_on_its_way__nothing_twice() -> None:
    assert not [s for s in plan(BREACHED.after(plan(BREACHED.situation())).situation()).steps if s.kind == "close_out"]


def test_close_out__client_paid_a_minute_ago__waits() -> None:
    paid = {**BREACHED.balances, wallet(C, "usdc"): 100_000 * USDC}
    world = replace(BREACHED, own_views={View.OPTIMISTIC: paid})
    assert not plan(world.situation()).steps


def test_close_out__suspended_client__is_still_closed_out() -> None:
    assert plan(replace(BREACHED, client_state="suspended").situation()).steps[0].kind == "close_out"


def test_close_out__own_cash__pays_before_the_line() -> None:
    world = replace(BREACHED, balances={**BREACHED.balances, wallet(A, "usdc"): 2_000 * USDC, owed(A, "usdc"): -167_000 * USDC})
    step = plan(world.situation()).steps[0]
    repay = step.actions[1]
    assert isinstance(repay, Repay) and repay.atoms - step.draw_atoms == 2_000 * USDC


def test_close_out__no_line_but_health_left__withdraws_swaps_and_repays_within_it() -> None:
    world = World({**levered(A, 100, 148_000), owed(B, "usdc"): -60_000 * USDC, supplied(B, "weth"): 32 * WETH,
                   wallet(A, "hyp_usdc"): 1 * USDC}, eth=Decimal(1850), lines={})  # fmt: skip
    found = plan(world.situation())
    kinds = [[type(a).__name__ for a in s.actions] for s in found.steps if s.kind == "close_out"]
    assert ["Withdraw", "Approve", "Swap", "Approve", "Repay"] in kinds
    for view in world.after(found).situation().books[View.PROJECTED].report.venues:
        assert view.health_factor is None or view.health_factor >= 1 or view.chain_id == B


def test_close_out__nobody_lends_and_no_health_left__refused_with_its_reason() -> None:
    found = plan(World(levered(A, 100, 180_000), eth=Decimal(2060), lines={}).situation())
    assert not found.steps and any("no health left" in r.why for r in found.refusals)


def test_close_out__health_below_one__sells_enough_that_the_venue_lets_go() -> None:
    world = World(levered(A, 100, 180_000), eth=Decimal(2060))
    (view,) = world.after(plan(world.situation())).situation().books[View.PROJECTED].report.venues
    assert view.health_factor is not None and view.health_factor >= Limits().minimum_health


def test_close_out__stale_price_of_one_network__that_leg_rests_and_the_other_goes() -> None:
    both = {**levered(A, 100, 160_000), **levered(B, 60, 80_000)}
    world = World(both, eth=Decimal(1800), stale=frozenset({A}))
    found = plan(world.situation())
    assert {s.chain_id for s in found.steps if s.kind == "close_out"} <= {B}
    assert any("fresh price" in r.why for r in found.refusals) or not world.situation().close_out


def test_close_out__tokens_in_the_wallet__are_a_leg() -> None:
    world = World({wallet(A, "weth"): 60 * WETH, **levered(B, 80, 105_000), owed(A, "usdc"): -105_000 * USDC,
                   supplied(A, "usdc"): 1000 * USDC}, eth=Decimal(1550), lines={})  # fmt: skip
    found = plan(world.situation())
    assert ["Approve", "Swap"] in [[type(a).__name__ for a in s.actions] for s in found.steps]


def test_close_out__line_lends_little__cuts_what_it_can() -> None:
    both = {**levered(A, 100, 147_000), owed(B, "usdc"): -62_000 * USDC, supplied(B, "weth"): 32 * WETH}
    world = World(both, eth=Decimal(1850), lines={A: LineState(10_000 * USDC, 10_000 * USDC)})
    steps = [s for s in plan(world.situation()).steps if s.kind == "close_out"]
    assert all(s.draw_atoms <= 10_000 * USDC for s in steps)
    assert any(isinstance(a, Withdraw) for s in steps for a in s.actions)
