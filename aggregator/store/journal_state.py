"""Stopping and resuming one network, signs of life, custody answers, and the audit of the whole ledger.

Invariants: a stopped network adopts nothing until a person resumes it; the reason stands in its cursor. The audit recomputes every
balance from the journal and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from aggregator.errors import NotFound
from aggregator.store import event_log
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent
from aggregator.store.journal_lock import FOLLOWING, STOPPED
from chains.types import Address

_STATE = text(
    """
    update cursors set state = :state, state_reason = :reason
    where deployment = :deployment and chain_id = :chain_id and (state, state_reason) is distinct from (:state, :reason)
    returning chain_id
    """
)
_KNOWN = text("select 1 from cursors where deployment = :deployment and chain_id = :chain_id")
_SEEN = text("update cursors set seen_at = now() where deployment = :deployment and chain_id = :chain_id")
_SAFES = text(
    "select address, in_book, custody_due from safes where deployment = :deployment and chain_id = :chain_id order by address"
)
_CUSTODY = text(
    """
    update safes s set custody_intact = :intact, custody_reason = :reason, custody_due = false
    from (select custody_intact, custody_reason from safes
          where deployment = :deployment and chain_id = :chain_id and address = :safe for update) before
    where s.deployment = :deployment and s.chain_id = :chain_id and s.address = :safe
    returning s.client, before.custody_intact is distinct from :intact or before.custody_reason is distinct from :reason as changed
    """
)
_AUDIT = text(
    """
    with legs as (
      select t.debit_id as account_id, t.atoms, g.state from transfers t
        join groups g on g.deployment = t.deployment and g.key = t.group_key
        where t.deployment = :deployment and g.origin = 'chain' and g.state in ('posted', 'pending')
      union all
      select t.credit_id, -t.atoms, g.state from transfers t
        join groups g on g.deployment = t.deployment and g.key = t.group_key
        where t.deployment = :deployment and g.origin = 'chain' and g.state in ('posted', 'pending')
    ),
    folded as (
      select account_id, coalesce(sum(atoms) filter (where state = 'posted'), 0) as posted,
             coalesce(sum(atoms) filter (where state = 'pending'), 0) as pending
      from legs group by account_id
    )
    select a.key, coalesce(b.posted, 0), coalesce(b.pending, 0), coalesce(f.posted, 0), coalesce(f.pending, 0)
    from ledger_accounts a left join balances b on b.account_id = a.id left join folded f on f.account_id = a.id
    where a.deployment = :deployment
      and (coalesce(b.posted, 0) <> coalesce(f.posted, 0) or coalesce(b.pending, 0) <> coalesce(f.pending, 0))
    order by a.key
    """
)
_SUMS = text(
    """
    select a.asset, sum(b.posted), sum(b.pending) from balances b join ledger_accounts a on a.id = b.account_id
    where a.deployment = :deployment group by a.asset having sum(b.posted) <> 0 or sum(b.pending) <> 0 order by a.asset
    """
)


@dataclass(frozen=True, slots=True)
class Audit:
    """What is wrong in the ledger: nothing when both are empty.

    balances: (account key, posted and pending in balances, posted and pending recomputed). sums: (asset, posted, pending) not zero.
    """

    balances: tuple[tuple[str, int, int, int, int], ...]
    sums: tuple[tuple[str, int, int], ...]

    @property
    def clean(self) -> bool:
        return not self.balances and not self.sums


def audit(store: Store) -> Audit:
    """Recompute every balance of the deployment from groups and transfers, and every asset's sum."""
    with store.snapshot() as conn:
        wrong = conn.execute(_AUDIT, {"deployment": store.deployment}).all()
        sums = conn.execute(_SUMS, {"deployment": store.deployment}).all()
    return Audit(
        tuple((str(r[0]), int(r[1]), int(r[2]), int(r[3]), int(r[4])) for r in wrong),
        tuple((str(r[0]), int(r[1]), int(r[2])) for r in sums),
    )


def stop(store: Store, chain_id: int, reason: str) -> None:
    """Stop one network with its reason; others go on. The same again changes nothing. Raises NotFound before `begin`."""
    _turn(store, chain_id, STOPPED, reason, "network.stopped", "system")


def resume(store: Store, chain_id: int, actor: str) -> None:
    """Let a stopped network be followed again. `actor` is who decided that. Raises NotFound before `begin`."""
    _turn(store, chain_id, FOLLOWING, "", "network.resumed", actor)


def _turn(store: Store, chain_id: int, state: str, reason: str, kind: str, actor: str) -> None:
    given = {"deployment": store.deployment, "chain_id": chain_id, "state": state, "reason": reason}
    with store.transaction() as conn:
        if conn.execute(_KNOWN, given).scalar() is None:
            raise NotFound(f"network {chain_id} was never followed in deployment {store.deployment}")
        if conn.execute(_STATE, given).scalar() is not None:
            news = NewEvent(kind, chain_id, body={"reason": reason}, actor=actor)
            event_log.append(conn, store.deployment, [news])


def seen_alive(store: Store, chain_id: int) -> None:
    """Note that the network was asked and had nothing new, so that health can tell quiet from dead."""
    with store.transaction() as conn:
        conn.execute(_SEEN, {"deployment": store.deployment, "chain_id": chain_id})


@dataclass(frozen=True, slots=True)
class LinkedSafe:
    """A safe of a client. `in_book`: its logs are posted. `custody_due`: what custody rests on has to be read."""

    address: Address
    in_book: bool
    custody_due: bool


def linked_safes(store: Store, chain_id: int) -> tuple[LinkedSafe, ...]:
    """All safes of one network that belong to a client."""
    with store.snapshot() as conn:
        rows = conn.execute(_SAFES, {"deployment": store.deployment, "chain_id": chain_id})
        return tuple(LinkedSafe(Address(r.address), r.in_book, r.custody_due) for r in rows)


def set_custody(store: Store, chain_id: int, safe: Address, intact: bool, reason: str, number: int, block_hash: str) -> bool:
    """Store what was read of a safe's custody at one block. Returns whether that is news. Raises NotFound for a stranger."""
    given = {"deployment": store.deployment, "chain_id": chain_id, "safe": safe, "intact": intact, "reason": reason}
    with store.transaction() as conn:
        row = conn.execute(_CUSTODY, given).one_or_none()
        if row is None:
            raise NotFound(f"safe {safe} on network {chain_id} belongs to no client")
        if row.changed:
            body = {"intact": intact, "reason": reason, "number": str(number), "hash": block_hash}
            event_log.append(conn, store.deployment, [NewEvent("custody.changed", chain_id, row.client, safe, body)])
        return bool(row.changed)
