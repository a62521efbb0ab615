"""What every protocol's decoder shares: which logs are its own, their exact shape, and one named error for a log that does not fit.

Pure. A decoder is a function from one log to its events. Unknown topics of watched addresses are ignored, a known topic with
another shape than its event is MalformedLog: a contract that says other things than we read must not be guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from chains import abi
from chains.actions import AnyAction
from chains.errors import MalformedLog
from chains.events import AnyEvent
from chains.networks.network import Network
from chains.types import Address, Call, Log, Read

Decoder = Callable[[Log], Iterable[AnyEvent]]
Encoder = Callable[[Network, Any], Call]


class ProtocolModule(Protocol):
    """What a file in chains/protocols offers. Modules satisfy it; mypy checks them where PROTOCOLS is written."""

    @property
    def NAME(self) -> str:
        """The venue in events and actions, the place in ledger accounts."""
        ...

    @property
    def TOPICS(self) -> Mapping[bytes, str]:
        """topic0 -> event signature of everything that `decode` understands."""
        ...

    @property
    def ENCODERS(self) -> Mapping[type[AnyAction], Encoder]:
        """Action type -> function that turns it into a Call."""
        ...

    @property
    def watched(self) -> Callable[[Network], frozenset[Address]]:
        """Addresses that the network's file names; empty when the network lacks the protocol."""
        ...

    @property
    def decode(self) -> Callable[[Network, Sequence[Log]], tuple[AnyEvent, ...]]:
        """Events of one block from all its watched logs, in log order."""
        ...

    @property
    def reads(self) -> Callable[[Network, Address], tuple[Read, ...]]:
        """On-chain quantities of one account that must equal the ledger."""
        ...


def topics(*signatures: str) -> dict[bytes, str]:
    """topic0 -> signature."""
    return {abi.topic(signature): signature for signature in signatures}


def decode_with(
    decoders: Mapping[bytes, Decoder], logs: Sequence[Log], own: Collection[Address] | None
) -> tuple[AnyEvent, ...]:
    """Events of the logs that `own` addresses (None: any) emitted under a known topic, in log order. Raises MalformedLog."""
    found: list[AnyEvent] = []
    for log in logs:
        decoder = decoders.get(log.topics[0]) if log.topics else None
        if decoder is None or (own is not None and log.address not in own):
            continue
        try:
            found.extend(decoder(log))
        except (ValueError, OverflowError) as error:
            raise malformed(log, str(error)) from error
    return tuple(found)


def malformed(log: Log, why: str) -> MalformedLog:
    """The named error for a log that does not fit its event."""
    ref = log.ref
    topic = "0x" + log.topics[0].hex() if log.topics else "none"
    return MalformedLog(
        f"network {ref.chain_id} block {ref.block_number} log {ref.log_index} of {log.address}, topic {topic}: {why}"
    )


def shape(log: Log, indexed: int, words: int) -> None:
    """Raises ValueError unless the log has exactly so many indexed arguments and data words."""
    if len(log.topics) != indexed + 1 or len(log.data) != words * abi.WORD:
        raise ValueError(
            f"{len(log.topics) - 1} indexed arguments and {len(log.data)} bytes, want {indexed} and {words * abi.WORD}"
        )
