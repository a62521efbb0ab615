"""Balances and views, by example; their laws are in tests/properties."""

from __future__ import annotations

import dataclasses

import pytest

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount, external
from aggregator.ledger.balances import (
    Balance,
    Balances,
    Effect,
    View,
    apply,
    cautious_balances,
    effect,
    fold,
    view_balances,
)  # fmt: skip
from aggregator.ledger.transfers import Group, GroupState, Origin, Transfer

CASH = LedgerAccount("alice", 1, "wallet", Kind.POSITION, "1:usdc")
POOL = LedgerAccount("alice", 1, "aave_v3", Kind.POSITION, "1:ausdc")
DEBT = LedgerAccount("alice", 1, "aave_v3", Kind.DEBT, "1:dusdc")
BOBS = LedgerAccount("bob", 1, "wallet", Kind.POSITION, "1:usdc")


def group(key: str, *changes: tuple[LedgerAccount, int], origin: Origin = Origin.CHAIN) -> Group:
    """A group that changes each account by so many atoms against the outside."""
    transfers = tuple(
        Transfer(i, 0, a, external(a.asset), n, "t") if n > 0 else Transfer(i, 0, external(a.asset), a, -n, "t")
        for i, (a, n) in enumerate(changes)
    )
    return Group(key, origin, 1, 10, "0x", "0x", 1, transfers)


DEPOSIT = group("deposit", (CASH, 100))
WITHDRAWAL = group("withdrawal", (CASH, -30))
REPAY = group("repay", (CASH, -20), (DEBT, 20))
BORROW_AND_SEND = group("borrow and send", (DEBT, -50))
TOP_UP = group("action:1", (CASH, -10), (POOL, 10), origin=Origin.ACTION)
GIFT = group("action:2", (POOL, 7), origin=Origin.ACTION)
TICKET = group("ticket:1", (CASH, -40), origin=Origin.TICKET)


def of_clients(view: dict[LedgerAccount, int]) -> dict[LedgerAccount, int]:
    return {a: n for a, n in view.items() if a.client and n}


def test_apply__pending_then_posted__moves() -> None:
    balances = apply(Balances(), DEPOSIT, GroupState.PENDING)
    assert balances.of(CASH) == Balance(0, 100) and balances.of(CASH).total == 100 and balances.posted() == {}
    balances = apply(balances, DEPOSIT, GroupState.POSTED)
    assert balances.of(CASH) == Balance(100, 0)
    assert balances.posted() == {CASH: 100, external("1:usdc"): -100}


@pytest.mark.parametrize("end", [GroupState.VOIDED, GroupState.EXPIRED])
def test_apply__pending_ends__balance_restored(end: GroupState) -> None:
    balances = fold([(WITHDRAWAL, GroupState.PENDING), (DEPOSIT, GroupState.POSTED), (WITHDRAWAL, end)])
    assert balances.of(CASH) == Balance(100, 0)


@pytest.mark.parametrize("end", [GroupState.POSTED, GroupState.VOIDED, GroupState.EXPIRED])
def test_apply__final_group_moves_on__refused(end: GroupState) -> None:
    with pytest.raises(LedgerBroken, match="group_left_final_state"):
        apply(fold([(DEPOSIT, end)]), DEPOSIT, GroupState.PENDING)


def test_apply__same_key_other_content__refused() -> None:
    with pytest.raises(LedgerBroken, match="group_returned_with_other_content"):
        apply(fold([(DEPOSIT, GroupState.PENDING)]), dataclasses.replace(WITHDRAWAL, key=DEPOSIT.key), GroupState.PENDING)


@pytest.mark.parametrize(("what", "does"), [
    (DEPOSIT, Effect.GIVES), (WITHDRAWAL, Effect.TAKES), (REPAY, Effect.BOTH), (BORROW_AND_SEND, Effect.TAKES),
    (group("fee", (LedgerAccount("alice", 1, "x", Kind.FEES, "1:usdc"), 5)), Effect.NONE), (group("bob", (BOBS, 5)), Effect.NONE),
])  # fmt: skip
def test_effect__by_quantity__decided_per_client(what: Group, does: Effect) -> None:
    assert effect(what, "alice") is does


def test_view__each__counts_what_it_says() -> None:
    posted = {CASH: 1000, DEBT: -200}
    pending = [DEPOSIT, WITHDRAWAL, REPAY, BORROW_AND_SEND]
    reserved = [TOP_UP, TICKET]

    def seen(view: View) -> dict[LedgerAccount, int]:
        return of_clients(view_balances(posted, pending, reserved, view))

    assert seen(View.FINALISED) == {CASH: 1000, DEBT: -200}
    assert seen(View.HEAD) == {CASH: 1050, DEBT: -230}
    assert seen(View.PROJECTED) == {CASH: 1040, DEBT: -230, POOL: 10}
    assert seen(View.OPTIMISTIC) == {CASH: 1080, DEBT: -180}


def test_view__action_already_at_head__counted_once() -> None:
    mined = dataclasses.replace(TOP_UP, key="chain:1", origin=Origin.CHAIN)
    view = view_balances({CASH: 100}, [mined], [TOP_UP], View.PROJECTED, at_head={TOP_UP.key})
    assert of_clients(view) == {CASH: 90, POOL: 10}


def test_view__cautious__is_two_views() -> None:
    with pytest.raises(ValueError, match="cautious_is_two_views"):
        view_balances({}, [], [], View.CAUTIOUS)


def test_cautious__reservations__what_takes_counts_as_done() -> None:
    final, head = cautious_balances({CASH: 1000}, [DEPOSIT], [TICKET, TOP_UP, GIFT])
    assert of_clients(final) == {CASH: 950, POOL: 10}
    assert of_clients(head) == {CASH: 1050, POOL: 10}


def test_cautious__ticket_used_at_head__taken_once_there_and_once_at_the_finalised_cut() -> None:
    used = dataclasses.replace(TICKET, key="chain:2", origin=Origin.CHAIN)
    final, head = cautious_balances({CASH: 100}, [used], [TICKET], at_head={TICKET.key})
    assert final[CASH] == head[CASH] == 60


def test_view__group_of_two_clients__counts_for_each_by_its_own_effect() -> None:
    gift = Group("gift", Origin.CHAIN, 1, 10, "0x", "0x", 1, (Transfer(0, 0, BOBS, CASH, 5, "gift"),))
    view = of_clients(view_balances({CASH: 10, BOBS: 10}, [gift], [], View.OPTIMISTIC))
    assert view == {CASH: 10, BOBS: 15}
