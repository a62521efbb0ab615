"""Everything third-party on one local network: deployed in one fixed order, so that addresses are the same in every bake.

The deployer (anvil's first account) sends nothing but what stands here and, after it, the own contracts; roles sign for
themselves, with nonces of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from web3 import Web3

from chains.devnet import aave, feeds, hyperlane, layout, multicall, roles, safe, tokens, uniswap
from chains.devnet.layout import USDC_UNIT, WETH_UNIT, LocalNetwork
from chains.devnet.uniswap import Pool, Uniswap


@dataclass(frozen=True)
class Parts:
    """Addresses of one network. Without trading `weth` is '' and the lending and trading parts are None or empty.

    `router` is the USDC warp route's end here: the collateral router on C, the synthetic token itself on A and B.
    """

    network: LocalNetwork
    usdc: str
    weth: str
    feeds: Mapping[str, feeds.Feed]
    safe: safe.Safe
    hyperlane: hyperlane.Hyperlane
    router: str
    aave: aave.Aave | None = None
    uniswap: Uniswap | None = None
    pools: tuple[Pool, ...] = ()


def install(w3: Web3, network: LocalNetwork) -> Parts:
    """Deploy what a network has of its own; nothing that needs another network."""
    for role in roles.FUNDED:
        tokens.set_ether(w3, roles.address(role), layout.ROLE_ETH * WETH_UNIT)
    multicall.install(w3)
    shared = safe.install(w3)
    usdc, link = tokens.usdc(w3), tokens.link(w3)
    prices = {"eth_usd": feeds.install(w3, str(link.address), "ETH / USD"),
              "usdc_usd": feeds.install(w3, str(link.address), "USDC / USD")}
    unit = 10**layout.FEED_DECIMALS
    feeds.submit(w3, prices["eth_usd"], layout.ETH_USD * unit)
    feeds.submit(w3, prices["usdc_usd"], layout.USDC_USD * unit)
    post = hyperlane.install(w3, network.chain_id)
    if not network.trades:
        router = hyperlane.collateral_router(w3, post.mailbox, str(usdc.address))
        return Parts(network, str(usdc.address), "", prices, shared, post, router)
    router = hyperlane.synthetic_router(w3, post.mailbox)
    weth = tokens.weth(w3)
    market = aave.install(w3, (
        aave.Listing("weth", str(weth.address), "WETH", 18, prices["eth_usd"].proxy, network.reserves["weth"]),
        aave.Listing("usdc", str(usdc.address), "USDC", 6, prices["usdc_usd"].proxy, network.reserves["usdc"])))
    exchange = uniswap.install(w3, str(weth.address))
    return Parts(network, str(usdc.address), str(weth.address), prices, shared, post, router, market, exchange)


def connect(w3: Web3, parts: Parts, everyone: Mapping[int, Parts]) -> None:
    """Enroll the other networks' routers in this one's."""
    others = {chain: other.router for chain, other in everyone.items() if chain != parts.network.chain_id}
    hyperlane.enroll(w3, parts.router, others)


def stock(w3: Web3, parts: Parts) -> Parts:
    """Hand out native stocks; on A and B the house also lends to Aave and opens the WETH pool."""
    for role, whole in (("lender-0", layout.LENDER_USDC), ("lender-1", layout.LENDER_USDC),
                        ("client-1-owner-0", layout.CLIENT_USDC), ("client-2-owner-0", layout.CLIENT_USDC)):
        tokens.mint_usdc(w3, parts.usdc, roles.address(role), whole * USDC_UNIT)
    if parts.aave is None or parts.uniswap is None:
        return parts
    house_usdc = layout.LENT_USDC + layout.POOL_USDC + layout.STABLE_EACH
    for role, whole in (("house", house_usdc), ("market-maker", layout.MAKER_USDC), ("liquidator", layout.LIQUIDATOR_USDC)):
        tokens.mint_usdc(w3, parts.usdc, roles.address(role), whole * USDC_UNIT)
    for role, whole in (("house", layout.LENT_WETH + layout.POOL_WETH), ("market-maker", layout.MAKER_WETH),
                        ("client-1-owner-0", layout.CLIENT_WETH), ("client-2-owner-0", layout.CLIENT_WETH)):
        tokens.wrap(w3, parts.weth, role, whole * WETH_UNIT)
    for token, whole, unit in ((parts.weth, layout.LENT_WETH, WETH_UNIT), (parts.usdc, layout.LENT_USDC, USDC_UNIT)):
        tokens.approve(w3, token, "house", parts.aave.pool)
        aave.supply(w3, parts.aave, token, "house", whole * unit)
        tokens.approve(w3, token, "house", parts.uniswap.position_manager)
        tokens.approve(w3, token, "market-maker", parts.uniswap.router)
    tokens.approve(w3, parts.usdc, "liquidator", parts.aave.pool)
    sides = (uniswap.Side("weth", parts.weth, layout.POOL_WETH * WETH_UNIT),
             uniswap.Side("usdc", parts.usdc, layout.POOL_USDC * USDC_UNIT))
    pool = uniswap.open_pool(w3, parts.uniswap, sides, layout.POOL_FEE, 4.0, "house")
    return replace(parts, pools=(*parts.pools, pool))


def mint_synthetic(source: Web3, origin: Parts, target: Web3, destination: Parts) -> None:
    """Lock native USDC on C and mint synthetic USDC to the house and the market maker of A or B, over the warp route."""
    for role, whole in (("house", layout.STABLE_EACH), ("market-maker", layout.MAKER_SYNTHETIC)):
        tokens.mint_usdc(source, origin.usdc, roles.address("house"), whole * USDC_UNIT)
        tokens.approve(source, origin.usdc, "house", origin.router)
        receipt = hyperlane.transfer(source, origin.router, destination.network.chain_id, roles.address(role),
                                     whole * USDC_UNIT, "house")
        hyperlane.deliver(source, origin.hyperlane, target, destination.hyperlane, receipt)


def open_synthetic_pool(w3: Web3, parts: Parts) -> Parts:
    """Open the pool of synthetic against native USDC, one to one within a percent."""
    if parts.uniswap is None:
        return parts
    tokens.approve(w3, parts.router, "house", parts.uniswap.position_manager)
    tokens.approve(w3, parts.router, "market-maker", parts.uniswap.router)
    sides = (uniswap.Side("hyp_usdc", parts.router, layout.STABLE_EACH * USDC_UNIT),
             uniswap.Side("usdc", parts.usdc, layout.STABLE_EACH * USDC_UNIT))
    pool = uniswap.open_pool(w3, parts.uniswap, sides, layout.STABLE_FEE, 1.01, "house")
    return replace(parts, pools=(*parts.pools, pool))
