"""Every protocol of the baked local networks works: real bytecode, real rules, and the network files name what was baked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractLogicError

from chains.devnet import anvil, artifacts, bake, feeds, hyperlane, layout, lib, network_table, roles, tokens
from chains.devnet.layout import NETWORKS, USDC_UNIT, WETH_UNIT
from chains.networks.network import FOLDER, Network, load

WHALE = "client-1-owner-0"
RAY = 10**27


@dataclass(frozen=True)
class Net:
    w3: Web3
    file: Network

    def token(self, name: str) -> Contract:
        return lib.at(self.w3, self.file.tokens[name].address, tokens.USDC)

    def balance(self, name: str, role: str) -> int:
        return int(self.token(name).functions.balanceOf(roles.address(role)).call())

    def feed(self, name: str) -> feeds.Feed:
        found = self.file.feeds[name]
        return feeds.Feed(found.proxy, str(found.aggregator))

    def post(self) -> hyperlane.Hyperlane:
        found = self.file.protocols.hyperlane
        assert found and found.merkle_tree_hook and found.ism
        where = (found.mailbox, found.merkle_tree_hook, found.ism)
        return hyperlane.Hyperlane(found.domain, *where, found.validators, found.threshold)

    def route(self) -> str:
        assert self.file.protocols.hyperlane
        return self.file.protocols.hyperlane.routes[0].router


@pytest.fixture(scope="module")
def nets() -> Iterator[dict[str, Net]]:
    """The three networks, mining a block per transaction; tests leave them changed, and do not depend on each other."""
    with ExitStack() as stack:
        found = {}
        for chain, path in bake.states().items():
            url = stack.enter_context(anvil.running(NETWORKS[chain], state=path, mine=False))
            found[NETWORKS[chain].name] = Net(lib.connect(url, chain), load(FOLDER / f"{chain}.toml"))
        yield found


def _account(net: Net, role: str) -> tuple[int, ...]:
    aave = net.file.protocols.aave_v3
    assert aave
    return tuple(lib.at(net.w3, aave.pool, "aave/Pool").functions.getUserAccountData(roles.address(role)).call())


def test_bake__network_files__name_what_was_baked() -> None:
    for chain, table in bake.tables().items():
        assert network_table.text(table) == (FOLDER / f"{chain}.toml").read_text(), f"run bake --write for {chain}"


def test_bake__every_address_of_the_file__has_code(nets: dict[str, Net]) -> None:
    def addresses(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            for name, value in part.items():
                if name not in ("validators", "guardian", "deployment"):
                    yield from addresses(value)
        elif isinstance(part, list | tuple):
            for value in part:
                yield from addresses(value)
        elif isinstance(part, str) and part.startswith("0x"):
            yield part

    for net in nets.values():
        for where in addresses(net.file.model_dump()):
            assert net.w3.eth.get_code(lib.checksum(where)), f"{net.file.name}: no code at {where}"


def test_bake__wrapped_ether__is_backed(nets: dict[str, Net]) -> None:
    weth = nets["A"].token("weth")
    assert weth.functions.totalSupply().call() == nets["A"].w3.eth.get_balance(weth.address)


def test_bake__synthetic_supply__is_locked_on_c(nets: dict[str, Net]) -> None:
    locked = nets["C"].token("usdc").functions.balanceOf(lib.checksum(nets["C"].route())).call()
    minted = sum(nets[name].token("hyp_usdc").functions.totalSupply().call() for name in "AB")
    assert locked == minted > 2 * layout.STABLE_EACH * USDC_UNIT


def test_feeds__one_submission__is_no_answer_two_are(nets: dict[str, Net]) -> None:
    net = nets["C"]
    aggregator = lib.at(net.w3, net.feed("eth_usd").aggregator, "chainlink/FluxAggregator")
    proxy = lib.at(net.w3, net.feed("eth_usd").proxy, "chainlink/EACAggregatorProxy")
    number = aggregator.functions.latestRound().call() + 1
    before = proxy.functions.latestAnswer().call()
    lib.send(net.w3, aggregator.functions.submit(number, 1990 * 10**8), "oracle-0")
    assert proxy.functions.latestAnswer().call() == before
    lib.send(net.w3, aggregator.functions.submit(number, 2012 * 10**8), "oracle-1")
    assert proxy.functions.latestAnswer().call() == 2001 * 10**8
    lib.send(net.w3, aggregator.functions.submit(number, 2000 * 10**8), "oracle-2")
    assert proxy.functions.latestAnswer().call() == 2000 * 10**8
    with pytest.raises(lib.DeployFailed):
        lib.send(net.w3, aggregator.functions.submit(number + 1, 1), "liquidator")


@pytest.mark.parametrize("name", ["A", "B"])
def test_aave__risk_parameters__are_those_of_the_layout(nets: dict[str, Net], name: str) -> None:
    net = nets[name]
    aave = net.file.protocols.aave_v3
    assert aave
    reader = lib.at(net.w3, aave.data_provider, "aave/AaveProtocolDataProvider")
    for token, risk in NETWORKS[net.file.chain_id].reserves.items():
        found = reader.functions.getReserveConfigurationData(lib.checksum(net.file.tokens[token].address)).call()
        assert found[1:4] == [risk.ltv_bps, risk.liquidation_threshold_bps, 10_000 + risk.liquidation_bonus_bps]


def test_aave__price_falls__position_is_liquidated(nets: dict[str, Net]) -> None:
    net = nets["A"]
    aave = net.file.protocols.aave_v3
    assert aave
    pool = lib.at(net.w3, aave.pool, "aave/Pool")
    weth, usdc = (lib.checksum(net.file.tokens[t].address) for t in ("weth", "usdc"))
    owner = roles.address(WHALE)
    tokens.approve(net.w3, weth, WHALE, aave.pool)
    lib.send(net.w3, pool.functions.supply(weth, 10 * WETH_UNIT, owner, 0), WHALE)
    lib.send(net.w3, pool.functions.borrow(usdc, 15_000 * USDC_UNIT, 2, 0, owner), WHALE)
    assert _account(net, WHALE)[5] == pytest.approx(1.1e18, rel=1e-3)
    feeds.submit(net.w3, net.feed("eth_usd"), 1_700 * 10**8)
    assert _account(net, WHALE)[5] < 0.95e18
    held = net.balance("weth", "liquidator")
    lib.send(net.w3, pool.functions.liquidationCall(weth, usdc, owner, lib.MAX, False), "liquidator")
    # Below a health factor of 0.95 the whole debt may be repaid; a tenth of the bonus goes to the protocol.
    assert _account(net, WHALE)[1] == 0
    gained = net.balance("weth", "liquidator") - held
    assert gained / WETH_UNIT == pytest.approx(15_000 / 1_700 * 1.045, rel=1e-3)
    feeds.submit(net.w3, net.feed("eth_usd"), layout.ETH_USD * 10**8)


def test_uniswap__swap__pays_near_the_feed_price(nets: dict[str, Net]) -> None:
    net = nets["B"]
    uniswap = net.file.protocols.uniswap_v3
    assert uniswap
    router = lib.at(net.w3, uniswap.router, "uniswap/SwapRouter")
    usdc, weth, synthetic = (lib.checksum(net.file.tokens[t].address) for t in ("usdc", "weth", "hyp_usdc"))
    tokens.approve(net.w3, usdc, WHALE, uniswap.router)
    for bought, name, fee, paid in ((weth, "weth", 3000, 20_000), (synthetic, "hyp_usdc", 100, 20_000)):
        held = net.balance(name, WHALE)
        terms = (usdc, bought, fee, roles.address(WHALE), lib.FAR, paid * USDC_UNIT, 0, 0)
        lib.send(net.w3, router.functions.exactInputSingle(terms), WHALE)
        got = net.balance(name, WHALE) - held
        value = got / WETH_UNIT * layout.ETH_USD if name == "weth" else got / USDC_UNIT
        assert value == pytest.approx(paid * (1 - fee / 1e6), rel=1e-3)


def test_hyperlane__c_to_a__short_signature_and_replay_are_refused(nets: dict[str, Net]) -> None:
    source, target = nets["C"], nets["A"]
    tokens.approve(source.w3, source.file.tokens["usdc"].address, WHALE, source.route())
    held = target.balance("hyp_usdc", WHALE)
    receipt = hyperlane.transfer(source.w3, source.route(), target.file.chain_id, roles.address(WHALE), 250 * USDC_UNIT, WHALE)
    (message,) = hyperlane.messages(source.post(), receipt)
    root = bytes(lib.at(source.w3, source.post().merkle_tree_hook, "hyperlane/MerkleTreeHook").functions.root().call())
    mailbox = lib.at(target.w3, target.post().mailbox, "hyperlane/Mailbox")
    names = hyperlane.validators()

    def proof(*signers: str) -> bytes:
        return hyperlane.metadata(source.post(), root, message.index, message.message_id, signers)

    for wrong in (proof(names[0]) + bytes(65), proof(names[0], names[0]), proof(names[0], "liquidator")):
        with pytest.raises(ContractLogicError):
            mailbox.functions.process(wrong, message.body).call()
    lib.send(target.w3, mailbox.functions.process(proof(names[0], names[2]), message.body))
    assert target.balance("hyp_usdc", WHALE) - held == 250 * USDC_UNIT
    with pytest.raises(ContractLogicError, match="already delivered"):
        mailbox.functions.process(proof(names[0], names[2]), message.body).call()


def test_hyperlane__a_to_b_and_back_to_c__every_route_is_open(nets: dict[str, Net]) -> None:
    for origin, goal, token in (("A", "B", "hyp_usdc"), ("B", "C", "usdc")):
        source, target = nets[origin], nets[goal]
        held = target.balance(token, "market-maker")
        receipt = hyperlane.transfer(source.w3, source.route(), target.file.chain_id, roles.address("market-maker"),
                                     100 * USDC_UNIT, "market-maker")
        hyperlane.deliver(source.w3, source.post(), target.w3, target.post(), receipt)
        assert target.balance(token, "market-maker") - held == 100 * USDC_UNIT


def test_multicall__many_reads__one_call(nets: dict[str, Net]) -> None:
    net = nets["C"]
    call = [{"name": n, "type": t} for n, t in (("target", "address"), ("allowFailure", "bool"), ("callData", "bytes"))]
    answer = [{"name": n, "type": t} for n, t in (("success", "bool"), ("returnData", "bytes"))]
    kind = [{"type": "function", "name": "aggregate3", "stateMutability": "payable",
             "inputs": [{"name": "calls", "type": "tuple[]", "components": call}],
             "outputs": [{"name": "answers", "type": "tuple[]", "components": answer}]}]
    caller = net.w3.eth.contract(address=lib.checksum(net.file.protocols.multicall3.address), abi=kind)
    usdc = net.token("usdc")
    data = [usdc.encode_abi("balanceOf", args=[roles.address(role)]) for role in (*roles.LENDERS, WHALE)]
    answers = caller.functions.aggregate3([(usdc.address, False, d) for d in data]).call()
    assert [int.from_bytes(a[1], "big") for a in answers][:2] == [layout.LENDER_USDC * USDC_UNIT] * 2


def test_lock__every_artifact__has_code() -> None:
    for package in artifacts.locked():
        for file in package.files:
            if file.key != artifacts.ANVIL:
                assert len(artifacts.load(file.key)["bytecode"]) > 100, file.key
