"""Uniswap v3 (core 1.0.1, periphery 1.4.4): factory, router, quoter, position manager, pools with liquidity around one price.

The 0.01 percent fee tier is enabled as governance did on the real networks. The position descriptor is left zero: nobody asks for a
token's picture. A pool's price is token1 atoms per token0 atom, and token0 is the lower address.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from web3 import Web3

from chains.devnet import roles
from chains.devnet.lib import FAR, ZERO, at, checksum, deploy, send

SPACING: Final = {100: 1, 500: 10, 3000: 60}


@dataclass(frozen=True)
class Uniswap:
    """Addresses of Uniswap v3."""

    factory: str
    router: str
    quoter: str
    position_manager: str


@dataclass(frozen=True)
class Pool:
    """One pool; token names are the network file's, in pool order."""

    address: str
    token0: str
    token1: str
    fee: int


@dataclass(frozen=True)
class Side:
    """One side of the liquidity of a new pool: token name, address, quantity."""

    name: str
    token: str
    atoms: int


def install(w3: Web3, weth: str) -> Uniswap:
    """Deploy factory and periphery."""
    factory = deploy(w3, "uniswap/UniswapV3Factory")
    send(w3, factory.functions.enableFeeAmount(100, SPACING[100]))
    wrapped = checksum(weth)
    manager = deploy(w3, "uniswap/NonfungiblePositionManager", factory.address, wrapped, ZERO)
    router = deploy(w3, "uniswap/SwapRouter", factory.address, wrapped)
    quoter = deploy(w3, "uniswap/QuoterV2", factory.address, wrapped)
    return Uniswap(str(factory.address), str(router.address), str(quoter.address), str(manager.address))


def sqrt_price_x96(atoms0: int, atoms1: int) -> int:
    """Square root of atoms1/atoms0 in Uniswap's 64.96 fixed point."""
    return math.isqrt((atoms1 << 192) // atoms0)


def open_pool(w3: Web3, uniswap: Uniswap, sides: tuple[Side, Side], fee: int, width: float, role: str) -> Pool:
    """Create a pool priced at the two quantities and put them in, between price/width and price*width (width > 1).

    The role must hold and have approved both tokens to the position manager.
    """
    low, high = sorted(sides, key=lambda side: int(side.token, 16))
    manager = at(w3, uniswap.position_manager, "uniswap/NonfungiblePositionManager")
    tokens = (checksum(low.token), checksum(high.token))
    price = sqrt_price_x96(low.atoms, high.atoms)
    send(w3, manager.functions.createAndInitializePoolIfNecessary(*tokens, fee, price))
    factory = at(w3, uniswap.factory, "uniswap/UniswapV3Factory")
    address = factory.functions.getPool(*tokens, fee).call()
    spacing = SPACING[fee]
    middle = math.log(high.atoms / low.atoms, 1.0001)
    reach = math.log(width, 1.0001)
    lower, upper = (round((middle + step) / spacing) * spacing for step in (-reach, reach))
    owner = checksum(roles.address(role))
    send(w3, manager.functions.mint((*tokens, fee, lower, upper, low.atoms, high.atoms, 0, 0, owner, FAR)), role)
    return Pool(str(address), low.name, high.name, fee)
