"""Engine: portfolio, market and parameters in, margin report out (hop 5). Pure, deterministic, replayable bit for bit.

The three numbers come from the model's available value at two levels: requirement = net liquidation value - available value. Then
maintenance = max(0, R_mm), initial = max(maintenance, R_im), target = maintenance + theta (initial - maintenance), so that
0 <= maintenance <= target <= initial always. What-ifs, tickets and close-out sizes are this same function on a changed Portfolio.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from aggregator.margin.cuts import LINES, PPB, Level, ppb
from aggregator.margin.models import model, name_of
from aggregator.margin.outcome import Outcome
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import Failure, Line, MarginReport, Risk, ScenarioResult, State
from aggregator.margin.valuation import Valuation, usd, value, value_lines
from aggregator.margin.venues import venue_views
from aggregator.market.prices import Snapshot
from aggregator.portfolio.portfolio import Portfolio, View
from aggregator.units import ratio_down

BREACHED = frozenset({State.CLOSE_OUT, State.INSOLVENT})
DEFERRED = "close_out_deferred"


def assess(portfolio: Portfolio, market: Snapshot, parameters: Parameters) -> MarginReport:
    """Margin report of one portfolio. Everything that the figures had to be made without is a named failure on the report.

    Raises ConfigInvalid for a model that does not exist, ValueError for negative atoms.
    """
    chosen = model(parameters.model)
    valuation = value(portfolio, market)
    initial = chosen(valuation, parameters, Level.INITIAL)
    maintenance = chosen(valuation, parameters, Level.MAINTENANCE)
    initial = _nothing_free(initial) if valuation.unknown_debt else initial
    required = max(0, valuation.net - maintenance.available)
    initially = max(required, valuation.net - initial.available)
    binding = maintenance if valuation.net - initial.available < required else initial
    target = required - (-(initially - required) * ppb(parameters.theta) // PPB)
    risk = Risk(usd(valuation.net), usd(initially), usd(required), usd(target))
    state, failures = _state(valuation, initially, required, parameters)
    venues = venue_views(valuation, parameters)
    alone = sum((v.requirement_usd for v in venues), Decimal(0))
    stressed_alone = sum((v.stressed_requirement_usd for v in venues), Decimal(0))
    return MarginReport(
        client=portfolio.client, view=portfolio.view, model=name_of(chosen), as_of=portfolio.as_of, risk=risk, state=state,
        values=value_lines(valuation), lines=_lines(binding, maintenance),
        scenarios=_scenarios(initial, maintenance), binding=binding.binding, venues=venues, requirement_alone_usd=alone,
        capital_saved_usd=max(Decimal(0), stressed_alone - risk.initial_margin),
        coverage=_ratio(valuation.net, initially), margin_ratio=_ratio(valuation.net, required), failures=failures,
    )  # fmt: skip


def cautious(report_final: MarginReport, report_head: MarginReport) -> MarginReport:
    """The worse of the two reports by available margin, then by excess liquidity; it gates withdrawals and new risk."""
    worse = min((report_head, report_final), key=lambda r: (r.risk.available_margin, r.risk.excess_liquidity))
    return replace(worse, view=View.CAUTIOUS)


def close_out_gate(head: MarginReport, optimistic: MarginReport) -> bool:
    """Whether close-out may start: a breach at the head, and with every unfinalised deposit and repayment counted."""
    return head.state in BREACHED and optimistic.state in BREACHED


def _nothing_free(outcome: Outcome) -> Outcome:
    """A debt that no price values: for initial margin it may be as large as everything the client has."""
    taken = max(0, outcome.available)
    outcome.tally.add("oracle", taken, "a debt has no price on any network")
    return replace(outcome, available=outcome.available - taken)


def _state(valuation: Valuation, initially: int, required: int, parameters: Parameters) -> tuple[State, tuple[Failure, ...]]:
    """State by the three numbers; with a price that cannot be trusted, a breach counts only at both ends of its band."""
    net = valuation.net
    if net >= initially and (net > 0 or not valuation.owing):
        return State.OK, valuation.failures
    insolvent = net <= 0 and valuation.owing
    if not insolvent and net >= required:
        return State.CALL, valuation.failures
    if _sound_at_the_other_end(valuation, parameters):
        why = Failure(DEFERRED, valuation.portfolio.client, "breached at one end of the age band only: called, not closed out")
        return State.CALL, (*valuation.failures, why)
    return State.INSOLVENT if insolvent else State.CLOSE_OUT, valuation.failures


def _sound_at_the_other_end(valuation: Valuation, parameters: Parameters) -> bool:
    if all(leg.bound.fault is None for leg in valuation.legs):
        return False
    if any(leg.bound.last is None for leg in valuation.legs):
        return True
    return model(parameters.model)(valuation, parameters, Level.FAVOURABLE).available >= 0


def _lines(initial: Outcome, maintenance: Outcome) -> tuple[Line, ...]:
    found = []
    for name in LINES:
        im, mm = initial.tally.amounts.get(name, 0), maintenance.tally.amounts.get(name, 0)
        if im or mm:
            reasons = initial.tally.reasons.get(name) or maintenance.tally.reasons.get(name, [])
            found.append(Line(name, usd(im), usd(mm), "; ".join(dict.fromkeys(reasons))))
    return tuple(found)


def _scenarios(initial: Outcome, maintenance: Outcome) -> tuple[ScenarioResult, ...]:
    pairs = zip(initial.scenarios, maintenance.scenarios, strict=True)
    return tuple(ScenarioResult(name, usd(im), usd(mm)) for (name, im), (_, mm) in pairs)


def _ratio(above: int, below: int) -> Decimal | None:
    if above <= 0 or below <= 0:
        return None
    return ratio_down(above, below)
