"""Tickets: may this withdrawal or call go ahead. One pure decision on the cautious view, the same for every caller.

A ticket is given when, with everything already promised counted as done, and the new effects on top, both at the finalised cut
and at the head: net liquidation value covers initial margin, the venue's own rule holds, and no venue position is left so weak
that the planner would have to top it up with lenders' money. The effects become the ticket's reservation, so two tickets for one
surplus cannot both be given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.balances import cautious_balances
from aggregator.ledger.transfers import Group, Transfer
from aggregator.margin.engine import assess, cautious
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport
from aggregator.market.prices import Snapshot
from aggregator.plan.ticketed import Held, trade, withdrawal
from aggregator.portfolio.interest import InterestState
from aggregator.portfolio.netting import net
from aggregator.portfolio.portfolio import AsOf, HoldingState, Portfolio, Side, View
from aggregator.units import BPS, decimal_of
from chains.types import Address, Call

if TYPE_CHECKING:
    from chains.networks.network import Network

LIFETIME_S = 300


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything a ticket decision may look at: one client as of one cut, in the terms of the ledger. `as_of_final` and
    `interest_final` are those of the finalised cut, complete over all networks."""

    client: str
    client_state: str
    as_of: AsOf
    as_of_final: AsOf
    posted: Mapping[LedgerAccount, int]
    pending: Sequence[Group]
    reserved: Sequence[Group]
    at_head: frozenset[str]
    interest: Mapping[str, InterestState]
    interest_final: Mapping[str, InterestState]
    networks: Mapping[int, Network]
    safes: tuple[tuple[int, str], ...]
    quarantined: frozenset[str]
    custody_intact: bool
    market: Snapshot
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` '' grants; else it names the broken rule: client-not-open, custody-not-intact, margin-insufficient, venue-refuses.

    before, after: cautious reports; `after` counts the effects and stays None when nothing was computed.
    """

    code: str
    why: str
    before: MarginReport
    after: MarginReport | None
    transfers: tuple[Transfer, ...]

    @property
    def granted(self) -> bool:
        return not self.code


def for_withdrawal(standing: Standing, chain_id: int, token: Address, atoms: int) -> Verdict:
    """Verdict on paying `atoms` of `token` out. Raises ticketed.CallUnknown or BalanceInsufficient."""
    final, head = _views(standing)
    return _decide(standing, final, head, chain_id, withdrawal(_held(standing, chain_id, head), token, atoms))


def for_trade(standing: Standing, chain_id: int, call: Call, label: str) -> Verdict:
    """Verdict on one call by the account. Raises ticketed.CallUnknown or BalanceInsufficient."""
    final, head = _views(standing)
    return _decide(standing, final, head, chain_id, trade(_held(standing, chain_id, head), call, label))


Balances = Mapping[LedgerAccount, int]


def _views(standing: Standing) -> tuple[Balances, Balances]:
    return cautious_balances(standing.posted, standing.pending, standing.reserved, standing.at_head)


def _held(standing: Standing, chain_id: int, head: Balances) -> Held:
    decimals: dict[str, int] = {}
    for network in standing.networks.values():
        for token in network.tokens.values():
            decimals[token.asset] = max(decimals.get(token.asset, 0), token.decimals)
        decimals[network.native.asset] = max(decimals.get(network.native.asset, 0), network.native.decimals)
    now = next((b.timestamp for c, b in standing.as_of.cut.blocks.items() if c == chain_id), 0)
    return Held(standing.client, standing.networks[chain_id], head, standing.interest, now, standing.safes, decimals)


def _decide(
    standing: Standing, final: Balances, head: Balances, chain_id: int, transfers: tuple[Transfer, ...]
) -> Verdict:
    before = cautious(_finalised(standing, final), _at_head(standing, head)[1])
    if standing.client_state != "open":
        why = f"client {standing.client} is {standing.client_state}; only an open client is given tickets"
        return Verdict("client-not-open", why, before, None, transfers)
    if not standing.custody_intact:
        why = f"custody of {standing.client} is not intact; GET /v1/accounts/{standing.client}/portfolio names the Safe and why"
        return Verdict("custody-not-intact", why, before, None, transfers)
    portfolio, head_report = _at_head(standing, _with(head, transfers))
    after = cautious(_finalised(standing, _with(final, transfers)), head_report)
    missing = -after.risk.available_margin
    if missing > 0:
        why = (f"initial margin would lack {missing:f} USD: net liquidation value {after.risk.net_liquidation_value:f} against "
               f"initial margin {after.risk.initial_margin:f}, in the cautious view")  # fmt: skip
        return Verdict("margin-insufficient", why, before, after, transfers)
    broken = _venue_rule(standing, portfolio, head_report, chain_id, transfers)
    return Verdict("venue-refuses" if broken else "", broken, before, after, transfers)


def _with(balances: Balances, transfers: Sequence[Transfer]) -> Balances:
    changed = dict(balances)
    for t in transfers:
        changed[t.debit] = changed.get(t.debit, 0) + t.atoms
        changed[t.credit] = changed.get(t.credit, 0) - t.atoms
    return changed


def _finalised(standing: Standing, balances: Balances) -> MarginReport:
    return assess(_netted(standing, View.FINALISED, balances, standing.interest_final, standing.as_of_final), standing.market,
                  standing.parameters)  # fmt: skip


def _at_head(standing: Standing, balances: Balances) -> tuple[Portfolio, MarginReport]:
    portfolio = _netted(standing, View.HEAD, balances, standing.interest, standing.as_of)
    return portfolio, assess(portfolio, standing.market, standing.parameters)


def _netted(
    standing: Standing, view: View, balances: Balances, interest: Mapping[str, InterestState], as_of: AsOf
) -> Portfolio:
    return net(
        standing.client, view, balances, interest, standing.networks, as_of, standing.safes, standing.quarantined,
        standing.custody_intact, standing.posted,
    )  # fmt: skip


def _venue_rule(
    standing: Standing, portfolio: Portfolio, report: MarginReport, chain_id: int, transfers: Sequence[Transfer]
) -> str:
    """Why the venue would refuse, or the planner would have to act at once; '' when neither. Only positions that change count."""
    places = {a.place for t in transfers for a in (t.debit, t.credit) if a.client and a.place not in ("wallet", "")}
    for view in report.venues:
        if view.chain_id != chain_id or view.place not in places or view.health_factor is None:
            continue
        lowest = Decimal(str(standing.parameters.warning_health_factor))
        if view.health_factor < lowest:
            return (f"health factor of {view.position} would be {view.health_factor:f}; below {lowest:f} the planner tops it up, "
                    f"so no ticket leads there")  # fmt: skip
        if any(t.reason == "borrowed" for t in transfers):
            room = _loan_to_value(standing, portfolio, chain_id, view.place)
            if view.debt_usd > room:
                return f"{view.position} may owe {room:f} USD by the venue's loan-to-value, it would owe {view.debt_usd:f}"
    return ""


def _loan_to_value(standing: Standing, portfolio: Portfolio, chain_id: int, place: str) -> Decimal:
    """USD that the venue lends against what stands there."""
    ltv = {t.token: t.ltv_bps for t in portfolio.terms if t.chain_id == chain_id and t.place == place}
    total = Decimal(0)
    for holding in portfolio.holdings:
        here = (holding.chain_id, holding.place, holding.side) == (chain_id, place, Side.ASSET)
        if not here or holding.state is HoldingState.QUARANTINED:
            continue
        price = standing.market.get(chain_id, holding.feed)
        if price is not None:
            total += decimal_of(holding.atoms, holding.decimals) * price.value * ltv.get(holding.token, 0) / BPS
    return total
