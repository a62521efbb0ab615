"""Portfolio: what one client holds and owes as of one cut, market snapshot and parameter set. Pure.

The same type carries hypothetical portfolios (what-if, tickets, close-out sizing): change holdings, keep everything else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import StrEnum

from aggregator.ledger.balances import View as View
from chains.types import Cut


class Side(StrEnum):
    ASSET = "asset"
    DEBT = "debt"


class HoldingState(StrEnum):
    """How sure we are of the quantity."""

    FINAL = "final"
    PENDING = "pending"
    IN_TRANSIT = "in_transit"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class AsOf:
    """What a number was computed from."""

    cut: Cut
    market_id: str
    parameters_id: str

    def key(self) -> str:
        """Hash of the three: the decision epoch."""
        text = f"{self.cut.key()}|{self.market_id}|{self.parameters_id}"
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Holding:
    """One line of a portfolio.

    asset: canonical asset ('ETH', 'USDC'). token: ledger asset key ('<chain>:<address>') or 'asset:...' in transit.
    atoms: >= 0 in underlying atoms (index applied), side says which sign. place: 'wallet', 'aave_v3', 'credit_line', 'hyperlane:'.
    position: venue position key '<chain>:<place>:<safe>' for venue holdings, '' for wallet and transit.
    wrapper: native | wrapped | synthetic; bridge: who backs a synthetic, or ''.
    """

    asset: str
    token: str
    chain_id: int
    place: str
    position: str
    side: Side
    atoms: int
    decimals: int
    feed: str
    wrapper: str
    bridge: str
    state: HoldingState

    def with_atoms(self, atoms: int) -> Holding:
        return replace(self, atoms=atoms)


@dataclass(frozen=True, slots=True)
class VenueTerms:
    """What a lending venue asks of one token. Fractions of 1 in basis points; bonus 10_500 means 5 percent."""

    chain_id: int
    place: str
    token: str
    ltv_bps: int
    liquidation_threshold_bps: int
    liquidation_bonus_bps: int


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Holdings of one client in one view. `safes`: (chain_id, safe address). `terms`: venue terms by (chain, place, token)."""

    client: str
    view: View
    as_of: AsOf
    holdings: tuple[Holding, ...]
    safes: tuple[tuple[int, str], ...]
    terms: tuple[VenueTerms, ...]
    custody_intact: bool = True
