"""Planner: one client's situation in, a plan of steps out (hop 6). Pure.

Laws: no two steps of a plan serve one need, and none serves a need with a live action; the effects of every step sum to zero per
asset; planning again with the steps counted as done plans nothing; equal situations give equal plans, hence equal action ids.
"""

from __future__ import annotations

from dataclasses import replace

from aggregator.errors import Broken
from aggregator.plan.situation import Situation
from aggregator.plan.steps import Plan, Refusal, Step
from aggregator.plan.strategies import FOR_THE_LENDERS, STRATEGIES


class NeedServedTwice(Broken):
    """A strategy planned a need that another step of the same plan, or a live action, serves already."""


def plan(situation: Situation) -> Plan:
    """Steps in order of urgency, and refusals for what was seen and not served.

    A client that is not open gets close-outs alone; a closed one gets nothing. Raises NeedServedTwice for a faulty strategy.
    """
    steps: list[Step] = []
    refusals: list[Refusal] = []
    for strategy in STRATEGIES if situation.client_state != "closed" else ():
        if situation.client_state == "suspended" and strategy not in FOR_THE_LENDERS:
            continue
        proposal = strategy(situation, tuple(steps))
        steps += proposal.steps
        refusals += proposal.refusals
    needs = [s.need_key for s in steps]
    if len(set(needs)) != len(needs) or set(needs) & situation.live_needs:
        raise NeedServedTwice(f"need_served_twice: {situation.client}: {[(s.kind, s.chain_id) for s in steps]}")
    return Plan(situation.client, tuple(steps), tuple(dict.fromkeys(refusals)))


def without_steps(found: Plan, why: str) -> Plan:
    """The same plan with every step turned into a refusal: for a planner that only watches."""
    refused = tuple(Refusal(s.client, f"{s.kind} on network {s.chain_id}", f"{why} {s.reason}") for s in found.steps)
    return replace(found, steps=(), refusals=(*found.refusals, *refused))
