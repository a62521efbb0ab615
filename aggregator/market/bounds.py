"""Bounds: the one place where a price is made conservative. Pure.

Every holding is valued at the feed of its own network. A feed that is missing, broken or stale yields a named reason and a band:
the margin engine counts such an asset as zero for initial margin and uses the band for maintenance. `last` is the figure that net
liquidation value uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from aggregator.market.prices import Price, Snapshot


class Fault(StrEnum):
    """Why a price cannot be trusted."""

    MISSING = "price_missing"
    INVALID = "price_invalid"
    STALE = "price_stale"


@dataclass(frozen=True, slots=True)
class Bound:
    """What is known of one price, USD per unit.

    last: the last good price, None when no network knows any. price: the feed it came from. fault: None when it is fresh and sound.
    """

    last: Decimal | None
    price: Price | None
    fault: Fault | None


def sound(price: Price) -> bool:
    """A price that can be used at all: finite and above zero."""
    return price.value.is_finite() and price.value > 0


def bound(market: Snapshot, chain_id: int, feed: str, asset: str, debt: bool) -> Bound:
    """Bound of one holding's price.

    Without a sound feed of its own network the most conservative sound feed of the same asset on any network is the last good
    price (lowest for an asset, highest for a debt), and the fault stays. Quantities in a bridge (chain id 0) have no feed of their
    own; for them that is the rule, at par, and no fault.
    """
    own = market.get(chain_id, feed)
    if own is not None and sound(own):
        return Bound(own.value, own, Fault.STALE if own.stale else None)
    fault = Fault.MISSING if own is None else Fault.INVALID
    others = [p for p in market.prices.values() if p.asset == asset and sound(p)]
    if not others:
        return Bound(None, None, fault)
    best = (max if debt else min)(others, key=lambda p: (p.value, p.chain_id, p.feed))
    if chain_id == 0:
        return Bound(best.value, best, Fault.STALE if best.stale else None)
    return Bound(best.value, best, fault)
