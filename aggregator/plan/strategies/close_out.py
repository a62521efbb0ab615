"""Close-out: the account breaches maintenance margin at the head and with every unfinal payment of the client counted. Pure.

Legs are ranked by how much of the missing margin they relieve, and cut to the smallest size after which net liquidation value is at
the close-out target, no further. A leg is one transaction (aggregator.plan.legs). No leg trades a token without a fresh price; the
other legs proceed. The owners' own trades are held back meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from aggregator.margin.report import MarginReport
from aggregator.plan import effects as fx
from aggregator.plan.legs import Cut, Leg, legs
from aggregator.plan.proposal import NO_POST, Draft, Proposal, hindrance, joined, money, number, refuse, step
from aggregator.plan.situation import Situation
from aggregator.plan.sizing import smallest
from aggregator.plan.steps import PostCondition, Step
from aggregator.plan.venue import health_at_least, lending_view
from aggregator.portfolio.portfolio import View
from aggregator.units import BPS

KIND = "close_out"
HEALTH_SLACK = Decimal("0.97")


def propose(situation: Situation, taken: Sequence[Step]) -> Proposal:
    """Steps in order of relief until the projected account is at its close-out target."""
    if not situation.close_out or missing(situation.books[View.PROJECTED].report) <= 0:
        return Proposal()
    offered, refusals = legs(situation, taken)
    allowed: list[Leg] = []
    for leg in offered:
        why = hindrance(situation, KIND, leg.chain_id, leg.position)
        if why is None:
            allowed.append(leg)
        else:
            refusals.append(refuse(situation, KIND, leg.position, why))
    return joined([*_all(situation, taken, allowed), *refusals])


def missing(report: MarginReport) -> Decimal:
    """USD that net liquidation value lacks to the close-out target; not positive when it is there."""
    return report.risk.close_out_target - report.risk.net_liquidation_value


def after(situation: Situation, cuts: Sequence[Cut]) -> MarginReport:
    """The projected report with these cuts counted as done."""
    return situation.after(View.PROJECTED, fx.effects(change for cut in cuts for change in cut.changes))


def _all(situation: Situation, taken: Sequence[Step], allowed: Sequence[Leg]) -> list[Proposal]:
    """Greedy over legs by relief at full size: each is cut to what is still missing after those before it."""
    ranked = sorted(allowed, key=lambda leg: (missing(after(situation, [leg.at(leg.limit)])), leg.position))
    found: list[Proposal] = []
    done: list[Cut] = []
    for position in [leg.position for leg in ranked]:
        planned = [*taken, *joined(found).steps]
        # Money that an earlier leg of this plan uses is not there for the next one, so the legs are asked for again.
        leg = next((one for one in legs(situation, planned)[0] if one.position == position), None)
        if leg is None:
            continue
        if missing(after(situation, done)) <= 0:
            break
        cut = leg.at(_size(situation, leg, done))
        proposal = _step(situation, leg, cut, done)
        found.append(proposal)
        done += [cut] if proposal.steps else []
    return found


def _size(situation: Situation, leg: Leg, done: Sequence[Cut]) -> int:
    """The smallest size that reaches the target and that the venue lets go, within one grain; all of the leg when none does."""

    def enough(size: int) -> bool:
        report = after(situation, [*done, leg.at(size)])
        return missing(report) <= 0 and _standing(situation, report, leg)

    found = smallest(leg.limit, leg.limit * situation.limits.size_step_bps // BPS, enough)
    return leg.limit if found is None else found


def _step(situation: Situation, leg: Leg, cut: Cut, done: Sequence[Cut]) -> Proposal:
    before, reached = after(situation, done), after(situation, [*done, cut])
    if missing(reached) >= missing(before):
        why = f"Selling it would not help: {money(missing(reached))} would still be missing."
        return refuse(situation, KIND, leg.position, why)
    healths = [_health(report, leg.venue_position) for report in (before, reached)]
    if not _standing(situation, reached, leg):
        why = f"The venue lets no collateral go: the health factor would be {number(healths[1] or Decimal(0))} even so."
        return refuse(situation, KIND, leg.position, why)
    if healths[0] is not None and healths[1] is not None and healths[1] < healths[0]:
        why = f"It would leave the position's health factor at {number(healths[1])}, below the {number(healths[0])} it has."
        return refuse(situation, KIND, leg.position, why)
    head = situation.books[View.HEAD].report.risk
    reason = (
        f"Net liquidation value {money(head.net_liquidation_value)} is below maintenance margin {money(head.maintenance_margin)}, "
        f"also with all unfinal payments counted: {cut.words}, so that net liquidation value "
        f"{money(reached.risk.net_liquidation_value)} stands against a close-out target of {money(reached.risk.close_out_target)}."
    )
    draft = Draft(
        kind=KIND, chain_id=leg.chain_id, position=leg.position, actions=cut.actions, effects=fx.effects(cut.changes),
        reason=reason, effect_usd=cut.sold_usd, cost_usd=cut.cost_usd, draw_atoms=cut.draw_atoms,
        post=_post(situation, leg, healths[0], healths[1]), restrict_owner=True,
    )  # fmt: skip
    return step(situation, draft)


def _health(report: MarginReport, position: str) -> Decimal | None:
    view = lending_view(report, position)
    return view.health_factor if view is not None else None


def _standing(situation: Situation, report: MarginReport, leg: Leg) -> bool:
    """Whether the venue would let the collateral go: it asks for a health factor of one after a withdrawal."""
    health = _health(report, leg.venue_position)
    return health is None or health >= situation.limits.minimum_health


def _post(situation: Situation, leg: Leg, before: Decimal | None, reached: Decimal | None) -> PostCondition:
    """The position is left no weaker, give or take a small fall of the price meanwhile, and never below one."""
    if not leg.venue_position:
        return NO_POST
    told = [h for h in (before, reached) if h is not None]
    least = max(Decimal(1), min(told) * HEALTH_SLACK) if told else Decimal(1)
    return health_at_least(situation.networks[leg.chain_id], situation.safe(leg.chain_id) or "", least)
