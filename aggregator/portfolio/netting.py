"""Netting: ledger balances of one client become its Portfolio in one view (hop 4). Pure.

Shares become atoms at the index as of the cut's block; tokens become canonical assets; every quantity appears in exactly one
holding per state. A wallet below zero (a reservation on funds that are not final yet, a delivery whose send is not known) appears
as a debt of the same place, so that the sum stays right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.portfolio.interest import InterestState, atoms_of, state_of
from aggregator.portfolio.portfolio import AsOf, Holding, HoldingState, Portfolio, Side, VenueTerms, View
from chains.types import ZERO_ADDRESS

if TYPE_CHECKING:
    from chains.networks.network import Network, TokenInfo

AAVE = "aave_v3"
LINE_ASSET = "USDC"
HELD = frozenset({Kind.POSITION, Kind.DEBT, Kind.FINANCING, Kind.IN_TRANSIT})


@dataclass(frozen=True, slots=True)
class Kept:
    """What stands behind one ledger asset key: canonical asset, places, feed, wrapper, bridge; `shares` when it bears interest."""

    asset: str
    decimals: int
    feed: str
    wrapper: str
    bridge: str
    shares: bool


def catalogue(networks: Mapping[int, Network]) -> dict[str, Kept]:
    """Ledger asset key -> what it is, for every token, share token and credit line of these networks."""
    found: dict[str, Kept] = {}
    for chain_id, network in networks.items():
        native = network.native
        found[f"{chain_id}:{ZERO_ADDRESS}"] = Kept(native.asset, native.decimals, native.feed, "native", "", False)
        for token in network.tokens.values():
            found[f"{chain_id}:{token.address}"] = _kept(token, False)
        if network.protocols.aave_v3 is not None:
            for reserve in network.protocols.aave_v3.reserves:
                kept = _kept(network.tokens[reserve.token], True)
                found[f"{chain_id}:{reserve.a_token}"] = found[f"{chain_id}:{reserve.variable_debt_token}"] = kept
        if network.protocols.isthmus is not None:
            found[f"{chain_id}:{network.protocols.isthmus.credit_line}"] = _kept(line_token(network), True)
    return found


def _kept(token: TokenInfo, shares: bool) -> Kept:
    return Kept(token.asset, token.decimals, token.feed, token.kind, token.bridge or "", shares)


def line_token(network: Network) -> TokenInfo:
    """The token that the network's credit line lends: its native USDC. Raises LedgerBroken when the file has none."""
    for token in network.tokens.values():
        if token.asset == LINE_ASSET and token.kind == "native":
            return token
    raise LedgerBroken(f"credit_line_without_token: network {network.chain_id} has no native {LINE_ASSET} in [tokens]")


def terms_of(networks: Mapping[int, Network]) -> tuple[VenueTerms, ...]:
    """What every lending venue asks, by aToken (the token key that a supply holding has). The bonus counts from 10_000."""
    found = []
    for chain_id, network in sorted(networks.items()):
        for r in network.protocols.aave_v3.reserves if network.protocols.aave_v3 is not None else ():
            bonus = r.liquidation_bonus_bps if r.liquidation_bonus_bps >= 10_000 else 10_000 + r.liquidation_bonus_bps
            found.append(VenueTerms(chain_id, AAVE, f"{chain_id}:{r.a_token}", r.ltv_bps, r.liquidation_threshold_bps, bonus))
    return tuple(found)


def net(
    client: str,
    view: View,
    balances: Mapping[LedgerAccount, int],
    interest: Mapping[str, InterestState],
    networks: Mapping[int, Network],
    as_of: AsOf,
    safes: Collection[tuple[int, str]],
    quarantined: Collection[str] = (),
    custody_intact: bool = True,
    finalised: Mapping[LedgerAccount, int] | None = None,
) -> Portfolio:
    """Portfolio of one client from signed balances of one view.

    interest: by ledger asset key, as of the cut. quarantined: keys of ledger accounts. finalised: posted balances; where given,
    the part of an asset beyond them is a PENDING holding. Raises LedgerBroken for an asset that no network file names, for shares
    without an index, and for a network that the cut lacks.
    """
    known = catalogue(networks)
    at = dict(safes)
    found: list[Holding] = []
    for account, atoms in balances.items():
        if account.client != client or account.kind not in HELD or atoms == 0:
            continue
        if account.kind is Kind.IN_TRANSIT:
            found.append(_in_transit(account, atoms))
            continue
        kept = known.get(account.asset)
        if kept is None:
            raise LedgerBroken(f"asset_without_network_entry: {account.asset}; add it to chains/networks/{account.chain_id}.toml")
        position = f"{account.chain_id}:{account.place}:{at.get(account.chain_id, '')}" if kept.shares else ""
        for size, state in _parts(account, atoms, quarantined, finalised):
            units = _units(account, size, kept, interest, as_of)
            if units:
                found.append(_holding(account, kept, position, units, state))
    found.sort(key=lambda h: (h.chain_id, h.place, h.token, h.side.value, h.state.value))
    return Portfolio(client, view, as_of, tuple(found), tuple(sorted(at.items())), terms_of(networks), custody_intact)


def _parts(
    account: LedgerAccount, atoms: int, quarantined: Collection[str], finalised: Mapping[LedgerAccount, int] | None
) -> Iterator[tuple[int, HoldingState]]:
    """Splits an asset into what is final and what is pending; debts always count whole."""
    if account.key() in quarantined:
        yield atoms, HoldingState.QUARANTINED
        return
    final = atoms if finalised is None or atoms < 0 else min(atoms, max(0, finalised.get(account, 0)))
    if final:
        yield final, HoldingState.FINAL
    if atoms != final:
        yield atoms - final, HoldingState.PENDING


def _units(account: LedgerAccount, size: int, kept: Kept, interest: Mapping[str, InterestState], as_of: AsOf) -> int:
    if not kept.shares:
        return size
    block = next((b for c, b in as_of.cut.blocks.items() if c == account.chain_id), None)
    if block is None:
        raise LedgerBroken(f"cut_without_network: {account.chain_id} has balances but no block in the cut {as_of.cut.key()}")
    return atoms_of(account.kind, size, state_of(interest, account.asset), block.timestamp)


def _holding(account: LedgerAccount, kept: Kept, position: str, units: int, state: HoldingState) -> Holding:
    side = Side.ASSET if units > 0 else Side.DEBT
    return Holding(
        asset=kept.asset, token=account.asset, chain_id=account.chain_id, place=account.place, position=position, side=side,
        atoms=abs(units), decimals=kept.decimals, feed=kept.feed, wrapper=kept.wrapper, bridge=kept.bridge, state=state,
    )  # fmt: skip


def _in_transit(account: LedgerAccount, atoms: int) -> Holding:
    _, asset, decimals = account.asset.split(":")
    side = Side.ASSET if atoms > 0 else Side.DEBT
    bridge = account.place.partition(":")[0]
    return Holding(
        asset=asset, token=account.asset, chain_id=0, place=account.place, position="", side=side, atoms=abs(atoms),
        decimals=int(decimals), feed="", wrapper="native", bridge=bridge, state=HoldingState.IN_TRANSIT,
    )  # fmt: skip
