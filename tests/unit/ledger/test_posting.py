"""Posting: one case per event type."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount, external, parse
from aggregator.ledger.balances import deltas
from aggregator.ledger.book import AddressBook
from aggregator.ledger.posting import legs, post
from aggregator.ledger.transfers import Origin, Transfer
from chains import events as ev
from tests.unit.pure_world import (
    A_WETH,
    ALICE,
    BOB,
    BOOK,
    D_USDC,
    DOLLAR,
    ETHER,
    HYP,
    LENDER,
    LINE,
    LIQUIDATOR,
    POOL,
    RAY,
    ROUTE,
    STRANGER,
    USDC,
    WETH,
    A,
    C,
    hash_of,
    ref,
)  # fmt: skip

USDC_A, USDC_C = f"{A}:{USDC}", f"{C}:{USDC}"


def net(*events: ev.Event) -> dict[LedgerAccount, int]:
    """Signed atoms of clients' accounts after these events; each group sums to zero per asset."""
    total: dict[LedgerAccount, int] = {}
    for group in post(events, BOOK):
        sums: dict[str, int] = {}
        for account, atoms in deltas(group).items():
            sums[account.asset] = sums.get(account.asset, 0) + atoms
            if account.client:
                total[account] = total.get(account, 0) + atoms
        assert set(sums.values()) <= {0}
    return {a: n for a, n in total.items() if n}


def wallet(client: str, asset: str = USDC_A) -> LedgerAccount:
    return LedgerAccount(client, int(asset.split(":")[0]), "wallet", Kind.POSITION, asset)


def test_post__deposit__wallet_against_external() -> None:
    (group,) = post([ev.Moved(ref(), USDC, STRANGER, ALICE, 5)], BOOK)
    assert group.transfers == (Transfer(0, 0, wallet("alice"), external(USDC_A), 5, "moved"),)
    assert (group.origin, group.incarnation, group.block_number) == (Origin.CHAIN, 1, 10)
    assert group.key == f"chain:{A}:{hash_of('71001/10')}:{hash_of('tx')}:1"


def test_post__between_clients__one_transfer() -> None:
    (group,) = post([ev.Moved(ref(), USDC, ALICE, BOB, 5)], BOOK)
    assert group.transfers == (Transfer(0, 0, wallet("bob"), wallet("alice"), 5, "moved"),)


@pytest.mark.parametrize("event", [
    ev.Moved(ref(), USDC, STRANGER, LENDER, 5),
    ev.Moved(ref(), USDC, ALICE, ALICE, 5),
    ev.Moved(ref(), USDC, STRANGER, ALICE, 0),
    ev.Moved(ref(), A_WETH, STRANGER, ALICE, 5),
    ev.Supplied(ref(), "aave_v3", POOL, WETH, STRANGER, 5, 5),
    ev.LineDrawn(ref(), LINE, STRANGER, 5, 5),
    ev.Sent(ref(), "hyperlane", ROUTE, USDC, ALICE, C, STRANGER, 5, "m"),
    ev.Received(ref(), "hyperlane", ROUTE, USDC, C, STRANGER, 5, "m"),
    ev.TruedUp(ref(), A_WETH, ALICE, 5),
    ev.BadDebtBooked(ref(), LINE, STRANGER, 5, 0, 0, 5),
])  # fmt: skip
def test_post__nobody_known_gains_or_loses__outside_only(event: ev.Event) -> None:
    assert net(event) == {}


def test_post__supply_and_borrow__shares_positive_debt_negative() -> None:
    result = net(
        ev.Moved(ref(log=0), WETH, ALICE, A_WETH, ETHER),
        ev.Supplied(ref(log=1), "aave_v3", POOL, WETH, ALICE, 7, 8),
        ev.Borrowed(ref(log=2), "aave_v3", POOL, USDC, ALICE, 3, 4),
        ev.Moved(ref(log=3), USDC, STRANGER, ALICE, 4),
    )
    assert result == {
        wallet("alice", f"{A}:{WETH}"): -ETHER,
        LedgerAccount("alice", A, "aave_v3", Kind.POSITION, f"{A}:{A_WETH}"): 7,
        LedgerAccount("alice", A, "aave_v3", Kind.DEBT, f"{A}:{D_USDC}"): -3,
        wallet("alice"): 4,
    }


def test_post__withdraw_and_repay__undo_supply_and_borrow() -> None:
    assert net(
        ev.Supplied(ref(log=1), "aave_v3", POOL, WETH, ALICE, 7, 8), ev.Withdrawn(ref(log=2), "aave_v3", POOL, WETH, ALICE, 7, 8),
        ev.Borrowed(ref(log=3), "aave_v3", POOL, USDC, ALICE, 3, 4), ev.Repaid(ref(log=4), "aave_v3", POOL, USDC, ALICE, 3, 4),
    ) == {}  # fmt: skip


def test_post__liquidation__tells_only() -> None:
    assert net(ev.Liquidated(ref(), "aave_v3", POOL, ALICE, LIQUIDATOR, WETH, USDC, 5, 6)) == {}


def test_post__reserve_that_no_network_file_names__refused() -> None:
    with pytest.raises(LedgerBroken, match="reserve_without_share_token"):
        post([ev.Supplied(ref(), "aave_v3", POOL, HYP, ALICE, 5, 5)], BOOK)


def test_post__bridge__quantity_stands_in_exactly_one_account() -> None:
    sent = ev.Sent(ref(C, log=1), "hyperlane", ROUTE, USDC, ALICE, A, ALICE, 9, "m")
    received = ev.Received(ref(A, log=1), "hyperlane", ROUTE, HYP, C, ALICE, 9, "m")
    send = (ev.Moved(ref(C, log=0), USDC, ALICE, ROUTE, 9), sent)
    deliver = (ev.Moved(ref(A, log=0), HYP, STRANGER, ALICE, 9), received)
    transit = LedgerAccount("alice", 0, "hyperlane:m", Kind.IN_TRANSIT, "asset:USDC:6")
    assert net(*send) == {wallet("alice", USDC_C): -9, transit: 9}
    assert net(*deliver) == {wallet("alice", f"{A}:{HYP}"): 9, transit: -9}
    assert net(*deliver, *send) == {wallet("alice", USDC_C): -9, wallet("alice", f"{A}:{HYP}"): 9}


def test_post__bridge_from_stranger_to_client__in_transit_belongs_to_the_recipient() -> None:
    event = ev.Sent(ref(C), "hyperlane", ROUTE, USDC, STRANGER, A, BOB, 9, "m")
    assert net(event) == {LedgerAccount("bob", 0, "hyperlane:m", Kind.IN_TRANSIT, "asset:USDC:6"): 9}


def test_post__bridge_of_tokens_with_other_places__kept_in_the_finest() -> None:
    tokens = dict(BOOK.tokens)
    tokens[(int(A), HYP)] = dataclasses.replace(tokens[(int(A), HYP)], decimals=8)
    book: AddressBook = dataclasses.replace(BOOK, tokens=tokens)
    (sent,) = post([ev.Sent(ref(C), "hyperlane", ROUTE, USDC, ALICE, A, ALICE, 9, "m")], book)
    (received,) = post([ev.Received(ref(A), "hyperlane", ROUTE, HYP, C, ALICE, 900, "m")], book)
    assert sent.transfers[0].debit == received.transfers[0].credit
    assert sent.transfers[0].atoms == received.transfers[0].atoms == 900


def test_post__credit_line__client_owes_and_cash_moves() -> None:
    result = net(
        ev.LineDrawn(ref(log=0), LINE, ALICE, 100, 99), ev.Moved(ref(log=1), USDC, LINE, ALICE, 100),
        ev.LineRepaid(ref(log=2), LINE, ALICE, BOB, 40, 39), ev.Moved(ref(log=3), USDC, BOB, LINE, 40),
    )  # fmt: skip
    assert result == {
        LedgerAccount("alice", A, "credit_line", Kind.FINANCING, f"{A}:{LINE}"): -60,
        LedgerAccount(f"line:{A}", A, "credit_line", Kind.POSITION, USDC_A): -60,
        wallet("alice"): 100, wallet("bob"): -40,
    }  # fmt: skip


@pytest.mark.parametrize(("atoms", "shares", "stands"), [(50, 50, 50), (-50, -50, -50), (-50, 50, -50)])
def test_post__lender__shares_follow_the_sign_of_atoms(atoms: int, shares: int, stands: int) -> None:
    account = LedgerAccount(f"lender:{LENDER}", A, "credit_line", Kind.POSITION, f"{A}:{LINE}:shares")
    assert net(ev.LineFunded(ref(), LINE, LENDER, atoms, shares)) == {account: stands}


@pytest.mark.parametrize("index", [RAY, RAY + 1, RAY * 11 // 10, RAY * 3 + 7])
@pytest.mark.parametrize("shares", [1, 2, 10**6, 123_456_789_012_345])
def test_post__bad_debt__financing_goes_to_zero(index: int, shares: int) -> None:
    owed = -(-shares * index // RAY)
    told = ev.IndexUpdated(ref(log=3), "credit_line", LINE, USDC, RAY, index, 0, 0)
    result = net(
        ev.LineDrawn(ref(log=0), LINE, ALICE, shares, shares), ev.BadDebtBooked(ref(log=2), LINE, ALICE, owed, 0, 0, owed), told
    )
    assert result == {LedgerAccount("alice", A, "credit_line", Kind.BAD_DEBT, f"{A}:{LINE}"): -shares}


def test_post__bad_debt_without_index__refused() -> None:
    with pytest.raises(LedgerBroken, match="bad_debt_without_index"):
        post([ev.BadDebtBooked(ref(), LINE, ALICE, 5, 0, 0, 5)], BOOK)


@pytest.mark.parametrize(("delta", "stands"), [(5, {5}), (-5, {-5}), (0, set())])
def test_post__native_coin_true_up__signed(delta: int, stands: set[int]) -> None:
    zero = next(a for (c, a), t in BOOK.tokens.items() if c == A and t.asset == "ETH" and a != WETH)
    assert set(net(ev.TruedUp(ref(), zero, ALICE, delta)).values()) == stands


def test_post__every_event_type__has_a_case() -> None:
    kinds: Sequence[type] = ev.AnyEvent.__args__
    assert all(legs.dispatch(kind) is not legs.dispatch(object) for kind in kinds)


def test_post__unknown_event_type__refused() -> None:
    with pytest.raises(LedgerBroken, match="event_without_posting_rule: Event"):
        post([ev.Event(ref())], BOOK)


def test_post__one_group_per_transaction__ordered_by_place() -> None:
    places = [(C, 9, 0, "x"), (A, 11, 0, "z"), (A, 10, 5, "y"), (A, 10, 2, "w")]
    groups = post([ev.Moved(ref(*p), USDC, STRANGER, ALICE, i + 1) for i, p in enumerate(places)], BOOK)
    assert [(g.chain_id, g.block_number, g.transfers[0].atoms) for g in groups] == [(A, 10, 4), (A, 10, 3), (A, 11, 2), (C, 9, 1)]


def test_post__block_adopted_again__other_key_same_content() -> None:
    event = ev.Moved(ref(), USDC, STRANGER, ALICE, 1)
    first, again = post([event], BOOK), post([event], BOOK, {(int(A), event.ref.block_hash): 2})
    assert (first[0].incarnation, again[0].incarnation) == (1, 2)
    assert first[0].key != again[0].key and first[0].transfers == again[0].transfers


def test_book__asset_without_token__refused() -> None:
    with pytest.raises(LedgerBroken, match="asset_without_token: DOGE"):
        BOOK.canonical_decimals("DOGE")


def test_accounts__key__reads_back() -> None:
    moving = LedgerAccount("a", 0, "hyperlane:m", Kind.IN_TRANSIT, "asset:USDC:6")
    for account in (wallet("alice"), external(USDC_A), external("asset:USDC:6"), moving):
        assert parse(account.key()) == account


@pytest.mark.parametrize(("debit", "credit", "atoms", "rule"), [
    (wallet("alice"), wallet("bob"), 0, "transfer_atoms_must_be_positive"),
    (wallet("alice"), wallet("bob", USDC_C), 1, "transfer_accounts_must_share_asset"),
    (wallet("alice"), wallet("alice"), 1, "transfer_accounts_must_be_different"),
])  # fmt: skip
def test_transfer__broken_rule__refused(debit: LedgerAccount, credit: LedgerAccount, atoms: int, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        Transfer(0, 0, debit, credit, atoms, "x")


def test_post__deposit_in_dollars__atoms_are_integers() -> None:
    assert net(ev.Moved(ref(), USDC, STRANGER, ALICE, 5 * DOLLAR)) == {wallet("alice"): 5_000_000}
