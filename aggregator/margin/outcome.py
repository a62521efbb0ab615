"""Outcome: what one risk model says of one valuation at one level; the engine makes the report from two of them. Pure.

A model states an *available value*: what the whole account is worth after the model's cuts in its worst scenario. The requirement
is net liquidation value less available value. Available value never falls when an eligible asset is added, so more collateral never
hurts. The lines are never negative and sum to the requirement exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aggregator.margin.cuts import Level, Tally
from aggregator.margin.parameters import Parameters
from aggregator.margin.valuation import Valuation


@dataclass(frozen=True, slots=True)
class Outcome:
    """available: micro-dollars after cuts in the binding scenario. scenarios: (name, profit before any cut in micro-dollars)."""

    available: int
    tally: Tally
    scenarios: tuple[tuple[str, int], ...] = field(default=())
    binding: str = "at rest"


ModelFunction = Callable[[Valuation, Parameters, Level], Outcome]
