"""The mandate: what a client has allowed the planner. Typed, canonical as JSON, refused by the field's name. Pure.

A mandate limits what is done *for* the client (top-ups, rebalances). It does not limit close-out: that protects the lenders.
Nothing is allowed by silence: every field must be given, and an unknown field is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from aggregator.errors import MandateForbids, Rejected
from aggregator.units import BPS


class MandateInvalid(Rejected):
    """The mandate's JSON breaks a rule; the message names the field and what is wanted."""


@dataclass(frozen=True, slots=True)
class Mandate:
    """networks: chain ids. venues: 'aave_v3', 'uniswap_v3'. bridges: 'hyperlane'. max_cost_bps: of the value that is moved.
    may_move_collateral: may the planner send the client's own funds to another network."""

    networks: tuple[int, ...]
    venues: tuple[str, ...]
    bridges: tuple[str, ...]
    max_cost_bps: int
    may_move_collateral: bool

    def canonical(self) -> str:
        """The one JSON text of this mandate: sorted keys and lists, no blanks. Signatures and digests are over it."""
        body = {k: sorted(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """0x sha256 of the canonical text."""
        return "0x" + hashlib.sha256(self.canonical().encode()).hexdigest()

    def require(self, *, network: int | None = None, venue: str | None = None, bridge: str | None = None) -> None:
        """Raises MandateForbids naming the field of the mandate that would have to be wider."""
        if network is not None and network not in self.networks:
            raise MandateForbids(f"mandate.networks = {list(self.networks)} does not hold {network}")
        if venue is not None and venue not in self.venues:
            raise MandateForbids(f"mandate.venues = {list(self.venues)} does not hold {venue!r}")
        if bridge is not None and bridge not in self.bridges:
            raise MandateForbids(f"mandate.bridges = {list(self.bridges)} does not hold {bridge!r}")


def _list(field: str, raw: object, kind: type) -> tuple[Any, ...]:
    if not isinstance(raw, list | tuple) or any(type(item) is not kind for item in raw):
        raise MandateInvalid(f"mandate.{field} = {raw!r}: want a list of {kind.__name__}")
    if len(set(raw)) != len(raw):
        raise MandateInvalid(f"mandate.{field} = {raw!r}: an entry stands twice; name each once")
    return tuple(sorted(raw))


def parse(body: Mapping[str, object]) -> Mandate:
    """Mandate from its JSON object. Raises MandateInvalid naming the field."""
    known = [f.name for f in fields(Mandate)]
    if unknown := sorted(set(body) - set(known)):
        raise MandateInvalid(f"mandate.{unknown[0]}: no such field; known are {', '.join(known)}")
    if missing := [name for name in known if name not in body]:
        raise MandateInvalid(f"mandate.{missing[0]}: is missing; nothing is allowed by silence")
    cost, may_move = body["max_cost_bps"], body["may_move_collateral"]
    if type(cost) is not int or not 0 <= cost <= BPS:
        raise MandateInvalid(f"mandate.max_cost_bps = {cost!r}: want an integer from 0 to {BPS}")
    if type(may_move) is not bool:
        raise MandateInvalid(f"mandate.may_move_collateral = {may_move!r}: want true or false")
    return Mandate(
        _list("networks", body["networks"], int), _list("venues", body["venues"], str), _list("bridges", body["bridges"], str),
        cost, may_move,
    )  # fmt: skip


def parse_text(text: str) -> Mandate:
    """Mandate from JSON text. Raises MandateInvalid."""
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise MandateInvalid(f"mandate: not JSON ({error})") from error
    if not isinstance(body, dict):
        raise MandateInvalid("mandate: want a JSON object")
    return parse(body)
