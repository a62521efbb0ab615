"""What strategies ask of a network's file and market: its dollar token, pools, prices, and the health post-condition. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from aggregator.margin.report import MarginReport, VenueView
from aggregator.market.bounds import sound
from aggregator.plan.situation import Situation
from aggregator.plan.sizing import usd_of, wad
from aggregator.plan.steps import PostCondition
from aggregator.portfolio.netting import LINE_ASSET
from chains import abi
from chains.types import Address

if TYPE_CHECKING:
    from chains.networks.network import Network, TokenInfo, UniswapPool

HEALTH_WORD = 5
UNISWAP = "uniswap_v3"


@dataclass(frozen=True, slots=True)
class Priced:
    """A token of one network with its name and a fresh, sound price in USD per unit."""

    name: str
    info: TokenInfo
    price: Decimal

    def usd(self, atoms: int) -> Decimal:
        return usd_of(atoms, self.info.decimals, self.price)


def priced(situation: Situation, chain_id: int, name: str, *, stale_too: bool = False) -> Priced | None:
    """The token with its feed's price; None when that is missing, unsound, or stale (unless `stale_too`)."""
    info = situation.networks[chain_id].tokens[name]
    price = situation.market.get(chain_id, info.feed)
    if price is None or not sound(price) or (price.stale and not stale_too):
        return None
    return Priced(name, info, price.value)


def dollar(network: Network) -> str | None:
    """Name of the network's native USDC, which its credit line lends; None when it has none."""
    return next((n for n, t in network.tokens.items() if t.asset == LINE_ASSET and t.kind == "native"), None)


def pool_of(network: Network, one: str, other: str) -> UniswapPool | None:
    """The first listed pool between two tokens."""
    pools = network.protocols.uniswap_v3.pools if network.protocols.uniswap_v3 is not None else ()
    return next((p for p in pools if {p.token0, p.token1} == {one, other}), None)


def name_of(network: Network, where: Address) -> str | None:
    """Name of the token contract at an address."""
    found = network.token_at(where)
    return found[0] if found is not None else None


def lending_view(report: MarginReport, position: str) -> VenueView | None:
    """The report's line for one venue position."""
    return next((v for v in report.venues if v.position == position), None)


def health_at_least(network: Network, safe: str, minimum: Decimal) -> PostCondition:
    """After the calls the lending pool itself must report at least this health factor for the account."""
    venue = network.protocols.aave_v3
    if venue is None:
        return PostCondition()
    call = "0x" + abi.call_data("getUserAccountData(address)", Address(safe)).hex()
    return PostCondition(target=venue.pool, call=call, word=HEALTH_WORD, minimum=wad(minimum))
