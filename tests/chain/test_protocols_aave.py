"""Aave v3 by its own bytecode: shares from logs equal scaledBalanceOf, and our arithmetic equals the pool's, to the last atom."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from chains import abi, events, follower, protocols
from chains.actions import AnyAction, Approve, Borrow, Repay, Supply, Withdraw
from chains.errors import ChainError
from chains.networks.network import AaveV3
from chains.protocols import aave_v3
from chains.protocols.aave_v3 import Holding
from chains.rpc import Rpc, reads
from chains.rpc.errors import RpcError
from chains.types import Address, BlockRef, Call, LogBatch
from tests.chain.node_world import GAS, Node, as_anyone, mint_usdc, node, send, set_price, warp

USERS = tuple(Address("0x" + f"{n:02x}" * 20) for n in (0xA1, 0xA2, 0xA3))
LIQUIDATOR = Address("0x" + "a9" * 20)
ETHER, USDC, YEAR = 10**18, 10**6, 31_536_000
Shares = Counter[tuple[Address, Address]]


@pytest.fixture(scope="module")
def world() -> Iterator[Node]:
    with node(71001, interval_s=1) as made:
        yield made


class Market:
    """The pool and a ledger of its shares: (token, holder) -> scaled balance, from logs alone."""

    def __init__(self, world: Node, rpc: Rpc, start: BlockRef) -> None:
        aave = world.network.protocols.aave_v3
        assert aave
        self.aave: AaveV3 = aave
        self.network = world.network
        self.rpc = rpc
        self.blocks = [start]
        self.shares: Shares = Counter()
        self.indexes: dict[Address, tuple[int, events.IndexUpdated]] = {}
        self.told: list[events.AnyEvent] = []

    def underlying(self, name: str) -> Address:
        return self.network.tokens[name].address

    async def follow(self) -> None:
        wanted = protocols.watched(self.network)
        for step in await follower.next_steps(self.rpc, self.network, self.blocks, wanted):
            assert isinstance(step, LogBatch)
            self.blocks.append(step.block)
            for event in protocols.decode(self.network, step.logs):
                self.told.append(event)
                self.book(event, step.block.timestamp)

    def book(self, event: events.AnyEvent, when: int) -> None:
        tokens = {self.underlying(r.token): r for r in self.aave.reserves}
        match event:
            case events.Supplied():
                self.shares[tokens[event.reserve].a_token, event.holder] += event.shares
            case events.Withdrawn():
                self.shares[tokens[event.reserve].a_token, event.holder] -= event.shares
            case events.Borrowed():
                self.shares[tokens[event.reserve].variable_debt_token, event.holder] += event.shares
            case events.Repaid():
                self.shares[tokens[event.reserve].variable_debt_token, event.holder] -= event.shares
            case events.IndexUpdated() if event.venue == "aave_v3":
                self.indexes[event.reserve] = (when, event)

    async def check_shares(self) -> int:
        """Every balance we hold equals scaledBalanceOf at the newest block. How many are not zero."""
        places = sorted(self.shares)
        calls = [Call(token, abi.call_data("scaledBalanceOf(address)", holder)) for token, holder in places]
        answers = await reads.multicall_at(self.rpc, self.network, self.blocks[-1].hash, calls)
        assert {p: int.from_bytes(a or b"", "big") for p, a in zip(places, answers, strict=True)} == dict(self.shares)
        return sum(value > 0 for value in self.shares.values())

    async def check_account(self, user: Address) -> int:
        """getUserAccountData at the newest block equals ours. The health factor."""
        block = self.blocks[-1]
        data = abi.call_data("getUserAccountData(address)", user)
        answer = await reads.call_at(self.rpc, block.hash, self.aave.pool, data)
        found = aave_v3.account_data(*await self.holdings(user, block))
        words = [abi.uint_at(answer, i) for i in range(6)]
        assert (found.collateral_base, found.debt_base, found.threshold_bps) == (words[0], words[1], words[3])
        assert found.health_factor == words[5]
        return found.health_factor

    async def holdings(self, user: Address, block: BlockRef) -> tuple[list[Holding], list[Holding]]:
        collaterals, debts = [], []
        for reserve in self.aave.reserves:
            token = self.underlying(reserve.token)
            when, last = self.indexes[token]
            data = abi.call_data("getAssetPrice(address)", token)
            price = abi.uint_at(await reads.call_at(self.rpc, block.hash, self.aave.oracle, data), 0)
            decimals = self.network.tokens[reserve.token].decimals
            supply = aave_v3.supply_index_at(last.supply_index, last.supply_rate, when, block.timestamp)
            debt = aave_v3.debt_index_at(last.debt_index, last.debt_rate, when, block.timestamp)
            threshold = reserve.liquidation_threshold_bps
            collaterals.append(Holding(self.shares[reserve.a_token, user], supply, price, decimals, threshold))
            debts.append(Holding(self.shares[reserve.variable_debt_token, user], debt, price, decimals))
        return collaterals, debts

    async def act(self, user: Address, action: AnyAction) -> bool:
        """Whether the pool allowed it."""
        call = protocols.encode(self.network, action)
        fields = {"from": user, "to": call.to, "data": "0x" + call.data.hex(), "gas": hex(GAS)}
        try:
            await self.rpc.call("eth_call", [fields, "latest"])
        except RpcError:
            return False
        await send(self.rpc, user, call.to, call.data)
        return True


async def opened(world: Node, rpc: Rpc) -> Market:
    """A market whose users hold tokens and have supplied a little of both, so that both reserves are known and in use."""
    market = Market(world, rpc, await reads.head(rpc))
    weth = market.underlying("weth")
    for user in USERS:
        await as_anyone(rpc, user, weth, abi.call_data("deposit()"), 400 * ETHER)
        await mint_usdc(rpc, world.network, user, 1_000_000 * USDC)
        for token in (weth, market.underlying("usdc")):
            await market.act(user, Approve(token, market.aave.pool, abi.MAX_UINT256))
            assert await market.act(user, Supply("aave_v3", user, token, 10_000 if token != weth else ETHER))
    await market.follow()
    return market


def drawn(draw: random.Random, market: Market, user: Address) -> AnyAction:
    """A random step; tiny amounts are common, so that interest is larger than the amount."""
    name = draw.choice(("weth", "usdc"))
    token, unit = market.underlying(name), ETHER if name == "weth" else 2_000 * USDC
    atoms = draw.choice((draw.randrange(1, 200), draw.randrange(1, unit), draw.randrange(unit, 40 * unit)))
    kind = draw.choice((Supply, Supply, Withdraw, Borrow, Borrow, Repay, Repay))
    if kind in (Withdraw, Repay) and draw.random() < 0.15:
        atoms = abi.MAX_UINT256
    return kind("aave_v3", user, token, atoms)


@pytest.mark.parametrize("seed", range(3))
async def test_aave__random_operations_over_years__shares_and_health_equal_the_pool(world: Node, seed: int) -> None:
    draw = random.Random(f"{seed} aave walk")
    done: Counter[str] = Counter()
    async with world.rpc() as rpc:
        mark = await rpc.call("evm_snapshot")
        market = await opened(world, rpc)
        for _ in range(60):
            if draw.random() < 0.5:
                await warp(rpc, draw.choice((7, 3600, 86_400, YEAR // 12)))
            user = draw.choice(USERS)
            if draw.random() < 0.1:
                await transfer_shares(draw, market, user)
            else:
                action = drawn(draw, market, user)
                done[type(action).__name__] += await market.act(user, action)
            await market.follow()
            await market.check_account(user)
        assert await market.check_shares() >= 8
        assert await rpc.call("evm_revert", [mark])
    assert min(done[name] for name in ("Supply", "Withdraw", "Borrow", "Repay")) >= 2, done


async def transfer_shares(draw: random.Random, market: Market, user: Address) -> None:
    """Move some aTokens to another user, or to oneself."""
    reserve = draw.choice(market.aave.reserves)
    data = abi.call_data("transfer(address,uint256)", draw.choice(USERS), draw.randrange(1, 5_000))
    try:
        await market.rpc.call("eth_call", [{"from": user, "to": reserve.a_token, "data": "0x" + data.hex()}, "latest"])
    except RpcError:
        return
    await send(market.rpc, user, reserve.a_token, data)


async def test_aave__repay_below_the_interest__shares_fall_although_the_pool_says_mint(world: Node) -> None:
    async with world.rpc() as rpc:
        mark = await rpc.call("evm_snapshot")
        market = await opened(world, rpc)
        user, usdc = USERS[0], market.underlying("usdc")
        assert await market.act(user, Supply("aave_v3", user, market.underlying("weth"), 100 * ETHER))
        assert await market.act(user, Borrow("aave_v3", user, usdc, 80_000 * USDC))
        await warp(rpc, YEAR // 4)
        assert await market.act(user, Repay("aave_v3", user, usdc, 5 * USDC))
        await market.follow()
        (repaid,) = (e for e in market.told if isinstance(e, events.Repaid))
        assert (repaid.atoms, repaid.holder, repaid.reserve) == (5 * USDC, user, usdc)
        assert 0 < repaid.shares < 5 * USDC
        assert await market.check_shares() >= 4
        assert await rpc.call("evm_revert", [mark])


async def test_aave__liquidation__told_and_every_share_accounted_for(world: Node) -> None:
    async with world.rpc() as rpc:
        mark = await rpc.call("evm_snapshot")
        market = await opened(world, rpc)
        user, usdc, weth = USERS[1], market.underlying("usdc"), market.underlying("weth")
        assert await market.act(user, Supply("aave_v3", user, weth, 10 * ETHER))
        assert await market.act(user, Borrow("aave_v3", user, usdc, 17_000 * USDC))
        await market.follow()
        assert await market.check_account(user) > aave_v3.WAD
        set_price(world, "eth_usd", 1_700 * 10**8)
        await market.follow()
        assert await market.check_account(user) < aave_v3.WAD
        price = next(e for e in reversed(market.told) if isinstance(e, events.PricePublished))
        assert (price.feed, price.answer) == (world.network.feeds["eth_usd"].proxy, 1_700 * 10**8)
        assert price.updated_at == market.blocks[-1].timestamp
        await mint_usdc(rpc, world.network, LIQUIDATOR, 100_000 * USDC)
        await as_anyone(rpc, LIQUIDATOR, usdc, abi.call_data("approve(address,uint256)", market.aave.pool, abi.MAX_UINT256))
        words: tuple[Any, ...] = (weth, usdc, user, 3_000 * USDC, 1)
        data = abi.call_data("liquidationCall(address,address,address,uint256,bool)", *words)
        await send(rpc, LIQUIDATOR, market.aave.pool, data)
        await market.follow()
        (seized,) = (e for e in market.told if isinstance(e, events.Liquidated))
        assert (seized.holder, seized.liquidator, seized.collateral, seized.debt) == (user, LIQUIDATOR, weth, usdc)
        assert seized.debt_atoms == 3_000 * USDC
        assert market.shares[market.aave.reserves[0].a_token, LIQUIDATOR] > 0
        await market.check_account(user)
        await market.check_shares()
        assert await rpc.call("evm_revert", [mark])


async def test_encode__network_without_aave__refused_by_name(world: Node) -> None:
    bare = world.network.model_copy(update={"protocols": world.network.protocols.model_copy(update={"aave_v3": None})})
    with pytest.raises(ChainError, match=r"no \[protocols.aave_v3\]"):
        protocols.encode(bare, Supply("aave_v3", USERS[0], USERS[1], 1))
