"""A liquidator bot on one Aave market: every block it reads every borrower's health factor and takes what it can at once.

It repays USDC, takes WETH and lets the pool cap the quantity at its close factor. It is nobody's friend: what stands between a
client and this bot is only the client's own top-up, or ours. What it took is read back from the network, so a reorg cannot lie.
"""

from __future__ import annotations

from typing import Any

from eth_abi.abi import decode
from eth_hash.auto import keccak

from aggregator.local.actors_chain import Fn, Head, Node, Read, Wallet
from chains.devnet import roles
from chains.networks.network import AaveV3
from chains.types import Address, address

BORROW = keccak(b"Borrow(address,address,address,uint256,uint8,uint256,uint16)")
LIQUIDATION = keccak(b"LiquidationCall(address,address,address,uint256,uint256,address,bool)")
ACCOUNT = Fn("getUserAccountData", ("address",), ("uint256",) * 6)
LIQUIDATE = Fn("liquidationCall", ("address", "address", "address", "uint256", "bool"))
HEALTHY = 10**18
ALL = 2**256 - 1
GAS = 2_000_000
TIP_WEI = 3 * 10**9
RETRY_BLOCKS = 3


class Liquidator:
    """The bot on one network. `watched` may name borrowers from the start; others are found by their Borrow events."""

    def __init__(self, node: Node, aave: AaveV3, watched: tuple[str, ...] = ()) -> None:
        self.node = node
        self.borrowers: set[Address] = {address(who) for who in watched}
        self.wallet = Wallet(node, roles.key("liquidator"))
        self._aave = aave
        self._scanned = -1
        self._start: int | None = None
        self._tried: dict[Address, int] = {}

    async def run(self) -> None:
        """Follow the network until cancelled."""
        while True:
            await self.step(await self.node.next_head())

    async def step(self, head: Head) -> None:
        """One block: find new borrowers, read all, liquidate the unhealthy."""
        if self._start is None:
            self._start = head.number
        # Blocks that a reorg may replace are read again: a set of borrowers only grows, so that costs nothing.
        first = max(0, min(self._scanned + 1, head.number) - 2 * self.node.network.finality.depth_floor)
        for log in await self.node.logs(self._aave.pool, BORROW, first, head.number):
            self.borrowers.add(Address("0x" + log["topics"][2][-40:]))
        self._scanned = head.number
        users = sorted(self.borrowers)
        if not users:
            return
        answers = await self.node.read([Read(self._aave.pool, ACCOUNT, (user,)) for user in users])
        for user, answer in zip(users, answers, strict=True):
            waiting = 0 <= head.number - self._tried.get(user, -RETRY_BLOCKS) < RETRY_BLOCKS
            if answer is not None and answer[1] > 0 and answer[5] < HEALTHY and not waiting:
                self._tried[user] = head.number
                await self._take(user)

    async def _take(self, user: Address) -> None:
        tokens = self.node.network.tokens
        call = LIQUIDATE.call(tokens["weth"].address, tokens["usdc"].address, user, ALL, False)
        await self.wallet.send(self._aave.pool, call, GAS, TIP_WEI)

    async def taken(self) -> list[dict[str, Any]]:
        """Every liquidation by this bot on the network as it stands: borrower, atoms repaid and seized, transaction, block."""
        if self._start is None or self.node.head is None:
            return []
        found = []
        for log in await self.node.logs(self._aave.pool, LIQUIDATION, self._start, self.node.head.number):
            repaid, seized, by, _ = decode(("uint256", "uint256", "address", "bool"), bytes.fromhex(log["data"][2:]))
            if address(by) == self.wallet.address:
                found.append({
                    "chain_id": self.node.chain_id, "user": "0x" + log["topics"][3][-40:],
                    "collateral": "0x" + log["topics"][1][-40:], "debt": "0x" + log["topics"][2][-40:],
                    "repaid_atoms": str(repaid), "seized_atoms": str(seized),
                    "tx_hash": log["transactionHash"], "block_number": int(log["blockNumber"], 16)})
        return found
