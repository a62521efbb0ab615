"""Prices: age, bounds, snapshots from answers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from aggregator.market.bounds import Bound, Fault, bound
from aggregator.market.feeds import Answer, snapshot
from aggregator.market.prices import Price, Snapshot
from chains.types import Cut
from tests.unit.pure_world import NETWORKS, NOW, A, B, C, block, market


def price(chain_id: int, value: str, age: int = 0) -> Price:
    return Price(chain_id, "eth_usd", "ETH", Decimal(value), NOW - age, NOW, 600, 10)


def seen(*prices: Price, debt: bool = False, chain_id: int = A, feed: str = "eth_usd") -> Bound:
    return bound(Snapshot({(p.chain_id, p.feed): p for p in prices}), chain_id, feed, "ETH", debt)


def test_bound__fresh_own_feed__no_fault() -> None:
    assert seen(price(A, "2000"), price(B, "1990")) == Bound(Decimal(2000), price(A, "2000"), None)


def test_bound__older_than_heartbeat__stale_at_last_good() -> None:
    assert seen(price(A, "2000", age=600)).fault is None
    old = price(A, "2000", age=601)
    assert seen(old) == Bound(Decimal(2000), old, Fault.STALE)


@pytest.mark.parametrize("broken", ["NaN", "sNaN", "Infinity", "-Infinity", "0", "-5"])
def test_bound__broken_price__named_and_replaced_by_the_conservative_other(broken: str) -> None:
    others = (price(B, "1990"), price(C, "2010"))
    low, high = seen(price(A, broken), *others), seen(price(A, broken), *others, debt=True)
    assert (low.last, low.fault) == (Decimal(1990), Fault.INVALID)
    assert (high.last, high.fault) == (Decimal(2010), Fault.INVALID)
    assert seen(price(A, broken)) == Bound(None, None, Fault.INVALID)


def test_bound__missing_feed__named() -> None:
    assert seen() == Bound(None, None, Fault.MISSING)
    assert seen(price(B, "1990")).fault is Fault.MISSING


def test_bound__in_transit__lowest_of_all_networks_without_fault() -> None:
    found = seen(price(A, "2000"), price(B, "1990"), chain_id=0, feed="")
    assert (found.last, found.fault) == (Decimal(1990), None)
    assert seen(price(A, "2000", age=601), chain_id=0, feed="").fault is Fault.STALE


def test_price__age__never_negative() -> None:
    assert price(A, "1", age=-5).age_s == 0


def test_snapshot__equal_content__equal_id() -> None:
    assert market().id == market().id != market(eth="2001").id


def test_snapshot__from_answers__decimals_times_and_heartbeat() -> None:
    answers = {(int(A), "eth_usd"): Answer(200_012_345_678, NOW - 7, 9)}
    found = snapshot(answers, NETWORKS, Cut({A: block(A)}))
    assert found.prices == {(int(A), "eth_usd"): Price(A, "eth_usd", "ETH", Decimal("2000.12345678"), NOW - 7, NOW, 600, 9)}


def test_snapshot__foreign_network_feed_or_cut__left_out() -> None:
    answers = {(1, "eth_usd"): Answer(1, NOW, 1), (int(A), "doge"): Answer(1, NOW, 1), (int(B), "eth_usd"): Answer(1, NOW, 1)}
    assert snapshot(answers, NETWORKS, Cut({A: block(A)})).prices == {}
