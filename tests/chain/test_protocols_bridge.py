"""USDC from C to A and back over the real warp route: both ends carry one message id, and wallets add up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chains import abi, events, follower, protocols
from chains.actions import Approve, Bridge
from chains.devnet import hyperlane as devnet
from chains.devnet import lib
from chains.errors import ActionUnsupported, MalformedLog
from chains.networks.network import Hyperlane, HyperlaneRoute
from chains.protocols import hyperlane
from chains.rpc import Rpc, reads
from chains.types import ZERO_ADDRESS, Address, BlockRef, LogBatch
from tests.chain.node_world import Node, as_anyone, mint_usdc, node

ALICE, BOB = Address("0x" + "a1" * 20), Address("0x" + "b0" * 20)
ATOMS = 250 * 10**6


@pytest.fixture(scope="module")
def networks() -> Iterator[tuple[Node, Node]]:
    with node(71003, interval_s=1) as c, node(71001, interval_s=1) as a:
        yield c, a


def parts(world: Node) -> Hyperlane:
    assert world.network.protocols.hyperlane
    return world.network.protocols.hyperlane


def route(world: Node) -> HyperlaneRoute:
    return parts(world).routes[0]


def end_of(world: Node) -> devnet.Hyperlane:
    own = parts(world)
    return devnet.Hyperlane(
        own.domain, own.mailbox, own.merkle_tree_hook or "", own.ism or "", own.validators, own.threshold
    )


def deliver(source: Node, target: Node, receipt: dict[str, Any]) -> None:
    """What validators and relayer do."""
    here, there = (lib.connect(world.url, world.network.chain_id) for world in (source, target))
    devnet.deliver(here, end_of(source), there, end_of(target), receipt)


async def told(rpc: Rpc, world: Node, start: BlockRef) -> list[LogBatch]:
    steps = await follower.next_steps(rpc, world.network, (start,), protocols.watched(world.network))
    return [step for step in steps if isinstance(step, LogBatch)]


def pick(world: Node, batches: list[LogBatch], kind: type[Any]) -> list[Any]:
    return [e for b in batches for e in protocols.decode(world.network, b.logs) if isinstance(e, kind)]


async def fee(rpc: Rpc, world: Node, destination: int) -> int:
    call = hyperlane.quote(route(world).router, destination, BOB, ATOMS)
    head = await reads.head(rpc)
    found = hyperlane.quoted(await reads.call_at(rpc, head.hash, call.to, call.data))
    token = world.network.tokens[route(world).token].address
    assert found[token] == ATOMS
    return found.get(ZERO_ADDRESS, 0)


async def test_bridge__both_ways__one_message_id_and_the_payer_named(networks: tuple[Node, Node]) -> None:
    c, a = networks
    async with c.rpc() as c_rpc, a.rpc() as a_rpc:
        await mint_usdc(c_rpc, c.network, ALICE, ATOMS)
        usdc = c.network.tokens["usdc"].address
        allow = protocols.encode(c.network, Approve(usdc, route(c).router, ATOMS))
        await as_anyone(c_rpc, ALICE, allow.to, allow.data)
        c_start, a_start = await reads.head(c_rpc), await reads.head(a_rpc)
        cost = await fee(c_rpc, c, 71001)
        call = protocols.encode(c.network, Bridge("hyperlane", ALICE, route(c).router, 71001, BOB, ATOMS, cost))
        receipt = await as_anyone(c_rpc, ALICE, call.to, call.data, call.value)
        deliver(c, a, receipt)
        (sent,) = pick(c, await told(c_rpc, c, c_start), events.Sent)
        (received,) = pick(a, await told(a_rpc, a, a_start), events.Received)
        assert (sent.sender, sent.recipient, sent.destination, sent.atoms, sent.token) == (ALICE, BOB, 71001, ATOMS, usdc)
        assert (received.recipient, received.origin, received.atoms) == (BOB, 71003, ATOMS)
        assert received.token == a.network.tokens["hyp_usdc"].address
        assert received.message_id == sent.message_id
        # The synthetic is the router: the mint is told once, by the token.
        moved = [m for m in pick(a, await told(a_rpc, a, a_start), events.Moved) if m.destination == BOB]
        assert [(m.source, m.atoms) for m in moved] == [(ZERO_ADDRESS, ATOMS)]

        c_start, a_start = await reads.head(c_rpc), await reads.head(a_rpc)
        back = protocols.encode(a.network, Bridge("hyperlane", BOB, route(a).router, 71003, ALICE, ATOMS // 5))
        receipt = await as_anyone(a_rpc, BOB, back.to, back.data, back.value)
        deliver(a, c, receipt)
        (sent,) = pick(a, await told(a_rpc, a, a_start), events.Sent)
        (received,) = pick(c, await told(c_rpc, c, c_start), events.Received)
    assert (sent.sender, sent.recipient, sent.atoms) == (BOB, ALICE, ATOMS // 5)
    assert (received.recipient, received.token, received.message_id) == (ALICE, usdc, sent.message_id)


async def test_bridge__two_equal_sends_in_one_transaction__two_message_ids(networks: tuple[Node, Node]) -> None:
    """Two sends of one amount to one recipient from one payer, through Multicall3 as the payer."""
    c, _ = networks
    payer = c.network.protocols.multicall3.address
    usdc, router = c.network.tokens["usdc"].address, route(c).router
    async with c.rpc() as rpc:
        await mint_usdc(rpc, c.network, payer, 2 * ATOMS)
        allow = protocols.encode(c.network, Approve(usdc, router, 2 * ATOMS))
        send = protocols.encode(c.network, Bridge("hyperlane", payer, router, 71001, BOB, ATOMS))
        start = await reads.head(rpc)
        items = [abi.padded(x.to) + abi.uint(0) + abi.uint(96) + abi.tail(x.data) for x in (allow, send, send)]
        data = abi.selector(reads.AGGREGATE3) + abi.uint(32) + abi.dynamic_array(items)
        await as_anyone(rpc, ALICE, payer, data)
        batches = await told(rpc, c, start)
    sent = pick(c, batches, events.Sent)
    assert [s.sender for s in sent] == [payer, payer]
    assert len({s.message_id for s in sent}) == 2
    (batch,) = batches
    dispatch = abi.topic(hyperlane.DISPATCH)
    without = tuple(log for log in batch.logs if log.topics[0] != dispatch)
    with pytest.raises(MalformedLog, match="no Dispatch by the mailbox"):
        protocols.decode(c.network, without)


async def test_encode__unlisted_route_or_destination__refused_by_name(networks: tuple[Node, Node]) -> None:
    c, _ = networks
    with pytest.raises(ActionUnsupported, match="does not go to 5"):
        protocols.encode(c.network, Bridge("hyperlane", ALICE, route(c).router, 5, BOB, 1))
    with pytest.raises(ActionUnsupported, match="lists no hyperlane route"):
        protocols.encode(c.network, Bridge("hyperlane", ALICE, ALICE, 71001, BOB, 1))
    with pytest.raises(ActionUnsupported, match="encoded by no protocol"):
        protocols.encode(c.network, Bridge("teleport", ALICE, route(c).router, 71001, BOB, 1))
