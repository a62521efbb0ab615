"""The market of the local networks: three oracles per feed, random trades, and an arbitrageur that keeps pools at the feed's price.

Oracles are told a target price and converge on it: whenever the newest answer differs (after a reorg too) or is older than the
heartbeat, they submit a round. The three submissions are the target and one step to either side, so their median is the target.
"""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass
from typing import Any

from aggregator.local.actors_chain import Fn, Head, Node, Read, Wallet
from chains.devnet import roles
from chains.networks.network import Feed, UniswapPool
from chains.types import Address

LATEST = Fn("latestRoundData", (), ("uint80", "int256", "uint256", "uint256", "uint80"))
ROUND_STATE = Fn("oracleRoundState", ("address", "uint32"),
                 ("bool", "uint32", "int256", "uint64", "uint64", "uint128", "uint8", "uint128"))
SUBMIT = Fn("submit", ("uint256", "int256"))
SLOT0 = Fn("slot0", (), ("uint160", "int24", "uint16", "uint16", "uint16", "uint8", "bool"))
SWAP = Fn("exactInputSingle", ("(address,address,uint24,address,uint256,uint256,uint256,uint160)",))
SUBMIT_GAS = 500_000
SWAP_GAS = 1_500_000
FAR = 2**40
Q96 = 2**96
SPREAD_BPS = 1
SLACK_BPS = 5
RETRY_BLOCKS = 2
ARBITRAGE_USD = 40_000_000
NOISE_USD = 5_000
NOISE_EVERY_S = 2.0


@dataclass
class Quote:
    """What is known of one feed on one network: the newest answer and when it was last acted upon."""

    round_id: int = 0
    answer: int = 0
    updated_at: int = 0
    acted_at_block: int = -RETRY_BLOCKS


class Market:
    """The market on one network. `targets` (asset -> USD) is shared by all networks and only read here."""

    def __init__(self, node: Node, targets: dict[str, float], seed: int, heartbeat_s: float) -> None:
        self.node = node
        self.targets = targets
        self.noise = True
        self.arbitrage = True
        self.trades = 0
        self.quotes = {name: Quote() for name, feed in node.network.feeds.items() if feed.aggregator}
        self._heartbeat_s = heartbeat_s
        self._random = random.Random(f"{seed}:market:{node.chain_id}")
        self._oracles = [Wallet(node, roles.key(role), resend=False) for role in roles.ORACLES]
        self._maker = Wallet(node, roles.key("market-maker"))
        self._locks = {name: asyncio.Lock() for name in self.quotes}
        self._traded_at: dict[str, int] = {}
        self._reorgs = node.reorgs
        uniswap = node.network.protocols.uniswap_v3
        self._pools = uniswap.pools if uniswap else ()
        self._router = uniswap.router if uniswap else None

    def wallets(self) -> list[Wallet]:
        return [*self._oracles, self._maker]

    def _aggregator(self, name: str) -> Address:
        where = self.node.network.feeds[name].aggregator
        if where is None:
            raise ValueError(f"feeds.{name}.aggregator is not set for network {self.node.chain_id}")
        return where

    def _wanted(self, feed: Feed) -> int:
        return round(self.targets[feed.base] * 10.0**feed.decimals)

    async def submit(self, name: str) -> list[str]:
        """Submit a round of one feed at the target, from every oracle that may; returns the transaction hashes."""
        async with self._locks[name]:
            feed, where = self.node.network.feeds[name], self._aggregator(name)
            head = self.node.head
            self.quotes[name].acted_at_block = head.number if head else 0
            answer = self._wanted(feed)
            step = max(1, answer * SPREAD_BPS // 10_000)
            steps = self._random.sample((-step, 0, step), 3)
            states = await asyncio.gather(
                *(self.node.call(Read(where, ROUND_STATE, (wallet.address, 0))) for wallet in self._oracles))
            sends = [wallet.send(where, SUBMIT.call(state[1], answer + offset), SUBMIT_GAS)
                     for wallet, state, offset in zip(self._oracles, states, steps, strict=True) if state[0]]
            return list(await asyncio.gather(*sends))

    async def settled(self, name: str) -> bool:
        """Whether the newest answer on the network is the target."""
        _, answer, *_ = await self.node.call(Read(self._aggregator(name), LATEST))
        return bool(answer == self._wanted(self.node.network.feeds[name]))

    async def run(self) -> None:
        """Follow the network block by block, until cancelled. Answers from before the boot are old, so a round comes at once."""
        while True:
            await self.step(await self.node.next_head())

    async def step(self, head: Head) -> None:
        """One block: look at feeds and pools in one read, then correct what is off."""
        if self._reorgs != self.node.reorgs:
            # What was done lately may be gone: nothing is waited for.
            self._reorgs = self.node.reorgs
            self._traded_at.clear()
            for quote in self.quotes.values():
                quote.acted_at_block = -RETRY_BLOCKS
        names = list(self.quotes)
        reads = [Read(self._aggregator(name), LATEST) for name in names]
        answers = await self.node.read([*reads, *(Read(pool.address, SLOT0) for pool in self._pools)])
        for name, answer in zip(names, answers[: len(names)], strict=True):
            await self._watch(name, answer, head)
        for pool, slot in zip(self._pools, answers[len(names) :], strict=True):
            if slot is not None:
                await self._correct(pool, int(slot[0]), head)
        if self.noise and self._pools and self._random.random() < self.node.network.block_time_ms / 1000 / NOISE_EVERY_S:
            await self._trade()

    async def _watch(self, name: str, answer: tuple[Any, ...] | None, head: Head) -> None:
        quote, feed = self.quotes[name], self.node.network.feeds[name]
        if answer is not None:
            quote.round_id, quote.answer, quote.updated_at = int(answer[0]), int(answer[1]), int(answer[3])
        old = head.timestamp - quote.updated_at > self._heartbeat_s
        waiting = 0 <= head.number - quote.acted_at_block < RETRY_BLOCKS
        if (old or quote.answer != self._wanted(feed)) and not waiting:
            await self.submit(name)

    def _unit_usd(self, token: str) -> float:
        """USD per atom at the network's newest answers; 0 when a feed has none yet."""
        info = self.node.network.tokens[token]
        feed = self.node.network.feeds[info.feed]
        return float(self.quotes[info.feed].answer) / 10.0 ** (feed.decimals + info.decimals)

    async def _correct(self, pool: UniswapPool, sqrt_price: int, head: Head) -> None:
        """Trade the pool to the feeds' price when it is off by more than its fee."""
        units = self._unit_usd(pool.token0), self._unit_usd(pool.token1)
        waiting = 0 <= head.number - self._traded_at.get(pool.address, -RETRY_BLOCKS) < 2
        if not self.arbitrage or waiting or not all(units):
            return
        fair = math.sqrt(units[0] / units[1])
        gap = (sqrt_price / Q96 / fair) ** 2 - 1
        if abs(gap) * 10_000 <= pool.fee / 100 + SLACK_BPS:
            return
        self._traded_at[pool.address] = head.number
        await self._swap(pool, gap > 0, ARBITRAGE_USD, int(fair * Q96))

    async def _trade(self) -> None:
        pool = self._random.choice(self._pools)
        size = NOISE_USD * self._random.lognormvariate(0, 0.7)
        await self._swap(pool, self._random.random() < 0.5, size, 0)

    async def _swap(self, pool: UniswapPool, zero_for_one: bool, usd: float, limit: int) -> None:
        """Sell `usd` worth of one side; a limit stops at that price. Only what the pool takes leaves the maker."""
        if self._router is None:
            return
        sold, bought = (pool.token0, pool.token1) if zero_for_one else (pool.token1, pool.token0)
        unit = self._unit_usd(sold)
        if not unit:
            return
        tokens = self.node.network.tokens
        terms = (tokens[sold].address, tokens[bought].address, pool.fee, self._maker.address, FAR, int(usd / unit), 0, limit)
        await self._maker.send(self._router, SWAP.call(terms), SWAP_GAS)
        self.trades += 1
