"""Tickets: value leaves only with the owners' threshold and the engine's quorum, once, to a recipient the client pinned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from chains.contracts import typed
from chains.types import ZERO_ADDRESS, Call
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
    supply_data,
)
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

WITHDRAWN = "Withdrawn(address,address,uint256,address,uint256,bytes32)"
Spoil = Callable[[World], bytes]


def test_withdraw__with_ticket__pays_in_full_and_tells_the_basis(world: World) -> None:
    terms = world.withdrawal()
    before = world.balance(world.usdc, world.cold)
    receipt = world.owner(world.own.module, world.withdraw_data(terms))
    assert world.balance(world.usdc, world.cold) - before == terms.amount
    logs = [log for log in receipt["logs"] if log["address"].lower() == world.own.module]
    assert [log["topics"][0] for log in logs] == [world.w3.keccak(text=WITHDRAWN).to_0x_hex()]
    assert logs[0]["data"].endswith(terms.basis[2:])


def test_withdraw__native_coin__pays_in_full(world: World) -> None:
    terms = world.withdrawal(token=ZERO_ADDRESS, amount=ETHER)
    before = world.w3.eth.get_balance(world.w3.to_checksum_address(world.cold))
    world.owner(world.own.module, world.withdraw_data(terms))
    assert world.w3.eth.get_balance(world.w3.to_checksum_address(world.cold)) - before == ETHER


SPOILT: dict[str, tuple[Spoil, str]] = {
    "expired": (lambda w: w.withdraw_data(w.withdrawal(expiry=w.now() - 1)), "Expired"),
    "old_state": (lambda w: w.withdraw_data(w.withdrawal(as_of=w.now() - 902)), "Stale"),
    "state_from_the_future": (lambda w: w.withdraw_data(w.withdrawal(as_of=w.now() + 8)), "Stale"),
    "recipient_not_pinned": (lambda w: w.withdraw_data(w.withdrawal(recipient=w.stranger)), "NotPinned"),
    "recipient_of_another_network": (
        lambda w: w.withdraw_data(w.withdrawal(recipient="0x" + typed.remote_pin(REMOTE, w.cold)[12:].hex())), "NotPinned"),
    "changed_amount": (
        lambda w: typed.encode_withdraw(replace(w.withdrawal(), amount=1), w.sign("Withdrawal", w.withdrawal(), TICKETERS[:2])),
        "BadSignatures"),
    "changed_basis": (
        lambda w: typed.encode_withdraw(replace(w.withdrawal(), basis=typed.NO_HASH),
                                        w.sign("Withdrawal", w.withdrawal(), TICKETERS[:2])), "BadSignatures"),
    "another_network": (lambda w: w.withdraw_data(w.withdrawal(), chain_id=REMOTE), "BadSignatures"),
    "another_module": (lambda w: w.withdraw_data(w.withdrawal(), module=w.stranger), "BadSignatures"),
    "another_deployment": (lambda w: w.withdraw_data(w.withdrawal(deployment="0x" + "11" * 32)), "WrongDeployment"),
    "one_signature": (lambda w: w.withdraw_data(w.withdrawal(), TICKETERS[:1]), "BadSignatures"),
    "three_signatures": (lambda w: w.withdraw_data(w.withdrawal(), TICKETERS), "BadSignatures"),
    "planner_keys": (lambda w: w.withdraw_data(w.withdrawal(), PLANNERS[:2]), "BadSignatures"),
    "one_planner_key": (lambda w: w.withdraw_data(w.withdrawal(), (TICKETERS[0], PLANNERS[0])), "BadSignatures"),
    "over_the_cap": (lambda w: w.withdraw_data(w.withdrawal(amount=5_000_001 * USDC)), "OverCap"),
    "no_token_there": (lambda w: w.withdraw_data(w.withdrawal(token=w.stranger, amount=0)), "CallFailed"),
    "later_nonce": (lambda w: w.withdraw_data(w.withdrawal(nonce=w.nonce() + 1)), "WrongNonce"),
    "earlier_nonce": (lambda w: w.withdraw_data(w.withdrawal(nonce=w.nonce() - 1)), "WrongNonce"),
}


@pytest.mark.parametrize("spoilt", sorted(SPOILT))
def test_withdraw__spoilt_ticket__refused_for_its_own_reason(world: World, spoilt: str) -> None:
    make, wanted = SPOILT[spoilt]
    assert world.owner_reason(world.own.module, make(world)) == wanted


def test_withdraw__one_signer_twice__refused(world: World) -> None:
    terms = world.withdrawal()
    data = world.withdraw_data(terms)
    one = next(iter(world.sign("Withdrawal", terms, TICKETERS[:1]).values()))
    start = len(data) - 160  # the signatures: two of 65 bytes, padded to 160
    assert world.owner_reason(world.own.module, data[:start] + one + one + bytes(30)) == "BadSignatures"


def test_withdraw__ticket_used_before__refused(world: World) -> None:
    data = world.withdraw_data(world.withdrawal())
    world.owner(world.own.module, data)
    assert world.owner_reason(world.own.module, data) == "AlreadyDone"
    twice = typed.encode_multi_send([Call(world.own.module, world.withdraw_data(world.withdrawal(as_of=world.now())))] * 2)
    assert world.owner_reason(world.batch, twice, operation=1) == "AlreadyDone"


def test_withdraw__owner_transaction_in_between__voids_the_ticket(world: World) -> None:
    data = world.withdraw_data(world.withdrawal())
    world.owner(world.pool, supply_data(world, "weth", 1))
    assert world.owner_reason(world.own.module, data) == "WrongNonce"


def test_withdraw__sent_by_a_stranger__refused(world: World) -> None:
    data = world.withdraw_data(world.withdrawal())
    assert world.reason(world.own.module, data) == "NotTheAccount"
    assert world.reason(world.own.module, data, sender=world.cold) == "NotTheAccount"


def test_withdraw__cap__refills_with_time(world: World) -> None:
    world.owner(world.own.module, world.withdraw_data(world.withdrawal(amount=4_000_000 * USDC)))
    assert world.owner_reason(world.own.module, world.withdraw_data(world.withdrawal(amount=2_000_000 * USDC))) == "OverCap"
    world.warp(DAY // 2)
    world.owner(world.own.module, world.withdraw_data(world.withdrawal(amount=2_000_000 * USDC)))


def test_trade__borrow_with_ticket__passes_once(world: World) -> None:
    before = world.balance(world.usdc, world.safe)
    data = world.trade_data(world.trade(world.pool, borrow_data(world, 5_000 * USDC)))
    world.owner(world.own.module, data)
    assert world.balance(world.usdc, world.safe) - before == 5_000 * USDC
    assert world.owner_reason(world.own.module, data) == "AlreadyDone"


def test_trade__ticketed_calls__stay_inside_the_rules(world: World) -> None:
    refused = {
        "NotListed": (world.usdc, call_data("transfer(address,uint256)", world.stranger, 1)),
        "WrongCaller": (world.usdc, call_data("approve(address,uint256)", world.pool, 1)),
        "BadArgument": (world.route, bridge_data(world.stranger, USDC)),
    }
    for wanted, (to, data) in refused.items():
        assert world.owner_reason(world.own.module, world.trade_data(world.trade(to, data))) == wanted
    wrong_domain = world.trade(world.route, bridge_data(world.cold, USDC, domain=5))
    assert world.owner_reason(world.own.module, world.trade_data(wrong_domain)) == "BadArgument"


def test_trade__bridge_to_own_recipient__passes_within_the_cap(world: World) -> None:
    rich = world.network.protocols.uniswap_v3.pools[1].address if world.network.protocols.uniswap_v3 else ZERO_ADDRESS
    world.send(world.route, call_data("transfer(address,uint256)", world.safe, 1_000 * USDC), sender=world.impersonate(rich))
    world.owner(world.own.module, world.trade_data(world.trade(world.route, bridge_data(world.cold, 400 * USDC))))
    assert world.balance(world.route, world.safe) == 600 * USDC
    over = world.trade(world.route, bridge_data(world.cold, 5_000_001 * USDC))
    assert world.owner_reason(world.own.module, world.trade_data(over)) == "OverCap"
    paid = world.trade(world.route, bridge_data(world.cold, USDC), value=10**17 + 1)
    assert world.owner_reason(world.own.module, world.trade_data(paid)) == "TooMuchValue"


def test_trade__taking_collateral_out__needs_and_takes_a_ticket(world: World) -> None:
    inner = call_data("withdraw(address,uint256,address)", world.weth, MAX, world.safe)
    before = world.balance(world.weth, world.safe)
    world.owner(world.own.module, world.trade_data(world.trade(world.pool, inner)))
    assert world.balance(world.weth, world.safe) - before >= 1_000 * ETHER
    stolen = call_data("withdraw(address,uint256,address)", world.weth, 1, world.stranger)
    assert world.owner_reason(world.own.module, world.trade_data(world.trade(world.pool, stolen))) == "BadArgument"
