"""Hyperlane warp routes: a token leaves one network and arrives on another; the message id joins both ends.

Pure. Route, mailbox and token tell amount and recipient, message id, and who paid: the three are joined inside one
transaction. A send is: token transfer into the router (collateral) or burn (synthetic), SentTransferRemote, Dispatch; the
message inside Dispatch must repeat what the route said. A delivery is: Process, ProcessId, then ReceivedTransferRemote. Hyperlane's
domain numbers are taken for chain ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eth_hash.auto import keccak

from chains import abi
from chains.actions import AnyAction, Bridge
from chains.decoding import Encoder, malformed, shape, topics
from chains.errors import ActionUnsupported, MalformedLog
from chains.events import AnyEvent, Received, Sent
from chains.networks.network import Hyperlane, HyperlaneRoute, Network
from chains.protocols import erc20
from chains.types import ZERO_ADDRESS, Address, Call, Log, Read

NAME = "hyperlane"
SENT = "SentTransferRemote(uint32,bytes32,uint256)"
RECEIVED = "ReceivedTransferRemote(uint32,bytes32,uint256)"
DISPATCH = "Dispatch(address,uint32,bytes32,bytes)"
DISPATCH_ID = "DispatchId(bytes32)"
PROCESS = "Process(uint32,bytes32,address)"
PROCESS_ID = "ProcessId(bytes32)"
TOPICS = topics(SENT, RECEIVED, DISPATCH, DISPATCH_ID, PROCESS, PROCESS_ID)

_SENT, _RECEIVED, _DISPATCH, _PROCESS, _PROCESS_ID = (abi.topic(s) for s in (SENT, RECEIVED, DISPATCH, PROCESS, PROCESS_ID))
_TRANSFER = abi.topic(erc20.TRANSFER)
_BODY = 77  # version 1, nonce 4, origin 4, sender 32, destination 4, recipient 32
_MESSAGE = _BODY + 64  # recipient and amount


def watched(network: Network) -> frozenset[Address]:
    """The mailbox and the listed routes."""
    hyperlane = network.protocols.hyperlane
    return frozenset((hyperlane.mailbox, *(r.router for r in hyperlane.routes))) if hyperlane else frozenset()


@dataclass(slots=True)
class _Transaction:
    """What one transaction has said so far, in log order."""

    transfers: list[Log] = field(default_factory=list)
    sent: list[Log] = field(default_factory=list)  # SentTransferRemote that wait for their Dispatch
    process: Log | None = None  # the last Process, whose ProcessId comes next
    processing: list[tuple[Log, bytes]] = field(default_factory=list)  # (Process, message id) without a delivery yet


class _Joiner:
    """Joins the logs of one block into Sent and Received."""

    def __init__(self, network: Network, hyperlane: Hyperlane) -> None:
        self.routes = {r.router: r for r in hyperlane.routes}
        self.tokens = {r.router: network.tokens[r.token].address for r in hyperlane.routes}
        self.mailbox = hyperlane.mailbox
        self.token_addresses = frozenset(self.tokens.values())
        self.found: list[AnyEvent] = []
        self._transactions: dict[str, _Transaction] = {}

    def feed(self, log: Log) -> None:
        """Raises ValueError or MalformedLog for a log that does not fit."""
        if not log.topics:
            return
        tx = self._transactions.setdefault(log.ref.tx_hash, _Transaction())
        kind = log.topics[0]
        if log.address in self.token_addresses and kind == _TRANSFER:
            tx.transfers.append(log)
        elif log.address in self.routes and kind == _SENT:
            shape(log, 2, 1)
            tx.sent.append(log)
        elif log.address in self.routes and kind == _RECEIVED:
            self._received(tx, log)
        elif log.address == self.mailbox and kind == _DISPATCH:
            self._dispatched(tx, log)
        elif log.address == self.mailbox and kind == _PROCESS:
            shape(log, 3, 0)
            tx.process = log
        elif log.address == self.mailbox and kind == _PROCESS_ID:
            shape(log, 1, 0)
            if tx.process is None:
                raise ValueError("ProcessId without a Process before it")
            tx.processing.append((tx.process, log.topics[1]))
            tx.process = None

    def _dispatched(self, tx: _Transaction, log: Log) -> None:
        if len(log.topics) != 4:
            raise ValueError(f"{len(log.topics) - 1} indexed arguments, want 3")
        router = abi.to_address(log.topics[1])
        if router not in self.routes:
            return
        message = abi.bytes_from(log.data, abi.offset_at(log.data, 0))
        sent = next((s for s in tx.sent if s.address == router and _tells(message, s)), None)
        if sent is None:
            return  # a route may send messages that move nothing
        tx.sent.remove(sent)
        destination = int.from_bytes(sent.topics[1], "big")
        atoms, recipient = abi.uint_at(sent.data, 0), abi.to_address(sent.topics[2])
        payer = self._payer(tx, sent, atoms)
        message_id = "0x" + keccak(message).hex()
        self.found.append(
            Sent(sent.ref, NAME, router, self.tokens[router], payer, destination, recipient, atoms, message_id)
        )

    def _payer(self, tx: _Transaction, sent: Log, atoms: int) -> Address:
        """Who paid the tokens: the last transfer before into the router, or the burn of a synthetic; it covers the amount."""
        route = self.routes[sent.address]
        sink = ZERO_ADDRESS if route.kind == "synthetic" else route.router
        for log in reversed(tx.transfers):
            moved = erc20.transfer(log)
            if moved.token == self.tokens[route.router] and moved.destination == sink and moved.atoms >= atoms:
                tx.transfers.remove(log)
                return moved.source
        raise malformed(sent, f"no payment of {atoms} into route {route.router} in transaction {sent.ref.tx_hash}")

    def _received(self, tx: _Transaction, log: Log) -> None:
        shape(log, 2, 1)
        origin = int.from_bytes(log.topics[1], "big")
        for process, message_id in reversed(tx.processing):
            if abi.to_address(process.topics[3]) == log.address and int.from_bytes(process.topics[1], "big") == origin:
                tx.processing.remove((process, message_id))
                recipient, atoms = abi.to_address(log.topics[2]), abi.uint_at(log.data, 0)
                token = self.tokens[log.address]
                self.found.append(
                    Received(log.ref, NAME, log.address, token, origin, recipient, atoms, "0x" + message_id.hex())
                )
                return
        raise ValueError(f"no delivery by the mailbox in transaction {log.ref.tx_hash}")

    def finish(self) -> None:
        """Raises MalformedLog for a send without a message: its other end could never be joined."""
        for tx in self._transactions.values():
            for log in tx.sent:
                raise malformed(log, f"no Dispatch by the mailbox in transaction {log.ref.tx_hash}")


def _tells(message: bytes, sent: Log) -> bool:
    """Whether the message repeats destination, recipient and amount of the route's own log."""
    return (
        len(message) >= _MESSAGE
        and message[41:45] == sent.topics[1][28:]
        and message[_BODY : _BODY + 32] == sent.topics[2]
        and message[_BODY + 32 : _MESSAGE] == sent.data
    )


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """Sent and Received of the listed routes, in log order. Raises MalformedLog; wants all watched logs of whole blocks."""
    hyperlane = network.protocols.hyperlane
    if hyperlane is None:
        return ()
    joiner = _Joiner(network, hyperlane)
    for log in logs:
        try:
            joiner.feed(log)
        except MalformedLog:
            raise
        except ValueError as error:
            raise malformed(log, str(error)) from error
    joiner.finish()
    return tuple(sorted(joiner.found, key=lambda event: event.ref.log_index))


def _route(network: Network, router: Address) -> HyperlaneRoute:
    hyperlane = network.protocols.hyperlane
    found = next((r for r in hyperlane.routes if r.router == router), None) if hyperlane else None
    if found is None:
        raise ActionUnsupported(f"network {network.chain_id} lists no hyperlane route {router} in its file")
    return found


def encode_bridge(network: Network, action: Bridge) -> Call:
    """Send over a listed route; `fee_wei` as `quote` tells. A collateral route's token must be approved to the router."""
    route = _route(network, action.route)
    if action.destination not in route.destinations:
        raise ActionUnsupported(f"route {route.router} of network {network.chain_id} does not go to {action.destination}")
    words = (action.destination, action.recipient, action.atoms)
    data = abi.call_data("transferRemote(uint32,bytes32,uint256)", *words)
    note = f"hyperlane send {action.atoms} to {action.recipient} on {action.destination}"
    return Call(action.route, data, value=action.fee_wei, note=note)


ENCODERS: dict[type[AnyAction], Encoder] = {Bridge: encode_bridge}


def quote(route: Address, destination: int, recipient: Address, atoms: int) -> Call:
    """The read whose answer `quoted` understands."""
    data = abi.call_data("quoteTransferRemote(uint32,bytes32,uint256)", destination, recipient, atoms)
    return Call(route, data, note=f"quote for {atoms} to {destination}")


def quoted(data: bytes) -> dict[Address, int]:
    """What a transfer costs per token: the zero address is wei to send along, the token's entry includes the amount itself."""
    start = abi.offset_at(data, 0)
    total: dict[Address, int] = {}
    for i in range(abi.uint_at(data[start:], 0)):
        token, amount = abi.address_at(data[start:], 1 + 2 * i), abi.uint_at(data[start:], 2 + 2 * i)
        total[token] = total.get(token, 0) + amount
    return total


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Nothing: what is in transit stands on no network."""
    return ()
