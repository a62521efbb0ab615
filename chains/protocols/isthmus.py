"""Our own contracts: accounts born, planner actions, tickets, exits, and the credit line.

Pure. Credit line debts are scaled shares: atoms = shares * index / 1e27 rounded up, the index grows linearly between updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from chains import abi
from chains.actions import AnyAction, RepayLine
from chains.decoding import Decoder, Encoder, decode_with, shape, topics
from chains.errors import ActionUnsupported
from chains.events import (
    AccountOpened,
    ActionDone,
    AnyEvent,
    BadDebtBooked,
    CustodyChanged,
    IndexUpdated,
    LineDrawn,
    LineFunded,
    LineRepaid,
    TicketUsed,
)
from chains.networks.network import Network, OwnContracts
from chains.protocols.erc20 import uint_answer
from chains.types import ZERO_ADDRESS, Address, Call, Log, Read, Token

NAME = "isthmus"
LINE = "credit_line"  # the credit line's venue and place in the ledger
RAY = 10**27
YEAR_S = 31_536_000

ACCOUNT_CREATED = "AccountCreated(address,address[],uint256)"
ACTION_DONE = "ActionDone(bytes32,address,bytes32,uint64,uint256)"
WITHDRAWN = "Withdrawn(address,address,uint256,address,uint256,bytes32)"
TRADE_DONE = "TradeDone(address,address,bytes4,uint256,bytes32)"
RESTRICTED = "Restricted(address,uint256)"
EXIT_REQUESTED = "ExitRequested(address,uint256)"
EXIT_OBJECTED = "ExitObjected(address,uint256,bytes32)"
EXIT_CANCELLED = "ExitCancelled(address)"
RELEASED = "Released(address)"
PIN_REQUESTED = "PinRequested(address,bytes32,uint256)"
PIN_REMOVED = "PinRemoved(address,bytes32)"
FUNDED = "Funded(address,uint256,uint256)"
DEFUNDED = "Defunded(address,uint256,uint256)"
DRAWN = "Drawn(address,uint256,uint256,uint256)"
REPAID = "Repaid(address,address,uint256,uint256,uint256)"
INDEX_UPDATED = "IndexUpdated(uint256,uint256,uint256)"
BAD_DEBT = "BadDebt(address,uint256,uint256,uint256,uint256)"
TOPICS = topics(
    ACCOUNT_CREATED,
    ACTION_DONE,
    WITHDRAWN,
    TRADE_DONE,
    RESTRICTED,
    EXIT_REQUESTED,
    EXIT_OBJECTED,
    EXIT_CANCELLED,
    RELEASED,
    PIN_REQUESTED,
    PIN_REMOVED,
    FUNDED,
    DEFUNDED,
    DRAWN,
    REPAID,
    INDEX_UPDATED,
    BAD_DEBT,
)


# --- the credit line's arithmetic ----------------------------------------------------------------------------------


def line_index_at(index: int, rate: int, last_update: int, timestamp: int) -> int:
    """Credit line index (ray) at a block's time, from its last IndexUpdated; rounded down once. Times in seconds."""
    return index + index * rate * (timestamp - last_update) // (YEAR_S * RAY)


def line_debt(shares: int, index: int) -> int:
    """Atoms owed for scaled shares, rounded up: what `repay` takes to end the debt."""
    return -(-shares * index // RAY)


# --- logs ----------------------------------------------------------------------------------------------------------


def watched(network: Network) -> frozenset[Address]:
    """Factory, module, rule book and credit line."""
    own = network.protocols.isthmus
    return frozenset((own.factory, own.module, own.rule_book, own.credit_line)) if own else frozenset()


def _account_created(log: Log) -> Iterable[AnyEvent]:
    if len(log.topics) != 2:
        raise ValueError(f"{len(log.topics) - 1} indexed arguments, want 1")
    owners = tuple(abi.to_address(w) for w in abi.words_from(log.data, abi.offset_at(log.data, 0)))
    return (AccountOpened(log.ref, abi.to_address(log.topics[1]), owners, abi.uint_at(log.data, 1)),)


def _action_done(log: Log) -> Iterable[AnyEvent]:
    shape(log, 3, 2)
    action_id, safe, need = log.topics[1], abi.to_address(log.topics[2]), log.topics[3]
    sequence, draw = abi.uint_at(log.data, 0), abi.uint_at(log.data, 1)
    return (ActionDone(log.ref, safe, "0x" + action_id.hex(), "0x" + need.hex(), sequence, draw),)


def _withdrawn(log: Log) -> Iterable[AnyEvent]:
    shape(log, 2, 4)
    safe, token = (abi.to_address(t) for t in log.topics[1:])
    atoms, recipient, nonce = abi.uint_at(log.data, 0), abi.address_at(log.data, 1), abi.uint_at(log.data, 2)
    return (TicketUsed(log.ref, safe, "withdrawal", token, recipient, atoms, nonce),)


def _trade_done(log: Log) -> Iterable[AnyEvent]:
    shape(log, 2, 3)
    safe, target = (abi.to_address(t) for t in log.topics[1:])
    return (TicketUsed(log.ref, safe, "trade", ZERO_ADDRESS, target, 0, abi.uint_at(log.data, 1)),)


def _custody(what: str, words: int, detail: Callable[[Log], str]) -> Decoder:
    def decode_one(log: Log) -> Iterable[AnyEvent]:
        shape(log, 1, words)
        return (CustodyChanged(log.ref, abi.to_address(log.topics[1]), what, detail(log)),)

    return decode_one


def _number(log: Log) -> str:
    return str(abi.uint_at(log.data, 0))


def _bytes32(log: Log) -> str:
    return "0x" + abi.word(log.data, 0).hex()


def _nothing(log: Log) -> str:
    return ""


def _funded(sign: int) -> Decoder:
    def decode_one(log: Log) -> Iterable[AnyEvent]:
        shape(log, 1, 2)
        atoms, shares = abi.uint_at(log.data, 0), abi.uint_at(log.data, 1)
        return (LineFunded(log.ref, log.address, abi.to_address(log.topics[1]), sign * atoms, sign * shares),)

    return decode_one


def _drawn(log: Log) -> Iterable[AnyEvent]:
    shape(log, 1, 3)
    safe, atoms, shares = abi.to_address(log.topics[1]), abi.uint_at(log.data, 0), abi.uint_at(log.data, 1)
    return (LineDrawn(log.ref, log.address, safe, atoms, shares),)


def _repaid(log: Log) -> Iterable[AnyEvent]:
    shape(log, 2, 3)
    safe, payer = (abi.to_address(t) for t in log.topics[1:])
    return (LineRepaid(log.ref, log.address, safe, payer, abi.uint_at(log.data, 0), abi.uint_at(log.data, 1)),)


def _index_updated(log: Log) -> Iterable[AnyEvent]:
    shape(log, 0, 3)
    index, rate = abi.uint_at(log.data, 0), abi.uint_at(log.data, 1)
    return (IndexUpdated(log.ref, LINE, log.address, log.address, RAY, index, 0, rate),)


def _bad_debt(log: Log) -> Iterable[AnyEvent]:
    shape(log, 1, 4)
    return (BadDebtBooked(log.ref, log.address, abi.to_address(log.topics[1]), *(abi.uint_at(log.data, i) for i in range(4))),)


_Table = Mapping[bytes, Decoder]
_FACTORY: _Table = {abi.topic(ACCOUNT_CREATED): _account_created}
_BOOK: _Table = {
    abi.topic(PIN_REQUESTED): _custody("pin_requested", 2, _bytes32),
    abi.topic(PIN_REMOVED): _custody("pin_removed", 1, _bytes32),
}
_MODULE: _Table = {
    abi.topic(ACTION_DONE): _action_done,
    abi.topic(WITHDRAWN): _withdrawn,
    abi.topic(TRADE_DONE): _trade_done,
    abi.topic(RESTRICTED): _custody("restricted", 1, _number),
    abi.topic(EXIT_REQUESTED): _custody("exit_requested", 1, _number),
    abi.topic(EXIT_OBJECTED): _custody("exit_objected", 2, _number),
    abi.topic(EXIT_CANCELLED): _custody("exit_cancelled", 0, _nothing),
    abi.topic(RELEASED): _custody("released", 0, _nothing),
}
_LINE: _Table = {
    abi.topic(FUNDED): _funded(1),
    abi.topic(DEFUNDED): _funded(-1),
    abi.topic(DRAWN): _drawn,
    abi.topic(REPAID): _repaid,
    abi.topic(INDEX_UPDATED): _index_updated,
    abi.topic(BAD_DEBT): _bad_debt,
}


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """Events of our own contracts. Raises MalformedLog."""
    own = network.protocols.isthmus
    if own is None:
        return ()
    tables = {own.factory: _FACTORY, own.rule_book: _BOOK, own.module: _MODULE, own.credit_line: _LINE}
    found: list[AnyEvent] = []
    for log in logs:
        if log.address in tables:
            found += decode_with(tables[log.address], (log,), None)
    return tuple(found)


# --- calls and reads -----------------------------------------------------------------------------------------------


def _own(network: Network) -> OwnContracts:
    if network.protocols.isthmus is None:
        raise ActionUnsupported(f"network {network.chain_id} has no [protocols.isthmus] in its file")
    return network.protocols.isthmus


def encode_repay_line(network: Network, action: RepayLine) -> Call:
    """Pay back debt of `account` from the caller; 2**256-1 ends it; the line must be approved."""
    data = abi.call_data("repay(address,uint256)", action.account, action.atoms)
    return Call(_own(network).credit_line, data, note=f"repay {action.atoms} to the credit line for {action.account}")


ENCODERS: dict[type[AnyAction], Encoder] = {RepayLine: encode_repay_line}


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Scaled credit line debt."""
    own = network.protocols.isthmus
    if own is None:
        return ()
    call = Call(own.credit_line, abi.call_data("scaledOf(address)", safe))
    return (Read(LINE, "financing", Token(network.chain_id, own.credit_line).key(), call, uint_answer, -1),)
