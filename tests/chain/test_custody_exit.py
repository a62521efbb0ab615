"""The client's way out: seven days, objections to thirty at most, past a broken guard and a vanished operator too."""

from __future__ import annotations

import pytest

from chains.contracts import typed
from chains.types import ZERO_ADDRESS, Call
from tests.chain.custody_calls import DAY, OWNERS, PLANNERS, TICKETERS, USDC, bridge_data, call_data, signatures, supply_data
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

NO_GUARD = call_data("setGuard(address)", ZERO_ADDRESS)


def objection(world: World, names: tuple[str, ...] = TICKETERS[:2], age: int = 0) -> bytes:
    terms = typed.ObjectionTerms(world.own.deployment, world.safe, world.now() - age, "0x" + "0e" * 32)
    return typed.encode_object(terms, world.sign("Objection", terms, names))


def exit_at(world: World) -> int:
    return int(world.read(world.own.module, "exitAt(address)", world.safe))


def test_exit__after_seven_days__the_account_is_free_for_good(world: World) -> None:
    world.owner(world.own.module, call_data("requestExit()"))
    assert world.owner_reason(world.own.module, call_data("requestExit()")) == "ExitPending"
    assert world.owner_reason(world.safe, NO_GUARD) == "NotListed"
    world.warp(7 * DAY - 2)
    assert world.owner_reason(world.safe, NO_GUARD) == "NotListed"
    world.warp(2)
    assert world.owner_reason(world.own.module, call_data("cancelExit()")) == "Exited"
    assert world.reason(world.own.module, objection(world)) == "Exited"
    assert world.execute_reason(Call(world.pool, supply_data(world, "usdc", 1))) == "Exited"
    assert world.owner_reason(world.own.module, world.withdraw_data(world.withdrawal())) == "Exited"
    world.owner(world.safe, NO_GUARD)
    world.owner(world.usdc, call_data("transfer(address,uint256)", world.stranger, USDC))


def test_exit__pending__freezes_credit_but_not_payment_or_close_out(world: World) -> None:
    world.owner(world.own.module, call_data("requestExit()"))
    ticket = world.trade(world.route, bridge_data(world.cold, 1))
    assert world.owner_reason(world.own.module, world.trade_data(ticket)) == "ExitPending"
    supply = Call(world.pool, supply_data(world, "usdc", USDC))
    assert world.execute_reason(supply, draw=USDC) == "ExitPending"
    assert world.execute_reason(supply) == "PASSED"
    assert world.owner_reason(world.own.module, world.withdraw_data(world.withdrawal())) == "PASSED"
    world.owner(world.own.module, call_data("cancelExit()"))
    assert exit_at(world) == 0
    assert world.execute_reason(supply, draw=USDC) == "PASSED"
    assert world.owner_reason(world.own.module, call_data("cancelExit()")) == "NoExit"


def test_exit__objections__need_quorum_and_fresh_state_and_end_at_thirty_days(world: World) -> None:
    module = world.own.module
    assert world.reason(module, objection(world)) == "NoExit"
    world.owner(module, call_data("requestExit()"))
    start = world.now()
    spoilt = ((TICKETERS[:1], 0, "BadSignatures"), (PLANNERS[:2], 0, "BadSignatures"), (TICKETERS[:2], 1000, "Stale"))
    for names, age, wanted in spoilt:
        assert world.reason(module, objection(world, names, age)) == wanted
    world.send(module, objection(world))
    assert exit_at(world) == start + 7 * DAY  # three days from now end sooner: nothing is added
    for _ in range(20):
        if world.read(module, "isExited(address)", world.safe, returns="bool"):
            break
        world.send(module, objection(world))
        world.warp(min(2 * DAY, exit_at(world) - world.now()))
    assert world.now() == start + 30 * DAY
    world.owner(world.safe, NO_GUARD)


def test_exit__pauses__do_not_stop_its_clock(world: World) -> None:
    world.owner(world.own.module, call_data("requestExit()"))
    before = exit_at(world)
    for pause in ("pausePlanner()", "pauseTickets()"):
        world.send(world.own.module, call_data(pause), sender=world.guardian)
    assert exit_at(world) == before


def test_exit__broken_guard_and_no_operator__owners_sign_and_anyone_releases(world: World) -> None:
    module = world.own.module
    world.rpc("anvil_setCode", world.own.guard, "0xfe")
    assert world.owner_reason(module, call_data("requestExit()")) != "PASSED"
    digest = world.read(module, "exitDigest(address)", world.safe, returns="bytes32")
    assert digest == typed.digest("Exit", typed.ExitTerms(world.own.deployment, world.safe, 0), world.network.chain_id, module)
    request = "requestExitSigned(address,bytes)"
    assert world.reason(module, call_data(request, world.safe, typed.join(signatures(digest, OWNERS[:1])))) == "GS020"
    signed = call_data(request, world.safe, typed.join(signatures(digest, OWNERS[:2])))
    world.send(module, signed)
    assert world.reason(module, signed) != "PASSED"
    release = call_data("release(address)", world.safe)
    assert world.reason(module, release) == "NotExited"
    world.warp(7 * DAY)
    world.send(module, release)
    world.owner(world.usdc, call_data("transfer(address,uint256)", world.stranger, 1))


def test_exit__signed_request__does_not_serve_twice(world: World) -> None:
    module = world.own.module
    digest = world.read(module, "exitDigest(address)", world.safe, returns="bytes32")
    signed = call_data("requestExitSigned(address,bytes)", world.safe, typed.join(signatures(digest, OWNERS[:2])))
    world.send(module, signed)
    world.owner(module, call_data("cancelExit()"))
    assert world.reason(module, signed) == "GS026"


def test_release__account_that_stays__refused(world: World) -> None:
    assert world.reason(world.own.module, call_data("release(address)", world.safe)) == "NotExited"
