"""Steps: what the planner decided, complete enough to be signed, sent and explained without asking again. Pure.

A step's id is a hash of deployment, network, account, need, terms and decision epoch: no row sequence, no clock, no fee, no random.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from decimal import Decimal

from aggregator.ledger.transfers import Transfer
from chains.actions import AnyAction


@dataclass(frozen=True, slots=True)
class PostCondition:
    """Checked on chain after the calls: word `word` of a static call to `target` must be at least `minimum`. '' target: none."""

    target: str = ""
    call: str = "0x"
    word: int = 0
    minimum: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One action on one network. `deadline` and `as_of_s` are block times of that network; `draw_atoms` comes from its credit line
    first; `effects` are the ledger transfers that will stand when it is done (its reservation, used by the projected view);
    `effect_usd` is its size, `cost_usd` what it is expected to cost the client."""

    kind: str
    client: str
    chain_id: int
    safe: str
    need_key: str
    sequence: int
    draw_atoms: int
    actions: tuple[AnyAction, ...]
    deadline: int
    as_of_s: int
    post: PostCondition
    effects: tuple[Transfer, ...]
    decision_epoch: str
    reason: str
    effect_usd: Decimal
    cost_usd: Decimal
    restrict_owner: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A need the planner saw and did not serve, with the rule that stopped it (mandate, limits, stale price, live action)."""

    client: str
    need: str
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order of urgency; refusals say what was left and why."""

    client: str
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = field(default=())


def need_key(client: str, chain_id: int, kind: str, position: str) -> str:
    """0x hash that names one need: (account, kind, venue position) on one network. At most one live action serves it."""
    return "0x" + hashlib.sha256(f"need|{client}|{chain_id}|{kind}|{position}".encode()).hexdigest()


def action_id(deployment: str, step: Step) -> str:
    """Deterministic 0x id of a step: hash of deployment, network, account, need, sequence, economic terms and decision epoch."""
    terms = [(type(a).__name__, asdict(a)) for a in step.actions]
    text = json.dumps(
        [deployment, step.chain_id, step.safe, step.kind, step.need_key, step.sequence, step.draw_atoms, terms,
         asdict(step.post), step.decision_epoch], sort_keys=True, default=str,
    )  # fmt: skip
    return "0x" + hashlib.sha256(text.encode()).hexdigest()
