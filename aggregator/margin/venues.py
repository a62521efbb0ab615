"""Venues: what each lending position shows and asks by itself. Pure.

health_factor is the protocol's own integer arithmetic (Aave v3: 8-decimal base currency, half-up percent and wad divisions), quoted
and never consolidated. Own funds are collateral less debt. A position alone needs, with its present mix of collateral,

    requirement = collateral scaled until the health factor is 1, less debt
                = debt / liquidation threshold - debt, for one collateral
    stressed requirement = the same until the health factor is at least 1.01 in every scenario of the initial-margin grid

Both are zero without debt, rounded up, never negative. Capital saved on the report is the sum of the stressed requirements (what
the same positions need at the same stressed health without help from elsewhere) less the consolidated initial margin.
A position whose collateral counts nothing is measured with the best threshold that its venue gives, else with none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from aggregator.margin.cuts import Level
from aggregator.margin.kernel import PPB
from aggregator.margin.models.spot_grid import table
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import VenueView
from aggregator.margin.valuation import Leg, Valuation, usd
from aggregator.units import RAY, decimal_of, ratio_down
from chains.protocols import aave_v3

CREDIT_LINE = "credit_line"
BASE = 10**8
WAD = 10**18
BPS = 10_000
STRESS_HEALTH = (101, 100)


@dataclass(frozen=True, slots=True)
class Position:
    """Legs of one venue position; threshold: liquidation threshold in basis points of each collateral leg."""

    key: str
    collateral: tuple[tuple[Leg, int], ...]
    debts: tuple[Leg, ...]
    best: int

    @property
    def first(self) -> Leg:
        return self.collateral[0][0] if self.collateral else self.debts[0]

    @property
    def collateral_value(self) -> int:
        return sum(leg.value for leg, _ in self.collateral)

    @property
    def debt_value(self) -> int:
        return sum(leg.value for leg in self.debts)


def venue_views(valuation: Valuation, parameters: Parameters) -> tuple[VenueView, ...]:
    """One view per lending position, in the order of their keys. The credit line is no venue: nobody liquidates there."""
    found = positions(valuation)
    if not found:
        return ()
    grid = table(parameters, Level.INITIAL, frozenset(leg.holding.asset for leg in valuation.legs))
    moves = [dict(zip(grid.assets, row, strict=True)) for row in grid.factors]
    return tuple(_view(position, moves) for position in found)


def positions(valuation: Valuation) -> list[Position]:
    """Lending positions of a valuation."""
    terms = {(t.chain_id, t.token): t.liquidation_threshold_bps for t in valuation.portfolio.terms}
    best: dict[tuple[int, str], int] = {}
    for t in valuation.portfolio.terms:
        best[(t.chain_id, t.place)] = max(best.get((t.chain_id, t.place), 0), t.liquidation_threshold_bps)
    legs: dict[str, list[Leg]] = {}
    for leg in valuation.legs:
        if leg.holding.position and leg.holding.place != CREDIT_LINE:
            legs.setdefault(leg.holding.position, []).append(leg)
    found = []
    for key, members in sorted(legs.items()):
        where = members[0].holding
        collateral = tuple((leg, terms.get((leg.holding.chain_id, leg.holding.token), 0)) for leg in members if not leg.debt)
        debts = tuple(leg for leg in members if leg.debt)
        found.append(Position(key, collateral, debts, best.get((where.chain_id, where.place), BPS)))
    return found


def _view(position: Position, moves: list[dict[str, int]]) -> VenueView:
    rest = {leg.holding.asset: PPB for leg in (*(leg for leg, _ in position.collateral), *position.debts)}
    health = health_factor(position)
    where = position.first.holding
    return VenueView(
        position=position.key, chain_id=where.chain_id, place=where.place,
        collateral_usd=usd(position.collateral_value), debt_usd=usd(position.debt_value),
        health_factor=None if health is None else decimal_of(health, 18),
        requirement_usd=usd(own_funds(position, [rest], (1, 1))),
        stressed_requirement_usd=usd(own_funds(position, moves, STRESS_HEALTH)),
        move_to_liquidation_pct=_move(health),
    )  # fmt: skip


def health_factor(position: Position) -> int | None:
    """Aave v3's health factor, 18 decimals, on the feed's 8-decimal answers; None without debt (the pool shows 2^256 - 1)."""
    found = aave_v3.health_factor([_pooled(*pair) for pair in position.collateral], [_pooled(leg, 0) for leg in position.debts])
    return None if found == aave_v3.NO_DEBT else found


def _pooled(leg: Leg, threshold: int) -> aave_v3.Holding:
    price = 0 if leg.bound.last is None else int(leg.bound.last * BASE)
    return aave_v3.Holding(leg.holding.atoms, RAY, price, leg.holding.decimals, threshold)


def own_funds(position: Position, moves: Iterable[dict[str, int]], health: tuple[int, int]) -> int:
    """Own funds, micro-dollars, so that the health factor is at least health[0] / health[1] in each of `moves` (by asset)."""
    debt, collateral = position.debt_value, position.collateral_value
    if debt == 0:
        return 0
    needed = 0
    for factor in moves:
        owed = sum(leg.value * factor[leg.holding.asset] for leg in position.debts) * health[0]
        counted = sum(leg.value * factor[leg.holding.asset] * threshold for leg, threshold in position.collateral) * health[1]
        if counted > 0:
            needed = max(needed, -(-collateral * owed * BPS // counted))
        else:
            needed = max(needed, -(-owed * BPS // (health[1] * max(position.best, 1) * PPB)))
    return max(0, needed - debt)


def _move(health: int | None) -> Decimal | None:
    """Percent that collateral may move against debt until the health factor is 1; negative: a fall. None without debt."""
    if health is None or health == 0:
        return None
    return ratio_down(100 * (WAD - health), health, 2)
