"""The ways out of an account that its owners could sign, each tried on real bytecode and refused for its own reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chains.contracts import typed
from chains.devnet import lib
from chains.types import ZERO_ADDRESS, Address, Call, address
from tests.chain.custody_calls import (
    ETHER,
    MAX,
    OWNERS,
    SENTINEL,
    USDC,
    borrow_data,
    bridge_data,
    call_data,
    repay_data,
    signatures,
    supply_data,
    swap_data,
    who,
)
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

Attempt = Callable[[World], tuple[Address, bytes]]
FAIR = 1985 * USDC


def reserve_token(world: World, name: str, field: str) -> Address:
    """aToken or debt token of a reserve."""
    assert world.network.protocols.aave_v3
    reserve = next(r for r in world.network.protocols.aave_v3.reserves if r.token == name)
    return address(str(getattr(reserve, field)))


def positions(world: World) -> Address:
    assert world.network.protocols.uniswap_v3
    return world.network.protocols.uniswap_v3.position_manager


TOKENS: dict[str, tuple[Attempt, str]] = {
    "transfer": (lambda w: (w.usdc, call_data("transfer(address,uint256)", w.stranger, 1)), "NotListed"),
    "transfer_to_own_recipient": (lambda w: (w.usdc, call_data("transfer(address,uint256)", w.cold, 1)), "NotListed"),
    "transfer_from": (
        lambda w: (w.usdc, call_data("transferFrom(address,address,uint256)", w.safe, w.stranger, 1)), "NotListed"),
    "native_coin_data": (lambda w: (w.stranger, b"\1\2\3"), "NotListed"),
    "approve_stranger": (lambda w: (w.usdc, call_data("approve(address,uint256)", w.stranger, 1)), "BadArgument"),
    "increase_allowance": (
        lambda w: (w.usdc, call_data("increaseAllowance(address,uint256)", w.stranger, 1)), "NotListed"),
    "a_token_transfer": (
        lambda w: (reserve_token(w, "weth", "a_token"), call_data("transfer(address,uint256)", w.stranger, 1)), "NotListed"),
    "debt_delegation": (
        lambda w: (reserve_token(w, "usdc", "variable_debt_token"),
                   call_data("approveDelegation(address,uint256)", w.stranger, MAX)), "NotListed"),
    "set_approval_for_all": (
        lambda w: (positions(w), call_data("setApprovalForAll(address,bool)", w.stranger, True)), "NotListed"),
    "safe_transfer_from": (
        lambda w: (positions(w), call_data("safeTransferFrom(address,address,uint256)", w.safe, w.stranger, 1)), "NotListed"),
}
LENDING: dict[str, tuple[Attempt, str]] = {
    "supply_for_stranger": (lambda w: (w.pool, supply_data(w, "weth", 1, w.stranger)), "BadArgument"),
    "repay_for_stranger": (lambda w: (w.pool, repay_data(w, 1, w.stranger)), "BadArgument"),
    "withdraw_to_stranger": (
        lambda w: (w.pool, call_data("withdraw(address,uint256,address)", w.weth, 1, w.stranger)), "WrongCaller"),
    "withdraw_without_ticket": (
        lambda w: (w.pool, call_data("withdraw(address,uint256,address)", w.weth, 1, w.safe)), "WrongCaller"),
    "borrow_without_ticket": (lambda w: (w.pool, borrow_data(w, USDC)), "WrongCaller"),
    "e_mode_without_ticket": (lambda w: (w.pool, call_data("setUserEMode(uint8)", 1)), "WrongCaller"),
    "collateral_switch_without_ticket": (
        lambda w: (w.pool, call_data("setUserUseReserveAsCollateral(address,bool)", w.weth, False)), "WrongCaller"),
    "flash_loan": (
        lambda w: (w.pool, call_data("flashLoanSimple(address,address,uint256,bytes,uint16)", w.stranger, w.usdc, 1, b"", 0)),
        "NotListed"),
    "supply_unlisted_token": (
        lambda w: (w.pool, call_data("supply(address,uint256,address,uint16)", w.route, 1, w.safe, 0)), "BadArgument"),
    "trailing_bytes": (lambda w: (w.pool, supply_data(w, "weth", 1) + bytes(32)), "WrongLength"),
    "missing_bytes": (lambda w: (w.pool, supply_data(w, "weth", 1)[:-1]), "WrongLength"),
    "dirty_address_bits": (
        lambda w: (w.pool, supply_data(w, "weth", 1)[:68] + b"\1" + supply_data(w, "weth", 1)[69:]), "BadArgument"),
    "line_repay_for_stranger": (
        lambda w: (w.own.credit_line, call_data("repay(address,uint256)", w.stranger, 1)), "BadArgument"),
    "line_draw": (lambda w: (w.own.credit_line, call_data("draw(address,uint256)", w.safe, 1)), "NotListed"),
}
TRADING: dict[str, tuple[Attempt, str]] = {
    "recipient_stranger": (lambda w: (w.swap_router, swap_data(w, ETHER, FAIR, recipient=w.stranger)), "BadArgument"),
    "recipient_zero": (lambda w: (w.swap_router, swap_data(w, ETHER, FAIR, recipient=ZERO_ADDRESS)), "BadArgument"),
    "bad_price": (lambda w: (w.swap_router, swap_data(w, ETHER, 1959 * USDC)), "BadArgument"),
    "no_minimum": (lambda w: (w.swap_router, swap_data(w, ETHER, 0)), "BadArgument"),
    "own_token": (lambda w: (w.swap_router, swap_data(w, ETHER, 2**127, token_out=w.stranger)), "BadArgument"),
    "other_fee_tier": (lambda w: (w.swap_router, swap_data(w, ETHER, FAIR, fee=10_000)), "BadArgument"),
    "absurd_amounts": (lambda w: (w.swap_router, swap_data(w, MAX, MAX)), "BadArgument"),
    "over_the_turnover_of_a_day": (
        lambda w: (w.swap_router, swap_data(w, 2_001 * ETHER, 2_001 * FAIR)), "OverCap"),
    "router_multicall": (lambda w: (w.swap_router, call_data("multicall(bytes[])", [b""])), "NotListed"),
    "router_sweep": (
        lambda w: (w.swap_router, call_data("sweepToken(address,uint256,address)", w.usdc, 0, w.stranger)), "NotListed"),
    "router_unwrap": (lambda w: (w.swap_router, call_data("unwrapWETH9(uint256,address)", 0, w.stranger)), "NotListed"),
    "bridge_without_ticket": (lambda w: (w.route, bridge_data(w.cold, 1)), "WrongCaller"),
    "bridge_with_own_hook": (
        lambda w: (w.route, call_data("transferRemote(uint32,bytes32,uint256,bytes,address)", 1, bytes(32), 1, b"", w.stranger)),
        "NotListed"),
}
ACCOUNT: dict[str, tuple[Attempt, str]] = {
    "enable_module": (lambda w: (w.safe, call_data("enableModule(address)", w.stranger)), "NotListed"),
    "disable_module": (lambda w: (w.safe, call_data("disableModule(address,address)", SENTINEL, w.own.module)), "NotListed"),
    "set_guard": (lambda w: (w.safe, call_data("setGuard(address)", ZERO_ADDRESS)), "NotListed"),
    "set_module_guard": (lambda w: (w.safe, call_data("setModuleGuard(address)", ZERO_ADDRESS)), "NotListed"),
    "set_fallback_handler": (lambda w: (w.safe, call_data("setFallbackHandler(address)", w.usdc)), "NotListed"),
    "swap_owner": (
        lambda w: (w.safe, call_data("swapOwner(address,address,address)", SENTINEL, who(OWNERS[0]), w.stranger)), "NotListed"),
    "add_owner": (lambda w: (w.safe, call_data("addOwnerWithThreshold(address,uint256)", w.stranger, 1)), "NotListed"),
    "change_threshold": (lambda w: (w.safe, call_data("changeThreshold(uint256)", 1)), "NotListed"),
    "module_execute": (lambda w: (w.own.module, w.execute_data(w.action())), "NotListed"),
    "module_release": (lambda w: (w.own.module, call_data("release(address)", w.safe)), "NotListed"),
    "book_admit": (lambda w: (w.own.rule_book, call_data("admit(address,bytes32[])", w.stranger, [])), "NotListed"),
    "unpin_for_another": (
        lambda w: (w.own.rule_book, call_data("unpin(address,bytes32)", w.stranger, bytes(32))), "NotPermitted"),
}


@pytest.mark.parametrize("way", sorted(TOKENS | LENDING | TRADING | ACCOUNT))
def test_owner__way_out__refused_for_its_own_reason(world: World, way: str) -> None:
    attempt, wanted = (TOKENS | LENDING | TRADING | ACCOUNT)[way]
    to, data = attempt(world)
    assert world.owner_reason(to, data) == wanted
    assert world.owner_reason(world.batch, typed.encode_multi_send([Call(to, data)]), operation=1) == wanted


def test_owner__native_coin__refused(world: World) -> None:
    assert world.owner_reason(world.stranger, value=1) == "NotListed"
    assert world.owner_reason(world.cold, value=1) == "NotListed"
    assert world.owner_reason(world.pool, supply_data(world, "weth", 1), value=1) == "TooMuchValue"


def test_owner__fair_swap_and_repayment__pass(world: World) -> None:
    before = world.balance(world.usdc, world.safe)
    world.owner(world.swap_router, swap_data(world, ETHER, FAIR))
    assert world.balance(world.usdc, world.safe) - before >= FAIR
    assert world.owner_reason(world.pool, supply_data(world, "usdc", USDC)) == "PASSED"


def test_owner__churn_of_fair_swaps__ends_at_the_turnover_of_a_day(world: World) -> None:
    book = world.own.rule_book
    world.send(book, call_data("setTurnoverCap(address,uint256)", world.weth, 3 * ETHER), sender=world.lock("owner"))
    for _ in range(3):
        world.owner(world.swap_router, swap_data(world, ETHER, FAIR))
    assert world.owner_reason(world.swap_router, swap_data(world, ETHER, FAIR)) == "OverCap"
    world.warp(8 * 3600)
    # after so long without an answer the feed itself is too old, and says so before the turnover is asked
    assert world.owner_reason(world.swap_router, swap_data(world, ETHER, FAIR)) == "StalePrice"


@pytest.mark.parametrize("library", ["MultiSend", "SignMessageLib"])
def test_owner__delegatecall__refused(world: World, library: str) -> None:
    target = address(str(lib.deploy(world.w3, f"safe/{library}").address))
    data = {"MultiSend": typed.encode_multi_send([Call(world.usdc, b"")]),
            "SignMessageLib": call_data("signMessage(bytes)", b"x")}[library]
    assert world.owner_reason(target, data, operation=1) == "DelegateCallForbidden"
    assert world.owner_reason(world.batch, typed.encode_multi_send([]), operation=1, value=1) == "DelegateCallForbidden"


@pytest.mark.parametrize("refund", range(5))
def test_owner__gas_refund_field__refused(world: World, refund: int) -> None:
    wrong = [1, 1, 1, world.usdc, world.stranger][refund]  # safeTxGas, baseGas, gasPrice, gasToken, refundReceiver
    fields = [0, 0, 0, ZERO_ADDRESS, ZERO_ADDRESS]
    fields[refund] = wrong
    kinds = "address,uint256,bytes,uint8,uint256,uint256,uint256,address,address"
    arguments = [world.pool, 0, supply_data(world, "weth", 1), 0, *fields]
    digest = world.read(world.safe, f"getTransactionHash({kinds},uint256)", *arguments, world.nonce(), returns="bytes32")
    signed = typed.join(signatures(digest, OWNERS[:2]))
    assert world.reason(world.safe, call_data(f"execTransaction({kinds},bytes)", *arguments, signed)) == "RefundForbidden"


def test_stranger__flash_loan_forced_on_the_account__fails_at_the_handler(world: World) -> None:
    data = call_data("flashLoanSimple(address,address,uint256,bytes,uint16)", world.safe, world.usdc, USDC, b"", 0)
    assert world.reason(world.pool, data) != "PASSED"


def test_stranger__call_through_the_fallback__has_no_rights(world: World) -> None:
    ticket = world.withdraw_data(world.withdrawal())
    assert world.reason(world.safe, ticket) != "PASSED"
    assert world.reason(world.safe, call_data("requestExit()")) != "PASSED"
    assert world.reason(world.safe, call_data("transfer(address,uint256)", world.stranger, 1)) != "PASSED"


def test_owner__void_nonce__passes(world: World) -> None:
    before = world.nonce()
    world.owner(world.safe)
    assert world.nonce() == before + 1
