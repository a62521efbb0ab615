"""A network that was booted from a baked state can be reorganised twelve blocks deep and keeps its contracts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from chains.devnet import anvil, bake
from chains.devnet.anvil import ask
from chains.devnet.layout import B
from chains.networks.network import FOLDER, Network, load

DEPTH = 12
LATEST_ANSWER = "0x50d25bcd"


@pytest.fixture
def url() -> Iterator[str]:
    with anvil.running(B, state=bake.states()[B.chain_id]) as found:
        yield found


@pytest.fixture
def network() -> Network:
    return load(FOLDER / f"{B.chain_id}.toml")


def _hashes(url: str, head: int, count: int) -> list[str]:
    return [ask(url, "eth_getBlockByNumber", hex(head - k), False)["hash"] for k in range(count)]


def test_boot__baked_state__time_is_now_and_finalised_state_is_readable(url: str, network: Network) -> None:
    head = ask(url, "eth_getBlockByNumber", "latest", False)
    assert abs(int(head["timestamp"], 16) - time.time()) < 30
    final = ask(url, "eth_getBlockByNumber", "finalized", False)
    assert int(head["number"], 16) - int(final["number"], 16) == B.finalized_depth
    read = {"to": network.feeds["eth_usd"].proxy, "data": LATEST_ANSWER}
    assert int(ask(url, "eth_call", read, {"blockHash": final["hash"]}), 16) == 2_000 * 10**8


def test_reorg__twelve_blocks_after_boot__code_state_and_mining_go_on(url: str, network: Network) -> None:
    sender, receiver = ask(url, "eth_accounts")[:2]
    sent = ask(url, "eth_sendTransaction", {"from": sender, "to": receiver, "value": "0x1"})
    while not (receipt := ask(url, "eth_getTransactionReceipt", sent)):
        time.sleep(0.05)
    nonce = int(ask(url, "eth_getTransactionCount", sender, "latest"), 16)
    ask(url, "anvil_mine", hex(DEPTH - 1))
    height = int(ask(url, "eth_blockNumber"), 16)
    # An empty block mined again at the same second has its old hash: the fork begins with the block that held the transaction.
    depth = height - int(receipt["blockNumber"], 16) + 1
    old = _hashes(url, height, depth + 2)
    ask(url, "anvil_reorg", depth, [])
    assert depth >= DEPTH
    new = _hashes(url, height, depth + 2)
    assert all(a != b for a, b in zip(old[:depth], new[:depth], strict=True)) and old[depth:] == new[depth:]
    # Orphaned transactions are dropped, not put back into the pool: their senders must send them again.
    assert int(ask(url, "eth_getTransactionCount", sender, "pending"), 16) == nonce - 1
    aave, own = network.protocols.aave_v3, network.protocols.isthmus
    assert aave and own
    for where in (aave.pool, own.module, network.protocols.safe.singleton, network.protocols.multicall3.address):
        assert len(ask(url, "eth_getCode", where, "latest")) > 100
    read = {"to": network.feeds["eth_usd"].proxy, "data": LATEST_ANSWER}
    for back in (0, depth - 1, depth + 1):
        assert int(ask(url, "eth_call", read, {"blockHash": new[back]}), 16) == 2_000 * 10**8
    with pytest.raises(anvil.AnvilFailed, match="not found"):
        ask(url, "eth_call", read, {"blockHash": old[0]})
    assert "output" in ask(url, "debug_traceCall", read, "latest", {"tracer": "callTracer"})
    deadline = time.monotonic() + 5
    while int(ask(url, "eth_blockNumber"), 16) <= height:
        assert time.monotonic() < deadline, "the network stopped mining"
        time.sleep(0.05)


def test_blocks__quarter_second__share_timestamps_and_never_go_back(url: str) -> None:
    time.sleep(2.5)
    height = int(ask(url, "eth_blockNumber"), 16)
    times = [int(ask(url, "eth_getBlockByNumber", hex(height - k), False)["timestamp"], 16) for k in range(8)]
    assert times == sorted(times, reverse=True)
    assert len(set(times)) < len(times)
