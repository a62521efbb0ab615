"""ERC-20 tokens and the native coin: transfers in, balances out.

Pure. Every token of the network's file is watched. Wrapped coins of the WETH9 kind mint and burn without a Transfer, so their
Deposit and Withdrawal count as transfers from and to the zero address. A native coin leaves no log: only its balance can be
read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chains import abi
from chains.actions import AnyAction, Approve
from chains.decoding import Encoder, decode_with, shape
from chains.decoding import topics as signatures
from chains.events import AnyEvent, Moved
from chains.networks.network import Network
from chains.types import ZERO_ADDRESS, Address, Call, Log, Read, Token

NAME = "erc20"
TRANSFER = "Transfer(address,address,uint256)"
DEPOSIT = "Deposit(address,uint256)"
WITHDRAWAL = "Withdrawal(address,uint256)"
TOPICS = signatures(TRANSFER, DEPOSIT, WITHDRAWAL)


def watched(network: Network) -> frozenset[Address]:
    """All token contracts of the network's file."""
    return frozenset(t.address for t in network.tokens.values())


def transfer(log: Log) -> Moved:
    """One Transfer. Raises ValueError for another shape (ERC-721 has a fourth topic)."""
    shape(log, 2, 1)
    return Moved(log.ref, log.address, abi.to_address(log.topics[1]), abi.to_address(log.topics[2]), abi.uint_at(log.data, 0))


def _transfer(log: Log) -> Iterable[AnyEvent]:
    return (transfer(log),)


def _deposit(log: Log) -> Iterable[AnyEvent]:
    shape(log, 1, 1)
    return (Moved(log.ref, log.address, ZERO_ADDRESS, abi.to_address(log.topics[1]), abi.uint_at(log.data, 0)),)


def _withdrawal(log: Log) -> Iterable[AnyEvent]:
    shape(log, 1, 1)
    return (Moved(log.ref, log.address, abi.to_address(log.topics[1]), ZERO_ADDRESS, abi.uint_at(log.data, 0)),)


_DECODERS = {abi.topic(TRANSFER): _transfer}
_WRAPPED_DECODERS = {**_DECODERS, abi.topic(DEPOSIT): _deposit, abi.topic(WITHDRAWAL): _withdrawal}


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """Moved for each movement of a token of this network. Raises MalformedLog."""
    kinds = {t.address: t.kind for t in network.tokens.values()}
    found: list[AnyEvent] = []
    for log in logs:
        kind = kinds.get(log.address)
        if kind is not None:
            found += decode_with(_WRAPPED_DECODERS if kind == "wrapped" else _DECODERS, (log,), None)
    return tuple(found)


def encode_approve(network: Network, action: Approve) -> Call:
    """Let `spender` take exactly `atoms`."""
    data = abi.call_data("approve(address,uint256)", action.spender, action.atoms)
    return Call(action.token, data, note=f"approve {action.spender} for {action.atoms} of {action.token}")


ENCODERS: dict[type[AnyAction], Encoder] = {Approve: encode_approve}


def uint_answer(data: bytes) -> int:
    """A single unsigned word. Raises ValueError for another length, as from an address without code."""
    if len(data) != abi.WORD:
        raise ValueError(f"want one word, got {len(data)} bytes")
    return abi.uint_at(data, 0)


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Wallet balances: every token, and the native coin under the zero address."""
    found = [
        Read(
            "wallet",
            "position",
            Token(network.chain_id, t.address).key(),
            Call(t.address, abi.call_data("balanceOf(address)", safe)),
            uint_answer,
        )
        for t in network.tokens.values()
    ]
    native = Call(network.protocols.multicall3.address, abi.call_data("getEthBalance(address)", safe))
    return (*found, Read("wallet", "position", Token(network.chain_id, ZERO_ADDRESS).key(), native, uint_answer))
