"""Rebalance: dollars go where the account owes, are swapped and repay, and nothing else needs them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from aggregator.plan.mandate import Mandate
from aggregator.plan.planner import plan
from aggregator.portfolio.portfolio import View
from chains.actions import Approve, Bridge, RepayLine, Swap
from tests.unit.plan.world import USDC, A, B, C, World, financed, levered, safe, travelling, wallet

OWING = {**levered(A, 100, 130_000), financed(A): -20_000 * USDC}
ELSEWHERE = {**OWING, wallet(C, "usdc"): 100_000 * USDC}


def test_rebalance__dollars_elsewhere__one_send_to_the_own_account_there() -> None:
    (step,) = plan(World(ELSEWHERE).situation()).steps
    approve, bridge = step.actions
    assert (step.kind, step.chain_id) == ("rebalance", C)
    assert isinstance(approve, Approve) and isinstance(bridge, Bridge)
    assert (bridge.destination, bridge.recipient) == (A, safe(A))
    assert 20_000 * USDC < bridge.atoms <= 20_100 * USDC


def test_rebalance__send_is_live__nothing_twice() -> None:
    world = World(ELSEWHERE)
    after = world.after(plan(world.situation())).situation()
    assert plan(after).steps == ()


def test_rebalance__in_transit__waits_for_it() -> None:
    assert plan(World({**ELSEWHERE, travelling(): 20_080 * USDC}).situation()).steps == ()


def test_rebalance__arrived_but_not_final__neither_used_nor_sent_again() -> None:
    arrived = {**ELSEWHERE, wallet(A, "hyp_usdc"): 20_080 * USDC}
    assert plan(World(arrived, own_views={View.FINALISED: ELSEWHERE}).situation()).steps == ()


def test_rebalance__synthetic_has_arrived__swaps_and_repays_all_in_one_step() -> None:
    world = World({**OWING, wallet(A, "hyp_usdc"): 20_080 * USDC})
    (step,) = plan(world.situation()).steps
    assert [type(a).__name__ for a in step.actions] == ["Approve", "Swap", "Approve", "RepayLine"]
    swap, repay = step.actions[1], step.actions[3]
    assert isinstance(swap, Swap) and isinstance(repay, RepayLine)
    assert swap.fee == 100 and swap.minimum_out >= 20_000 * USDC and repay.atoms > 20_000 * USDC
    done = world.mined(plan(world.situation()))
    assert done.balances[financed(A)] == 0
    assert plan(done.situation()).steps == ()


def test_rebalance__own_cash_there__repays_without_a_swap() -> None:
    (step,) = plan(World({**OWING, wallet(A, "usdc"): 30_000 * USDC}).situation()).steps
    assert [type(a).__name__ for a in step.actions] == ["Approve", "RepayLine"]


def test_rebalance__cash_covers_a_part__repays_it_and_sends_the_rest() -> None:
    steps = plan(World({**ELSEWHERE, wallet(A, "usdc"): 5_000 * USDC}).situation()).steps
    assert [(s.chain_id, type(s.actions[-1]).__name__) for s in steps] == [(A, "RepayLine"), (C, "Bridge")]
    bridge = steps[1].actions[-1]
    assert isinstance(bridge, Bridge) and 15_000 * USDC < bridge.atoms < 15_100 * USDC


def test_rebalance__change_in_the_wallet__is_not_worth_a_transaction_while_the_debt_stands() -> None:
    steps = plan(World({**ELSEWHERE, wallet(A, "hyp_usdc"): 40 * USDC}).situation()).steps
    assert [type(s.actions[-1]).__name__ for s in steps] == ["Bridge"]


def test_rebalance__mandate_keeps_collateral_still__refused() -> None:
    still = Mandate((A, B, C), ("aave_v3", "uniswap_v3"), ("hyperlane",), 100, False)
    found = plan(World(ELSEWHERE, mandate=still).situation())
    assert found.steps == () and "may_move_collateral" in found.refusals[0].why


def test_rebalance__cost_above_the_mandate__refused() -> None:
    cheap = Mandate((A, B, C), ("aave_v3", "uniswap_v3"), ("hyperlane",), 1, True)
    found = plan(World(ELSEWHERE, mandate=cheap).situation())
    assert found.steps == () and "max_cost_bps" in found.refusals[0].why


def test_rebalance__cash_promised_to_a_ticket__is_not_sent() -> None:
    world = World(ELSEWHERE)
    situation = world.situation()
    promised = {**world.balances, wallet(C, "usdc"): 0}
    final, head = situation.cautious
    assert plan(replace(situation, cautious=(replace(final, balances=promised), head))).steps == ()


def test_rebalance__draw_not_yet_at_the_head__waits_for_it() -> None:
    head = {k: v for k, v in ELSEWHERE.items() if k != financed(A)}
    assert plan(World(ELSEWHERE, own_views={View.HEAD: head}).situation()).steps == ()


def test_rebalance__bridge_without_a_quote__is_not_used() -> None:
    found = plan(replace(World(ELSEWHERE).situation(), bridge_fees={}))
    assert found.steps == () and "no other network" in found.refusals[0].why


def test_rebalance__message_fee__is_paid_and_counted() -> None:
    situation = replace(World(ELSEWHERE).situation(), bridge_fees={(C, A): 10**15})
    (step,) = plan(situation).steps
    bridge = step.actions[-1]
    assert isinstance(bridge, Bridge) and bridge.fee_wei == 10**15
    assert step.cost_usd > Decimal(2)


def test_rebalance__quarantined_cash__is_not_sent() -> None:
    assert plan(World(ELSEWHERE, quarantined=frozenset({wallet(C, "usdc").key()})).situation()).steps == ()
