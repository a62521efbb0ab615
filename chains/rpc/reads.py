"""Typed reads: blocks, logs of one block, state at one block. Each answer is checked against what was asked.

State is always read at a block hash with requireCanonical, so an orphan is BlockUnknown and never an old answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from chains import abi
from chains.errors import BlockUnknown
from chains.networks.network import Network
from chains.rpc.errors import AnswerInvalid, RpcError
from chains.rpc.pool import Rpc
from chains.types import Address, BlockRef, Call, ChainId, EventRef, Hash, Log, block_hash

AGGREGATE3 = "aggregate3((address,bool,bytes)[])"
CALLS_A_MULTICALL = 400
_UNKNOWN_WORDS = ("unknown block", "not found", "not canonical", "header not found", "could not find block", "hash")


def parse_block(chain_id: ChainId, raw: Any) -> BlockRef:
    """BlockRef of a node's block object. Raises BlockUnknown for null, AnswerInvalid naming a missing or wrong field."""
    if raw is None:
        raise BlockUnknown(f"network {chain_id}: the node knows no such block; ask again from its head")
    try:
        return BlockRef(
            chain_id,
            int(raw["number"], 16),
            block_hash(raw["hash"]),
            block_hash(raw["parentHash"]),
            int(raw["timestamp"], 16),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerInvalid(f"network {chain_id}: not a block: {type(error).__name__} {error}") from error


def by_number(number: int) -> tuple[str, list[Any]]:
    """The request for a header by number."""
    return "eth_getBlockByNumber", [hex(number), False]


def by_tag(tag: str) -> tuple[str, list[Any]]:
    """The request for a header by tag: latest, safe, finalized, earliest."""
    return "eth_getBlockByNumber", [tag, False]


async def block_by_tag(rpc: Rpc, tag: str) -> BlockRef:
    """Block that the node calls `tag`. Raises BlockUnknown when it has none yet."""
    return parse_block(rpc.chain_id, await rpc.call(*by_tag(tag)))


async def head(rpc: Rpc) -> BlockRef:
    """The newest block the node serves."""
    return await block_by_tag(rpc, "latest")


async def block_by_number(rpc: Rpc, number: int) -> BlockRef:
    """Canonical block at `number`. Raises BlockUnknown above the head."""
    found = parse_block(rpc.chain_id, await rpc.call(*by_number(number)))
    if found.number != number:
        raise AnswerInvalid(f"network {rpc.chain_id}: asked for block {number}, got {found.number}")
    return found


async def block_by_hash(rpc: Rpc, wanted: Hash) -> BlockRef:
    """Block of this hash, canonical or not. Raises BlockUnknown."""
    found = parse_block(rpc.chain_id, await rpc.call("eth_getBlockByHash", [wanted, False]))
    if found.hash != wanted:
        raise AnswerInvalid(f"network {rpc.chain_id}: asked for block {wanted}, got {found.hash}")
    return found


async def blocks_by_number(rpc: Rpc, numbers: Sequence[int]) -> list[BlockRef | None]:
    """Headers in batches; None above the head. Not one moment: the caller checks the parent links."""
    answers = await rpc.batch([by_number(n) for n in numbers])
    found = [None if a is None else parse_block(rpc.chain_id, a) for a in answers]
    for number, block in zip(numbers, found, strict=True):
        if block is not None and block.number != number:
            raise AnswerInvalid(f"network {rpc.chain_id}: asked for block {number}, got {block.number}")
    return found


def logs_request(of: Hash, addresses: Collection[Address], topics: Collection[bytes] = ()) -> tuple[str, list[Any]]:
    """The request for the logs of one block; `topics` are the topic0 wanted, none means all."""
    wanted: dict[str, Any] = {"blockHash": of, "address": sorted(addresses)}
    if topics:
        wanted["topics"] = [["0x" + t.hex() for t in sorted(topics)]]
    return "eth_getLogs", [wanted]


def parse_logs(block: BlockRef, raw: Any, addresses: Collection[Address]) -> tuple[Log, ...]:
    """Logs of `block`, in log order. Raises AnswerInvalid for one of another block or address, out of order, or removed."""
    if not isinstance(raw, list):
        raise AnswerInvalid(f"network {block.chain_id}: eth_getLogs answered {type(raw).__name__}, want a list")
    try:
        found = tuple(_log(block, item) for item in raw)
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerInvalid(f"network {block.chain_id}: not a log: {type(error).__name__} {error}") from error
    last = -1
    for log in found:
        if log.ref.block_hash != block.hash or log.ref.block_number != block.number:
            raise AnswerInvalid(
                f"network {block.chain_id}: a log of block {log.ref.block_number} {log.ref.block_hash} "
                f"among those of {block.number} {block.hash}"
            )
        if log.ref.log_index <= last:
            raise AnswerInvalid(f"network {block.chain_id}: log {log.ref.log_index} after {last} in block {block.number}")
        if log.address not in addresses:
            raise AnswerInvalid(f"network {block.chain_id}: a log of {log.address}, which was not asked for")
        last = log.ref.log_index
    return found


def _log(block: BlockRef, item: Any) -> Log:
    if item.get("removed"):
        raise ValueError("removed log")
    ref = EventRef(
        block.chain_id,
        int(item["blockNumber"], 16),
        Hash(item["blockHash"].lower()),
        int(item["logIndex"], 16),
        Hash(item["transactionHash"].lower()),
    )
    topics = tuple(bytes.fromhex(t[2:]) for t in item["topics"])
    where = Address(item["address"].lower())
    return Log(ref, where, topics, bytes.fromhex(item["data"][2:]), int(item["transactionIndex"], 16))


async def logs_of_block(
    rpc: Rpc, block: BlockRef, addresses: Collection[Address], topics: Collection[bytes] = ()
) -> tuple[Log, ...]:
    """Logs of one block by its hash. No address asks nothing and is empty. Raises BlockUnknown for an orphan."""
    if not addresses:
        return ()
    try:
        raw = await rpc.call(*logs_request(block.hash, addresses, topics))
    except RpcError as error:
        raise unknown_block(error, block.hash) from error
    return parse_logs(block, raw, addresses)


def unknown_block(error: RpcError, wanted: Hash) -> BlockUnknown | RpcError:
    """BlockUnknown when the refusal says that the block is gone, else the refusal itself."""
    if not error.reverted() and (error.code == -32001 or any(w in error.text.lower() for w in _UNKNOWN_WORDS)):
        return BlockUnknown(f"{error.method} at {wanted}: {error.text}; the network moved, ask again from its head")
    return error


def at_block(wanted: Hash) -> dict[str, Any]:
    """EIP-1898 block parameter: this hash, and only while it is canonical."""
    return {"blockHash": wanted, "requireCanonical": True}


async def call_at(rpc: Rpc, wanted: Hash, to: Address, data: bytes) -> bytes:
    """Answer of a contract at one block. Raises BlockUnknown for an orphan, RpcError (`reverted()`) when it reverts."""
    try:
        answer = await rpc.call("eth_call", [{"to": to, "data": "0x" + data.hex()}, at_block(wanted)])
    except RpcError as error:
        raise unknown_block(error, wanted) from error
    return bytes.fromhex(str(answer)[2:])


async def multicall_at(rpc: Rpc, network: Network, wanted: Hash, calls: Sequence[Call]) -> list[bytes | None]:
    """Answers of many calls at one block through Multicall3, in order; None where a call reverted. Raises BlockUnknown."""
    where = network.protocols.multicall3.address
    parts = [calls[i : i + CALLS_A_MULTICALL] for i in range(0, len(calls), CALLS_A_MULTICALL)]
    asked = [
        ("eth_call", [{"to": where, "data": "0x" + _aggregate3(part).hex()}, at_block(wanted)]) for part in parts
    ]
    found: list[bytes | None] = []
    for part, answer in zip(parts, await rpc.batch_settled(asked), strict=True):
        if isinstance(answer, RpcError):
            raise unknown_block(answer, wanted) from answer
        results = _aggregated(bytes.fromhex(str(answer)[2:]))
        if len(results) != len(part):
            raise AnswerInvalid(
                f"network {rpc.chain_id}: Multicall3 at {where} answered {len(results)} of {len(part)} calls; "
                f"correct protocols.multicall3.address"
            )
        found += results
    return found


def _aggregate3(calls: Sequence[Call]) -> bytes:
    items = [abi.padded(c.to) + abi.uint(1) + abi.uint(96) + abi.tail(c.data) for c in calls]
    return abi.selector(AGGREGATE3) + abi.uint(32) + abi.dynamic_array(items)


def _aggregated(data: bytes) -> list[bytes | None]:
    """aggregate3's (bool, bytes)[]; an empty answer (no contract there) is an empty list."""
    if not data:
        return []
    start = abi.offset_at(data, 0) + abi.WORD
    size = int.from_bytes(data[start - abi.WORD : start], "big")
    found: list[bytes | None] = []
    for i in range(size):
        item = abi.offset_at(data, i, start)
        content = abi.bytes_from(data, abi.offset_at(data, 1, item))
        found.append(content if abi.uint_at(data[item:], 0) else None)
    return found
