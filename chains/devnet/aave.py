"""Aave v3 core (npm release 1.19.3): libraries, provider, pool, oracle over Chainlink proxies, two reserves, data provider.

`StableDebtToken` is unused but required by `initReserves` of this release. The oracle reads the EACAggregatorProxy feeds, so a
price moves only by an oracle round. Rates are rays (1e27 = 100 percent a year).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from web3 import Web3
from web3.contract import Contract

from chains.devnet import roles
from chains.devnet.layout import FEED_DECIMALS, ReserveRisk
from chains.devnet.lib import ZERO, at, checksum, deploy, send

RAY: Final = 10**27
LIBRARIES: Final = ("SupplyLogic", "BorrowLogic", "LiquidationLogic", "EModeLogic", "BridgeLogic", "PoolLogic", "ConfiguratorLogic")
RESERVE_FACTOR_BPS: Final = 1000
PROTOCOL_FEE_BPS: Final = 1000
# Usage up to which a reserve is cheap, and the slopes below and above it, in percent.
CURVES: Final = {"weth": (80, 4, 80), "usdc": (90, 5, 60)}


@dataclass(frozen=True)
class Listing:
    """One token to list: its address, name and decimals, the feed proxy that prices it, its risk parameters."""

    name: str
    token: str
    symbol: str
    decimals: int
    proxy: str
    risk: ReserveRisk


@dataclass(frozen=True)
class Reserve:
    """Tokens of one listed reserve."""

    a_token: str
    variable_debt_token: str


@dataclass(frozen=True)
class Aave:
    """Addresses of one Aave v3 market."""

    pool: str
    provider: str
    oracle: str
    data_provider: str
    reserves: Mapping[str, Reserve]


def install(w3: Web3, listings: tuple[Listing, ...]) -> Aave:
    """Deploy the market and list the reserves; the deployer is its admin."""
    admin = w3.eth.accounts[0]
    libraries = {name: str(deploy(w3, f"aave/{name}").address) for name in LIBRARIES}
    libraries["FlashLoanLogic"] = str(deploy(w3, "aave/FlashLoanLogic", libraries=libraries).address)
    provider = _provider(w3, admin)
    pool, configurator = _pool(w3, provider, libraries)
    tokens = [checksum(item.token) for item in listings]
    proxies = [checksum(item.proxy) for item in listings]
    oracle = deploy(w3, "aave/AaveOracle", provider.address, tokens, proxies, ZERO, ZERO, 10**FEED_DECIMALS)
    send(w3, provider.functions.setPriceOracle(oracle.address))
    reader = deploy(w3, "aave/AaveProtocolDataProvider", provider.address)
    send(w3, provider.functions.setPoolDataProvider(reader.address))
    _list(w3, provider, pool, configurator, listings)
    reserves = {}
    for item in listings:
        a_token, _, variable = reader.functions.getReserveTokensAddresses(checksum(item.token)).call()
        reserves[item.name] = Reserve(a_token, variable)
    return Aave(str(pool.address), str(provider.address), str(oracle.address), str(reader.address), reserves)


def _provider(w3: Web3, admin: str) -> Contract:
    provider = deploy(w3, "aave/PoolAddressesProvider", "Isthmus local market", admin)
    send(w3, provider.functions.setACLAdmin(admin))
    rights = deploy(w3, "aave/ACLManager", provider.address)
    send(w3, provider.functions.setACLManager(rights.address))
    for grant in ("addPoolAdmin", "addEmergencyAdmin", "addRiskAdmin", "addAssetListingAdmin"):
        send(w3, rights.functions[grant](admin))
    return provider


def _pool(w3: Web3, provider: Contract, libraries: Mapping[str, str]) -> tuple[Contract, Contract]:
    for key, setter in (("Pool", "setPoolImpl"), ("PoolConfigurator", "setPoolConfiguratorImpl")):
        implementation = deploy(w3, f"aave/{key}", *((provider.address,) if key == "Pool" else ()), libraries=libraries)
        send(w3, implementation.functions.initialize(provider.address))
        send(w3, provider.functions[setter](implementation.address))
    pool = at(w3, provider.functions.getPool().call(), "aave/Pool")
    return pool, at(w3, provider.functions.getPoolConfigurator().call(), "aave/PoolConfigurator")


def _strategy(w3: Web3, provider: Contract, name: str) -> str:
    optimal, below, above = (percent * RAY // 100 for percent in CURVES[name])
    stable = (below, above, RAY // 100, 8 * RAY // 100, RAY // 5)
    strategy = deploy(w3, "aave/DefaultReserveInterestRateStrategy", provider.address, optimal, 0, below, above, *stable)
    return str(strategy.address)


def _list(w3: Web3, provider: Contract, pool: Contract, configurator: Contract, listings: tuple[Listing, ...]) -> None:
    shared = [deploy(w3, f"aave/{key}", pool.address).address for key in ("AToken", "StableDebtToken", "VariableDebtToken")]
    incentives = deploy(w3, "aave/MockIncentivesController").address
    rows = [
        (*shared, item.decimals, _strategy(w3, provider, item.name), checksum(item.token), w3.eth.accounts[0], incentives,
         f"Aave {item.symbol}", f"a{item.symbol}", f"Aave variable debt {item.symbol}", f"vd{item.symbol}",
         f"Aave stable debt {item.symbol}", f"sd{item.symbol}", b"")
        for item in listings
    ]
    send(w3, configurator.functions.initReserves(rows))
    for item in listings:
        token, risk = checksum(item.token), item.risk
        bonus = 10_000 + risk.liquidation_bonus_bps
        set_up = configurator.functions
        send(w3, set_up.configureReserveAsCollateral(token, risk.ltv_bps, risk.liquidation_threshold_bps, bonus))
        send(w3, set_up.setReserveBorrowing(token, True))
        send(w3, set_up.setReserveFactor(token, RESERVE_FACTOR_BPS))
        send(w3, set_up.setReserveFlashLoaning(token, True))
        send(w3, set_up.setLiquidationProtocolFee(token, PROTOCOL_FEE_BPS))


def supply(w3: Web3, aave: Aave, token: str, role: str, atoms: int) -> None:
    """A role supplies `atoms` it holds and has approved to the pool."""
    pool = at(w3, aave.pool, "aave/Pool")
    send(w3, pool.functions.supply(checksum(token), atoms, checksum(roles.address(role)), 0), role)
