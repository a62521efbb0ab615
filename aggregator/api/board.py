"""The board: what the pages show, made from one moment of the store. Nothing is computed here that a report does not hold.

What needs a hand comes first: insolvent, close-out, call, then what is wrong with the machine; in a rank by title.
Order of accounts changes only when a state changes, so that rows stay where the reader's eye is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from aggregator.api import figures as f
from aggregator.api.happened import Happening, told
from aggregator.api.reading import report_of
from aggregator.api.routes.health import network as health_of
from aggregator.api.schemas import NetworkHealth
from aggregator.margin.report import MarginReport, State, VenueView
from aggregator.store.view_rows import AccountRow, ActionRow, Desk, LeaseRow, ReportRow
from aggregator.store.views import ACTIVE, FAILED
from chains.networks.network import Network
from chains.types import ChainId

RANK: Final = {State.INSOLVENT: 0, State.CLOSE_OUT: 1, State.CALL: 2, State.OK: 3}
RECENT_S: Final = 900.0


@dataclass(frozen=True, slots=True)
class Account:
    """One account with its decoded report; None before the first assessment."""

    row: AccountRow
    report: MarginReport | None

    @property
    def stored(self) -> ReportRow | None:
        return self.row.report

    @property
    def rank(self) -> int:
        return RANK[self.report.state] if self.report else 4

    @property
    def weakest(self) -> VenueView | None:
        """The venue position with the lowest health factor."""
        venues = self.report.venues if self.report else ()
        owing = [(v.health_factor, v.position, v) for v in venues if v.health_factor is not None]
        return min(owing)[2] if owing else None


@dataclass(frozen=True, slots=True)
class Follow:
    """One network: its file's name and how it is followed. tag: up to three letters."""

    tag: str
    health: NetworkHealth
    behind: int | None

    @property
    def bad(self) -> bool:
        return self.health.state in ("stopped", "silent")


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that waits for a hand. state: of an account, or '' with `tag` naming what it is about."""

    state: str
    tag: str
    title: str
    text: str
    note: str
    href: str


@dataclass(frozen=True, slots=True)
class Totals:
    """The book: sums of exact values."""

    net_liquidation_value: Decimal
    initial_margin: Decimal
    maintenance_margin: Decimal
    capital_saved: Decimal
    in_transit: Decimal
    drawn: Decimal
    count: int

    @property
    def available(self) -> Decimal:
        return self.net_liquidation_value - self.initial_margin

    @property
    def excess(self) -> Decimal:
        return self.net_liquidation_value - self.maintenance_margin


@dataclass(frozen=True, slots=True)
class Checked:
    """The last reconciliation of ledger and networks."""

    accounts: int
    holdings: int
    drift: int
    ago_s: float


@dataclass(frozen=True, slots=True)
class Board:
    """Everything a page may show."""

    accounts: tuple[Account, ...]
    networks: tuple[Follow, ...]
    needs: tuple[Need, ...]
    nearest: Account | None
    totals: Totals
    actions: tuple[ActionRow, ...]
    in_flight: int
    events: tuple[Happening, ...]
    last_seq: int
    now: datetime
    newest: Account | None
    tags: Mapping[int, str]
    leases: tuple[LeaseRow, ...]
    checked: Checked | None

    @property
    def calls(self) -> int:
        """Accounts that are not ok."""
        return sum(1 for a in self.accounts if a.rank < RANK[State.OK])


def board(desk: Desk, networks: Mapping[ChainId, Network]) -> Board:
    """The board of one moment."""
    accounts = tuple(sorted((Account(row, report_of(row.report) if row.report else None) for row in desk.accounts),
                            key=lambda a: (a.rank, a.row.title)))  # fmt: skip
    follows = tuple(_follow(c, n, desk) for c, n in networks.items())
    tags = {int(c): n.name[:3].upper() for c, n in networks.items()}
    sound = [a for a in accounts if a.report is not None and a.report.state is State.OK]
    nearest = min(sound, key=lambda a: a.report.risk.available_margin if a.report else Decimal(0)) if sound else None
    assessed = [a for a in accounts if a.stored is not None]
    newest = max(assessed, key=lambda a: a.stored.created_at if a.stored else datetime.min) if assessed else None
    return Board(
        accounts, follows, tuple(_needs(accounts, follows, desk, tags)), nearest, _totals(accounts),
        tuple(sorted(desk.actions, key=lambda a: a.status not in ACTIVE)), sum(a.status in ACTIVE for a in desk.actions),
        tuple(told(e) for e in desk.events), desk.last_seq, desk.now or datetime.min, newest, tags, desk.leases, _checked(desk),
    )  # fmt: skip


def _checked(desk: Desk) -> Checked | None:
    found = desk.checked
    if not found or desk.now is None:
        return None
    ago = (desk.now - found["created_at"]).total_seconds()
    return Checked(found["accounts_checked"], found["holdings_checked"], len(found["drift"]), ago)


def _follow(chain_id: ChainId, network: Network, desk: Desk) -> Follow:
    row = next((n for n in desk.networks if n.chain_id == chain_id), None)
    health = health_of(chain_id, network.title, row, network.finality.lag_limit_ms / 1000)
    return Follow(network.name[:3].upper(), health, row.head_number - row.finalised_number if row else None)


def _totals(accounts: tuple[Account, ...]) -> Totals:
    reports = [a.report for a in accounts if a.report is not None]
    values = [v for r in reports for v in r.values]
    zero = Decimal(0)
    return Totals(
        sum((r.risk.net_liquidation_value for r in reports), zero), sum((r.risk.initial_margin for r in reports), zero),
        sum((r.risk.maintenance_margin for r in reports), zero), sum((r.capital_saved_usd for r in reports), zero),
        sum((v.market_value_usd for v in values if v.state == "in_transit"), zero),
        -sum((v.market_value_usd for v in values if v.place == "credit_line"), zero), len(accounts),
    )  # fmt: skip


def _needs(accounts: tuple[Account, ...], follows: tuple[Follow, ...], desk: Desk, tags: Mapping[int, str]) -> list[Need]:
    found = [_of_account(a, a.report, tags) for a in accounts if a.report is not None and a.rank < RANK[State.OK]]
    found += [Need("", "network", n.health.name, f"{n.health.state.capitalize()}: {n.health.reason}. Its holdings count as of "
                   f"block {n.health.head or 0:,}.", f"for {f.age((n.health.lag_ms or 0) / 1000)}", "#p-networks")
              for n in follows if n.bad]  # fmt: skip
    found += [_of_lease(lease) for lease in desk.leases if lease.left_s <= 0]
    for a in accounts:
        found += [Need("", "custody", f"{a.row.title} on {tags.get(s.chain_id, s.chain_id)}",
                       f"{s.custody_reason or 'Not read yet'}. Its collateral counts as zero for initial margin.", "",
                       f"/accounts/{a.row.client}") for s in a.row.safes if not s.custody_intact]  # fmt: skip
    found += [_of_drift(key, reason) for key, reason in desk.quarantined]
    found += [_of_action(action, accounts, tags) for action in desk.actions if action.status in FAILED and action.age_s < RECENT_S]
    return found


def _of_account(account: Account, report: MarginReport, tags: Mapping[int, str]) -> Need:
    risk, weak, href = report.risk, account.weakest, f"/accounts/{account.row.client}"
    venue = ""
    if weak is not None:
        where = f"{f.words(weak.place).capitalize()} on {tags.get(weak.chain_id, weak.chain_id)}"
        venue = f" {where} stands at health factor {f.ratio(weak.health_factor)}."
    if report.state is State.INSOLVENT:
        text = f"Net liquidation value {f.has(risk.net_liquidation_value)}: debts exceed assets."
    elif report.state is State.CLOSE_OUT:
        text = f"Shortfall {f.needs(risk.shortfall)}. Close-out ends at {f.needs(risk.close_out_target)}, no further."
    else:
        text = f"{f.needs(-risk.available_margin)} restores initial margin."
    note = f"initial margin {f.needs(risk.initial_margin)}"
    if report.state is State.CALL:
        note = f"excess {f.has(risk.excess_liquidity)}"
    return Need(report.state.value, "", account.row.title, text + venue, note, href)


def _of_lease(lease: LeaseRow) -> Need:
    text = f"Its lease ended; {lease.holder} held it last. Start it again."
    return Need("", "daemon", f"{lease.name} is silent", text, f"for {f.age(-lease.left_s)}", "#p-networks")


def _of_drift(key: str, reason: str) -> Need:
    client = key.split("|")[0]
    return Need("", "drift", key.replace("|", " "), f"{reason}. The holding counts as zero for initial margin.", "",
                f"/accounts/{client}" if client else "#p-accounts")  # fmt: skip


def _of_action(action: ActionRow, accounts: tuple[Account, ...], tags: Mapping[int, str]) -> Need:
    title = next((a.row.title for a in accounts if a.row.client == action.client), action.client)
    what = f"{f.words(action.kind).capitalize()} on {tags.get(action.chain_id, action.chain_id)} {action.status}"
    text = f"{what}: {action.status_reason or 'no reason given'}."
    return Need("", "action", title, text, f"{f.age(action.age_s)} ago", "#p-actions")
