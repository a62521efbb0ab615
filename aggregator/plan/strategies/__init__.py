"""Strategies, in order of urgency: one file each, one pure function each, registered here by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aggregator.plan.proposal import Proposal
from aggregator.plan.situation import Situation
from aggregator.plan.steps import Step
from aggregator.plan.strategies import close_out, rebalance, top_up

Strategy = Callable[[Situation, Sequence[Step]], Proposal]

STRATEGIES: tuple[Strategy, ...] = (close_out.propose, top_up.propose, rebalance.propose)
FOR_THE_LENDERS: frozenset[Strategy] = frozenset({close_out.propose})
