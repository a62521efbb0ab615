"""Netting: balances become holdings."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount, external
from aggregator.portfolio.interest import InterestState
from aggregator.portfolio.netting import catalogue, line_token, net, terms_of
from aggregator.portfolio.portfolio import HoldingState, Portfolio, Side, View
from tests.unit.pure_world import (
    A_WETH,
    ALICE,
    D_USDC,
    ETHER,
    HYP,
    LINE,
    NETWORKS,
    NOW,
    RAY,
    TERMS,
    USDC,
    A,
    C,
    as_of,
)

WALLET = LedgerAccount("alice", A, "wallet", Kind.POSITION, f"{A}:{USDC}")
SUPPLY = LedgerAccount("alice", A, "aave_v3", Kind.POSITION, f"{A}:{A_WETH}")
DEBT = LedgerAccount("alice", A, "aave_v3", Kind.DEBT, f"{A}:{D_USDC}")
LINE_DEBT = LedgerAccount("alice", A, "credit_line", Kind.FINANCING, f"{A}:{LINE}")
TRANSIT = LedgerAccount("alice", 0, "hyperlane:m", Kind.IN_TRANSIT, "asset:USDC:6")
INTEREST = {
    token: InterestState(A, place, token, RAY * 11 // 10, 0, NOW)
    for place, token in (("aave_v3", f"{A}:{A_WETH}"), ("aave_v3", f"{A}:{D_USDC}"), ("credit_line", f"{A}:{LINE}"))
}
SAFES = [(int(A), str(ALICE)), (int(C), str(ALICE))]


def netted(balances: Mapping[LedgerAccount, int], **more: object) -> Portfolio:
    return net("alice", View.HEAD, balances, INTEREST, NETWORKS, as_of(), SAFES, **more)  # type: ignore[arg-type] # keyword tests


def test_net__shares__atoms_at_the_index_with_position_and_side() -> None:
    found = netted({SUPPLY: 10 * ETHER, DEBT: -1000, LINE_DEBT: -9}).holdings
    assert [(h.place, h.asset, h.side, h.atoms, h.position) for h in found] == [
        ("aave_v3", "ETH", Side.ASSET, 11 * ETHER, f"{A}:aave_v3:{ALICE}"),
        ("aave_v3", "USDC", Side.DEBT, 1100, f"{A}:aave_v3:{ALICE}"),
        ("credit_line", "USDC", Side.DEBT, 10, f"{A}:credit_line:{ALICE}"),
    ]


def test_net__wallet__canonical_asset_and_wrapper() -> None:
    hyp = LedgerAccount("alice", A, "wallet", Kind.POSITION, f"{A}:{HYP}")
    native = LedgerAccount("alice", C, "wallet", Kind.POSITION, f"{C}:0x{'00' * 20}")
    found = {(h.asset, h.wrapper, h.bridge, h.chain_id, h.position) for h in netted({WALLET: 1, hyp: 2, native: 3}).holdings}
    assert found == {
        ("USDC", "native", "", A, ""),
        ("USDC", "synthetic", "hyperlane", A, ""),
        ("ETH", "native", "", C, ""),
    }


@pytest.mark.parametrize(("atoms", "side"), [(5, Side.ASSET), (-5, Side.DEBT)])
def test_net__in_transit__on_no_network_and_signed(atoms: int, side: Side) -> None:
    (h,) = netted({TRANSIT: atoms}).holdings
    assert (h.chain_id, h.asset, h.decimals, h.bridge, h.state, h.side, h.atoms) == (
        0, "USDC", 6, "hyperlane", HoldingState.IN_TRANSIT, side, 5,
    )  # fmt: skip


def test_net__wallet_below_zero__a_debt_of_the_same_place() -> None:
    (h,) = netted({WALLET: -7}).holdings
    assert (h.side, h.atoms, h.place) == (Side.DEBT, 7, "wallet")


@pytest.mark.parametrize(("final", "parts"), [
    (10, [(10, "final")]), (4, [(4, "final"), (6, "pending")]), (0, [(10, "pending")]), (-3, [(10, "pending")]),
    (99, [(10, "final")]),
])  # fmt: skip
def test_net__part_beyond_the_finalised_balance__pending(final: int, parts: list[tuple[int, str]]) -> None:
    found = netted({WALLET: 10}, finalised={WALLET: final}).holdings
    assert [(h.atoms, h.state.value) for h in found] == parts


def test_net__debt_not_final__counts_whole() -> None:
    (h,) = netted({DEBT: -1000}, finalised={}).holdings
    assert (h.state, h.atoms) == (HoldingState.FINAL, 1100)


def test_net__quarantined__said_so() -> None:
    (h,) = netted({WALLET: 10}, quarantined={WALLET.key()}, finalised={}).holdings
    assert (h.state, h.atoms) == (HoldingState.QUARANTINED, 10)


def test_net__others_and_bookkeeping_accounts__left_out() -> None:
    bob = LedgerAccount("bob", A, "wallet", Kind.POSITION, f"{A}:{USDC}")
    lost = LedgerAccount("alice", A, "credit_line", Kind.BAD_DEBT, f"{A}:{LINE}")
    assert netted({bob: 5, lost: -5, external(f"{A}:{USDC}"): -5, WALLET: 0}).holdings == ()


def test_net__portfolio__carries_view_safes_terms_and_custody() -> None:
    found = netted({}, custody_intact=False)
    assert (found.view, found.safes, found.custody_intact, found.terms) == (View.HEAD, tuple(SAFES), False, TERMS)


def test_net__asset_nobody_lists__refused() -> None:
    with pytest.raises(LedgerBroken, match="asset_without_network_entry"):
        netted({LedgerAccount("alice", A, "wallet", Kind.POSITION, f"{A}:0x01"): 1})


def test_net__shares_on_a_network_outside_the_cut__refused() -> None:
    with pytest.raises(LedgerBroken, match="cut_without_network"):
        netted({LedgerAccount("alice", 5, "aave_v3", Kind.POSITION, f"{A}:{A_WETH}"): 1})


def test_catalogue__every_token_share_and_line__listed() -> None:
    found = catalogue(NETWORKS)
    assert found[f"{A}:{LINE}"].asset == "USDC" and found[f"{A}:{A_WETH}"].shares and not found[f"{A}:{USDC}"].shares
    assert len(found) == 2 * (1 + 3 + 4 + 1) + (1 + 1 + 1)


def test_terms__bonus__counted_from_one() -> None:
    assert terms_of(NETWORKS) == TERMS


def test_line_token__network_without_native_dollar__refused() -> None:
    bare = NETWORKS[int(C)].model_copy(update={"tokens": {}})
    with pytest.raises(LedgerBroken, match="credit_line_without_token"):
        line_token(bare)
