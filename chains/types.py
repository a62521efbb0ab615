"""The nouns of EVM networks: chains, addresses, assets, blocks, events' references, cuts.

Pure. Addresses are lower-case 0x hex everywhere inside the project (checksummed only where a person reads them), hashes are
lower-case 0x hex of 32 bytes. The same address on two networks is two different things: every key holds the chain id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NewType

ChainId = NewType("ChainId", int)
Address = NewType("Address", str)
Hash = NewType("Hash", str)

ZERO_ADDRESS = Address("0x" + "00" * 20)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}\Z")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}\Z")


def address(text: str) -> Address:
    """Lower-case address. Raises ValueError naming the text when it is not 20 bytes of hex."""
    if not _ADDRESS.match(text):
        raise ValueError(f"not an address: {text!r} (want 0x and 40 hex digits)")
    return Address(text.lower())


def block_hash(text: str) -> Hash:
    """Lower-case 32-byte hash. Raises ValueError naming the text."""
    if not _HASH.match(text):
        raise ValueError(f"not a hash: {text!r} (want 0x and 64 hex digits)")
    return Hash(text.lower())


@dataclass(frozen=True, slots=True, order=True)
class Token:
    """One token contract on one network; the native coin has address zero."""

    chain_id: ChainId
    address: Address

    def key(self) -> str:
        return f"{self.chain_id}:{self.address}"


@dataclass(frozen=True, slots=True)
class BlockRef:
    """One block. `timestamp` is the block's own time, seconds since 1970."""

    chain_id: ChainId
    number: int
    hash: Hash
    parent_hash: Hash
    timestamp: int


@dataclass(frozen=True, slots=True, order=True)
class EventRef:
    """Where a log stands. `log_index` is the index within the block; `tx_hash` names the group of its transaction."""

    chain_id: ChainId
    block_number: int
    block_hash: Hash
    log_index: int
    tx_hash: Hash


@dataclass(frozen=True, slots=True)
class Log:
    """One raw log as a node gave it, with its place. Topics and data are bytes."""

    ref: EventRef
    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    tx_index: int


@dataclass(frozen=True, slots=True)
class LogBatch:
    """One adopted block and all watched logs in it, in log order. Hop 1's answer when the network grew."""

    block: BlockRef
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class Rewind:
    """The network took blocks back: everything above `to` (number, hash) is orphaned. Hop 1's answer to a reorg."""

    chain_id: ChainId
    to: BlockRef
    orphaned: tuple[BlockRef, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """One block per network: what a number was computed from. `as_of()` of a report holds one of these."""

    blocks: Mapping[ChainId, BlockRef]

    def key(self) -> str:
        """Canonical text: 'chain:number:hash' sorted by chain. Equal cuts have equal keys."""
        return ",".join(f"{c}:{b.number}:{b.hash}" for c, b in sorted(self.blocks.items()))


@dataclass(frozen=True, slots=True)
class Call:
    """One call a network can run: target, native value in wei, calldata. `note` says in words what it does."""

    to: Address
    data: bytes
    value: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Read:
    """One quantity on a network that must equal one ledger account: ask `call`, then `sign * decode(answer)` is the balance.

    `place`, `kind` and `asset` are those of the ledger account; quantities are atoms or scaled shares, `sign` is -1 where the
    account stands negative because something is owed. `decode` raises ValueError for an answer that does not fit.
    """

    place: str
    kind: str
    asset: str
    call: Call
    decode: Callable[[bytes], int]
    sign: int = 1
