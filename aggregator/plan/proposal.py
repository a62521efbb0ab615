"""Proposals: what a strategy answers, and the one place where a step is put together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from aggregator.errors import MandateForbids
from aggregator.ledger.transfers import Transfer
from aggregator.plan.situation import Situation
from aggregator.plan.steps import PostCondition, Refusal, Step, need_key
from aggregator.units import BPS, usd_down, usd_up
from chains.actions import AnyAction

NO_POST = PostCondition()


@dataclass(frozen=True, slots=True)
class Proposal:
    """Steps a strategy wants, and needs it saw and did not serve."""

    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A step before it has its need, times and number. `position` names the need together with kind and network."""

    kind: str
    chain_id: int
    position: str
    actions: tuple[AnyAction, ...]
    effects: tuple[Transfer, ...]
    reason: str
    effect_usd: Decimal
    cost_usd: Decimal
    draw_atoms: int = 0
    post: PostCondition = field(default=NO_POST)
    restrict_owner: bool = False


def refuse(situation: Situation, kind: str, position: str, why: str) -> Proposal:
    """A proposal that serves nothing and says why."""
    return Proposal(refusals=(Refusal(situation.client, f"{kind} {position}", why),))


def hindrance(situation: Situation, kind: str, chain_id: int, position: str) -> str | None:
    """Why no step may be planned for this need now, as a sentence; None when one may."""
    need = need_key(situation.client, chain_id, kind, position)
    if need in situation.live_needs:
        return "An earlier action for this need is still under way."
    now = situation.block_time(chain_id)
    if now is None or situation.safe(chain_id) is None:
        return f"The client has no account that is followed on network {chain_id}."
    if chain_id in situation.halted:
        return f"Network {chain_id} is stopped or was not seen lately; nothing is planned on what may be old."
    failed, last = situation.failures.get(need, (0, 0))
    until = last + situation.limits.rest(failed)
    if failed and now < until:
        return f"{failed} steps in a row failed for this need; it rests until block time {until} (now {now})."
    return None


def affordable(situation: Situation, cost_usd: Decimal, value_usd: Decimal) -> None:
    """Raises MandateForbids when a cost is above the mandate's share of the value that is moved."""
    allowed = situation.mandate.max_cost_bps
    if cost_usd * BPS > value_usd * allowed:
        raise MandateForbids(
            f"mandate.max_cost_bps = {allowed} allows {money(value_usd * allowed / BPS)}, the step would cost {money(cost_usd)}"
        )


def step(situation: Situation, draft: Draft) -> Proposal:
    """The finished step. A need that may not be served now, or a step above the cap, becomes a refusal."""
    why = hindrance(situation, draft.kind, draft.chain_id, draft.position)
    if why is None and draft.effect_usd > situation.limits.step_cap_usd:
        why = f"The step would move {money(draft.effect_usd)}; one step moves at most {money(situation.limits.step_cap_usd)}."
    safe, now = situation.safe(draft.chain_id), situation.block_time(draft.chain_id)
    if why is not None or safe is None or now is None:
        return refuse(situation, draft.kind, draft.position, why or "No account on this network.")
    need = need_key(situation.client, draft.chain_id, draft.kind, draft.position)
    made = Step(
        kind=draft.kind, client=situation.client, chain_id=draft.chain_id, safe=safe, need_key=need,
        sequence=situation.sequences.get(need, 1), draw_atoms=draft.draw_atoms, actions=draft.actions,
        deadline=now + situation.limits.deadline_s, as_of_s=now, post=draft.post, effects=draft.effects,
        decision_epoch=situation.as_of.key(), reason=draft.reason, effect_usd=usd_down(draft.effect_usd),
        cost_usd=usd_up(draft.cost_usd),
        restrict_owner=draft.restrict_owner,
    )  # fmt: skip
    return Proposal(steps=(made,))


def joined(parts: Sequence[Proposal]) -> Proposal:
    """Several proposals as one, in order."""
    return Proposal(tuple(s for p in parts for s in p.steps), tuple(r for p in parts for r in p.refusals))


def money(value: Decimal) -> str:
    """'1,234.56 USD', for people."""
    return f"{value:,.2f} USD"


def number(value: Decimal, places: int = 4) -> str:
    """A quantity or ratio for people."""
    return f"{value:,.{places}f}"
