"""All protocols behind four functions: what to watch, what logs mean, how to act, what to check against the network.

Pure. A protocol is one file here and one entry in PROTOCOLS. Each change of a quantity is told by exactly one of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from chains.actions import AnyAction
from chains.decoding import Encoder, ProtocolModule
from chains.errors import ActionUnsupported
from chains.events import AnyEvent
from chains.networks.network import Network
from chains.protocols import aave_v3, chainlink, erc20, hyperlane, isthmus, safe, uniswap_v3
from chains.protocols.safe import watched_accounts
from chains.types import Address, Call, Log, Read

PROTOCOLS: tuple[ProtocolModule, ...] = (erc20, safe, aave_v3, uniswap_v3, chainlink, hyperlane, isthmus)

TOPICS: dict[bytes, str] = {topic: text for p in PROTOCOLS for topic, text in p.TOPICS.items()}

_ENCODERS: dict[tuple[str, type[AnyAction]], Encoder] = {
    (p.NAME, kind): encoder for p in PROTOCOLS for kind, encoder in p.ENCODERS.items()
}
_ANY_VENUE: dict[type[AnyAction], Encoder] = {kind: encoder for (_, kind), encoder in _ENCODERS.items()}

__all__ = ["PROTOCOLS", "TOPICS", "decode", "encode", "reads", "watched", "watched_accounts"]


def watched(network: Network) -> frozenset[Address]:
    """Every contract of the network's file whose logs mean something. Accounts come beside it, by `watched_accounts`."""
    return frozenset().union(*(p.watched(network) for p in PROTOCOLS))


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """Events of one block, in log order, from all its watched logs. Raises MalformedLog."""
    if not logs:
        return ()
    events = [event for p in PROTOCOLS for event in p.decode(network, logs)]
    return tuple(sorted(events, key=lambda event: event.ref.log_index))


def encode(network: Network, action: AnyAction) -> Call:
    """The call that performs an action. Raises ActionUnsupported when its venue, or this network, has no such action."""
    venue: str | None = getattr(action, "venue", None)
    kind = type(action)
    encoder = _ANY_VENUE.get(kind) if venue is None else _ENCODERS.get((venue, kind))
    if encoder is None:
        raise ActionUnsupported(f"{kind.__name__} at {venue or 'any venue'} is encoded by no protocol: correct the action's venue")
    return encoder(network, action)


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Every on-chain quantity of one account that must equal the ledger."""
    return tuple(read for p in PROTOCOLS for read in p.reads(network, safe))
