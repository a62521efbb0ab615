"""Hop 1: the head of one network as LogBatches and Rewinds.

The follower holds nothing: what it knows of the network is `recent`, the canonical tail that the caller keeps with its cursor.
Every batch it gives links to the one before by parent hash, its logs were asked by block hash, and none lies beyond the head that
was read. A node that falls behind or shortens its chain without another block in its place is waited for, not followed: a
regressing head is no reorg. When the network moves between two reads, the steps end before the contradiction and the next call
goes on from there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chains.errors import BlockUnknown, ReorgPastFinality
from chains.networks.network import Network
from chains.rpc import reads
from chains.rpc.errors import RpcError
from chains.rpc.pool import Rpc
from chains.types import Address, BlockRef, LogBatch, Rewind

Step = LogBatch | Rewind
ATTEMPTS = 3
WALK = 64


async def next_steps(
    rpc: Rpc,
    network: Network,
    recent: Sequence[BlockRef],
    watched: Collection[Address],
    *,
    start: int = 0,
    limit: int = 200,
    topics: Collection[bytes] = (),
) -> list[Step]:
    """What happened since `recent[-1]`, oldest first: at most one Rewind, at its front, then at most `limit` LogBatches.

    recent: adopted canonical blocks, consecutive, oldest first; its first is the newest final block (or the first ever adopted), so
    that every legal reorg has its ancestor inside. Empty: the network is followed from block `start`.
    watched: addresses whose logs are wanted; topics: their topic0, none means all. An empty answer means that nothing is new.
    Raises ReorgPastFinality when `recent[0]` is no longer canonical, BlockUnknown when the network did not hold still.
    """
    trouble: BlockUnknown | None = None
    for _ in range(ATTEMPTS):
        try:
            head = await reads.head(rpc)
            if not recent:
                return list(await _grow(rpc, None, start, head, limit, watched, topics))
            return await _from(rpc, network, recent, head, limit, watched, topics)
        except BlockUnknown as error:
            trouble = error
    raise trouble or BlockUnknown(f"network {network.chain_id}: the head does not hold still")


async def logs_for(rpc: Rpc, block: BlockRef, addresses: Collection[Address]) -> LogBatch:
    """The logs of more addresses in a block already adopted, for addresses that were born in it. Raises BlockUnknown."""
    return LogBatch(block, await reads.logs_of_block(rpc, block, addresses))


async def finality(rpc: Rpc, network: Network, head: BlockRef, recent: Sequence[BlockRef] = ()) -> tuple[BlockRef, BlockRef]:
    """(safe, finalized) as of `head`: the node's tags, never newer than head; finalized also `depth_floor` blocks under it.

    `recent` saves and checks reads: a tag that contradicts an adopted block of the same number raises BlockUnknown, because the
    node then is not on the chain of `head`. The order finalized <= safe <= head holds always.
    """
    floor = max(head.number - network.finality.depth_floor, 0)
    asked = [reads.by_tag("safe"), reads.by_tag("finalized"), reads.by_number(floor), reads.by_number(head.number)]
    safe, final, deep, now = (reads.parse_block(rpc.chain_id, raw) for raw in await rpc.batch(asked))
    known = {b.number: b for b in (*recent, head)}
    for block in (safe, final, deep, now):
        adopted = known.get(block.number)
        if adopted is not None and adopted.hash != block.hash:
            raise BlockUnknown(
                f"network {network.chain_id}: block {block.number} is {block.hash} at the node, {adopted.hash} here; follow first"
            )
    finalized = min(final, deep, key=lambda b: b.number)
    safe = min(safe, head, key=lambda b: b.number)
    return (safe if safe.number >= finalized.number else finalized), finalized


async def _from(
    rpc: Rpc,
    network: Network,
    recent: Sequence[BlockRef],
    head: BlockRef,
    limit: int,
    watched: Collection[Address],
    topics: Collection[bytes],
) -> list[Step]:
    tip = recent[-1]
    if head.hash == tip.hash:
        return []
    if head.number == tip.number + 1 and head.parent_hash == tip.hash:
        return [LogBatch(head, await reads.logs_of_block(rpc, head, watched, topics))]
    ancestor = await _ancestor(rpc, network, recent, head)
    if ancestor == head:
        return []
    grown = await _grow(rpc, ancestor, ancestor.number + 1, head, limit, watched, topics)
    if ancestor == tip:
        return list(grown)
    orphaned = tuple(b for b in recent if b.number > ancestor.number)
    return [Rewind(network.chain_id, ancestor, orphaned), *grown]


async def _ancestor(rpc: Rpc, network: Network, recent: Sequence[BlockRef], head: BlockRef) -> BlockRef:
    """The newest block of `recent` that is still canonical under `head`. Raises ReorgPastFinality when none is."""
    reachable = [b for b in recent if b.number <= head.number]
    while reachable:
        part = reachable[-WALK:]
        # Most often the tip stands and the node only has grown by more than one block: ask for it alone first.
        if len(reachable) == len(recent) and len(part) > 1:
            part = part[-1:]
        found = await reads.blocks_by_number(rpc, [b.number for b in part])
        for ours, theirs in zip(reversed(part), reversed(found), strict=True):
            if theirs is None:
                raise BlockUnknown(f"network {network.chain_id}: block {ours.number} is away below head {head.number}")
            if ours.hash == theirs.hash:
                return ours
        del reachable[-len(part) :]
    oldest = recent[0]
    if head.number < oldest.number:
        raise BlockUnknown(
            f"network {network.chain_id}: the node's head {head.number} lies below our final block {oldest.number}; it lags"
        )
    raise ReorgPastFinality(
        f"network {network.chain_id} no longer holds block {oldest.number} {oldest.hash}, which was final; "
        f"compare another node, then rewind this network by hand"
    )


async def _grow(
    rpc: Rpc,
    parent: BlockRef | None,
    first: int,
    head: BlockRef,
    limit: int,
    watched: Collection[Address],
    topics: Collection[bytes],
) -> list[LogBatch]:
    """Blocks `first`..head (at most `limit`), each linked to the one before, with their logs. Ends early where a link is broken."""
    last = min(head.number, first + limit - 1)
    if last < first:
        return []
    numbers = list(range(first, last if last == head.number else last + 1))
    headers = [*await reads.blocks_by_number(rpc, numbers), *([head] if last == head.number else [])]
    linked: list[BlockRef] = []
    for block in headers:
        before = linked[-1] if linked else parent
        if block is None or (before is not None and block.parent_hash != before.hash):
            break
        linked.append(block)
    if not linked:
        raise BlockUnknown(f"network {rpc.chain_id}: block {first} does not follow {parent.hash if parent else 'the start'}")
    return await _with_logs(rpc, linked, watched, topics)


async def _with_logs(
    rpc: Rpc, blocks: Sequence[BlockRef], watched: Collection[Address], topics: Collection[bytes]
) -> list[LogBatch]:
    if not watched:
        return [LogBatch(block, ()) for block in blocks]
    answers = await rpc.batch_settled([reads.logs_request(block.hash, watched, topics) for block in blocks])
    batches: list[LogBatch] = []
    for block, answer in zip(blocks, answers, strict=True):
        if isinstance(answer, RpcError):
            trouble = reads.unknown_block(answer, block.hash)
            if batches and isinstance(trouble, BlockUnknown):
                break
            raise trouble from answer
        batches.append(LogBatch(block, reads.parse_logs(block, answer, watched)))
    return batches
