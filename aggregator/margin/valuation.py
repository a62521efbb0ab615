"""Valuation: a portfolio at a market becomes legs of whole micro-dollars, value lines and listed failures. Pure.

Everything after this is integer arithmetic: assets are rounded down, debts up, so that sums in the report are exact and more of an
asset is never worth less. Holdings that differ in nothing but quantity are merged first: order, split and merge change no bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from aggregator.margin.report import Failure, ValueLine
from aggregator.market.bounds import Bound, Fault, bound
from aggregator.market.prices import Snapshot
from aggregator.portfolio.portfolio import Holding, Portfolio, Side
from aggregator.units import decimal_of

MICRO = 10**6
ABSURD_USD = 10**15
ABSURD = "quantity_absurd"


@dataclass(frozen=True, slots=True)
class Leg:
    """One merged holding with its value in micro-dollars, never negative; `debt` says the sign."""

    holding: Holding
    bound: Bound
    value: int
    label: str

    @property
    def debt(self) -> bool:
        return self.holding.side is Side.DEBT

    @property
    def signed(self) -> int:
        return -self.value if self.debt else self.value


@dataclass(frozen=True, slots=True)
class Valuation:
    """All legs in canonical order. net: micro-dollars, assets less debts. unknown_debt: a debt that no price anywhere values."""

    portfolio: Portfolio
    legs: tuple[Leg, ...]
    net: int
    failures: tuple[Failure, ...]

    @property
    def owing(self) -> bool:
        return any(leg.debt for leg in self.legs)

    @property
    def unknown_debt(self) -> bool:
        return any(leg.debt and leg.bound.last is None for leg in self.legs)


def usd(micro: int) -> Decimal:
    """Exact dollars of micro-dollars."""
    return decimal_of(micro, 6)


def label(holding: Holding) -> str:
    """What a person calls the holding."""
    kind = f"{holding.wrapper} " if holding.wrapper == "synthetic" else ""
    where = "in a bridge" if holding.chain_id == 0 else f"on {holding.chain_id}"
    return f"{kind}{holding.asset} {where}, {holding.place} {holding.side.value}"


def merged(holdings: Iterable[Holding]) -> list[Holding]:
    """Holdings with equal keys added up, in canonical order; empty ones left out. Raises ValueError for negative atoms."""
    total: dict[Holding, int] = {}
    for h in holdings:
        if h.atoms < 0:
            raise ValueError(f"holding_atoms_must_not_be_negative: {h.atoms} of {label(h)}; use side=debt")
        key = h.with_atoms(0)
        total[key] = total.get(key, 0) + h.atoms
    kept = [key.with_atoms(atoms) for key, atoms in total.items() if atoms]
    return sorted(kept, key=_order)


def _order(h: Holding) -> tuple[str | int, ...]:
    return (
        h.chain_id, h.place, h.position, h.asset, h.token, h.side.value, h.state.value, h.wrapper, h.bridge, h.feed, h.decimals,
    )  # fmt: skip


def value(portfolio: Portfolio, market: Snapshot) -> Valuation:
    """Values every holding at the last good price of its own feed and names every price or quantity that cannot be trusted."""
    legs: list[Leg] = []
    failures: list[Failure] = []
    for h in merged(portfolio.holdings):
        leg, failure = _leg(h, market)
        legs.append(leg)
        if failure is not None:
            failures.append(failure)
    if not portfolio.custody_intact:
        failures.append(Failure("custody_not_intact", portfolio.client, "all assets count zero for initial margin"))
    return Valuation(portfolio, tuple(legs), sum(leg.signed for leg in legs), tuple(failures))


def _leg(h: Holding, market: Snapshot) -> tuple[Leg, Failure | None]:
    debt, name = h.side is Side.DEBT, label(h)
    found = bound(market, h.chain_id, h.feed, h.asset, debt)
    micro = 0 if found.last is None else _micro(h.atoms, h.decimals, found.last, debt)
    if micro > ABSURD_USD * MICRO:
        micro = ABSURD_USD * MICRO if debt else 0
        effect = f"counted as {ABSURD_USD} USD of debt" if debt else "counted as zero"
        return Leg(h, found, micro, name), Failure(ABSURD, name, effect)
    if found.fault is None:
        return Leg(h, found, micro, name), None
    return Leg(h, found, micro, name), Failure(found.fault.value, name, _effect(found, debt))


def _micro(atoms: int, decimals: int, price: Decimal, debt: bool) -> int:
    above, below = price.as_integer_ratio()
    above, below = atoms * above * MICRO, below * int(10**decimals)
    return -(-above // below) if debt else above // below


def _effect(found: Bound, debt: bool) -> str:
    if found.last is None:
        return "not valued: nothing may be withdrawn or added" if debt else "counted as zero"
    source = "" if found.fault is Fault.STALE or found.price is None else f" of network {found.price.chain_id}"
    if debt:
        return f"last good price{source} {found.last:f} plus the age band"
    return f"zero for initial margin; last good price{source} {found.last:f} less the age band for maintenance"


def value_lines(valuation: Valuation) -> tuple[ValueLine, ...]:
    """One signed line per leg; they sum to net liquidation value exactly."""
    return tuple(_value_line(leg, valuation.portfolio) for leg in valuation.legs)


def _value_line(leg: Leg, portfolio: Portfolio) -> ValueLine:
    h, price = leg.holding, leg.bound.price
    block = next((b.number for c, b in portfolio.as_of.cut.blocks.items() if c == h.chain_id), 0)
    return ValueLine(
        label=leg.label, chain_id=h.chain_id, place=h.place, asset=h.asset, side=h.side.value, atoms=h.atoms, decimals=h.decimals,
        price=leg.bound.last, price_age_s=None if price is None else price.age_s, market_value_usd=usd(leg.signed),
        state=h.state.value, block_number=block,
    )  # fmt: skip
