"""Who may change what: two timelocks, the guardian who only tightens, pauses that end by themselves, recipients with a delay."""

from __future__ import annotations

import pytest

from chains import abi
from chains.contracts import typed
from chains.contracts.rules import SPENDERS, Callers
from chains.types import Address, Call
from tests.chain.custody_calls import (
    DAY,
    ETHER,
    OWNERS,
    PLANNERS,
    TICKETERS,
    USDC,
    borrow_data,
    call_data,
    repay_data,
    supply_data,
    swap_data,
    who,
)
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

SET_RULE = "setRule(address,bytes4,(uint8,uint8,uint8,uint8,uint128),(uint8,uint8,bytes32)[])"
APPROVE = abi.selector("approve(address,uint256)")


def rule(target: Address, selector: bytes, callers: int, words: int = 2) -> bytes:
    return call_data(SET_RULE, target, selector, (callers, words, 0xFF, 0xFF, 0), [])


def supply(world: World) -> Call:
    return Call(world.pool, supply_data(world, "usdc", USDC))


def swap(world: World) -> Call:
    return Call(world.swap_router, swap_data(world, ETHER, 1985 * USDC))


def test_rules__planner_right_before_or_after__waits_for_the_longer_lock(world: World) -> None:
    book, owner, planner = world.own.rule_book, world.lock("owner"), world.lock("planner")
    fresh = world.stranger
    for data in (rule(world.usdc, APPROVE, Callers.OWNER), rule(fresh, APPROVE, Callers.PLANNER),
                 rule(world.usdc, APPROVE, Callers.NOBODY)):
        assert world.reason(book, data, sender=owner) == "NotPermitted"
        assert world.reason(book, data, sender=world.guardian) == "NotPermitted"
        assert world.reason(book, data, sender=planner) == "PASSED"
    owners_only = rule(fresh, APPROVE, Callers.OWNER)
    assert world.reason(book, owners_only, sender=owner) == "PASSED"
    assert world.reason(book, owners_only, sender=planner) == "NotPermitted"


def test_rules__on_the_account_itself__admit_nothing(world: World) -> None:
    selector = abi.selector("setGuard(address)")
    for lock, callers in (("owner", Callers.OWNER), ("planner", Callers.PLANNER)):
        world.send(world.own.rule_book, rule(world.safe, selector, callers, 1), sender=world.lock(lock))
    data = selector + bytes(32)
    assert world.owner_reason(world.safe, data) == "NotListed"
    assert world.execute_reason(Call(world.safe, data)) == "NotListed"


def test_rules__struck_by_the_guardian__come_back_only_through_a_lock(world: World) -> None:
    book = world.own.rule_book
    strike = call_data("strike(address,bytes4)", world.usdc, APPROVE)
    assert world.reason(book, strike) == "NotPermitted"
    world.send(book, strike, sender=world.guardian)
    approve = call_data("approve(address,uint256)", world.pool, 1)
    assert world.owner_reason(world.usdc, approve) == "NotListed"
    back = rule(world.usdc, APPROVE, Callers.OWNER | Callers.PLANNER)
    assert world.reason(book, back, sender=world.lock("owner")) == "NotPermitted"
    world.send(book, back, sender=world.lock("planner"))
    assert world.owner_reason(world.usdc, approve) == "PASSED"


@pytest.mark.parametrize("words,token,amount,checks", [
    (2, 2, 0xFF, []), (2, 0xFF, 2, []), (2, 0, 1, [(0, 2, bytes(32))]), (2, 0, 1, [(3, 0, (3).to_bytes(32, "big"))]),
    (6, 0, 5, [(6, 0, (6 << 24).to_bytes(32, "big"))]),
])
def test_rules__check_outside_the_arguments__cannot_be_set(
    world: World, words: int, token: int, amount: int, checks: list[tuple[int, int, bytes]]
) -> None:
    data = call_data(SET_RULE, world.stranger, APPROVE, (1, words, token, amount, 0), checks)
    assert world.reason(world.own.rule_book, data, sender=world.lock("owner")) == "WrongLength"


def test_sets__read_by_the_planner__loosen_slowly_and_tighten_at_once(world: World) -> None:
    book = world.own.rule_book
    change = "setMember(bytes32,bytes32,bool)"
    add = call_data(change, SPENDERS, typed.local_pin(world.stranger), True)
    for sender in (world.stranger, world.guardian, world.lock("owner"), world.accounts[0]):
        assert world.reason(book, add, sender=sender) == "NotPermitted"
    assert world.reason(book, call_data(change, bytes(32), bytes(32), True), sender=world.lock("owner")) == "PASSED"
    world.send(book, add, sender=world.lock("planner"))
    approve = call_data("approve(address,uint256)", world.stranger, 1)
    assert world.owner_reason(world.usdc, approve) == "PASSED"
    remove = call_data(change, SPENDERS, typed.local_pin(world.stranger), False)
    assert world.reason(book, remove) == "NotPermitted"
    world.send(book, remove, sender=world.guardian)
    assert world.owner_reason(world.usdc, approve) == "BadArgument"


def test_feeds__guardian_takes_away_but_cannot_set(world: World) -> None:
    book, change = world.own.rule_book, "setFeed(address,address,uint32)"
    feed = world.network.feeds["eth_usd"].proxy
    for sender in (world.guardian, world.lock("owner")):
        assert world.reason(book, call_data(change, world.usdc, feed, 60), sender=sender) == "NotPermitted"
    world.send(book, call_data(change, world.weth, "0x" + "00" * 20, 0), sender=world.guardian)
    assert world.execute_reason(swap(world)) == "StalePrice"


def test_factory__named_once__never_again(world: World) -> None:
    change = call_data("setFactory(address)", world.stranger)
    assert world.reason(world.own.rule_book, change, sender=world.lock("planner")) == "NotPermitted"
    assert world.reason(world.own.rule_book, call_data("admit(address,bytes32[])", world.stranger, [])) == "NotPermitted"


ADMIN: dict[str, tuple[str, str, tuple[object, ...], str]] = {
    "planner_keys": ("module", "setKeys(uint8,address[],address[],uint256)", (0, [], [], 1), "planner"),
    "ticket_keys": ("module", "setKeys(uint8,address[],address[],uint256)", (1, [], [], 1), "owner"),
    "planner_caps": ("module", "setCap(uint8,address,uint256,uint256)", (0, "0x" + "77" * 20, 1, 1), "planner"),
    "ticket_caps": ("module", "setCap(uint8,address,uint256,uint256)", (1, "0x" + "77" * 20, 1, 1), "owner"),
    "line": ("module", "setLine(address)", ("0x" + "77" * 20,), "planner"),
    "lift_planner_pause": ("module", "liftPlannerPause()", (), "planner"),
    "lift_tickets_pause": ("module", "liftTicketsPause()", (), "owner"),
    "turnover": ("rule_book", "setTurnoverCap(address,uint256)", ("0x" + "77" * 20, 1), "owner"),
    "guardian": ("rule_book", "setGuardian(address)", ("0x" + "77" * 20,), "planner"),
    "owner_lock": ("rule_book", "setOwnerLock(address)", ("0x" + "77" * 20,), "owner"),
    "planner_lock": ("rule_book", "setPlannerLock(address)", ("0x" + "77" * 20,), "planner"),
    "line_rates": ("credit_line", "setRates((uint128,uint128,uint128,uint96,uint16))", ((1, 1, 1, 1, 1),), "owner"),
    "line_limit": ("credit_line", "setLimit(address,uint256)", ("0x" + "77" * 20, 10**18), "owner"),
    "line_total": ("credit_line", "setTotalLimit(uint256)", (10**18,), "owner"),
    "write_off": ("credit_line", "writeOff(address)", ("0x" + "77" * 20,), "planner"),
    "take_backstop": ("credit_line", "takeBackstop(address,uint256)", ("0x" + "77" * 20, 0), "planner"),
}


@pytest.mark.parametrize("name", sorted(ADMIN))
def test_change__by_anyone_but_its_own_lock__refused(world: World, name: str) -> None:
    where, signature, arguments, lock = ADMIN[name]
    target, data = getattr(world.own, where), call_data(signature, *arguments)
    other = "owner" if lock == "planner" else "planner"
    for sender in (world.stranger, world.accounts[0], world.guardian, world.lock(other), world.safe):
        assert world.reason(target, data, sender=world.impersonate(sender)) == "NotPermitted"
    assert world.reason(target, data, sender=world.lock(lock)) == "PASSED"


def test_keys__revoked_by_the_guardian__sign_no_more_and_sets_stay_disjoint(world: World) -> None:
    module = world.own.module
    revoke = call_data("revokeKey(uint8,address)", 0, who(PLANNERS[0]))
    assert world.reason(module, revoke) == "NotPermitted"
    world.send(module, revoke, sender=world.guardian)
    assert world.execute_reason(supply(world)) == "BadSignatures"
    assert world.execute_reason(supply(world), names=PLANNERS[1:]) == "PASSED"
    both = call_data("setKeys(uint8,address[],address[],uint256)", 0, [who(TICKETERS[0])], [], 2)
    assert world.reason(module, both, sender=world.lock("planner")) == "NotPermitted"


def test_pause_of_the_planner__lets_only_calm_actions_through_and_ends(world: World) -> None:
    module = world.own.module
    world.owner(module, world.trade_data(world.trade(world.pool, borrow_data(world, 1000 * USDC))))
    assert world.reason(module, call_data("pausePlanner()")) == "NotPermitted"
    world.send(module, call_data("pausePlanner()"), sender=world.guardian)
    assert world.execute_reason(swap(world)) == "IsPaused"
    assert world.execute_reason(supply(world), swap(world)) == "IsPaused"
    withdraw = Call(world.pool, call_data("withdraw(address,uint256,address)", world.weth, 1, world.safe))
    assert world.execute_reason(withdraw) == "IsPaused"
    calm = (supply(world), Call(world.pool, repay_data(world, USDC)),
            Call(world.usdc, call_data("approve(address,uint256)", world.pool, 5 * USDC)))
    assert world.execute_reason(*calm) == "PASSED"
    assert world.execute_reason(supply(world), draw=USDC) == "PASSED"
    assert world.owner_reason(module, world.withdraw_data(world.withdrawal())) == "PASSED"
    world.warp(6 * 3600)
    assert world.reason(module, call_data("pausePlanner()"), sender=world.guardian) == "PausedLately"
    assert world.execute_reason(withdraw) == "PASSED"
    world.warp(12 * 3600)
    assert world.reason(module, call_data("pausePlanner()"), sender=world.guardian) == "PASSED"


def test_pause_of_tickets__stops_value_leaving_and_new_risk_but_no_trading(world: World) -> None:
    module = world.own.module
    assert world.reason(module, call_data("pauseTickets()")) == "NotPermitted"
    world.send(module, call_data("pauseTickets()"), sender=world.guardian)
    assert world.owner_reason(module, world.withdraw_data(world.withdrawal())) == "IsPaused"
    assert world.owner_reason(module, world.trade_data(world.trade(world.pool, borrow_data(world, 1)))) == "IsPaused"
    assert world.owner_reason(world.pool, supply_data(world, "usdc", 1)) == "PASSED"
    assert world.owner_reason(module, call_data("requestExit()")) == "PASSED"
    assert world.execute_reason(swap(world)) == "PASSED"
    world.warp(3 * DAY)
    assert world.owner_reason(module, world.withdraw_data(world.withdrawal())) == "PASSED"
    assert world.reason(module, call_data("pauseTickets()"), sender=world.guardian) == "PausedLately"
    world.warp(6 * DAY)
    assert world.reason(module, call_data("pauseTickets()"), sender=world.guardian) == "PASSED"


def test_pin__new_recipient__counts_after_its_delay_or_at_birth(world: World) -> None:
    book, module = world.own.rule_book, world.own.module
    wanted = world.accounts[6]
    world.warp(2 * 3600)
    world.owner(book, call_data("requestPin(bytes32)", typed.local_pin(wanted)))
    assert world.owner_reason(module, world.withdraw_data(world.withdrawal(recipient=wanted))) == "NotPinned"
    world.warp(2 * DAY)
    assert world.owner_reason(module, world.withdraw_data(world.withdrawal(recipient=wanted))) == "PASSED"
    world.send(book, call_data("unpin(address,bytes32)", world.safe, typed.local_pin(wanted)), sender=world.guardian)
    assert world.owner_reason(module, world.withdraw_data(world.withdrawal(recipient=wanted))) == "NotPinned"


def test_pin__newborn_account__names_its_siblings_within_the_hour(world: World) -> None:
    owners = [who(name) for name in OWNERS]
    born = world.birth(owners, 2, [], 77)
    sibling = typed.remote_pin(71003, world.accounts[5])
    world.owner(world.own.rule_book, call_data("requestPin(bytes32)", sibling), safe=born)
    assert world.read(world.own.rule_book, "isPinned(address,bytes32)", born, sibling, returns="bool")
    world.warp(3601)
    late = typed.remote_pin(71003, world.accounts[4])
    world.owner(world.own.rule_book, call_data("requestPin(bytes32)", late), safe=born)
    assert not world.read(world.own.rule_book, "isPinned(address,bytes32)", born, late, returns="bool")
    world.send(world.own.rule_book, call_data("requestPin(bytes32)", late))  # a stranger pins for itself alone, and slowly
    assert not world.read(world.own.rule_book, "isPinned(address,bytes32)", world.stranger, late, returns="bool")


def test_timelock__change_before_its_delay__refused(world: World) -> None:
    governor = world.impersonate(who("governor"))
    change = call_data("setTurnoverCap(address,uint256)", world.weth, 1)
    for lock, delay, wanted in ((world.own.owner_lock, 2 * DAY, "PASSED"), (world.own.planner_lock, 9 * DAY, "NotPermitted")):
        plan = (world.own.rule_book, 0, change, bytes(32), bytes(32))
        kinds = "(address,uint256,bytes,bytes32,bytes32{})"
        schedule = call_data("schedule" + kinds.format(",uint256"), *plan, delay)
        execute = call_data("execute" + kinds.format(""), *plan)
        early = call_data("schedule" + kinds.format(",uint256"), *plan, delay - 1)
        assert world.reason(lock, early, sender=governor) == "TimelockInsufficientDelay"
        assert world.reason(lock, schedule) == "AccessControlUnauthorizedAccount"
        world.send(lock, schedule, sender=governor)
        world.warp(delay - 10)
        assert world.reason(lock, execute) == "TimelockUnexpectedOperationState"
        world.warp(10)
        assert world.reason(lock, execute) == wanted
