"""The rule table: chain and file hold the same, and the Python twin refuses what the book refuses, by the same name."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from web3 import Web3

from chains import abi
from chains.contracts import artifacts, reasons, typed
from chains.contracts.explain import Account, Price, Refused, check
from chains.contracts.rules import NONE, SPENDERS, Callers, Kind, Rule, Table, differences, queries, table, word
from chains.devnet import anvil, bake, lib
from chains.devnet.layout import NETWORKS
from chains.networks.network import Network
from chains.types import Call
from tests.chain.custody_calls import ETHER, REMOTE, USDC, bridge_data, call_data, repay_data, supply_data, swap_data
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

TRIES = 250
OWN = {"factory": "AccountFactory", "rule_book": "RuleBook", "guard": "MarginGuard", "module": "MarginModule",
       "handler": "PrimeHandler", "installer": "Installer", "credit_line": "CreditLine", "owner_lock": "TimelockController",
       "planner_lock": "TimelockController"}


def answers(ask: Web3, network: Network, wanted: Table) -> list[bytes]:
    assert network.protocols.isthmus
    book = network.protocols.isthmus.rule_book
    found = [lib.rpc(ask, "eth_call", {"to": book, "data": "0x" + data.hex()}, "latest") for _, data in queries(wanted)]
    return [bytes.fromhex(answer[2:]) for answer in found]


@pytest.mark.parametrize("chain_id", sorted(NETWORKS))
def test_rules__of_every_local_network__stand_on_chain_as_in_the_table(chain_id: int) -> None:
    network = Network.model_validate(bake.tables()[chain_id])
    with anvil.running(NETWORKS[chain_id], state=bake.states()[chain_id], mine=False) as url:
        w3 = lib.connect(url, chain_id)
        wanted = table(network)
        assert differences(wanted, answers(w3, network, wanted)) == ()
        for field, name in OWN.items():
            where = getattr(network.protocols.isthmus, field)
            code = bytes.fromhex(lib.rpc(w3, "eth_getCode", where, "latest")[2:])
            assert artifacts.load(name).matches(code), field
            assert not artifacts.load("ModuleFence").matches(code)


def test_differences__rule_struck_member_and_feed_gone__each_is_named(world: World) -> None:
    wanted = table(world.network)
    book, usdc = world.own.rule_book, world.usdc
    approve = abi.selector("approve(address,uint256)")
    for data in (call_data("strike(address,bytes4)", usdc, approve),
                 call_data("setMember(bytes32,bytes32,bool)", SPENDERS, word(world.pool), False),
                 call_data("setFeed(address,address,uint32)", usdc, "0x" + "00" * 20, 0)):
        world.send(book, data, sender=world.guardian)
    found = differences(wanted, answers(world.w3, world.network, wanted))
    assert len(found) == 3
    assert found[0] == f"rule approve(address,uint256) of {usdc}"
    assert found[1].startswith("member ") and found[2] == f"feed of {usdc}"


def account(world: World) -> Account:
    usd = Price(10**8, 14)
    prices = {world.usdc: usd, world.route: usd, world.weth: Price(2000 * 10**8, 26)}
    pins = frozenset({typed.local_pin(world.cold), typed.remote_pin(REMOTE, world.cold)})
    return Account(world.safe, pins, prices)


def bases(world: World) -> list[Call]:
    """One admissible call per kind."""
    found = [(world.usdc, call_data("approve(address,uint256)", world.pool, 5)), (world.pool, supply_data(world, "weth", 7)),
             (world.pool, repay_data(world, 7)), (world.swap_router, swap_data(world, ETHER, 1985 * USDC)),
             (world.swap_router, swap_data(world, ETHER, 1960 * USDC)), (world.route, bridge_data(world.cold, 9)),
             (world.pool, call_data("withdraw(address,uint256,address)", world.weth, 1, world.safe)),
             (world.pool, call_data("setUserEMode(uint8)", 1)),
             (world.own.credit_line, call_data("repay(address,uint256)", world.safe, 3))]
    return [Call(to, data) for to, data in found]


def attempts(world: World, draw: random.Random) -> Iterator[tuple[Callers, Call]]:
    """Admissible calls and ones spoilt in caller, target, value, length or one word."""
    words = [word(0), word(1), word(2), word(5), word(2**255), word(world.safe), word(world.cold), word(world.stranger),
             word(world.pool), word(world.usdc), word(world.weth), word(REMOTE), word(1959 * USDC), word(3000)]
    for _ in range(TRIES):
        call, caller = draw.choice(bases(world)), draw.choice([Callers.OWNER, Callers.TICKET, Callers.PLANNER])
        to, data, value = call.to, call.data, 0
        kind = draw.randrange(8)
        if kind < 5:
            at = draw.randrange((len(data) - 4) // 32)
            data = data[: 4 + 32 * at] + draw.choice(words) + data[36 + 32 * at :]
        elif kind == 5:
            data = draw.choice([data[:3], data[:-1], data + b"\0", b"\1\2\3\4" + data[4:], b""])
        elif kind == 6:
            to, value = draw.choice([(world.safe, 0), (world.stranger, 0), (to, 1), (to, 10**17), (to, 10**17 + 1)])
        yield caller, Call(to, data, value)


def verdict(wanted: Table, caller: Callers, known: Account, call: Call) -> str:
    try:
        moved = check(wanted, caller, known, call)
    except Refused as refusal:
        assert refusal.name in str(refusal)
        return refusal.name
    return f"{moved.token} {moved.atoms} {int(moved.callers)}"


@pytest.mark.parametrize("gone", ["", "weth", "usdc"])
def test_explain__spoilt_calls__agrees_with_the_contract(world: World, gone: str) -> None:
    wanted, names = table(world.network), set()
    known = account(world)
    if gone:
        feed = call_data("setFeed(address,address,uint32)", world.token(gone), "0x" + "00" * 20, 0)
        world.send(world.own.rule_book, feed, sender=world.guardian)
        known = replace(known, prices={token: price for token, price in known.prices.items() if token != world.token(gone)})
    kinds = "check(address,uint8,address,uint256,bytes)"
    for caller, call in attempts(world, random.Random(11)):
        data = call_data(kinds, world.safe, int(caller), call.to, call.value, call.data)
        reverted = world.revert_data({"to": world.own.rule_book, "data": "0x" + data.hex()})
        if reverted is None:
            raw = world.rpc("eth_call", {"to": world.own.rule_book, "data": "0x" + data.hex()}, "latest")[2:]
            token = "0x" + raw[24:64] if int(raw[:64], 16) else None
            on_chain = f"{token} {int(raw[64:128], 16)} {int(raw[128:192], 16)}"
        else:
            reason = reasons.of_data(reverted)
            assert reason
            on_chain = reason.name
        assert verdict(wanted, caller, known, call) == on_chain, (caller, call)
        names.add(on_chain.split(" ")[0])
    assert {"NotListed", "WrongCaller", "WrongLength", "TooMuchValue", "BadArgument", world.route} <= names
    assert ("StalePrice" in names) == bool(gone)


def test_table__planner_rules__hold_no_transfer_and_only_own_recipients(world: World) -> None:
    def guarded(rule: Rule) -> bool:
        kinds = {item.kind for item in rule.checks}
        return bool(kinds & {Kind.SELF, Kind.PINNED}) or rule.signature == "approve(address,uint256)"

    planner = [rule for rule in table(world.network).rules if rule.callers & Callers.PLANNER]
    assert planner and all(guarded(rule) for rule in planner)
    assert not any("transfer(" in rule.signature or "transferFrom(" in rule.signature for rule in planner)
    moving = [rule for rule in planner if not rule.callers & Callers.UNCAPPED and rule.amount_word != NONE]
    assert {rule.target for rule in moving} == {world.swap_router, world.route}
