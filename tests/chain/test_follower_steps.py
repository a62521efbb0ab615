"""The follower against a real node: growth, gaps, reorgs, finality, late addresses."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from chains import follower
from chains.errors import BlockUnknown, ReorgPastFinality
from chains.protocols import erc20
from chains.rpc import Rpc, reads
from chains.types import Address, BlockRef, LogBatch, Rewind
from tests.chain.node_world import Node, mine, mint_usdc, node, reorg

HOLDER = Address("0x" + "ab" * 20)


@pytest.fixture(scope="module")
def world() -> Iterator[Node]:
    with node(71001, interval_s=1) as made:
        yield made


def usdc(world: Node) -> frozenset[Address]:
    return frozenset((world.network.tokens["usdc"].address,))


class Tail:
    """What an index daemon keeps: adopted blocks from the newest final one on, and the holder's transfers."""

    def __init__(self, first: BlockRef) -> None:
        self.blocks = [first]
        self.minted: dict[int, int] = {}

    def apply(self, steps: list[follower.Step]) -> None:
        for step in steps:
            if isinstance(step, Rewind):
                assert self.blocks[-len(step.orphaned) :] == list(step.orphaned)
                del self.blocks[-len(step.orphaned) :]
                assert self.blocks[-1] == step.to
                self.minted = {n: a for n, a in self.minted.items() if n <= step.to.number}
            else:
                assert step.block.parent_hash == self.blocks[-1].hash
                self.blocks.append(step.block)
                self.minted[step.block.number] = sum(erc20.transfer(log).atoms for log in step.logs)


async def follow(rpc: Rpc, world: Node, tail: Tail, limit: int = 200) -> list[follower.Step]:
    steps = await follower.next_steps(rpc, world.network, tail.blocks, usdc(world), limit=limit)
    tail.apply(steps)
    return steps


async def test_follower__nothing_new__no_step(world: Node) -> None:
    async with world.rpc() as rpc:
        assert await follow(rpc, world, Tail(await reads.head(rpc))) == []


async def test_follower__one_block__one_batch_with_its_logs(world: Node) -> None:
    async with world.rpc() as rpc:
        tail = Tail(await reads.head(rpc))
        receipt = await mint_usdc(rpc, world.network, HOLDER, 7)
        (batch,) = await follow(rpc, world, tail)
    assert isinstance(batch, LogBatch)
    assert batch.block.hash == receipt["blockHash"]
    (log,) = batch.logs
    assert (erc20.transfer(log).destination, erc20.transfer(log).atoms) == (HOLDER, 7)
    assert log.ref.tx_hash == receipt["transactionHash"]


async def test_follower__gap__filled_block_by_block_within_the_limit(world: Node) -> None:
    async with world.rpc() as rpc:
        tail = Tail(await reads.head(rpc))
        for atoms in range(1, 6):
            await mint_usdc(rpc, world.network, HOLDER, atoms)
        assert len(await follow(rpc, world, tail, limit=2)) == 2
        assert len(await follow(rpc, world, tail)) == 3
        assert tail.blocks[-1] == await reads.head(rpc)
    assert list(tail.minted.values()) == [1, 2, 3, 4, 5]


async def test_follower__first_start__begins_at_the_start_block(world: Node) -> None:
    async with world.rpc() as rpc:
        head = await mine(rpc, 3)
        steps = await follower.next_steps(rpc, world.network, (), usdc(world), start=head.number - 2)
    assert [s.block.number for s in steps if isinstance(s, LogBatch)] == [head.number - 2, head.number - 1, head.number]


@pytest.mark.parametrize("depth", [1, 3, 12])
async def test_follower__reorg__rewinds_to_the_ancestor_and_adopts_the_new_blocks(world: Node, depth: int) -> None:
    async with world.rpc() as rpc:
        tail = Tail(await mine(rpc))
        for _ in range(depth + 2):
            await mint_usdc(rpc, world.network, HOLDER, 1)
        await follow(rpc, world, tail)
        await reorg(rpc, depth)
        await mint_usdc(rpc, world.network, HOLDER, 100)
        steps = await follow(rpc, world, tail)
        assert isinstance(steps[0], Rewind)
        assert len(steps[0].orphaned) == depth
        assert tail.blocks[-1] == await reads.head(rpc)
    assert sum(tail.minted.values()) == 2 + 100


async def test_follower__reorg_below_the_oldest_kept_block__past_finality(world: Node) -> None:
    async with world.rpc() as rpc:
        await mint_usdc(rpc, world.network, HOLDER, 1)
        tail = Tail(await reads.head(rpc))
        await mine(rpc, 2)
        await follow(rpc, world, tail)
        await reorg(rpc, 3)
        with pytest.raises(ReorgPastFinality, match="which was final"):
            await follow(rpc, world, tail)


async def test_follower__head_falls_back__waits_then_follows_the_new_branch(world: Node) -> None:
    async with world.rpc() as rpc:
        tail = Tail(await mine(rpc))
        await mine(rpc, 4)
        await follow(rpc, world, tail)
        await rpc.call("anvil_rollback", [2])
        assert await follow(rpc, world, tail) == []
        await mint_usdc(rpc, world.network, HOLDER, 5)
        steps = await follow(rpc, world, tail)
        assert isinstance(steps[0], Rewind)
        assert tail.blocks[-1] == await reads.head(rpc)
        await rpc.call("anvil_rollback", [5])
        with pytest.raises(BlockUnknown, match="it lags"):
            await follow(rpc, world, Tail(tail.blocks[-1]))


async def test_follower__address_born_in_the_block__its_logs_come_by_a_second_read(world: Node) -> None:
    async with world.rpc() as rpc:
        tail = Tail(await reads.head(rpc))
        await mint_usdc(rpc, world.network, HOLDER, 3)
        (batch,) = await follower.next_steps(rpc, world.network, tail.blocks, frozenset())
        assert isinstance(batch, LogBatch)
        assert batch.logs == ()
        again = await follower.logs_for(rpc, batch.block, usdc(world))
    assert len(again.logs) == 1


async def test_follower__logs_of_an_orphan__block_unknown(world: Node) -> None:
    async with world.rpc() as rpc:
        await mint_usdc(rpc, world.network, HOLDER, 1)
        orphan = await reads.head(rpc)
        await reorg(rpc, 1)
        with pytest.raises(BlockUnknown):
            await reads.call_at(rpc, orphan.hash, world.network.tokens["usdc"].address, b"\x18\x16\x0d\xdd")
        with pytest.raises(BlockUnknown):
            await follower.finality(rpc, world.network, orphan)


async def test_finality__tag_and_floor__the_older_wins_and_never_beyond_the_head(world: Node) -> None:
    deep = world.network.model_copy(update={"finality": world.network.finality.model_copy(update={"depth_floor": 9})})
    async with world.rpc() as rpc:
        head = await mine(rpc, 12)
        safe, final = await follower.finality(rpc, world.network, head)
        assert (head.number - safe.number, head.number - final.number) == (2, 4)
        safe, final = await follower.finality(rpc, deep, head)
        assert (head.number - safe.number, head.number - final.number) == (2, 9)
        await mine(rpc, 8)
        safe, final = await follower.finality(rpc, world.network, head)
        assert (safe.number, final.number) == (head.number, head.number - 4)


@pytest.mark.parametrize("seed", range(3))
async def test_follower__random_walk__ends_equal_to_the_network(world: Node, seed: int) -> None:
    draw = random.Random(f"{seed} follower walk")
    async with world.rpc() as rpc:
        tail = Tail(await mine(rpc))
        for _ in range(25):
            for _ in range(draw.randrange(3)):
                await mint_usdc(rpc, world.network, HOLDER, draw.randrange(1, 9))
            above = (await reads.head(rpc)).number - tail.blocks[0].number
            if above > 1 and draw.random() < 0.4:
                await reorg(rpc, draw.randrange(1, min(above, 8)))
            if draw.random() < 0.7:
                await follow(rpc, world, tail, limit=draw.randrange(1, 6))
        while await follow(rpc, world, tail, limit=3):
            pass
        found = await reads.blocks_by_number(rpc, [b.number for b in tail.blocks])
        assert found == tail.blocks
        plain = await rpc.call(
            "eth_getLogs",
            [{"address": sorted(usdc(world)), "fromBlock": hex(tail.blocks[1].number), "toBlock": "latest"}],
        )
    assert sum(tail.minted.values()) == sum(int(log["data"], 16) for log in plain)
