"""Interest: the protocols' own integer arithmetic."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind
from aggregator.portfolio.interest import (
    InterestState,
    atoms_of,
    compounded_index,
    interest_states,
    line_index,
    linear_index,
    state_of,
)
from chains.events import IndexUpdated
from tests.unit.pure_world import A_WETH, BOOK, D_WETH, LINE, NOW, POOL, RAY, USDC, WETH, A, ref

RATE = RAY * 5 // 100
YEAR = 365 * 24 * 3600


@pytest.mark.parametrize("elapsed", [0, -10])
def test_index__no_time__unchanged(elapsed: int) -> None:
    assert linear_index(7, RATE, elapsed) == compounded_index(7, RATE, elapsed) == line_index(7, RATE, elapsed) == 7


def test_linear_index__one_year_at_five_percent__exact() -> None:
    assert linear_index(RAY * 2, RATE, YEAR) == RAY * 21 // 10
    assert line_index(RAY * 2, RATE, YEAR) == RAY * 21 // 10


@pytest.mark.parametrize("elapsed", [1, 2, 3600, YEAR // 12, YEAR])
@pytest.mark.parametrize("rate", [RATE, RAY // 2])
def test_compounded_index__against_compounding_each_second__never_above_it(elapsed: int, rate: int) -> None:
    with localcontext() as context:
        context.prec = 60
        true = (1 + Decimal(rate) / RAY / YEAR) ** elapsed
        x = Decimal(rate) * elapsed / RAY / YEAR
        found = Decimal(compounded_index(RAY, rate, elapsed)) / RAY
        # The pool keeps the powers of a second's rate in whole rays; this is what that may cost.
        truncated = (Decimal(elapsed) ** 3 / 6 + Decimal(elapsed) ** 2) / RAY
    assert true - x**4 - truncated <= found <= true + Decimal("1e-20")


def test_compounded_index__first_second__is_linear() -> None:
    assert compounded_index(RAY, RATE, 1) == RAY + RATE // YEAR


def test_atoms_of__shares__rounded_as_each_protocol_does() -> None:
    half = InterestState(A, "x", "t", RAY * 3 // 2, 0, NOW)
    assert atoms_of(Kind.POSITION, 1, half, NOW) == 2
    assert atoms_of(Kind.DEBT, -1, half, NOW) == -2
    third = InterestState(A, "x", "t", RAY * 4 // 3, 0, NOW)
    assert atoms_of(Kind.POSITION, 1, third, NOW) == 1
    assert atoms_of(Kind.DEBT, -1, third, NOW) == -1
    assert atoms_of(Kind.FINANCING, -1, third, NOW) == -2


def test_atoms_of__kind_without_interest__refused() -> None:
    with pytest.raises(LedgerBroken, match="account_kind_bears_no_interest: fees"):
        atoms_of(Kind.FEES, 1, InterestState(A, "x", "t", RAY, 0, NOW), NOW)


def test_interest_states__reserve__supply_and_debt() -> None:
    event = IndexUpdated(ref(), "aave_v3", POOL, WETH, 11, 12, 13, 14)
    assert interest_states(event, NOW, BOOK) == (
        InterestState(A, "aave_v3", f"{A}:{A_WETH}", 11, 13, NOW),
        InterestState(A, "aave_v3", f"{A}:{D_WETH}", 12, 14, NOW),
    )


def test_interest_states__credit_line__its_debt() -> None:
    event = IndexUpdated(ref(), "credit_line", LINE, USDC, RAY, 12, 0, 14)
    assert interest_states(event, NOW, BOOK) == (InterestState(A, "credit_line", f"{A}:{LINE}", 12, 14, NOW),)


def test_interest_states__unknown_reserve__none() -> None:
    assert interest_states(IndexUpdated(ref(), "aave_v3", POOL, LINE, 1, 1, 1, 1), NOW, BOOK) == ()


def test_state_of__never_told__refused() -> None:
    with pytest.raises(LedgerBroken, match="shares_without_index"):
        state_of({}, "71001:0x")
