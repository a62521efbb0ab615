"""Ticket decisions: what is granted, what is refused and by which rule, and that one surplus is given away once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.transfers import Group, Origin
from aggregator.margin.parameters import Parameters
from aggregator.plan import effects as fx
from aggregator.plan.consent import digest, typed_data
from aggregator.plan.mandate import Mandate
from aggregator.plan.ticketed import BORROW, COLLATERAL_SWITCH, SEND, WITHDRAW, BalanceInsufficient, CallUnknown
from aggregator.plan.tickets import Standing, Verdict, for_trade, for_withdrawal
from aggregator.portfolio.interest import InterestState
from chains import abi
from chains.networks.network import load_many
from chains.types import ZERO_ADDRESS, Address, Call, ChainId
from tests.unit.pure_world import ALICE, NOW, RAY, STRANGER, as_of, market

A, B, C = ChainId(71001), ChainId(71002), ChainId(71003)
NETWORKS = {int(c): n for c, n in load_many((A, B, C)).items()}
NET = NETWORKS[A]
USDC, ETHER = 10**6, 10**18
CASH = fx.wallet("alice", A, NET.tokens["usdc"].address)
AAVE = NET.protocols.aave_v3
assert AAVE is not None
WETH_RESERVE, USDC_RESERVE = (fx.reserve_named(NET, name) for name in ("weth", "usdc"))
assert WETH_RESERVE is not None and USDC_RESERVE is not None
SUPPLIED, OWED = fx.collateral("alice", A, WETH_RESERVE), fx.debt("alice", A, USDC_RESERVE)


def standing(posted: dict[LedgerAccount, int] | None = None, pending: tuple[Group, ...] = (),
             reserved: tuple[Group, ...] = ()) -> Standing:  # fmt: skip
    """10 ETH supplied, 1,000 USDC owed there, 5,000 in the wallet, all final."""
    tokens = [f"{A}:{t}" for r in (WETH_RESERVE, USDC_RESERVE) if r for t in (r.a_token, r.variable_debt_token)]
    interest = {t: InterestState(A, "aave_v3", t, RAY, 0, NOW) for t in tokens}
    held = {SUPPLIED: 10 * ETHER, OWED: -1_000 * USDC, CASH: 5_000 * USDC} if posted is None else posted
    return Standing(
        client="alice", client_state="open", as_of=as_of(), as_of_final=as_of(), posted=held, pending=pending, reserved=reserved,
        at_head=frozenset(), interest=interest, interest_final=interest, networks=NETWORKS,
        safes=tuple((int(c), str(ALICE)) for c in (A, B, C)), quarantined=frozenset(), custody_intact=True, market=market(),
        parameters=Parameters(),
    )  # fmt: skip


def reservation(verdict: Verdict, name: str = "one") -> Group:
    """The group that issuing this ticket books."""
    return Group(f"ticket:{name}", Origin.TICKET, A, -1, "", "", 0, verdict.transfers, NOW + 300)


def pending(atoms: int) -> Group:
    """A deposit of USDC that is not final."""
    return Group("chain:x", Origin.CHAIN, A, 11, "0x1", "0x2", 1, fx.effects([(CASH, atoms, "moved")]))


def take(now: Standing, usdc: int) -> Verdict:
    return for_withdrawal(now, A, NET.tokens["usdc"].address, usdc * USDC)


def pool(signature: str, *words: int | Address) -> Call:
    assert AAVE is not None
    return Call(AAVE.pool, abi.call_data(signature, *words))


def borrow(usdc: int) -> Call:
    return pool(BORROW, NET.tokens["usdc"].address, usdc * USDC, 2, 0, ALICE)


def test_withdrawal__covered__is_granted_with_its_reservation() -> None:
    verdict = take(standing(), 5_000)
    assert verdict.granted and verdict.after is not None
    fallen = verdict.before.risk.net_liquidation_value - verdict.after.risk.net_liquidation_value
    assert fallen == 5_000
    (leg,) = verdict.transfers
    assert (leg.credit, leg.atoms) == (CASH, 5_000 * USDC)


def test_withdrawal__two_tickets_for_one_surplus__second_refused() -> None:
    now = standing({SUPPLIED: 10 * ETHER, OWED: -15_000 * USDC, CASH: 15_000 * USDC})
    surplus = int(take(now, 1).before.risk.available_margin)
    share = surplus * 52 // 100
    first = take(now, share)
    assert first.granted
    second = take(replace(now, reserved=(reservation(first),)), share)
    assert second.code == "margin-insufficient" and second.after is not None and second.after.risk.available_margin < 0


def test_withdrawal__on_another_network__counts_the_first_ticket() -> None:
    cash_c = fx.wallet("alice", C, NETWORKS[C].tokens["usdc"].address)
    now = standing({SUPPLIED: 10 * ETHER, OWED: -15_000 * USDC, CASH: 9_000 * USDC, cash_c: 9_000 * USDC})
    first = take(now, 9_000)
    later = replace(now, reserved=(reservation(first),))
    second = for_withdrawal(later, C, NETWORKS[C].tokens["usdc"].address, 9_000 * USDC)
    assert first.granted and second.code == "margin-insufficient"


def test_withdrawal__of_a_deposit_that_is_not_final__refused_by_the_finalised_cut() -> None:
    thin = {SUPPLIED: 10 * ETHER, OWED: -14_000 * USDC}
    verdict = take(standing(thin, (pending(2_000 * USDC),)), 2_000)
    assert verdict.code == "margin-insufficient"
    assert take(standing({**thin, CASH: 2_000 * USDC}), 1).before.risk.net_liquidation_value == 8_000


def test_withdrawal__more_than_there_is__names_what_is_free() -> None:
    first = take(standing(), 4_000)
    with pytest.raises(BalanceInsufficient, match="1000000000 atoms"):
        take(standing(reserved=(reservation(first),)), 2_000)
    with pytest.raises(CallUnknown, match="is not in the file"):
        for_withdrawal(standing(), A, STRANGER, 1)
    with pytest.raises(BalanceInsufficient):
        for_withdrawal(standing(), A, ZERO_ADDRESS, 1)


@pytest.mark.parametrize(("change", "code"), [
    ({"client_state": "suspended"}, "client-not-open"), ({"client_state": "exiting"}, "client-not-open"),
    ({"custody_intact": False}, "custody-not-intact"),
])  # fmt: skip
def test_withdrawal__client_not_in_order__is_refused(change: dict[str, object], code: str) -> None:
    assert take(replace(standing(), **change), 1).code == code  # type: ignore[arg-type]  # parametrize gives plain objects


def test_borrow__within_margin_and_venue__reserves_debt_and_cash() -> None:
    verdict = for_trade(standing(), A, borrow(5_000), "t")
    assert verdict.granted
    changes = {t.debit if t.debit.client else t.credit: t.atoms for t in verdict.transfers}
    assert changes == {OWED: 5_000 * USDC, CASH: 5_000 * USDC}


def test_borrow__near_the_venues_liquidation__is_refused_although_margin_would_hold() -> None:
    rich = standing({SUPPLIED: 10 * ETHER, OWED: -1_000 * USDC, CASH: 90_000 * USDC})
    assert for_trade(rich, A, borrow(14_500), "t").code == "venue-refuses"
    assert "loan-to-value" not in for_trade(rich, A, borrow(14_500), "t").why
    roomy = replace(rich, parameters=replace(Parameters(), warning_health_factor=1.0))
    assert "loan-to-value" not in for_trade(roomy, A, borrow(14_900), "t").why
    assert "may owe 16000" in for_trade(roomy, A, borrow(15_200), "t").why


def test_take_out_collateral__all_of_it__uses_every_share() -> None:
    free = standing({SUPPLIED: 10 * ETHER, CASH: 5_000 * USDC})
    weth = NET.tokens["weth"].address
    verdict = for_trade(free, A, pool(WITHDRAW, weth, abi.MAX_UINT256, ALICE), "t")
    assert verdict.granted and {t.credit for t in verdict.transfers if t.credit.client} == {SUPPLIED}
    owing = standing({SUPPLIED: 10 * ETHER, OWED: -9_000 * USDC, CASH: 50_000 * USDC})
    assert for_trade(owing, A, pool(WITHDRAW, weth, 5 * ETHER, ALICE), "t").code == "venue-refuses"
    with pytest.raises(BalanceInsufficient):
        for_trade(free, A, pool(WITHDRAW, weth, 11 * ETHER, ALICE), "t")


def test_bridge_send__to_an_own_safe__stays_in_the_account_at_par() -> None:
    token, route = NET.tokens["hyp_usdc"], NET.protocols.hyperlane
    assert route is not None
    synthetic = fx.wallet("alice", A, token.address)
    now = standing({SUPPLIED: 10 * ETHER, synthetic: 4_000 * USDC})
    router = route.routes[0].router
    verdict = for_trade(now, A, Call(router, abi.call_data(SEND, int(C), ALICE, 4_000 * USDC)), "ticket:t")
    assert verdict.granted and verdict.after is not None
    assert verdict.after.risk.net_liquidation_value == verdict.before.risk.net_liquidation_value
    for data in (abi.call_data(SEND, int(C), STRANGER, 1), abi.call_data(SEND, 5, ALICE, 1)):
        with pytest.raises(CallUnknown):
            for_trade(now, A, Call(router, data), "t")


@pytest.mark.parametrize("call", [
    Call(STRANGER, b"\1\2\3\4"), pool("supply(address,uint256,address,uint16)", NET.tokens["usdc"].address, 1, ALICE, 0),
    pool(COLLATERAL_SWITCH, NET.tokens["usdc"].address, 0), pool("setUserEMode(uint8)", 1), pool(WITHDRAW, STRANGER, 1, ALICE),
    Call(pool(WITHDRAW, STRANGER, 1).to, abi.selector(WITHDRAW)), Call(pool(WITHDRAW, STRANGER, 1).to, b""),
    Call(pool(WITHDRAW, STRANGER, 1).to, abi.selector(WITHDRAW) + b"\xff" * 96),
])  # fmt: skip
def test_trade__call_that_cannot_be_valued__is_refused_by_name(call: Call) -> None:
    with pytest.raises(CallUnknown):
        for_trade(standing(), A, call, "t")


def test_consent__digest__changes_with_every_term() -> None:
    base = Mandate((int(A), int(B)), ("aave_v3",), ("hyperlane",), 50, True)
    found = {digest("devnet", "alice", 1, m) for m in (
        base, replace(base, networks=(int(A),)), replace(base, venues=()), replace(base, bridges=()),
        replace(base, max_cost_bps=51), replace(base, may_move_collateral=False))}  # fmt: skip
    found |= {digest("devnet", "alice", 2, base), digest("devnet", "bob", 1, base), digest("main", "alice", 1, base)}
    assert len(found) == 9
    assert digest("devnet", "alice", 1, replace(base, networks=(int(B), int(A)))) in found
    assert typed_data("devnet", "alice", 1, base)["message"]["maxCostBps"] == 50
