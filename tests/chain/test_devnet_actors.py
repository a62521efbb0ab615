"""The outsiders of the local networks, as the real process on three mining networks: market, liquidator bot, bridge."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aggregator.errors import ConfigInvalid
from aggregator.local import actors, actors_control
from aggregator.local.actors_bridge import Tree
from chains.devnet import anvil, bake, hyperlane, lib, roles, tokens
from chains.devnet.anvil import ask
from chains.devnet.layout import NETWORKS, USDC_UNIT, WETH_UNIT, A, B, C
from chains.networks.network import FOLDER, Network, load

BORROWER = "client-2-owner-0"
SENDER = "client-1-owner-0"
PATIENCE_S = 20.0
SLOT0 = "0x3850c7bd"
LATEST_ANSWER = "0x50d25bcd"


@dataclass(frozen=True)
class Stage:
    urls: dict[int, str]
    port: int

    def tell(self, **command: Any) -> dict[str, Any]:
        return asyncio.run(actors_control.ask(self.port, command))

    def answer(self, chain: int) -> int:
        read = {"to": _file(chain).feeds["eth_usd"].proxy, "data": LATEST_ANSWER}
        return int(ask(self.urls[chain], "eth_call", read, "latest"), 16)

    def pool_usd(self, chain: int) -> float:
        """USDC per WETH in the pool."""
        uniswap = _file(chain).protocols.uniswap_v3
        assert uniswap
        pool = uniswap.pools[0]
        word = ask(self.urls[chain], "eth_call", {"to": pool.address, "data": SLOT0}, "latest")
        ratio = (int(word[2:66], 16) / 2**96) ** 2
        return (ratio if pool.token0 == "weth" else 1 / ratio) * 10**12


def _file(chain: int) -> Network:
    return load(FOLDER / f"{chain}.toml")


def _near(stage: Stage, chain: int, usd: float) -> bool:
    return abs(stage.pool_usd(chain) / usd - 1) < 0.004


def _until(what: str, done: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := done()):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)
    return found


def _borrow(url: str) -> None:
    """15,000 USDC against 10 WETH at 2,000 USD on A: liquidatable below about 1,818 USD."""
    w3, network = lib.connect(url, A.chain_id), _file(A.chain_id)
    assert network.protocols.aave_v3
    pool = lib.at(w3, network.protocols.aave_v3.pool, "aave/Pool")
    owner, weth = roles.address(BORROWER), lib.checksum(network.tokens["weth"].address)
    tokens.approve(w3, weth, BORROWER, pool.address)
    lib.send(w3, pool.functions.supply(weth, 10 * WETH_UNIT, owner, 0), BORROWER)
    lib.send(w3, pool.functions.borrow(lib.checksum(network.tokens["usdc"].address), 15_000 * USDC_UNIT, 2, 0, owner), BORROWER)


@contextmanager
def _process(folder: Path, urls: dict[int, str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    config = folder / "actors.json"
    config.write_text(json.dumps({"networks": {str(c): u for c, u in urls.items()}, **more}))
    line = [sys.executable, "-m", "aggregator.local.actors", "--config", str(config)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def _port(child: subprocess.Popen[str]) -> int:
    assert child.stdout
    return int(json.loads(child.stdout.readline())["control_port"])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    states = bake.states()
    with ExitStack() as stack:
        urls = {c: stack.enter_context(anvil.running(n, state=states[c])) for c, n in NETWORKS.items()}
        child = stack.enter_context(_process(tmp_path_factory.mktemp("actors"), urls, seed=7))
        yield Stage(urls, _port(child))


def test_market__price_told__feeds_of_all_networks_and_pools_follow(stage: Stage) -> None:
    told = stage.tell(cmd="price", asset="ETH", usd=2_100, wait=True)
    assert {int(c): len(hashes) for c, hashes in told["networks"].items()} == dict.fromkeys(NETWORKS, 3)
    assert [stage.answer(c) for c in NETWORKS] == [2_100 * 10**8] * 3
    for chain in (A.chain_id, B.chain_id):
        _until("pool follows", partial(_near, stage, chain, 2_100))


def test_market__reorg_drops_the_round__oracles_submit_it_again(stage: Stage) -> None:
    stage.tell(cmd="price", asset="ETH", usd=2_000, wait=True)
    stage.tell(cmd="price", asset="ETH", usd=2_050, wait=True)
    ask(stage.urls[B.chain_id], "anvil_reorg", 12, [])
    _until("the target again", lambda: stage.answer(B.chain_id) == 2_050 * 10**8)
    _until("reorg counted", lambda: stage.tell(cmd="status")["networks"][str(B.chain_id)]["reorgs"] >= 1)


def test_market__pause__no_more_trades(stage: Stage) -> None:
    stage.tell(cmd="pause_trading", all=True)
    time.sleep(1)
    before = stage.tell(cmd="status")["networks"][str(B.chain_id)]["trades"]
    time.sleep(3)
    assert stage.tell(cmd="status")["networks"][str(B.chain_id)]["trades"] == before
    stage.tell(cmd="resume_trading")
    _until("trades again", lambda: stage.tell(cmd="status")["networks"][str(B.chain_id)]["trades"] > before)


def test_liquidator__health_factor_below_one__taken_and_taken_again_after_a_reorg(stage: Stage) -> None:
    stage.tell(cmd="price", asset="ETH", usd=2_000, wait=True)
    _borrow(stage.urls[A.chain_id])
    who = roles.address(BORROWER).lower()
    _until("borrower found", lambda: who in stage.tell(cmd="status")["networks"][str(A.chain_id)]["borrowers"])
    assert stage.tell(cmd="status")["liquidations"] == []
    stage.tell(cmd="price", asset="ETH", usd=1_700)
    (row,) = _until("liquidation", lambda: stage.tell(cmd="status")["liquidations"])
    assert row["user"] == who and row["chain_id"] == A.chain_id and int(row["repaid_atoms"]) >= 15_000 * USDC_UNIT
    depth = int(ask(stage.urls[A.chain_id], "eth_blockNumber"), 16) - row["block_number"] + 1
    ask(stage.urls[A.chain_id], "anvil_reorg", depth, [])
    assert ask(stage.urls[A.chain_id], "eth_getTransactionReceipt", row["tx_hash"]) is None
    (again,) = _until("liquidation again", lambda: stage.tell(cmd="status")["liquidations"])
    assert again["user"] == who
    assert ask(stage.urls[A.chain_id], "eth_getTransactionReceipt", again["tx_hash"])["status"] == "0x1"


def test_bridge__c_to_b__only_final_messages_and_delivered_again_after_a_reorg(stage: Stage) -> None:
    source, network = lib.connect(stage.urls[C.chain_id], C.chain_id), _file(C.chain_id)
    target, token = lib.connect(stage.urls[B.chain_id], B.chain_id), _file(B.chain_id).tokens["hyp_usdc"].address
    assert network.protocols.hyperlane
    route = network.protocols.hyperlane.routes[0].router
    tokens.approve(source, network.tokens["usdc"].address, SENDER, route)
    signed = stage.tell(cmd="status")["networks"][str(C.chain_id)]["bridge"]["signed"]
    receipt = hyperlane.transfer(source, route, B.chain_id, roles.address("lender-0"), 1_000 * USDC_UNIT, SENDER)
    _until("signed", lambda: stage.tell(cmd="status")["networks"][str(C.chain_id)]["bridge"]["signed"] > signed)
    final = ask(stage.urls[C.chain_id], "eth_getBlockByNumber", "finalized", False)
    assert int(final["number"], 16) >= int(receipt["blockNumber"], 16)

    def held() -> int:
        return int(lib.at(target, token, tokens.USDC).functions.balanceOf(roles.address("lender-0")).call())

    _until("delivered", lambda: held() == 1_000 * USDC_UNIT)
    ask(stage.urls[B.chain_id], "anvil_reorg", 12, [])
    _until("delivered again", lambda: held() == 1_000 * USDC_UNIT)
    pending = ["0x" + name.message_id.hex() for name in hyperlane.messages(_post(network), receipt)]
    _until("final", lambda: pending[0] not in stage.tell(cmd="status")["networks"][str(C.chain_id)]["bridge"]["pending"])
    assert held() == 1_000 * USDC_UNIT


def _post(network: Network) -> hyperlane.Hyperlane:
    found = network.protocols.hyperlane
    assert found and found.merkle_tree_hook and found.ism
    where = (found.mailbox, found.merkle_tree_hook, found.ism)
    return hyperlane.Hyperlane(found.domain, *where, found.validators, found.threshold)


@pytest.mark.parametrize(("command", "wrong"), [
    ({"cmd": "dance"}, "unknown command 'dance'"),
    ({"cmd": "price", "asset": "GOLD", "usd": 1}, "asset = 'GOLD'"),
    ({"cmd": "price", "asset": "ETH", "usd": -1}, "usd = -1"),
])
def test_control__wrong_command__field_named(stage: Stage, command: dict[str, Any], wrong: str) -> None:
    with pytest.raises(actors_control.CommandInvalid, match=wrong):
        stage.tell(**command)


def test_control__nobody_there__named() -> None:
    with pytest.raises(actors_control.ActorsAway, match="do not answer"):
        asyncio.run(actors_control.ask(anvil.free_port(), {"cmd": "status"}))


@pytest.mark.parametrize(("table", "wrong"), [
    ({}, "networks is missing"),
    ({"networks": {"71001": "http://x"}, "speed": 1}, "'speed' is not a field"),
    ({"networks": {"71001": "http://x"}, "actors": ["cook"]}, "'cook'"),
    ({"networks": {"seven": "http://x"}}, "wrong type"),
])
def test_config__wrong_field__named(table: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigInvalid, match=wrong):
        actors.configured(table)


def test_actors__foreign_chain_behind_the_port__end_with_its_name(stage: Stage, tmp_path: Path) -> None:
    with _process(tmp_path, {A.chain_id: stage.urls[C.chain_id]}) as child:
        _, said = child.communicate(timeout=PATIENCE_S)
        assert child.returncode == 1
    assert "ForeignNetwork" in said and "71003" in said and "71001" in said


def test_actors__node_dies_and_comes_back__they_go_on(tmp_path: Path) -> None:
    port, state = anvil.free_port(), bake.states()[C.chain_id]
    url = f"http://127.0.0.1:{port}"

    def node() -> subprocess.Popen[bytes]:
        return subprocess.Popen(anvil.command(C, port, state=state), stdout=subprocess.DEVNULL)

    def answer() -> int:
        try:
            return Stage({C.chain_id: url}, 0).answer(C.chain_id)
        except OSError:
            return 0

    first = node()
    try:
        with _process(tmp_path, {C.chain_id: url}, actors=["market"]) as child:
            actors_port = _port(child)
            Stage({C.chain_id: url}, actors_port).tell(cmd="price", asset="ETH", usd=1_900, wait=True)
            first.kill()
            first.wait()
            first = node()
            _until("the target on the new node", lambda: answer() == 1_900 * 10**8)
            assert child.poll() is None
    finally:
        first.kill()
        first.wait()


def test_tree__root_of_known_leaves__is_hyperlanes() -> None:
    """The empty root is the fixed one of every fresh Hyperlane (and deposit contract) tree of depth 32."""
    tree = Tree()
    assert tree.root().hex() == "27ae5ba08d7291c96c8cbddcc148bf48a6d68c7974b94356f53754ef6171d757"
    tree.append(bytes(32))
    assert tree.root().hex() == "27ae5ba08d7291c96c8cbddcc148bf48a6d68c7974b94356f53754ef6171d757"
    tree.append(b"\1" * 32)
    assert tree.root().hex() != "27ae5ba08d7291c96c8cbddcc148bf48a6d68c7974b94356f53754ef6171d757"
