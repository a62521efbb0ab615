"""Limits of the planner: what is too small to act on, how far ahead a step may live, what one step may move. Pure.

They are the engine's own, tighter than what the contracts enforce; the contracts' caps stay the last line.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Limits:
    """deadline_s: block seconds a step may live; the module admits an as-of of at most 15 minutes, so it stays far below that.
    dust_usd: holdings and debts below it are left alone. bridge_minimum_usd: no smaller bridge send. part_minimum_usd: no smaller
    repayment that leaves a debt standing.
    step_cap_usd: the most that one step moves. stable_tolerance_bps: worst price of a swap between two tokens of one asset.
    bridge_cushion_bps: sent on top of the debt, for fees, swap and interest until it arrives.
    repay_cushion_bps: approved on top of the debt, for interest until the step is mined.
    call_slack_usd: how much a rebalance may add to the missing initial margin of an account that is already called.
    size_step_bps: precision of close-out sizes. minimum_health: no step leaves a venue position below it.
    rest_s, rest_limit_s: after a failed step its need rests this many block seconds, twice as long after each further failure."""

    deadline_s: int = 120
    dust_usd: Decimal = Decimal(5)
    bridge_minimum_usd: Decimal = Decimal(50)
    part_minimum_usd: Decimal = Decimal(100)
    step_cap_usd: Decimal = Decimal(10_000_000)
    stable_tolerance_bps: int = 20
    bridge_cushion_bps: int = 40
    repay_cushion_bps: int = 5
    call_slack_usd: Decimal = Decimal(100)
    size_step_bps: int = 10
    minimum_health: Decimal = Decimal("1.01")
    rest_s: int = 4
    rest_limit_s: int = 600

    def rest(self, failures: int) -> int:
        """Block seconds that a need rests after `failures` failed steps in a row; 0 for none."""
        if failures <= 0:
            return 0
        return int(min(self.rest_limit_s, self.rest_s * 2 ** min(failures - 1, 20)))
