"""What the three local networks are: chain ids, block times, finality depths, risk parameters, stocks. Numbers only, no addresses.

A and B carry lending and trading with different risk parameters, C holds native USDC and the collateral end of the warp route. A
Hyperlane domain is the chain id. Amounts are whole units of the token unless a name says atoms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

USDC_UNIT: Final = 10**6
WETH_UNIT: Final = 10**18
FEED_DECIMALS: Final = 8
ETH_USD: Final = 2_000
USDC_USD: Final = 1
HEARTBEAT_MS: Final = 600_000
DEVIATION_BPS: Final = 50
# Baked blocks lie far in the past, so that the first block after boot, which takes the wall clock, is always later than they are.
GENESIS_TIME: Final = 1_704_067_200


@dataclass(frozen=True)
class ReserveRisk:
    """Aave risk parameters of one reserve, basis points. The bonus is what a liquidator gets on top (500 = 5 percent)."""

    ltv_bps: int
    liquidation_threshold_bps: int
    liquidation_bonus_bps: int


@dataclass(frozen=True)
class LocalNetwork:
    """One local network. `slots` is anvil's --slots-in-an-epoch: finalised lies two epochs below the head."""

    chain_id: int
    name: str
    block_time_ms: int
    slots: int
    rpc_port: int
    reserves: Mapping[str, ReserveRisk]

    @property
    def finalized_depth(self) -> int:
        return 2 * self.slots

    @property
    def trades(self) -> bool:
        """Has WETH, lending, trading and the synthetic USDC; the one network without them locks the native USDC."""
        return bool(self.reserves)


A: Final = LocalNetwork(71001, "A", 500, 2, 18541, MappingProxyType(
    {"weth": ReserveRisk(8000, 8250, 500), "usdc": ReserveRisk(7700, 8000, 450)}))
B: Final = LocalNetwork(71002, "B", 250, 8, 18542, MappingProxyType(
    {"weth": ReserveRisk(7500, 7900, 750), "usdc": ReserveRisk(7500, 7800, 500)}))
C: Final = LocalNetwork(71003, "C", 500, 1, 18543, MappingProxyType({}))
NETWORKS: Final[Mapping[int, LocalNetwork]] = MappingProxyType({n.chain_id: n for n in (A, B, C)})

# Liquidity of the house, per network that trades.
LENT_WETH: Final = 50_000
LENT_USDC: Final = 60_000_000
POOL_WETH: Final = 20_000
POOL_USDC: Final = POOL_WETH * ETH_USD
POOL_FEE: Final = 3000
STABLE_EACH: Final = 5_000_000
STABLE_FEE: Final = 100
# Stocks of the actors and the clients' treasuries (owner 0 of each client), per network.
ROLE_ETH: Final = 1_000_000
MAKER_WETH: Final = 100_000
MAKER_USDC: Final = 200_000_000
MAKER_SYNTHETIC: Final = 2_000_000
LIQUIDATOR_USDC: Final = 50_000_000
LENDER_USDC: Final = 10_000_000
CLIENT_USDC: Final = 1_000_000
CLIENT_WETH: Final = 1_000
