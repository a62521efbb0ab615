"""The world: everything a margin decision is made from, read in one repeatable-read transaction, then never asked again.

Invariants: all parts are of one moment; balances and groups are of the networks' cursors in `cut_head` and `cut_final`; prices and
interest are canonical at the head. A network that was never followed is not in the cuts. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.ledger.balances import Balance
from aggregator.ledger.transfers import Group, Origin, Transfer
from aggregator.market.prices import Price, Snapshot
from aggregator.portfolio.interest import InterestState
from aggregator.store.db import Store
from aggregator.store.event_log import last_seq
from aggregator.store.journal_lock import Cursor, load_cursors
from aggregator.units import decimal_of
from chains.networks.network import Network
from chains.types import ChainId, Cut

AAVE, LINE = "aave_v3", "credit_line"
_CLIENTS = text(
    """
    select client, tenant, title, state, mandate, mandate_version from clients where deployment = :deployment order by client
    """
)
_SAFES = text(
    """
    select client, chain_id, address, custody_intact, custody_reason, in_book from safes
    where deployment = :deployment order by client, chain_id, address
    """
)
_BALANCES = text(
    """
    select a.client, a.chain_id, a.place, a.kind, a.asset, b.posted, b.pending
    from ledger_accounts a join balances b on b.account_id = a.id
    where a.deployment = :deployment and a.client <> '' and (b.posted <> 0 or b.pending <> 0)
    order by a.key
    """
)
_GROUPS = text(
    """
    select g.key, g.origin, g.chain_id, g.block_number, g.block_hash, g.tx_hash, g.incarnation, g.expires_at,
           t.log_index, t.leg, t.atoms, t.reason, d.client, d.chain_id, d.place, d.kind, d.asset,
           c.client, c.chain_id, c.place, c.kind, c.asset
    from groups g
    join transfers t on t.deployment = g.deployment and t.group_key = g.key
    join ledger_accounts d on d.id = t.debit_id join ledger_accounts c on c.id = t.credit_id
    where g.deployment = :deployment and g.state = 'pending'
    order by g.chain_id, g.block_number, g.key, t.log_index, t.leg
    """
)
# One index lookup per name: the tables hold one row per event for ever.
_INTEREST = text(
    """
    select n.chain_id, n.place, n.asset, i.index_ray, i.rate_ray, i.updated_at
    from unnest(cast(:chains as bigint[]), cast(:places as text[]), cast(:assets as text[]), cast(:limits as bigint[]))
      as n (chain_id, place, asset, at_most)
    cross join lateral (
      select index_ray, rate_ray, updated_at from interest
      where deployment = :deployment and chain_id = n.chain_id and place = n.place and asset = n.asset
        and not orphaned and block_number <= n.at_most
      order by block_number desc, log_index desc limit 1
    ) i
    """
)
_PRICES = text(
    """
    select n.chain_id, n.feed, p.answer, p.updated_at, p.block_number
    from unnest(cast(:chains as bigint[]), cast(:feeds as text[])) as n (chain_id, feed)
    cross join lateral (
      select answer, updated_at, block_number from prices
      where deployment = :deployment and chain_id = n.chain_id and feed = n.feed and not orphaned
      order by block_number desc, log_index desc limit 1
    ) p
    """
)
_QUARANTINE = text("select account_key from quarantine where deployment = :deployment")


@dataclass(frozen=True, slots=True)
class SafeState:
    """One linked safe. `in_book`: its history is posted; before that its holdings are not in the ledger."""

    chain_id: int
    address: str
    custody_intact: bool
    custody_reason: str
    in_book: bool


@dataclass(frozen=True, slots=True)
class ClientState:
    """One client. posted, pending: signed atoms of chain groups; groups: pending ones that touch the client, in order of place."""

    client: str
    tenant: str
    title: str
    state: str
    mandate: Mapping[str, Any]
    mandate_version: int
    safes: tuple[SafeState, ...] = ()
    posted: Mapping[LedgerAccount, int] = field(default_factory=dict)
    pending: Mapping[LedgerAccount, int] = field(default_factory=dict)
    chain_groups: tuple[Group, ...] = ()
    action_groups: tuple[Group, ...] = ()
    ticket_groups: tuple[Group, ...] = ()

    @property
    def custody_intact(self) -> bool:
        """Whether custody of every safe is known to be intact and its history is posted."""
        return all(s.custody_intact and s.in_book for s in self.safes)

    @property
    def places(self) -> tuple[tuple[int, str], ...]:
        """(chain id, safe address) of each safe."""
        return tuple((s.chain_id, s.address) for s in self.safes)


@dataclass(frozen=True, slots=True)
class World:
    """One moment of the store. interest: by ledger asset key, at the head and at the finalised cut. `lines` holds the balances of
    'line:<chain id>' and 'lender:<address>'. `seq` is the newest event that this world contains."""

    cut_head: Cut
    cut_final: Cut
    cursors: Mapping[ChainId, Cursor]
    clients: Mapping[str, ClientState]
    lines: Mapping[LedgerAccount, Balance]
    interest: Mapping[str, InterestState]
    interest_final: Mapping[str, InterestState]
    market: Snapshot
    quarantined: frozenset[str]
    seq: int


def load_world(store: Store, networks: Mapping[ChainId, Network]) -> World:
    """The world of these networks. Raises Retryable when the database is away."""
    deployment = store.deployment
    with store.snapshot() as conn:
        cursors = {c: k for c, k in load_cursors(conn, deployment).items() if c in networks}
        clients, lines = _clients(conn, deployment)
        return World(
            cut_head=Cut({c: k.head for c, k in cursors.items()}),
            cut_final=Cut({c: k.finalised for c, k in cursors.items()}),
            cursors=cursors,
            clients=clients,
            lines=lines,
            interest=_interest(conn, deployment, networks, {c: k.head.number for c, k in cursors.items()}),
            interest_final=_interest(conn, deployment, networks, {c: k.finalised.number for c, k in cursors.items()}),
            market=_market(conn, deployment, networks, cursors),
            quarantined=frozenset(r[0] for r in conn.execute(_QUARANTINE, {"deployment": deployment})),
            seq=last_seq(conn, deployment),
        )


def _clients(conn: Connection, deployment: str) -> tuple[dict[str, ClientState], dict[LedgerAccount, Balance]]:
    given = {"deployment": deployment}
    rows = conn.execute(_CLIENTS, given).all()
    safes: dict[str, list[SafeState]] = {r.client: [] for r in rows}
    for r in conn.execute(_SAFES, given):
        safes[r.client].append(SafeState(*r[1:]))
    posted: dict[str, dict[LedgerAccount, int]] = {name: {} for name in safes}
    pending: dict[str, dict[LedgerAccount, int]] = {name: {} for name in safes}
    lines: dict[LedgerAccount, Balance] = {}
    for r in conn.execute(_BALANCES, given):
        account = _account(r[:5])
        if account.client in safes:
            posted[account.client][account] = int(r.posted)
            pending[account.client][account] = int(r.pending)
        else:
            lines[account] = Balance(int(r.posted), int(r.pending))
    groups = _by_client(_groups(conn, deployment))
    return {
        r.client: ClientState(
            r.client, r.tenant, r.title, r.state, r.mandate, r.mandate_version,
            safes=tuple(safes[r.client]), posted=posted[r.client], pending=pending[r.client],
            chain_groups=groups.get((r.client, Origin.CHAIN), ()), action_groups=groups.get((r.client, Origin.ACTION), ()),
            ticket_groups=groups.get((r.client, Origin.TICKET), ()),
        )
        for r in rows
    }, lines  # fmt: skip


def _account(columns: Iterable[Any]) -> LedgerAccount:
    client, chain_id, place, kind, asset = columns
    return LedgerAccount(client, chain_id, place, Kind(kind), asset)


def _groups(conn: Connection, deployment: str) -> list[Group]:
    heads: dict[str, tuple[Any, ...]] = {}
    transfers: dict[str, list[Transfer]] = {}
    for r in conn.execute(_GROUPS, {"deployment": deployment}):
        heads[r[0]] = tuple(r[:8])
        leg = Transfer(r[8], r[9], _account(r[12:17]), _account(r[17:22]), int(r[10]), r[11])
        transfers.setdefault(r[0], []).append(leg)
    return [
        Group(key, Origin(h[1]), h[2], h[3], h[4], h[5], h[6], tuple(transfers[key]), h[7]) for key, h in heads.items()
    ]


def _by_client(groups: Iterable[Group]) -> dict[tuple[str, Origin], tuple[Group, ...]]:
    found: dict[tuple[str, Origin], list[Group]] = {}
    for group in groups:
        for client in {a.client for t in group.transfers for a in (t.debit, t.credit)}:
            found.setdefault((client, group.origin), []).append(group)
    return {key: tuple(items) for key, items in found.items()}


def _interest(
    conn: Connection, deployment: str, networks: Mapping[ChainId, Network], limits: Mapping[ChainId, int]
) -> dict[str, InterestState]:
    wanted: list[tuple[int, str, str]] = []
    for chain_id in limits:
        protocols = networks[chain_id].protocols
        for reserve in protocols.aave_v3.reserves if protocols.aave_v3 is not None else ():
            wanted += [(chain_id, AAVE, f"{chain_id}:{t}") for t in (reserve.a_token, reserve.variable_debt_token)]
        if protocols.isthmus is not None:
            wanted.append((chain_id, LINE, f"{chain_id}:{protocols.isthmus.credit_line}"))
    given = {
        "deployment": deployment, "chains": [w[0] for w in wanted], "places": [w[1] for w in wanted],
        "assets": [w[2] for w in wanted], "limits": [limits[ChainId(w[0])] for w in wanted],
    }  # fmt: skip
    rows = conn.execute(_INTEREST, given)
    return {r.asset: InterestState(r.chain_id, r.place, r.asset, int(r.index_ray), int(r.rate_ray), r.updated_at) for r in rows}


def _market(
    conn: Connection, deployment: str, networks: Mapping[ChainId, Network], cursors: Mapping[ChainId, Cursor]
) -> Snapshot:
    wanted = [(c, name) for c in cursors for name in networks[c].feeds]
    given = {"deployment": deployment, "chains": [w[0] for w in wanted], "feeds": [w[1] for w in wanted]}
    prices: dict[tuple[int, str], Price] = {}
    for r in conn.execute(_PRICES, given):
        chain_id = ChainId(r.chain_id)
        feed = networks[chain_id].feeds[r.feed]
        value = decimal_of(int(r.answer), feed.decimals)
        as_of = cursors[chain_id].head.timestamp
        prices[(r.chain_id, r.feed)] = Price(
            r.chain_id, r.feed, feed.base, value, r.updated_at, as_of, feed.heartbeat_ms // 1000, r.block_number
        )
    return Snapshot(prices)
