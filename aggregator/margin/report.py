"""The margin report: the three numbers, the lines they are made of, every venue's own view, listed failures. Pure.

Sums are exact in the decimals shown: `initial_margin` equals the sum of its lines, likewise `maintenance_margin`; net liquidation
value equals the sum of the holdings' values. Requirements are never negative and always
maintenance <= close_out_target <= initial.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from aggregator.portfolio.portfolio import AsOf, View


class State(StrEnum):
    """ok; call: below initial margin; close_out: below maintenance; insolvent: net liquidation value not positive while owing."""

    OK = "ok"
    CALL = "call"
    CLOSE_OUT = "close_out"
    INSOLVENT = "insolvent"


@dataclass(frozen=True, slots=True)
class Risk:
    """The three numbers in USD, plus where close-out stops."""

    net_liquidation_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    close_out_target: Decimal

    @property
    def available_margin(self) -> Decimal:
        return self.net_liquidation_value - self.initial_margin

    @property
    def excess_liquidity(self) -> Decimal:
        return self.net_liquidation_value - self.maintenance_margin

    @property
    def shortfall(self) -> Decimal:
        return max(Decimal(0), -self.excess_liquidity)


@dataclass(frozen=True, slots=True)
class Line:
    """One addend of a requirement. `name` from the model's table ('market', 'liquidity', 'wrapper', 'finality', 'oracle', ...);
    `initial`, `maintenance` in USD; `why` one sentence with the inputs that made it."""

    name: str
    initial: Decimal
    maintenance: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class ValueLine:
    """One holding's contribution to net liquidation value: signed USD, with quantity, price, age, block and state."""

    label: str
    chain_id: int
    place: str
    asset: str
    side: str
    atoms: int
    decimals: int
    price: Decimal | None
    price_age_s: int | None
    market_value_usd: Decimal
    state: str
    block_number: int


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """Profit or loss of the whole account in one scenario, USD, before haircut lines."""

    name: str
    pnl_initial: Decimal
    pnl_maintenance: Decimal


@dataclass(frozen=True, slots=True)
class VenueView:
    """What one venue position shows and asks alone. health_factor: the protocol's own number (None: no debt)."""

    position: str
    chain_id: int
    place: str
    collateral_usd: Decimal
    debt_usd: Decimal
    health_factor: Decimal | None
    requirement_usd: Decimal
    stressed_requirement_usd: Decimal
    move_to_liquidation_pct: Decimal | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Something the numbers had to be made without: named, with the conservative figure that was used instead."""

    name: str
    subject: str
    effect: str


@dataclass(frozen=True, slots=True)
class MarginReport:
    """Everything the engine says of one client in one view."""

    client: str
    view: View
    model: str
    as_of: AsOf
    risk: Risk
    state: State
    values: tuple[ValueLine, ...]
    lines: tuple[Line, ...]
    scenarios: tuple[ScenarioResult, ...]
    binding: str
    venues: tuple[VenueView, ...]
    requirement_alone_usd: Decimal
    capital_saved_usd: Decimal
    coverage: Decimal | None
    margin_ratio: Decimal | None
    failures: tuple[Failure, ...]
