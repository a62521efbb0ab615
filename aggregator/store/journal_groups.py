"""Groups, transfers and balances as rows: inserted once, moved from state to state, applied to balances from what was written.

Invariants: a key that returns with the same content changes nothing, with other content it raises LedgerBroken; balances change by
what the transfer rows of the named groups say, computed in SQL and summing to zero per asset in every transaction; rows are locked
in order of their ids, so that writers of different networks never wait for each other in a ring.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, text

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.transfers import Group, GroupState, Origin
from aggregator.store.event_log import NewEvent
from aggregator.store.tables import groups as groups_table
from aggregator.store.tables import transfers as transfers_table

_KNOWN = text("select key, digest from groups where deployment = :deployment and key = any(:keys)")
_ACCOUNTS = text("select key, id from ledger_accounts where deployment = :deployment and key = any(:keys)")
_NEW_ACCOUNTS = text(
    """
    insert into ledger_accounts (deployment, key, client, chain_id, place, kind, asset)
    values (:deployment, :key, :client, :chain_id, :place, :kind, :asset) on conflict (deployment, key) do nothing
    """
)
# One upsert per account and transaction, whatever the number of transfers; answers the assets whose changes do not cancel out.
_APPLY = text(
    """
    with legs as (
      select debit_id as account_id, atoms from transfers where deployment = :deployment and group_key = any(:keys)
      union all
      select credit_id, -atoms from transfers where deployment = :deployment and group_key = any(:keys)
    ),
    changes as (select account_id, sum(atoms) as atoms from legs group by account_id),
    applied as (
      insert into balances as b (account_id, posted, pending, version)
      select account_id, atoms * :posted, atoms * :pending, 1 from changes order by account_id
      on conflict (account_id) do update set
        posted = b.posted + excluded.posted, pending = b.pending + excluded.pending, version = b.version + 1
      returning 1
    )
    select a.asset, sum(c.atoms), (select count(*) from applied)
    from changes c join ledger_accounts a on a.id = c.account_id
    group by a.asset having sum(c.atoms) <> 0
    """
)
_CLIENTS = text(
    """
    select t.group_key, array_agg(distinct a.client order by a.client)
    from transfers t join ledger_accounts a on a.id in (t.debit_id, t.credit_id)
    where t.deployment = :deployment and t.group_key = any(:keys) and a.client <> ''
    group by t.group_key order by t.group_key
    """
)


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a stored group stands; what event log rows say of it."""

    key: str
    chain_id: int
    block_number: int
    block_hash: str
    tx_hash: str


def digest_of(group: Group) -> str:
    """Hash of the group's content: equal groups, equal digests."""
    lines = [f"{group.origin.value}|{group.chain_id}|{group.block_number}|{group.block_hash}|{group.expires_at}"]
    lines += [
        f"{t.log_index}|{t.leg}|{t.debit.key()}|{t.credit.key()}|{t.atoms}|{t.reason}"
        for t in sorted(group.transfers, key=lambda t: (t.log_index, t.leg))
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def insert_groups(
    conn: Connection, deployment: str, groups: Sequence[Group], state: GroupState = GroupState.PENDING
) -> list[Group]:
    """Write groups that are not there yet, and their balances when they come from a network. Returns the new ones.

    state: PENDING, or POSTED for groups of blocks that are final already. Raises LedgerBroken for a known key with other content.
    """
    if not groups:
        return []
    digests = {g.key: digest_of(g) for g in groups}
    known = {r.key: r.digest for r in conn.execute(_KNOWN, {"deployment": deployment, "keys": list(digests)})}
    for key, digest in known.items():
        if digest != digests[key]:
            raise LedgerBroken(f"group_returned_with_other_content: {key}; compare its raw logs with another node's")
    new = [g for g in groups if g.key not in known]
    if not new:
        return []
    conn.execute(insert(groups_table), [_group_row(deployment, g, digests[g.key], state) for g in new])
    ids = account_ids(conn, deployment, {a for g in new for t in g.transfers for a in (t.debit, t.credit)})
    legs = [
        {"deployment": deployment, "group_key": g.key, "log_index": t.log_index, "leg": t.leg, "debit_id": ids[t.debit.key()],
         "credit_id": ids[t.credit.key()], "atoms": t.atoms, "reason": t.reason}
        for g in new for t in g.transfers
    ]  # fmt: skip
    if legs:
        conn.execute(insert(transfers_table), legs)
    counted = [g.key for g in new if g.origin is Origin.CHAIN]
    apply(conn, deployment, counted, posted=int(state is GroupState.POSTED), pending=int(state is GroupState.PENDING))
    return new


def _group_row(deployment: str, group: Group, digest: str, state: GroupState) -> dict[str, object]:
    return {
        "deployment": deployment, "key": group.key, "origin": group.origin.value, "chain_id": group.chain_id,
        "block_number": group.block_number, "block_hash": group.block_hash, "tx_hash": group.tx_hash,
        "incarnation": group.incarnation, "state": state.value, "expires_at": group.expires_at, "digest": digest,
    }  # fmt: skip


def account_ids(conn: Connection, deployment: str, accounts: Iterable[LedgerAccount]) -> dict[str, int]:
    """Row ids by account key; missing rows are made, in order of their keys."""
    wanted = {a.key(): a for a in accounts}
    given = {"deployment": deployment, "keys": list(wanted)}
    found = {r.key: int(r.id) for r in conn.execute(_ACCOUNTS, given)}
    missing = sorted(set(wanted) - set(found))
    if missing:
        conn.execute(_NEW_ACCOUNTS, [_account_row(deployment, key, wanted[key]) for key in missing])
        found = {r.key: int(r.id) for r in conn.execute(_ACCOUNTS, given)}
    return found


def _account_row(deployment: str, key: str, account: LedgerAccount) -> dict[str, object]:
    return {
        "deployment": deployment, "key": key, "client": account.client, "chain_id": account.chain_id, "place": account.place,
        "kind": account.kind.value, "asset": account.asset,
    }  # fmt: skip


def apply(conn: Connection, deployment: str, keys: Sequence[str], *, posted: int, pending: int) -> None:
    """Add the groups' transfers to balances, times `posted` and `pending` (-1, 0, 1). Raises LedgerBroken if sums are not zero."""
    if not keys:
        return
    given = {"deployment": deployment, "keys": list(keys), "posted": posted, "pending": pending}
    wrong = conn.execute(_APPLY, given).all()
    if wrong:
        raise LedgerBroken(f"transfers_do_not_sum_to_zero: {wrong[0][0]} is off by {wrong[0][1]} in one of {sorted(keys)[:3]}")


def told(conn: Connection, deployment: str, kind: str, placed: Sequence[Placed]) -> list[NewEvent]:
    """Event log rows that say of each group what became of it, one for each client in it ('' when there is none)."""
    if not placed:
        return []
    found = conn.execute(_CLIENTS, {"deployment": deployment, "keys": [p.key for p in placed]})
    clients = {r[0]: r[1] for r in found}
    return [
        NewEvent(kind, p.chain_id, client, p.key,
                 {"group": p.key, "number": str(p.block_number), "hash": p.block_hash, "tx_hash": p.tx_hash})
        for p in placed for client in clients.get(p.key, [""])
    ]  # fmt: skip


def placed_of(groups: Iterable[Group]) -> list[Placed]:
    """Where these groups stand."""
    return [Placed(g.key, g.chain_id, g.block_number, g.block_hash, g.tx_hash) for g in groups]
