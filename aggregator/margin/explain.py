"""Explain: every figure of a report in words, with the lines it was summed from. Pure.

The same text serves the command line, the API and the page. Nothing is computed here that is not on the report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from aggregator.errors import NotFound
from aggregator.margin.codec import Json, decode, encode
from aggregator.margin.codec import digest as digest_of
from aggregator.margin.report import MarginReport, VenueView
from aggregator.units import decimal_of, plain


@dataclass(frozen=True, slots=True)
class ExplainLine:
    """One addend or input: what it is, its value (USD where not said otherwise; None: a remark), and why."""

    label: str
    value: Decimal | None
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """One figure: its value (None where it does not exist), what it means, and its lines."""

    figure: str
    value: Decimal | None
    sentence: str
    lines: tuple[ExplainLine, ...]


SENTENCES = {
    "net_liquidation_value": "What all assets are worth less all debts, no haircut, at each network's own last good price.",
    "initial_margin": "What must be covered to add risk or to withdraw: the sum of these lines.",
    "maintenance_margin": "What must be covered to stay; below it close-out starts: the sum of these lines.",
    "close_out_target": "Where a close-out stops: maintenance margin plus a share of the way to initial margin.",
    "available_margin": "Net liquidation value less initial margin: what new risk and withdrawals may use.",
    "excess_liquidity": "Net liquidation value less maintenance margin: below zero, close-out starts.",
    "requirement_alone": "Own funds that the venues ask position by position, each by its own rule.",
    "capital_saved": "Own funds the same positions need at the same stressed health without each other, less initial margin here.",
    "health_factor": "The protocol's own number for this one position; below 1 anyone may liquidate it there.",
}
HEALTH = "health_factor:"


def figures(report: MarginReport) -> tuple[str, ...]:
    """Names that `explain` knows for this report; one health factor per venue position."""
    return (*_BUILDERS, *(HEALTH + v.position for v in report.venues))


def explain(report: MarginReport, figure: str) -> Explanation:
    """One figure in words. Raises NotFound naming the figures there are."""
    if figure in _BUILDERS:
        value, lines = _BUILDERS[figure](report)
        return Explanation(figure, value, SENTENCES[figure], (*lines, *_failures(report)))
    for venue in report.venues:
        if figure == HEALTH + venue.position:
            return Explanation(figure, venue.health_factor, SENTENCES["health_factor"], tuple(_health(venue)))
    raise NotFound(f"figure {figure!r} is not on the report of {report.client!r}; use one of {', '.join(figures(report))}")


def to_json(report: MarginReport) -> Json:
    """Report as JSON: decimals are strings. `from_json` is its inverse."""
    body: Json = encode(report)
    return body


def from_json(body: Json) -> MarginReport:
    """Report from `to_json`'s answer. Raises ValueError naming an unknown or missing field."""
    return decode(MarginReport, body)


def digest(report: MarginReport) -> str:
    """sha256 of the canonical JSON: two reports are equal in every bit exactly when their digests are."""
    return digest_of(report)


Built = tuple[Decimal | None, tuple[ExplainLine, ...]]


def _net(report: MarginReport) -> Built:
    lines = []
    for v in report.values:
        quantity = plain(decimal_of(v.atoms, v.decimals).normalize())
        price = "no price" if v.price is None else f"at {plain(v.price)} USD, {v.price_age_s} s old"
        where = f"block {v.block_number}, " if v.block_number else ""
        lines.append(ExplainLine(v.label, v.market_value_usd, f"{quantity} {v.asset} {price}; {where}{v.state}"))
    return report.risk.net_liquidation_value, tuple(lines)


def _initial(report: MarginReport) -> Built:
    lines = tuple(ExplainLine(line.name, line.initial, line.why) for line in report.lines)
    return report.risk.initial_margin, (*lines, ExplainLine("binding scenario", None, report.binding))


def _maintenance(report: MarginReport) -> Built:
    why = "as for initial margin, with maintenance moves"
    return report.risk.maintenance_margin, tuple(ExplainLine(line.name, line.maintenance, why) for line in report.lines)


def _target(report: MarginReport) -> Built:
    risk = report.risk
    return risk.close_out_target, (
        ExplainLine("maintenance_margin", risk.maintenance_margin, "where close-out starts"),
        ExplainLine("way to initial margin", risk.close_out_target - risk.maintenance_margin, "theta x (initial - maintenance)"),
    )


def _available(report: MarginReport) -> Built:
    risk = report.risk
    return risk.available_margin, (
        ExplainLine("net_liquidation_value", risk.net_liquidation_value, "assets less debts"),
        ExplainLine("initial_margin", -risk.initial_margin, "taken off"),
    )


def _excess(report: MarginReport) -> Built:
    risk = report.risk
    return risk.excess_liquidity, (
        ExplainLine("net_liquidation_value", risk.net_liquidation_value, "assets less debts"),
        ExplainLine("maintenance_margin", -risk.maintenance_margin, "taken off"),
    )


def _alone(report: MarginReport) -> Built:
    why = "collateral at which the health factor is 1, less debt; one collateral: debt / liquidation threshold - debt"
    lines = tuple(ExplainLine(v.position, v.requirement_usd, why) for v in report.venues)
    return report.requirement_alone_usd, lines


def _saved(report: MarginReport) -> Built:
    why = "own funds for a health factor of 1.01 in every scenario"
    lines = [ExplainLine(v.position, v.stressed_requirement_usd, why) for v in report.venues]
    lines.append(ExplainLine("initial_margin", -report.risk.initial_margin, "what the account needs here; never below zero saved"))
    lines.append(ExplainLine("coverage", report.coverage, "net liquidation value / initial margin, a ratio"))
    return report.capital_saved_usd, tuple(lines)


def _health(venue: VenueView) -> Iterator[ExplainLine]:
    yield ExplainLine("collateral", venue.collateral_usd, "market value in this position")
    yield ExplainLine("debt", -venue.debt_usd, "owed in this position")
    if venue.move_to_liquidation_pct is not None:
        yield ExplainLine("move to liquidation", venue.move_to_liquidation_pct, "percent, collateral against debt")


def _failures(report: MarginReport) -> Iterator[ExplainLine]:
    for failure in report.failures:
        yield ExplainLine(failure.name, None, f"{failure.subject}: {failure.effect}")


_BUILDERS: dict[str, Callable[[MarginReport], Built]] = {
    "net_liquidation_value": _net, "initial_margin": _initial, "maintenance_margin": _maintenance, "close_out_target": _target,
    "available_margin": _available, "excess_liquidity": _excess, "requirement_alone": _alone, "capital_saved": _saved,
}  # fmt: skip
