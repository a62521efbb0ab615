"""Hyperlane's validators and relayer for the local networks.

Three validators sign a message's checkpoint only when its block is finalised and their own copy of the merkle tree has the root
that the network's hook shows at that finalised block. The relayer needs two signatures, delivers, and goes on delivering until the
destination shows the message as delivered in a finalised block: a reorg there takes a delivery back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_hash.auto import keccak

from aggregator.local.actors_chain import FINALIZED, Fn, Head, Node, Read, ReadFailed, Wallet
from chains.devnet import roles
from chains.errors import ChainBroken, ChainRetryable
from chains.networks.network import Hyperlane
from chains.rpc.errors import RpcError
from chains.types import Address, ChainId

DISPATCH: Final = keccak(b"Dispatch(address,uint32,bytes32,bytes)")
INSERTED: Final = keccak(b"InsertedIntoTree(bytes32,uint32)")
ROOT: Final = Fn("root", (), ("bytes32",))
COUNT: Final = Fn("count", (), ("uint32",))
DELIVERED: Final = Fn("delivered", ("bytes32",), ("bool",))
PROCESS: Final = Fn("process", ("bytes", "bytes"))
PROCESS_GAS: Final = 1_500_000
RETRY_BLOCKS: Final = 4
DEPTH: Final = 32


class TreeBroken(ChainBroken):
    """The finalised merkle tree is not what the finalised logs say; the validators sign nothing more."""


class Tree:
    """Hyperlane's incremental merkle tree: append leaves, ask the root after the last one."""

    def __init__(self) -> None:
        self.count = 0
        self._branch = [bytes(32)] * DEPTH
        self._zero = [bytes(32)]
        for _ in range(DEPTH):
            self._zero.append(keccak(self._zero[-1] * 2))

    def append(self, leaf: bytes) -> None:
        self.count += 1
        size, node = self.count, leaf
        for level in range(DEPTH):
            if size & 1:
                self._branch[level] = node
                return
            node = keccak(self._branch[level] + node)
            size >>= 1

    def root(self) -> bytes:
        node = bytes(32)
        for level in range(DEPTH):
            set_here = (self.count >> level) & 1
            node = keccak(self._branch[level] + node if set_here else node + self._zero[level])
        return node


@dataclass(frozen=True)
class Checkpoint:
    """What validators signed about one message: root after it, its index, its id, signatures in the validators' order."""

    root: bytes
    index: int
    message_id: bytes
    signatures: tuple[bytes, ...]


def _padded(where: Address) -> bytes:
    return bytes(12) + bytes.fromhex(where[2:])


def _hook(hyperlane: Hyperlane) -> Address:
    if hyperlane.merkle_tree_hook is None:
        raise ValueError(f"protocols.hyperlane.merkle_tree_hook is not set for domain {hyperlane.domain}")
    return hyperlane.merkle_tree_hook


class Validators:
    """The three validators of one origin network. `signed` grows; nothing in it was ever below finality."""

    def __init__(self, node: Node, hyperlane: Hyperlane) -> None:
        self.node = node
        self.hyperlane = hyperlane
        self.signed: dict[bytes, Checkpoint] = {}
        self._tree = Tree()
        self._waiting: list[tuple[bytes, int, bytes]] = []
        self._scanned = -1
        self._fresh = True
        by_address = {str(roles.address(role)).lower(): roles.key(role) for role in roles.VALIDATORS}
        self._keys = [by_address[where] for where in hyperlane.validators if where in by_address]

    async def step(self, last: int) -> None:
        """Follow up to the finalised block `last` and sign what it holds. Raises TreeBroken when logs and root disagree."""
        if last < self._scanned:
            self._restart()  # a local node was started again from an older state
        if last > self._scanned:
            for log in await self.node.logs(_hook(self.hyperlane), INSERTED, self._scanned + 1, last):
                self._insert(bytes.fromhex(log["data"][2:]))
            self._scanned = last
        if self._waiting and await self._agrees():
            for message_id, index, root in self._waiting:
                self._sign(message_id, index, root)
            self._waiting.clear()
            self._fresh = False

    def _restart(self) -> None:
        self._tree, self._waiting, self._scanned, self._fresh = Tree(), [], -1, True

    def _insert(self, data: bytes) -> None:
        self._tree.append(data[:32])
        self._waiting.append((data[:32], int.from_bytes(data[32:64], "big"), self._tree.root()))

    async def _agrees(self) -> bool:
        """Whether the hook at the finalised block has our root. False while that block's state cannot be read yet.

        A tree followed over a restart of the node may be wrong: it is followed again from the first block before that is an error.
        """
        hook = _hook(self.hyperlane)
        try:
            answers = await self.node.read([Read(hook, ROOT), Read(hook, COUNT)], hex(self._scanned))
        except (RpcError, ReadFailed):
            # A local node holds no state of blocks before the one it was started from; the next finalised block has it.
            return False
        root, count = ((answer or (None,))[0] for answer in answers)
        if (count, root) == (self._tree.count, self._tree.root()):
            return True
        if self._fresh:
            raise TreeBroken(f"network {self.node.chain_id}: finalised tree has {count} leaves, its logs give {self._tree.count}")
        self._restart()
        return False

    def _sign(self, message_id: bytes, index: int, root: bytes) -> None:
        place = keccak(self.hyperlane.domain.to_bytes(4, "big") + _padded(_hook(self.hyperlane)) + b"HYPERLANE")
        text = encode_defunct(keccak(place + root + index.to_bytes(4, "big") + message_id))
        signatures = tuple(bytes(Account.sign_message(text, key).signature) for key in self._keys)
        self.signed[message_id] = Checkpoint(root, index, message_id, signatures)

    def proof(self, message_id: bytes) -> bytes | None:
        """Metadata for the destination's ISM, with just as many signatures as it wants; None while there are too few."""
        checkpoint = self.signed.get(message_id)
        if checkpoint is None or len(checkpoint.signatures) < self.hyperlane.threshold:
            return None
        signatures = b"".join(checkpoint.signatures[: self.hyperlane.threshold])
        return _padded(_hook(self.hyperlane)) + checkpoint.root + checkpoint.index.to_bytes(4, "big") + signatures


@dataclass
class Parcel:
    """One message on its way: where to, its bytes, and the destination's head at the last try."""

    destination: int
    message_id: bytes
    body: bytes
    tried_at: int = -RETRY_BLOCKS


class Relayer:
    """Carries messages from one origin to every other network."""

    def __init__(self, validators: Validators, nodes: Mapping[ChainId, Node], wallets: Mapping[ChainId, Wallet]) -> None:
        self.validators = validators
        self.pending: dict[bytes, Parcel] = {}
        self.delivered: set[bytes] = set()
        self.last_error = ""
        self._nodes = {node.network.protocols.hyperlane.domain: node for node in nodes.values() if node.network.protocols.hyperlane}
        self._wallets = wallets
        self._scanned = -1

    async def run(self) -> None:
        """Follow the origin until cancelled."""
        while True:
            await self.step(await self.validators.node.next_head())

    async def step(self, head: Head) -> None:
        """One origin block: sign, collect, deliver."""
        await self.validators.step(head.finalized)
        await self._collect(head.finalized)
        for parcel in list(self.pending.values()):
            try:
                await self._deliver(parcel)
            except (ChainRetryable, RpcError) as error:
                # One destination that is away must not hold up the others.
                self.last_error = str(error)

    async def _collect(self, last: int) -> None:
        node = self.validators.node
        if last < self._scanned:
            self._scanned = -1
        for log in await node.logs(self.validators.hyperlane.mailbox, DISPATCH, self._scanned + 1, last):
            data = bytes.fromhex(log["data"][2:])
            body = data[64 : 64 + int.from_bytes(data[32:64], "big")]
            destination = int(log["topics"][2], 16)
            if destination in self._nodes and keccak(body) not in self.delivered:
                self.pending[keccak(body)] = Parcel(destination, keccak(body), body)
        self._scanned = last

    async def _deliver(self, parcel: Parcel) -> None:
        node, proof = self._nodes[parcel.destination], self.validators.proof(parcel.message_id)
        hyperlane, head = node.network.protocols.hyperlane, node.head
        if proof is None or head is None or hyperlane is None:
            return
        read = Read(hyperlane.mailbox, DELIVERED, (parcel.message_id,))
        if (await node.call(read))[0]:
            if await self._final(node, read):
                del self.pending[parcel.message_id]
                self.delivered.add(parcel.message_id)
            return
        if head.number - parcel.tried_at >= RETRY_BLOCKS or head.number < parcel.tried_at:
            parcel.tried_at = head.number
            await self._wallets[node.chain_id].send(hyperlane.mailbox, PROCESS.call(proof, parcel.body), PROCESS_GAS)

    async def _final(self, node: Node, read: Read) -> bool:
        try:
            return bool((await node.call(read, FINALIZED))[0])
        except (RpcError, ReadFailed):
            return False  # the finalised block is older than the state this local node was started from
