"""Venues: the protocol's own health factor, and what a position asks alone."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from aggregator.margin.engine import assess
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import VenueView
from aggregator.portfolio.portfolio import Holding, Side
from tests.unit.pure_world import A, B, C, holding, market, portfolio

PARAMETERS = Parameters(range_down_up={"ETH": (0.18, 0.18), "USDC": (0.0, 0.0)}, maintenance_share=0.75)
DEBT = Side.DEBT
EXAMPLE = (holding("ETH", 10, place="aave_v3"), holding("USDC", 15_000, place="aave_v3", side=DEBT))


def venues(*holdings: Holding, eth: str = "2000") -> tuple[VenueView, ...]:
    return assess(portfolio(*holdings), market(eth=eth), PARAMETERS).venues


@pytest.mark.parametrize(("eth", "health", "move"), [("2000", "1.1", "-9.10"), ("1700", "0.935", "6.95")])
def test_venues__ten_weth_against_fifteen_thousand__health_factor_of_the_pool(eth: str, health: str, move: str) -> None:
    (view,) = venues(*EXAMPLE, eth=eth)
    assert view.health_factor == Decimal(health)
    assert view.move_to_liquidation_pct == Decimal(move)
    assert (view.debt_usd, view.chain_id, view.place) == (15_000, A, "aave_v3")


def test_venues__one_collateral__debt_over_threshold_less_debt() -> None:
    (view,) = venues(*EXAMPLE)
    assert view.requirement_usd == Decimal("3181.818182")
    stressed = Decimal("15000") * Decimal("1.01") / (Decimal("0.825") * Decimal("0.82")) - 15_000
    assert abs(view.stressed_requirement_usd - stressed) < Decimal("0.00001")


def test_venues__own_funds_at_the_requirement__health_factor_one() -> None:
    (view,) = venues(*EXAMPLE)
    enough = (view.requirement_usd + 15_000) / 2000
    (at,) = venues(holding("ETH", enough, place="aave_v3"), EXAMPLE[1])
    assert at.health_factor is not None and abs(at.health_factor - 1) < Decimal("1e-9")


def test_venues__no_debt__asks_nothing() -> None:
    (view,) = venues(EXAMPLE[0])
    assert view.health_factor is None and view.move_to_liquidation_pct is None
    assert view.requirement_usd == view.stressed_requirement_usd == 0


def test_venues__debt_without_collateral__best_threshold_of_the_venue() -> None:
    (view,) = venues(EXAMPLE[1])
    assert (view.health_factor, view.move_to_liquidation_pct) == (0, None)
    assert view.requirement_usd == Decimal("3181.818182")


def test_venues__no_terms__debt_itself() -> None:
    bare = dataclasses.replace(portfolio(EXAMPLE[1]), terms=())
    (view,) = assess(bare, market(), PARAMETERS).venues
    assert view.requirement_usd == 0 and view.stressed_requirement_usd == 150


def test_venues__credit_line_and_wallets__no_venue() -> None:
    assert venues(holding("USDC", 5, C), holding("USDC", 5, place="credit_line", side=DEBT)) == ()


def test_venues__debt_that_rises__stressed_by_the_move_up() -> None:
    (view,) = venues(holding("USDC", 9000, B, place="aave_v3"), holding("ETH", 2, B, place="aave_v3", side=DEBT))
    wanted = 4000 * Decimal("1.01") * Decimal("1.18") / Decimal("0.8") - 4000
    assert abs(view.stressed_requirement_usd - wanted) < Decimal("0.00001")


def test_venues__unpriced_collateral__counts_nothing() -> None:
    (view,) = assess(portfolio(*EXAMPLE), market(without=[(int(c), "eth_usd") for c in (A, B, C)]), PARAMETERS).venues
    assert (view.health_factor, view.collateral_usd) == (0, 0)


def test_capital_saved__stressed_alone_less_initial_margin__never_below_zero() -> None:
    found = assess(portfolio(*EXAMPLE, holding("USDC", 8000, C)), market(), PARAMETERS)
    assert found.requirement_alone_usd == found.venues[0].requirement_usd
    assert found.capital_saved_usd == found.venues[0].stressed_requirement_usd - found.risk.initial_margin > 0
    assert assess(portfolio(holding("ETH", 10)), market(), PARAMETERS).capital_saved_usd == 0
