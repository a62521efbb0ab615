"""Top-up: a weak venue position of a sound account is cured from own cash, then from the credit line, once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from aggregator.ledger.balances import deltas
from aggregator.ledger.transfers import Group, Origin
from aggregator.plan.mandate import Mandate
from aggregator.plan.planner import plan
from aggregator.plan.situation import LineState
from aggregator.plan.steps import need_key
from aggregator.portfolio.portfolio import View
from chains.actions import Approve, Repay, Supply
from tests.unit.plan.world import CLIENT, USDC, WETH, A, B, C, World, financed, levered, owed, safe, supplied, wallet

WEAK = levered(A, 100, 155_000, elsewhere=100_000)


def test_top_up__weak_position_of_a_sound_account__repays_from_the_line_to_the_target() -> None:
    world = World(WEAK)
    (step,) = plan(world.situation()).steps
    assert (step.kind, step.chain_id, step.sequence, step.restrict_owner) == ("top_up", A, 1, False)
    approve, repay = step.actions
    assert isinstance(approve, Approve) and isinstance(repay, Repay)
    assert approve.atoms == repay.atoms == step.draw_atoms
    (view,) = world.after(plan(world.situation())).situation().books[View.PROJECTED].report.venues
    assert view.health_factor is not None and Decimal("1.2") <= view.health_factor < Decimal("1.2001")
    assert 1.08e18 < step.post.minimum < 1.2e18 and step.post.word == 5
    assert step.deadline == step.as_of_s + 120


def test_top_up__planned_again_on_the_projected_result__plans_nothing() -> None:
    world = World(WEAK)
    assert plan(world.after(plan(world.situation())).situation()).steps == ()


def test_top_up__own_cash_on_the_network__is_used_before_the_line() -> None:
    world = World({**WEAK, wallet(A, "usdc"): 5_000 * USDC})
    (step,) = plan(world.situation()).steps
    assert isinstance(step.actions[1], Repay)
    assert step.actions[1].atoms - step.draw_atoms == 5_000 * USDC


def test_top_up__healthy_position__nothing() -> None:
    assert plan(World(levered(A, 100, 120_000)).situation()).steps == ()


def test_top_up__account_as_a_whole_unsound__refused_with_its_reason() -> None:
    found = plan(World(levered(A, 100, 172_000), eth=Decimal(1950)).situation())
    assert all(s.kind == "close_out" for s in found.steps)
    assert any("not sound" in r.why for r in found.refusals)


def test_top_up__line_without_room__takes_what_there_is() -> None:
    (step,) = plan(World(WEAK, lines={A: LineState(10_000 * USDC, 4_000 * USDC)}).situation()).steps
    assert step.draw_atoms == 4_000 * USDC


def test_top_up__no_money_anywhere__refused() -> None:
    found = plan(World(WEAK, lines={}).situation())
    assert found.steps == () and "no free USDC" in found.refusals[0].why


@pytest.mark.parametrize("state", ["suspended", "closed"])
def test_top_up__client_not_open__nothing(state: str) -> None:
    assert plan(World(WEAK, client_state=state).situation()).steps == ()


def test_top_up__client_on_its_way_out__gets_no_credit() -> None:
    assert plan(World(WEAK, client_state="exiting").situation()).steps == ()


def test_top_up__mandate_without_the_network__refused_naming_the_field() -> None:
    narrow = Mandate((B, C), ("aave_v3", "uniswap_v3"), ("hyperlane",), 100, True)
    (refusal,) = plan(World(WEAK, mandate=narrow).situation()).refusals
    assert "mandate.networks" in refusal.why


def test_top_up__live_action_for_the_need__refused() -> None:
    need = need_key(CLIENT, A, "top_up", f"{A}:aave_v3:{safe(A)}")
    found = plan(World(WEAK, live_needs=frozenset({need})).situation())
    assert found.steps == () and "still under way" in found.refusals[0].why


def test_top_up__need_failed_before__rests_then_goes_with_its_sequence() -> None:
    need = need_key(CLIENT, A, "top_up", f"{A}:aave_v3:{safe(A)}")
    now = World(WEAK).situation().block_time(A)
    assert now is not None
    resting = plan(World(WEAK, failures={need: (3, now - 10)}).situation())
    assert resting.steps == () and "rests until" in resting.refusals[0].why
    (step,) = plan(World(WEAK, failures={need: (3, now - 16)}, sequences={need: 4}).situation()).steps
    assert step.sequence == 4


def test_top_up__debt_in_another_token__supplies_collateral() -> None:
    world = World({supplied(A, "usdc"): 200_000 * USDC, owed(A, "weth"): -75 * WETH, wallet(C, "usdc"): 100_000 * USDC})
    (step,) = plan(world.situation()).steps
    assert isinstance(step.actions[1], Supply)
    (view,) = world.after(plan(world.situation())).situation().books[View.PROJECTED].report.venues
    assert view.health_factor is not None and view.health_factor >= Decimal("1.2")


def test_top_up__effects__sum_to_zero_and_stand_for_debt_and_line() -> None:
    (step,) = plan(World(WEAK).situation()).steps
    changes = deltas(Group("action:x", Origin.ACTION, A, -1, "", "", 0, step.effects))
    by_asset: dict[str, int] = {}
    for account, atoms in changes.items():
        by_asset[account.asset] = by_asset.get(account.asset, 0) + atoms
    assert set(by_asset.values()) == {0}
    assert changes[financed(A)] == -step.draw_atoms and changes[owed(A, "usdc")] == step.draw_atoms


def test_top_up__network_halted__refused() -> None:
    found = plan(replace(World(WEAK).situation(), halted=frozenset({A})))
    assert found.steps == () and "stopped" in found.refusals[0].why
