"""Records tests/golden/logs/*.json: a short life on local networks A and C, every protocol and event type in it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

from chains import abi, follower, protocols
from chains.actions import AnyAction, Approve, Borrow, Bridge, Repay, RepayLine, Supply, Swap, Withdraw
from chains.devnet import hyperlane as devnet
from chains.devnet import lib
from chains.events import AccountOpened
from chains.networks.network import Hyperlane, OwnContracts
from chains.rpc import Rpc, reads
from chains.types import Address, LogBatch, address
from tests.chain.node_world import Node, as_anyone, mint_usdc, node, set_price, warp
from tests.golden import logs

ALICE, BOB, LENDER = (Address("0x" + two * 20) for two in ("a1", "b0", "1e"))
ETHER, USDC, WEEK = 10**18, 10**6, 604_800


class Actor:
    """Acts on one node as anybody."""

    def __init__(self, world: Node, rpc: Rpc) -> None:
        self.world, self.rpc, self.network = world, rpc, world.network

    def token(self, name: str) -> Address:
        return self.network.tokens[name].address

    async def act(self, who: Address, *actions: AnyAction) -> dict[str, Any]:
        receipt: dict[str, Any] = {}
        for action in actions:
            call = protocols.encode(self.network, action)
            receipt = await as_anyone(self.rpc, who, call.to, call.data, call.value)
        return receipt

    async def call(self, who: Address, to: Address, signature: str, *words: int | Address) -> dict[str, Any]:
        return await as_anyone(self.rpc, who, to, abi.call_data(signature, *words))


async def venues(a: Actor) -> None:
    """Wrap, supply, borrow, repay, withdraw, move shares, swap, a price fall and a liquidation."""
    aave, uniswap = a.network.protocols.aave_v3, a.network.protocols.uniswap_v3
    assert aave and uniswap
    weth, usdc = a.token("weth"), a.token("usdc")
    await as_anyone(a.rpc, ALICE, weth, abi.call_data("deposit()"), 30 * ETHER)
    await a.call(ALICE, weth, "withdraw(uint256)", ETHER)
    await mint_usdc(a.rpc, a.network, BOB, 90_000 * USDC)
    for who, token, spender in (
        (ALICE, weth, aave.pool),
        (ALICE, usdc, aave.pool),
        (ALICE, weth, uniswap.router),
        (BOB, usdc, aave.pool),
    ):
        await a.act(who, Approve(token, spender, abi.MAX_UINT256))
    await a.act(ALICE, Supply("aave_v3", ALICE, weth, 10 * ETHER), Borrow("aave_v3", ALICE, usdc, 16_000 * USDC))
    await warp(a.rpc, WEEK)
    await a.act(ALICE, Repay("aave_v3", ALICE, usdc, 1), Repay("aave_v3", ALICE, usdc, 500 * USDC))
    await a.act(ALICE, Withdraw("aave_v3", ALICE, weth, ETHER // 100))
    await a.call(ALICE, aave.reserves[0].a_token, "transfer(address,uint256)", BOB, ETHER // 50)
    await a.act(ALICE, Swap("uniswap_v3", ALICE, weth, usdc, 3000, ETHER, 1))
    set_price(a.world, "eth_usd", 1_500 * 10**8)
    liquidate = (weth, usdc, ALICE, 2_000 * USDC, 0)
    await a.call(BOB, aave.pool, "liquidationCall(address,address,address,uint256,bool)", *liquidate)


async def own_contracts(a: Actor) -> None:
    """An account is born and asks to leave; the credit line is funded, drawn, repaid, written off and left."""
    own = a.network.protocols.isthmus
    assert own
    safe = await born(a, own)
    usdc, line = a.token("usdc"), own.credit_line
    await mint_usdc(a.rpc, a.network, LENDER, 60_000 * USDC)
    await a.act(LENDER, Approve(usdc, line, abi.MAX_UINT256))
    await a.call(LENDER, line, "deposit(uint256)", 50_000 * USDC)
    await a.call(own.module, line, "draw(address,uint256)", safe, 20_000 * USDC)
    await warp(a.rpc, WEEK)
    await a.act(LENDER, RepayLine(safe, 5_000 * USDC))
    await a.call(own.planner_lock, line, "writeOff(address)", safe)
    await a.call(LENDER, line, "withdraw(uint256)", 10_000 * USDC)
    await a.call(safe, own.module, "requestExit()")
    await a.call(safe, own.module, "cancelExit()")
    await a.call(safe, safe, "changeThreshold(uint256)", 1)


async def born(a: Actor, own: OwnContracts) -> Address:
    owners = abi.uint(2) + abi.padded(ALICE) + abi.padded(BOB)
    body = abi.uint(128) + abi.uint(2) + abi.uint(128 + len(owners)) + abi.uint(7) + owners + abi.uint(0)
    receipt = await as_anyone(a.rpc, ALICE, own.factory, abi.selector("create(address[],uint256,bytes32[],uint256)") + body)
    topic = "0x" + abi.topic("AccountCreated(address,address[],uint256)").hex()
    (made,) = (log for log in receipt["logs"] if log["topics"][0] == topic)
    return address("0x" + made["topics"][1][26:])


def end_of(world: Node) -> devnet.Hyperlane:
    own: Hyperlane | None = world.network.protocols.hyperlane
    assert own
    return devnet.Hyperlane(own.domain, own.mailbox, own.merkle_tree_hook or "", own.ism or "", own.validators, own.threshold)


async def bridges(c: Actor, a: Actor) -> None:
    """USDC from C to A, and some of it back."""
    routes = {x.network.chain_id: end.routes[0].router for x in (c, a) if (end := x.network.protocols.hyperlane)}
    web = {x.network.chain_id: lib.connect(x.world.url, x.network.chain_id) for x in (c, a)}
    await mint_usdc(c.rpc, c.network, ALICE, 900 * USDC)
    await c.act(ALICE, Approve(c.token("usdc"), routes[c.network.chain_id], 900 * USDC))
    for here, there, who, whom, atoms in ((c, a, ALICE, BOB, 900 * USDC), (a, c, BOB, ALICE, 400 * USDC)):
        source, target = here.network.chain_id, there.network.chain_id
        receipt = await here.act(who, Bridge("hyperlane", who, routes[source], target, whom, atoms))
        devnet.deliver(web[source], end_of(here.world), web[target], end_of(there.world), receipt)


async def record(actor: Actor, start: int) -> None:
    """Everything since block `start`, with what the account emits itself."""
    wanted = set(protocols.watched(actor.network))
    steps = await follower.next_steps(actor.rpc, actor.network, (), wanted, start=start)
    batches = [step for step in steps if isinstance(step, LogBatch)]
    told = [event for batch in batches for event in protocols.decode(actor.network, batch.logs)]
    opened = {event.safe for event in told if isinstance(event, AccountOpened)}
    if opened:
        steps = await follower.next_steps(actor.rpc, actor.network, (), wanted | opened, start=start)
        batches = [step for step in steps if isinstance(step, LogBatch)]
    logs.save(logs.FOLDER / f"{actor.network.chain_id}.json", actor.network, batches)


async def main() -> None:
    logs.FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        c_world, a_world = (stack.enter_context(node(chain, interval_s=1)) for chain in (71003, 71001))
        async with c_world.rpc() as c_rpc, a_world.rpc() as a_rpc:
            c, a = Actor(c_world, c_rpc), Actor(a_world, a_rpc)
            starts = [(await reads.head(rpc)).number + 1 for rpc in (c_rpc, a_rpc)]
            await venues(a)
            await own_contracts(a)
            await bridges(c, a)
            await record(c, starts[0])
            await record(a, starts[1])


if __name__ == "__main__":
    asyncio.run(main())
