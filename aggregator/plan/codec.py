"""Codec: steps to JSON and back, without loss. Pure.

Actions carry their class name under 'type', so that the stored row says in words what is done and comes back as the same record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, get_args

from aggregator.margin import codec
from aggregator.plan.steps import Step
from chains.actions import AnyAction

Json = dict[str, Any]
_ACTIONS: Final[dict[str, type[AnyAction]]] = {kind.__name__: kind for kind in get_args(AnyAction)}


def encode_action(action: AnyAction) -> Json:
    """{'type': class name, field: value, ...}."""
    return {"type": type(action).__name__, **codec.encode(action)}


def decode_action(body: Json) -> AnyAction:
    """Inverse of `encode_action`. Raises ValueError naming an unknown type or field."""
    name = body.get("type")
    kind = _ACTIONS.get(str(name))
    if kind is None:
        raise ValueError(f"action type {name!r} is unknown; known are {sorted(_ACTIONS)}")
    return codec.decode(kind, {key: value for key, value in body.items() if key != "type"})


def encode_step(step: Step) -> Json:
    """JSON-ready body of a step; what the store keeps and the API shows."""
    return {**codec.encode(step), "actions": [encode_action(action) for action in step.actions]}


def decode_step(body: Json) -> Step:
    """Inverse of `encode_step`. Raises ValueError naming what does not fit."""
    bare = codec.decode(Step, {**body, "actions": []})
    return replace(bare, actions=tuple(decode_action(item) for item in body["actions"]))
