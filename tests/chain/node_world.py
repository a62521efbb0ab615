"""A private node of a local network for the tests of chains/: baked state, blocks only when a test mines them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from chains import abi
from chains.devnet import anvil, bake
from chains.devnet.layout import NETWORKS
from chains.networks.network import FOLDER, Network, load
from chains.rpc import Rpc, reads
from chains.types import Address, BlockRef, address

GAS = 3_000_000


@dataclass(frozen=True)
class Node:
    """One node. Its first accounts are unlocked: `send` from them needs no key."""

    url: str
    network: Network

    def rpc(self, **more: Any) -> Rpc:
        return Rpc(self.network.chain_id, [self.url], **more)


def network_of(chain_id: int) -> Network:
    return load(FOLDER / f"{chain_id}.toml")


@contextmanager
def node(chain_id: int, *, interval_s: int | None = None, block_time_ms: int | None = None) -> Iterator[Node]:
    """A node of a local network on a free port. It mines a block per transaction, or every `block_time_ms`."""
    local = NETWORKS[chain_id]
    if block_time_ms is not None:
        local = replace(local, block_time_ms=block_time_ms)
    with anvil.running(local, state=bake.states()[chain_id], mine=block_time_ms is not None) as url:
        if interval_s is not None:
            anvil.ask(url, "anvil_setBlockTimestampInterval", interval_s)
        yield Node(url, network_of(chain_id))


async def accounts(rpc: Rpc) -> list[Address]:
    return [address(a) for a in await rpc.call("eth_accounts")]


async def send(rpc: Rpc, sender: Address, to: Address, data: bytes, value: int = 0) -> dict[str, Any]:
    """Send from an unlocked account; the receipt. A revert fails the test."""
    fields = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(GAS)}
    receipt: dict[str, Any] = await rpc.call("eth_sendTransactionSync", [fields])
    assert receipt["status"] == "0x1", receipt
    return receipt


async def as_anyone(rpc: Rpc, sender: Address, to: Address, data: bytes, value: int = 0) -> dict[str, Any]:
    """The same as any address, with ether made for it."""
    await rpc.call("anvil_impersonateAccount", [sender])
    await rpc.call("anvil_setBalance", [sender, hex(10**21)])
    return await send(rpc, sender, to, data, value)


async def mint_usdc(rpc: Rpc, network: Network, to: Address, atoms: int) -> dict[str, Any]:
    """The local USDC's mint is open to everyone."""
    sender = (await accounts(rpc))[1]
    return await send(rpc, sender, network.tokens["usdc"].address, abi.call_data("mint(address,uint256)", to, atoms))


def set_price(world: Node, feed: str, answer: int) -> None:
    """A round of all oracles of one feed; `answer` in feed decimals."""
    from chains.devnet import feeds, lib

    listed = world.network.feeds[feed]
    feeds.submit(lib.connect(world.url, world.network.chain_id), feeds.Feed(listed.proxy, listed.aggregator or ""), answer)


async def mine(rpc: Rpc, blocks: int = 1) -> BlockRef:
    await rpc.call("anvil_mine", [hex(blocks)])
    return await reads.head(rpc)


async def warp(rpc: Rpc, seconds: int) -> None:
    """The next block comes `seconds` after the newest. (evm_increaseTime does nothing while the node keeps a fixed interval.)"""
    await rpc.call("evm_setNextBlockTimestamp", [(await reads.head(rpc)).timestamp + seconds])


async def reorg(rpc: Rpc, depth: int, transactions: list[Any] | None = None) -> BlockRef:
    """Replace the last `depth` blocks; their transactions are dropped. `transactions`: [[transaction, block offset], ...].

    Empty blocks with fixed times come back with the same hashes: a block that must change needs a transaction in it.
    """
    await rpc.call("anvil_reorg", [depth, transactions or []])
    return await reads.head(rpc)
