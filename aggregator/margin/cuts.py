"""Cuts: what is taken off a holding before any scenario, each risk in exactly one line. Pure.

Fractions are whole parts per billion. Off an asset they are cut in a fixed order and their sum is capped at one, so a line never
takes more than the holding is still worth; on a debt they are added. What remains of an asset is floor(value * (1 - sum)), which
never falls as the value grows, and the lines are the differences, so that they sum exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from aggregator.margin.parameters import Parameters
from aggregator.margin.valuation import Leg, Valuation
from aggregator.portfolio.portfolio import HoldingState

PPB = 10**9
LINES = (
    "market", "stable", "haircut", "liquidity", "wrapper", "transit", "finality", "oracle", "custody", "quarantine", "eligibility",
)  # fmt: skip


class Level(StrEnum):
    """INITIAL and MAINTENANCE: the two requirements. FAVOURABLE: maintenance at the other end of the age band; an account is closed
    out only if it is breached there too."""

    INITIAL = "initial"
    MAINTENANCE = "maintenance"
    FAVOURABLE = "favourable"


@dataclass(slots=True)
class Tally:
    """Lines of one level while they are added up: micro-dollars by line, and in words what made them."""

    amounts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)

    def add(self, line: str, micro: int, reason: str) -> None:
        if micro:
            self.amounts[line] = self.amounts.get(line, 0) + micro
            self.reasons.setdefault(line, []).append(reason)


def ppb(fraction: float) -> int:
    """Fraction as whole parts per billion."""
    return round(fraction * PPB)


def scaled(micro: int, parts: int) -> int:
    """floor(micro * parts / 10^9), for signed values: toward minus infinity, that is against the client."""
    return micro * parts // PPB


Fraction = Callable[[Leg, Valuation, Parameters, Level], tuple[int, str]]


def _eligibility(leg: Leg, v: Valuation, p: Parameters, level: Level) -> tuple[int, str]:
    known = leg.holding.asset in p.range_down_up
    return (0, "") if known else (PPB, f"{leg.label}: no range is set for {leg.holding.asset}")


def _quarantine(leg: Leg, v: Valuation, p: Parameters, level: Level) -> tuple[int, str]:
    held = leg.holding.state is HoldingState.QUARANTINED and level is Level.INITIAL and not leg.debt
    return (PPB, f"{leg.label}: ledger and network disagree") if held else (0, "")


def _custody(leg: Leg, v: Valuation, p: Parameters, level: Level) -> tuple[int, str]:
    broken = not v.portfolio.custody_intact and level is Level.INITIAL and not leg.debt
    return (PPB, f"{leg.label}: custody is not intact") if broken else (0, "")


def _oracle(leg: Leg, v: Valuation, p: Parameters, level: Level) -> tuple[int, str]:
    if leg.bound.fault is None:
        return 0, ""
    band = ppb(p.oracle_band.get(leg.holding.asset, 1.0))
    if level is Level.FAVOURABLE:
        return -band, f"{leg.label}: {leg.bound.fault.value}"
    share = PPB if level is Level.INITIAL and not leg.debt else band
    return share, f"{leg.label}: {leg.bound.fault.value}, {_percent(share)}"


def _finality(leg: Leg, v: Valuation, p: Parameters, level: Level) -> tuple[int, str]:
    share = ppb(p.finality_pending) if leg.holding.state is HoldingState.PENDING and not leg.debt else 0
    return share, f"{leg.label}: {_percent(share)} until final"


def _transit(leg: Leg, v: Valuation, p: Parameters, level: Level) -> tuple[int, str]:
    if leg.holding.state is not HoldingState.IN_TRANSIT or leg.debt:
        return 0, ""
    share = ppb(p.transit.get(leg.holding.bridge, 1.0))
    return share, f"{leg.label}: {_percent(share)} expected loss of {leg.holding.bridge}"


def _wrapper(leg: Leg, v: Valuation, p: Parameters, level: Level) -> tuple[int, str]:
    if leg.holding.wrapper != "synthetic" or leg.debt:
        return 0, ""
    share = ppb(p.wrapper.get(leg.holding.bridge, 1.0))
    return share, f"{leg.label}: {_percent(share)} for the promise of {leg.holding.bridge}"


CUTS: tuple[tuple[str, Fraction], ...] = (
    ("eligibility", _eligibility), ("quarantine", _quarantine), ("custody", _custody), ("oracle", _oracle),
    ("transit", _transit), ("finality", _finality), ("wrapper", _wrapper),
)  # fmt: skip


def _percent(parts: int) -> str:
    return f"{parts * 100 / PPB:.2f} %"


def remaining(leg: Leg, valuation: Valuation, parameters: Parameters, level: Level, tally: Tally) -> int:
    """Signed micro-dollars that enter the scenarios; what is cut off (or added to a debt) goes into `tally`."""
    total, before = 0, leg.signed
    for line, fraction in CUTS:
        share, reason = fraction(leg, valuation, parameters, level)
        if not share:
            continue
        total = total + share if leg.debt else min(PPB, total + share)
        after = scaled(leg.signed, PPB + total if leg.debt else PPB - total)
        tally.add(line, before - after, reason)
        before = after
    return before
