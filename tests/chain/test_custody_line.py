"""The credit line: only the module draws, interest exact to the atom, losses fall in order, shares that nobody can inflate."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_hash.auto import keccak

from chains.types import Address, address
from tests.chain.custody_calls import DAY, MAX, USDC, call_data, who
from tests.chain.custody_world import World
from tests.chain.line_model import RAY, LineModel

pytestmark = pytest.mark.chain

EVENTS = {
    bytes(keccak(text.encode())): text
    for text in (
        "Drawn(address,uint256,uint256,uint256)", "Repaid(address,address,uint256,uint256,uint256)",
        "IndexUpdated(uint256,uint256,uint256)", "Funded(address,uint256,uint256)", "Defunded(address,uint256,uint256)",
        "BadDebt(address,uint256,uint256,uint256,uint256)",
    )
}


class Line:
    """The deployed line with its model beside it."""

    def __init__(self, world: World) -> None:
        self.world, self.at = world, world.own.credit_line
        raw = world.rpc("eth_call", {"to": self.at, "data": "0x" + call_data("rates()").hex()}, "latest")
        base, slope, steep, kink, reserve = decode(["uint256"] * 5, bytes.fromhex(raw[2:]))
        lender = who("lender-0")
        self.model = self.read((base, slope, steep, kink, reserve), {lender: self.get("sharesOf(address)", lender)}, {})
        self.module = world.impersonate(world.own.module)
        self.receipts: list[Mapping[str, Any]] = []
        self.fund((world.accounts[5], world.accounts[6]))

    def read(self, rates: tuple[int, int, int, int, int], shares: dict[str, int], scaled: dict[str, int]) -> LineModel:
        """A model that starts where the contract stands."""
        names = ("index", "rate", "time", "cash", "penaltyFund", "backstop")
        index, rate, time, cash, penalty, backstop = (self.get(f"{name}()") for name in names)
        return LineModel(rates, index, rate, time, cash, penalty, backstop, shares, scaled)

    def fund(self, lenders: Iterable[Address]) -> None:
        for lender in lenders:
            self.world.mint("usdc", lender, 50_000_000 * USDC)
            self.world.send(self.world.usdc, call_data("approve(address,uint256)", self.at, MAX), sender=lender)

    def get(self, signature: str, *arguments: Any) -> int:
        return int(self.world.read(self.at, signature, *arguments))

    def act(self, sender: Address, signature: str, *arguments: Any) -> int:
        """Sends and returns the time of the block."""
        self.receipts.append(self.world.send(self.at, call_data(signature, *arguments), sender=sender))
        return self.world.now()

    def check(self, safes: Iterable[Address]) -> None:
        model, now = self.model, self.world.now()
        assert self.get("index()") == model.index and self.get("rate()") == model.rate and self.get("time()") == model.time
        assert self.get("cash()") == model.cash and self.get("penaltyFund()") == model.penalty
        assert self.get("totalScaled()") == sum(model.scaled.values())
        for safe in safes:
            assert self.get("scaledOf(address)", safe) == model.scaled.get(safe, 0)
            assert self.get("debtOf(address)", safe) == model.debt(safe, now)
        for lender, shares in model.shares.items():
            assert self.get("sharesOf(address)", lender) == shares

    def events(self) -> list[tuple[str, list[bytes], tuple[int, ...]]]:
        """(name, indexed words, numbers) of everything the line told."""
        found = []
        for receipt in self.receipts:
            for log in receipt["logs"]:
                topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
                if address(log["address"]) == self.at and topics[0] in EVENTS:
                    data = bytes.fromhex(log["data"][2:])
                    numbers = decode(["uint256"] * (len(data) // 32), data)
                    found.append((EVENTS[topics[0]].split("(")[0], topics[1:], numbers))
        return found


def test_line__random_life__equals_the_model_and_its_events_tell_all(world: World) -> None:
    line, draw = Line(world), random.Random(3)
    safes = [world.safe, world.accounts[3], world.accounts[4]]
    lenders = [world.accounts[5], world.accounts[6]]
    for _ in range(60):
        world.warp(draw.choice([1, 60, DAY, 90 * DAY]))
        safe, lender = draw.choice(safes), draw.choice(lenders)
        kind = draw.choice(["draw", "draw", "repay", "repay_all", "deposit", "withdraw"])
        model = line.model
        if kind == "draw" and model.cash > 10 and model.debt(safe, world.now()) < 2_000_000 * USDC:
            atoms = draw.randrange(1, min(model.cash, 1_000_000 * USDC))
            model.draw(safe, atoms, line.act(line.module, "draw(address,uint256)", safe, atoms))
        elif kind.startswith("repay"):
            atoms = MAX if kind == "repay_all" else draw.randrange(1, 500_000 * USDC)
            model.repay(safe, atoms, line.act(lenders[0], "repay(address,uint256)", safe, atoms))
        elif kind == "deposit":
            atoms = draw.randrange(1, 2_000_000 * USDC)
            model.deposit(lender, atoms, line.act(lender, "deposit(uint256)", atoms))
        elif kind == "withdraw" and 0 < model.worth(shares := model.shares.get(lender, 0) // 3) < model.cash * 9 // 10:
            model.withdraw(lender, shares, line.act(lender, "withdraw(uint256)", shares))
        line.check(safes)
    scaled = dict.fromkeys(safes, 0)
    for name, words, numbers in line.events():
        if name in ("Drawn", "Repaid"):
            scaled[address("0x" + words[0][12:].hex())] += numbers[1] if name == "Drawn" else -numbers[1]
    assert scaled == {safe: line.get("scaledOf(address)", safe) for safe in safes}
    last = [numbers for name, _, numbers in line.events() if name == "IndexUpdated"][-1]
    assert list(last) == [line.model.index, line.model.rate, line.model.time]
    assert line.get("cash()") + line.get("backstop()") == world.balance(world.usdc, line.at)


def test_draw__by_anyone_but_the_module__refused(world: World) -> None:
    data = call_data("draw(address,uint256)", world.safe, 1)
    for sender in (world.stranger, world.safe, world.guardian, world.lock("planner"), world.lock("owner"), who("lender-0")):
        assert world.reason(world.own.credit_line, data, sender=world.impersonate(sender)) == "NotPermitted"


def test_draw__beyond_account_or_total_limit__refused(world: World) -> None:
    line = Line(world)
    guardian, owner = world.guardian, world.lock("owner")
    draw = call_data("draw(address,uint256)", world.safe, 100 * USDC + 1)
    for change in ("setLimit(address,uint256)", "setTotalLimit(uint256)"):
        mark = world.rpc("evm_snapshot")
        arguments = (world.safe, 100 * USDC) if "address" in change else (100 * USDC,)
        world.send(line.at, call_data(change, *arguments), sender=guardian)
        assert world.reason(line.at, draw, sender=line.module) == "OverLimit"
        higher = (*arguments[:-1], 200 * USDC)
        assert world.reason(line.at, call_data(change, *higher), sender=guardian) == "NotPermitted"
        world.send(line.at, call_data(change, *higher), sender=owner)
        assert world.reason(line.at, draw, sender=line.module) == "PASSED"
        world.rpc("evm_revert", mark)


def test_limit__of_zero_for_one_account__means_no_credit(world: World) -> None:
    world.send(world.own.credit_line, call_data("setLimit(address,uint256)", world.safe, 0), sender=world.guardian)
    draw = call_data("draw(address,uint256)", world.safe, 1)
    assert world.reason(world.own.credit_line, draw, sender=world.impersonate(world.own.module)) == "OverLimit"
    other = call_data("draw(address,uint256)", world.accounts[3], 1)
    assert world.reason(world.own.credit_line, other, sender=world.own.module) == "PASSED"


def test_withdraw__more_than_idle_cash_or_own_shares__refused(world: World) -> None:
    line, lender = Line(world), who("lender-0")
    line.act(line.module, "draw(address,uint256)", world.safe, 4_000_000 * USDC)
    shares = line.get("sharesOf(address)", lender)
    assert world.reason(line.at, call_data("withdraw(uint256)", shares), sender=lender) == "NoCash"
    assert world.reason(line.at, call_data("withdraw(uint256)", shares // 3), sender=lender) == "PASSED"
    assert world.reason(line.at, call_data("withdraw(uint256)", shares + 1), sender=lender) == "NoShares"
    assert world.reason(line.at, call_data("withdraw(uint256)", 1)) == "NoShares"


def test_repay__above_the_debt__takes_only_the_debt(world: World) -> None:
    line, payer = Line(world), world.accounts[5]
    line.act(line.module, "draw(address,uint256)", world.safe, 1000 * USDC)
    world.warp(365 * DAY)
    before = world.balance(world.usdc, payer)
    line.act(payer, "repay(address,uint256)", world.safe, MAX)
    paid = before - world.balance(world.usdc, payer)
    assert 1_020 * USDC < paid < 1_021 * USDC  # two percent a year, and a little utilisation
    assert line.get("debtOf(address)", world.safe) == 0
    line.act(payer, "repay(address,uint256)", world.safe, MAX)
    assert before - world.balance(world.usdc, payer) == paid


def test_write_off__penalty_fund_then_backstop_then_lenders(world: World) -> None:
    line, payer, lock = Line(world), world.accounts[5], world.lock("planner")
    line.act(payer, "payBackstop(uint256)", 300_000 * USDC)
    line.act(payer, "payPenalty(uint256)", 100_000 * USDC)
    start = line.get("totalAssets()")
    for safe in (world.safe, world.accounts[3], world.accounts[4]):
        line.act(line.module, "draw(address,uint256)", safe, 250_000 * USDC)
    owed: dict[str, int] = {s: line.get("scaledOf(address)", s) for s in (world.safe, world.accounts[3], world.accounts[4])}
    model = line.read(line.model.rates, line.model.shares, owed)
    line.receipts.clear()
    told = []
    for safe in (world.safe, world.accounts[3], world.accounts[4]):
        told.append(model.write_off(safe, line.act(lock, "writeOff(address)", safe)))
    assert [numbers for name, _, numbers in line.events() if name == "BadDebt"] == told
    (first, second, third) = told
    assert 100_000 * USDC <= first[1] < 100_010 * USDC and first[2] > 0 and first[3] == 0
    assert second[1] < 10 * USDC and second[2] > 0 and second[3] > 0
    assert third[1] < 10 * USDC and third[2] == 0 and third[3] > 0
    lost = start - line.get("totalAssets()")
    assert abs(lost - 350_000 * USDC) < 100 * USDC
    assert line.get("totalDebt()") == 0 and line.get("backstop()") == 0
    assert line.get("cash()") == world.balance(world.usdc, line.at)


def test_shares__donation_and_tiny_first_deposit__inflate_nothing(world: World) -> None:
    attacker, victim = world.accounts[5], world.accounts[6]
    line = Line(world)
    lender = who("lender-0")
    line.act(lender, "withdraw(uint256)", line.get("sharesOf(address)", lender))
    line.act(attacker, "deposit(uint256)", 1)
    world.send(world.usdc, call_data("transfer(address,uint256)", line.at, 10_000_000 * USDC), sender=attacker)
    line.act(victim, "deposit(uint256)", 20_000 * USDC)
    assert line.get("atomsFor(uint256)", line.get("sharesOf(address)", victim)) >= 20_000 * USDC - 1
    assert line.get("atomsFor(uint256)", line.get("sharesOf(address)", attacker)) <= 1
    # the same by the one way in that is counted: paying interest or penalties into a pool of one atom
    line.act(attacker, "payPenalty(uint256)", 1_000_000 * USDC)
    assert line.get("atomsFor(uint256)", line.get("sharesOf(address)", victim)) >= 20_000 * USDC - 1


def test_backstop__taken_back_only_by_the_long_lock(world: World) -> None:
    line, lock = Line(world), world.lock("planner")
    line.act(world.accounts[5], "payBackstop(uint256)", 5 * USDC)
    take = "takeBackstop(address,uint256)"
    assert world.reason(line.at, call_data(take, world.stranger, 5 * USDC + 1), sender=lock) == "NoCash"
    line.act(lock, take, world.stranger, 5 * USDC)
    assert world.balance(world.usdc, world.stranger) == 5 * USDC


def test_rates__follow_utilisation_with_a_kink(world: World) -> None:
    line = Line(world)
    base, slope, steep, kink, _ = line.model.rates
    assert line.get("rateAt(uint256)", 0) == base
    assert line.get("rateAt(uint256)", kink) == base + slope
    assert line.get("rateAt(uint256)", RAY) == base + slope + steep
    change = call_data("setRates((uint128,uint128,uint128,uint96,uint16))", (11 * RAY, 0, 0, 0, 0))
    assert world.reason(line.at, change, sender=world.lock("owner")) == "RateTooHigh"
