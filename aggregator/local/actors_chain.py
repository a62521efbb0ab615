"""What every actor of the local networks needs: a network's heads, contract reads, and a wallet that survives reorgs.

Actors are outsiders: they use their own role keys and know nothing of the engine. A local node drops the transactions of orphaned
blocks, so a wallet keeps its last signed transactions and sends them again when the network has rewound below them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode, encode
from eth_account import Account
from eth_hash.auto import keccak

from chains.errors import ChainRetryable
from chains.networks.network import Network
from chains.rpc import Rpc
from chains.rpc.errors import RpcError
from chains.types import Address

KEPT_TRANSACTIONS = 128
POLL_S = 0.1
MAX_FEE_WEI = 100 * 10**9
TIP_WEI = 10**9
FINALIZED = "finalized"
# What a node says of a transaction that it holds or has mined, or whose nonce is taken: nothing needs to be sent again.
HAS_IT = ("already", "nonce too low", "underpriced")


class ReadFailed(ChainRetryable):
    """A contract read gave nothing or reverted; the node may be behind, or just restarted."""


@dataclass(frozen=True)
class Fn:
    """One contract function: its name, the ABI types of its arguments, and of its answer."""

    name: str
    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()

    def call(self, *arguments: Any) -> bytes:
        """Calldata."""
        selector = keccak(f"{self.name}({','.join(self.takes)})".encode())[:4]
        return bytes(selector + encode(self.takes, arguments))


@dataclass(frozen=True)
class Read:
    """One read in a batch: contract, function, arguments."""

    to: Address
    fn: Fn
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Head:
    """The newest block: number, hash, parent's hash, its own time in seconds; and the number of the newest finalised block."""

    number: int
    hash: str
    parent: str
    timestamp: int
    finalized: int


AGGREGATE = Fn("aggregate3", ("(address,bool,bytes)[]",), ("(bool,bytes)[]",))


class Node:
    """One network as an outsider sees it. `run` must be running for `next_head` and reorg counting to work."""

    def __init__(self, network: Network, urls: Sequence[str]) -> None:
        self.network = network
        self.chain_id = network.chain_id
        self.rpc = Rpc(network.chain_id, urls, patience_s=1.0)
        self.head: Head | None = None
        self.reorgs = 0
        self._tick = asyncio.Event()

    async def run(self) -> None:
        """Poll the head and count reorgs, until cancelled. Raises what the network answers (the caller retries)."""
        while True:
            block, final = await self.rpc.batch([("eth_getBlockByNumber", [tag, False]) for tag in ("latest", FINALIZED)])
            head = Head(int(block["number"], 16), block["hash"], block["parentHash"], int(block["timestamp"], 16),
                        int(final["number"], 16))
            if self.head is None or head.hash != self.head.hash:
                if self.head is not None and not await self._extends(self.head, head):
                    self.reorgs += 1
                self.head = head
                tick, self._tick = self._tick, asyncio.Event()
                tick.set()
            await asyncio.sleep(min(POLL_S, self.network.block_time_ms / 2000))

    async def _extends(self, last: Head, head: Head) -> bool:
        """Whether the last head is still part of the network."""
        if head.number <= last.number:
            return False
        if head.number == last.number + 1:
            return head.parent == last.hash
        block = await self.rpc.call("eth_getBlockByNumber", [hex(last.number), False])
        return block is not None and bool(block["hash"] == last.hash)

    async def next_head(self) -> Head:
        """Wait for a head that differs from the present one."""
        await self._tick.wait()
        if self.head is None:
            raise ReadFailed(f"network {self.chain_id} has no head yet")
        return self.head

    async def call(self, read: Read, block: str = "latest") -> tuple[Any, ...]:
        """One read, not through Multicall3. Raises ReadFailed when there is no answer to decode."""
        request = {"to": read.to, "data": "0x" + read.fn.call(*read.arguments).hex()}
        answer = await self.rpc.call("eth_call", [request, block])
        return self._decoded(read, bytes.fromhex(answer[2:]))

    def _decoded(self, read: Read, data: bytes) -> tuple[Any, ...]:
        if not data:
            raise ReadFailed(f"network {self.chain_id}: {read.fn.name} at {read.to} gave no answer; is the contract there?")
        return tuple(decode(read.fn.gives, data))

    async def read(self, reads: Sequence[Read], block: str = "latest") -> list[tuple[Any, ...] | None]:
        """Many reads of one block through Multicall3; None where a contract refused."""
        calls = [(r.to, True, r.fn.call(*r.arguments)) for r in reads]
        (answers,) = await self.call(Read(self.network.protocols.multicall3.address, AGGREGATE, (calls,)), block)
        return [self._decoded(r, data) if ok and data else None for r, (ok, data) in zip(reads, answers, strict=True)]

    async def logs(self, address: Address, topic: bytes, first: int, last: int) -> list[dict[str, Any]]:
        """Logs of one event in the blocks first..last, in as many requests as the network's range limit wants."""
        found: list[dict[str, Any]] = []
        step = self.network.limits.logs_range
        for start in range(first, last + 1, step):
            chosen = {"address": address, "topics": ["0x" + topic.hex()], "fromBlock": hex(start),
                      "toBlock": hex(min(start + step - 1, last))}
            found += await self.rpc.call("eth_getLogs", [chosen])
        return found


@dataclass(frozen=True)
class Sent:
    """One signed transaction that a wallet keeps."""

    nonce: int
    raw: str
    hash: str


class Wallet:
    """One account on one network. Sends in nonce order; after a reorg it sends again what the network forgot.

    With `resend` false its owner decides anew from the network as it then is: an oracle must not repeat an old price.
    """

    def __init__(self, node: Node, key: bytes, *, resend: bool = True) -> None:
        self.node = node
        self._key = key
        self._resend = resend
        self.address = Address(str(Account.from_key(key).address).lower())
        self.resent = 0
        self._kept: deque[Sent] = deque(maxlen=KEPT_TRANSACTIONS)
        self._next: int | None = None
        self._reorgs = 0
        self._lock = asyncio.Lock()

    async def send(self, to: Address, data: bytes, gas: int, tip_wei: int = TIP_WEI) -> str:
        """Sign and send one call, and return its hash; it is not mined yet. Raises RpcError when the node refuses it."""
        async with self._lock:
            await self._renew()
            if self._next is None:
                self._next = int(await self.node.rpc.call("eth_getTransactionCount", [self.address, "pending"]), 16)
            fields = {"chainId": self.node.chain_id, "nonce": self._next, "to": bytes.fromhex(to[2:]), "value": 0, "gas": gas,
                      "data": data, "maxFeePerGas": MAX_FEE_WEI, "maxPriorityFeePerGas": tip_wei, "type": 2}
            signed = Account.sign_transaction(fields, self._key)
            sent = Sent(self._next, signed.raw_transaction.to_0x_hex(), signed.hash.to_0x_hex())
            # Until the node has accepted it the next nonce is unknown: asked for again when anything goes wrong here.
            self._next = None
            await self.node.rpc.call("eth_sendRawTransaction", [sent.raw])
            self._next = sent.nonce + 1
            self._kept.append(sent)
            return sent.hash

    async def renew(self) -> None:
        """Send again what a reorg dropped, if there was one since the last call."""
        async with self._lock:
            await self._renew()

    async def _renew(self) -> None:
        if self._reorgs == self.node.reorgs:
            return
        seen = self.node.reorgs
        self._next = None
        if not self._resend:
            self._kept.clear()
        count = int(await self.node.rpc.call("eth_getTransactionCount", [self.address, "pending"]), 16)
        missing = [sent for sent in self._kept if sent.nonce >= count]
        if missing and missing[0].nonce > count:
            # The network went back further than this wallet remembers: the kept ones would wait for a nonce for ever.
            self._kept.clear()
            missing = []
        for sent in missing:
            try:
                await self.node.rpc.call("eth_sendRawTransaction", [sent.raw])
                self.resent += 1
            except RpcError as error:
                if not any(word in error.text.lower() for word in HAS_IT):
                    raise
        self._reorgs = seen
