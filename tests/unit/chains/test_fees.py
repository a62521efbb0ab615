"""Fees: within the cap, and every replacement acceptable to a node."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains import fees
from chains.errors import FeeAboveLimit
from chains.fees import GWEI, Fees


def history(base: int, *tips: int) -> dict[str, Any]:
    return {"baseFeePerGas": [hex(1), hex(base)], "reward": [[hex(tip)] for tip in tips]}


def test_first_offer__plain_market__twice_the_base_fee_plus_the_usual_tip() -> None:
    assert fees.first_offer(history(30 * GWEI, GWEI, 9 * GWEI, 2 * GWEI), 200 * GWEI) == Fees(62 * GWEI, 2 * GWEI)


def test_first_offer__no_tips_known__the_least_tip() -> None:
    assert fees.first_offer({"baseFeePerGas": [hex(GWEI)]}, 200 * GWEI).priority_fee == fees.LEAST_PRIORITY


def test_first_offer__near_the_cap__capped_and_above_it_refused() -> None:
    assert fees.first_offer(history(90 * GWEI, GWEI), 100 * GWEI).max_fee == 100 * GWEI
    with pytest.raises(FeeAboveLimit, match="max_fee_gwei allows"):
        fees.first_offer(history(100 * GWEI, GWEI), 100 * GWEI)


@given(st.integers(1, 10**12), st.integers(1, 10**11), st.integers(1, 10**12), st.integers(0, 10**11), st.integers(1000, 20_000))
def test_replacement__any_market__both_fees_rise_enough_and_stay_in_the_cap(
    max_fee: int, tip: int, base: int, market_tip: int, bump_bps: int
) -> None:
    cap = 500 * GWEI
    offer = fees.replacement(Fees(max_fee, tip), history(base, market_tip), bump_bps, cap)
    if offer is None:
        assert max_fee * (10_000 + bump_bps) > cap * 10_000 or tip * (10_000 + bump_bps) > cap * 10_000
        return
    assert offer.max_fee * 10_000 >= max_fee * (10_000 + bump_bps)
    assert offer.priority_fee * 10_000 >= tip * (10_000 + bump_bps)
    assert max(offer.max_fee, offer.priority_fee) <= cap
