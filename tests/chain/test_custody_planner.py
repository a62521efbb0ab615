"""Planner actions: exact calls of a quorum, one effect per need, within caps, all or nothing; credit drawn is credit sunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from chains.contracts import typed
from chains.types import ZERO_ADDRESS, Address, Call
from tests.chain.custody_calls import (
    DAY,
    ETHER,
    MAX,
    PLANNERS,
    REMOTE,
    TICKETERS,
    USDC,
    borrow_data,
    bridge_data,
    call_data,
    repay_data,
    supply_data,
    swap_data,
    who,
)
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

DONE = "ActionDone(bytes32,address,bytes32,uint64,uint256)"


def supply(world: World, atoms: int = USDC, token: str = "usdc") -> Call:
    return Call(world.pool, supply_data(world, token, atoms))


def owe(world: World, atoms: int = 500_000 * USDC) -> None:
    """Lets the account borrow from the venue."""
    world.owner(world.own.module, world.trade_data(world.trade(world.pool, borrow_data(world, atoms))))


def debt(world: World) -> int:
    return int(world.read(world.own.credit_line, "debtOf(address)", world.safe))


def line_limit(world: World, atoms: int) -> None:
    world.send(world.own.credit_line, call_data("setLimit(address,uint256)", world.safe, atoms), sender=world.lock("owner"))


def test_execute__submitted_by_a_stranger__happens_and_is_told(world: World) -> None:
    terms = world.action(supply(world))
    receipt = world.send(world.own.module, world.execute_data(terms))
    logs = [log for log in receipt["logs"] if log["address"].lower() == world.own.module]
    assert [log["topics"][0] for log in logs] == [world.w3.keccak(text=DONE).to_0x_hex()]
    assert logs[0]["topics"][1] == terms.action_id and logs[0]["topics"][3] == terms.need_key
    assert world.read(world.own.module, "done(address,bytes32)", world.safe, bytes.fromhex(terms.action_id[2:]), returns="bool")


def test_execute__same_action_again__refused(world: World) -> None:
    terms = world.action(supply(world))
    world.send(world.own.module, world.execute_data(terms))
    assert world.reason(world.own.module, world.execute_data(terms)) == "AlreadyDone"
    again = replace(terms, need_key="0x" + "22" * 32, sequence=1, as_of=world.now())
    assert world.reason(world.own.module, world.execute_data(again)) == "AlreadyDone"


def test_execute__sequence_of_a_need__runs_from_one_without_gap_or_repetition(world: World) -> None:
    need = "0x" + "33" * 32
    for wrong in (0, 2, 2**64 - 1):
        assert world.execute_reason(supply(world), need_key=need, sequence=wrong) == "WrongSequence"
    world.execute(supply(world), need_key=need, sequence=1)
    for wrong in (1, 3):
        assert world.execute_reason(supply(world), need_key=need, sequence=wrong) == "WrongSequence"
    world.execute(supply(world), need_key=need, sequence=2)
    assert world.read(world.own.module, "next(address,bytes32)", world.safe, bytes.fromhex(need[2:])) == 3


Options = Mapping[str, Any]
SPOILT: dict[str, tuple[Callable[[World], Options], str]] = {
    "after_the_deadline": (lambda w: {"deadline": w.now() - 1}, "Expired"),
    "planned_on_old_state": (lambda w: {"as_of": w.now() - 902}, "Stale"),
    "planned_on_future_state": (lambda w: {"as_of": w.now() + 8}, "Stale"),
    "another_deployment": (lambda w: {"deployment": "0x" + "44" * 32}, "WrongDeployment"),
    "another_network": (lambda w: {"domain": {"chain_id": REMOTE}}, "BadSignatures"),
    "another_module": (lambda w: {"domain": {"module": w.stranger}}, "BadSignatures"),
    "one_signature": (lambda w: {"names": PLANNERS[:1]}, "BadSignatures"),
    "three_signatures": (lambda w: {"names": PLANNERS}, "BadSignatures"),
    "ticket_keys": (lambda w: {"names": TICKETERS[:2]}, "BadSignatures"),
    "mixed_keys": (lambda w: {"names": (PLANNERS[0], TICKETERS[0])}, "BadSignatures"),
    "owner_keys": (lambda w: {"names": ("owner-0", "owner-1")}, "BadSignatures"),
    "account_of_nobody": (lambda w: {"safe": w.stranger}, "NotAnAccount"),
}


@pytest.mark.parametrize("spoilt", sorted(SPOILT))
def test_execute__spoilt_terms__refused_for_their_own_reason(world: World, spoilt: str) -> None:
    make, wanted = SPOILT[spoilt]
    assert world.execute_reason(supply(world), **make(world)) == wanted


def test_execute__clock_of_the_network_a_little_behind__passes(world: World) -> None:
    assert world.execute_reason(supply(world), as_of=world.now() + 4) == "PASSED"


CALLS: dict[str, tuple[Callable[[World], tuple[Address, bytes]], str]] = {
    "transfer": (lambda w: (w.usdc, call_data("transfer(address,uint256)", w.cold, 1)), "NotListed"),
    "withdraw_to_stranger": (
        lambda w: (w.pool, call_data("withdraw(address,uint256,address)", w.weth, 1, w.stranger)), "BadArgument"),
    "supply_for_stranger": (lambda w: (w.pool, supply_data(w, "usdc", 1, w.stranger)), "BadArgument"),
    "approve_stranger": (lambda w: (w.usdc, call_data("approve(address,uint256)", w.stranger, 1)), "BadArgument"),
    "borrow": (lambda w: (w.pool, borrow_data(w, 1)), "WrongCaller"),
    "e_mode": (lambda w: (w.pool, call_data("setUserEMode(uint8)", 1)), "WrongCaller"),
    "the_account_itself": (lambda w: (w.safe, call_data("setGuard(address)", ZERO_ADDRESS)), "NotListed"),
    "book": (lambda w: (w.own.rule_book, call_data("requestPin(bytes32)", bytes(32))), "NotListed"),
    "module": (lambda w: (w.own.module, call_data("requestExit()")), "NotListed"),
    "swap_at_a_bad_price": (lambda w: (w.swap_router, swap_data(w, ETHER, 1)), "BadArgument"),
    "swap_to_stranger": (lambda w: (w.swap_router, swap_data(w, ETHER, 1985 * USDC, recipient=w.stranger)), "BadArgument"),
    "swap_over_the_cap": (lambda w: (w.swap_router, swap_data(w, 2_001 * ETHER, 2_001 * 1985 * USDC)), "OverCap"),
    "bridge_to_stranger": (lambda w: (w.route, bridge_data(w.stranger, 1)), "BadArgument"),
    "bridge_to_other_domain": (lambda w: (w.route, bridge_data(w.cold, 1, domain=1)), "BadArgument"),
    "bridge_over_the_cap": (lambda w: (w.route, bridge_data(w.cold, 5_000_001 * USDC)), "OverCap"),
    "line_draw": (lambda w: (w.own.credit_line, call_data("draw(address,uint256)", w.safe, 1)), "NotListed"),
}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_execute__call_outside_the_planners_rules__refused_for_its_own_reason(world: World, name: str) -> None:
    make, wanted = CALLS[name]
    to, data = make(world)
    assert world.execute_reason(Call(to, data)) == wanted


def test_execute__native_coin__only_with_calls_that_take_it(world: World) -> None:
    assert world.execute_reason(replace(supply(world), value=1)) == "TooMuchValue"


@pytest.mark.parametrize("role", [0, 1])
def test_native_coin__that_travels_with_a_call__counts_against_its_cap(world: World, role: int) -> None:
    cap = call_data("setCap(uint8,address,uint256,uint256)", role, ZERO_ADDRESS, 10**16, 10**18)
    world.send(world.own.module, cap, sender=world.lock("planner" if role == 0 else "owner"))
    data = bridge_data(world.cold, 1)

    def reason(value: int) -> str:
        if role == 0:
            return world.execute_reason(Call(world.route, data, value))
        return world.owner_reason(world.own.module, world.trade_data(world.trade(world.route, data, value=value)))

    assert reason(10**16 + 1) == "OverCap"
    assert reason(10**16) not in ("OverCap", "TooMuchValue")  # it holds nothing to send; the venue says so


def test_execute__several_calls__all_or_nothing(world: World) -> None:
    before = world.balance(world.usdc, world.safe)
    bad = Call(world.pool, repay_data(world, USDC))  # the account owes nothing there: the venue refuses
    assert world.execute_reason(supply(world), bad) not in ("PASSED", "CallFailed")
    swap = Call(world.swap_router, swap_data(world, ETHER, 1985 * USDC))
    world.execute(swap, supply(world, 1000 * USDC))
    assert world.balance(world.usdc, world.safe) > before


def test_execute__post_condition__holds_or_undoes_all(world: World) -> None:
    owe(world)
    reading = call_data("getUserAccountData(address)", world.safe)
    health: dict[str, Any] = {"post_target": world.pool, "post_call": reading, "post_word": 5}
    repay = Call(world.pool, repay_data(world, 100_000 * USDC))
    assert world.execute_reason(repay, **health, post_min=10**30) == "PostConditionFailed"
    assert world.execute_reason(repay, **{**health, "post_word": 6}, post_min=1) == "CallFailed"
    assert world.execute_reason(repay, **{**health, "post_call": b""}, post_min=1) == "CallFailed"
    world.execute(repay, **health, post_min=10**18)


def test_execute__cap_of_the_window__stops_swaps_but_not_supplies(world: World) -> None:
    cap = call_data("setCap(uint8,address,uint256,uint256)", 0, world.weth, 20 * ETHER, 200 * ETHER)
    world.send(world.own.module, cap, sender=world.lock("planner"))
    swap = Call(world.swap_router, swap_data(world, 15 * ETHER, 15 * 1980 * USDC))
    world.execute(swap)
    assert world.execute_reason(swap) == "OverCap"
    assert world.execute_reason(supply(world, 6_000_000 * USDC)) == "PASSED"


def test_execute__cap_over_all_accounts__stops_the_next_account(world: World) -> None:
    cap = call_data("setCap(uint8,address,uint256,uint256)", 0, world.weth, 10 * ETHER, 15 * ETHER)
    world.send(world.own.module, cap, sender=world.lock("planner"))
    world.execute(Call(world.swap_router, swap_data(world, 10 * ETHER, 10 * 1980 * USDC)))
    other = replace(world, safe=world.birth([who("owner-0")], 1, [], 5))
    small, large = (Call(other.swap_router, swap_data(other, n * ETHER, n * 1980 * USDC)) for n in (4, 6))
    assert other.execute_reason(large) == "OverCap"
    assert other.execute_reason(small) == "STF"  # past the cap, and stopped only by having nothing to sell


def test_execute__draw_sunk_into_the_venue__passes_and_is_owed(world: World) -> None:
    owe(world)
    before = world.balance(world.usdc, world.safe)
    world.execute(Call(world.pool, repay_data(world, 200_000 * USDC)), supply(world, 100_000 * USDC), draw=300_000 * USDC)
    assert world.balance(world.usdc, world.safe) == before
    assert debt(world) >= 300_000 * USDC
    world.execute(Call(world.own.credit_line, call_data("repay(address,uint256)", world.safe, MAX)))
    assert debt(world) == 0


def test_execute__draw_not_sunk__refused(world: World) -> None:
    owe(world, 1000 * USDC)
    draw = 10_000 * USDC
    assert world.execute_reason(draw=draw) == "DrawNotSunk"
    assert world.execute_reason(supply(world, draw - 1), draw=draw) == "DrawNotSunk"
    assert world.execute_reason(supply(world, 10 * ETHER, "weth"), draw=draw) == "DrawNotSunk"
    # the argument promises all, the venue takes only what is owed there
    assert world.execute_reason(Call(world.pool, repay_data(world, MAX)), draw=draw) == "DrawNotSunk"
    swap = Call(world.swap_router, swap_data(world, draw, 49 * ETHER // 10, token_in=world.usdc, token_out=world.weth))
    assert world.execute_reason(swap, draw=draw) == "DrawNotSunk"
    assert world.execute_reason(supply(world, draw), draw=draw) == "PASSED"


def test_execute__draw_beyond_limit_or_cash__refused(world: World) -> None:
    line_limit(world, 1_000 * USDC)
    assert world.execute_reason(supply(world, 1_001 * USDC), draw=1_001 * USDC) == "OverLimit"
    line_limit(world, 20_000_000 * USDC)
    assert world.execute_reason(supply(world, 9_000_000 * USDC), draw=9_000_000 * USDC) == "NoCash"


def test_execute__stale_or_unknown_price__refuses_the_swap(world: World) -> None:
    swap = Call(world.swap_router, swap_data(world, ETHER, 1985 * USDC))
    assert world.execute_reason(swap) == "PASSED"
    world.warp(901)
    assert world.execute_reason(swap) == "StalePrice"
    assert world.execute_reason(supply(world)) == "PASSED"


@pytest.mark.parametrize("answer,age,wanted", [
    (2000 * 10**8, 0, "PASSED"), (0, 0, "StalePrice"), (-1, 0, "StalePrice"), (2000 * 10**8, 61, "StalePrice"),
    (2000 * 10**8, -100, "StalePrice"), (2**97, 0, "StalePrice"), (None, 0, "StalePrice"), (2050 * 10**8, 0, "BadArgument"),
])
def test_execute__feed_answers__unusable_ones_refuse(world: World, answer: int | None, age: int, wanted: str) -> None:
    feed = world.deploy("ScriptedFeed")
    change = call_data("setFeed(address,address,uint32)", world.weth, feed, 60)
    world.send(world.own.rule_book, change, sender=world.lock("planner"))
    if answer is not None:
        world.send(feed, call_data("set(int256,uint256)", answer, world.now() + 1 - age))
    assert world.execute_reason(Call(world.swap_router, swap_data(world, ETHER, 1990 * USDC))) == wanted


def test_restrict__owners_stand_still_while_the_planner_works(world: World) -> None:
    def terms(seconds: int) -> typed.RestrictionTerms:
        return typed.RestrictionTerms(world.own.deployment, world.safe, world.now() + seconds, world.now())

    def data(restriction: typed.RestrictionTerms, names: tuple[str, ...] = PLANNERS[:2]) -> bytes:
        return typed.encode_restrict(restriction, world.sign("Restriction", restriction, names))

    module = world.own.module
    assert world.reason(module, data(terms(DAY + 60))) == "RestrictionTooLong"
    assert world.reason(module, data(terms(3600), TICKETERS[:2])) == "BadSignatures"
    assert world.reason(module, data(replace(terms(3600), deployment="0x" + "55" * 32))) == "WrongDeployment"
    assert world.reason(module, data(replace(terms(3600), as_of=world.now() - 1000))) == "Stale"
    once = data(terms(3600))
    world.send(module, once)
    assert world.reason(module, once) == "AlreadyDone"
    assert world.owner_reason(world.pool, supply_data(world, "usdc", 1)) == "AccountRestricted"
    assert world.owner_reason(module, world.withdraw_data(world.withdrawal())) == "PASSED"
    assert world.owner_reason(module, call_data("requestExit()")) == "PASSED"
    assert world.execute_reason(supply(world)) == "PASSED"
    world.warp(3601)
    assert world.owner_reason(world.pool, supply_data(world, "usdc", 1)) == "PASSED"
