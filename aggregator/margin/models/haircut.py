"""`haircut`: the lending pools' own rule, over the whole account. Pure.

Each asset counts with its loan-to-value for initial margin and its liquidation threshold for maintenance: those of its venue where
the portfolio has the venue's terms, else those of the parameter set. Debts count in full. No scenario, no offset between moves.
"""

from __future__ import annotations

from aggregator.margin.cuts import PPB, Level, Tally, ppb, remaining, scaled
from aggregator.margin.outcome import Outcome
from aggregator.margin.parameters import Parameters
from aggregator.margin.valuation import Leg, Valuation

BPS_TO_PPB = PPB // 10_000


def counted(leg: Leg, valuation: Valuation, parameters: Parameters, level: Level) -> int:
    """Share of an asset that counts, parts per billion; unknown assets count zero."""
    for t in valuation.portfolio.terms:
        if leg.holding.position and (t.chain_id, t.token) == (leg.holding.chain_id, leg.holding.token):
            return (t.ltv_bps if level is Level.INITIAL else t.liquidation_threshold_bps) * BPS_TO_PPB
    ltv, threshold = parameters.haircut_ltv_threshold.get(leg.holding.asset, (0.0, 0.0))
    return ppb(ltv if level is Level.INITIAL else threshold)


def assess(valuation: Valuation, parameters: Parameters, level: Level) -> Outcome:
    """Available value = sum of counted assets less debts."""
    tally, available = Tally(), 0
    for leg in valuation.legs:
        left = remaining(leg, valuation, parameters, level, tally)
        if not leg.debt:
            share = counted(leg, valuation, parameters, level)
            kept = scaled(left, share)
            tally.add("haircut", left - kept, f"{leg.label} counts {share * 100 / PPB:.2f} %")
            left = kept
        available += left
    return Outcome(available, tally)
