"""Leases: who may write one network or shard, and the fencing epoch that proves it inside a transaction.

Invariants: at most one holder at a time by the database's clock; the epoch rises with every change of holder and never falls; a
writer proves its epoch in the transaction that writes, so one that was overtaken while it slept can write nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from aggregator.errors import LeaseHeld
from aggregator.store.db import Store

_ACQUIRE = text(
    """
    insert into leases as l (deployment, name, holder, epoch, expires_at)
    values (:deployment, :name, :holder, 1, clock_timestamp() + make_interval(secs => :ttl))
    on conflict (deployment, name) do update
      set holder = excluded.holder, epoch = l.epoch + 1, expires_at = clock_timestamp() + make_interval(secs => :ttl)
      where l.expires_at < clock_timestamp() or l.holder = excluded.holder
    returning epoch
    """
)
_RENEW = text(
    """
    update leases set expires_at = clock_timestamp() + make_interval(secs => :ttl)
    where deployment = :deployment and name = :name and epoch = :epoch and holder = :holder
    returning epoch
    """
)
_RELEASE = text(
    """
    update leases set expires_at = clock_timestamp() - interval '1 second'
    where deployment = :deployment and name = :name and epoch = :epoch and holder = :holder
    """
)
_WHO = text(
    "select holder, extract(epoch from expires_at - clock_timestamp()) from leases where deployment = :deployment and name = :name"
)
# Shared lock: a takeover waits for the writer's commit, so what it reads afterwards is complete.
_PROVE = text(
    "select 1 from leases where deployment = :deployment and name = :name and epoch = :epoch and holder = :holder for share"
)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write `name` while the epoch is the newest. `holder` names the process."""

    name: str
    holder: str
    epoch: int


def acquire(store: Store, name: str, holder: str, ttl_s: float) -> Lease:
    """Take a free, expired or own lease for `ttl_s` seconds, with a new epoch. Raises LeaseHeld naming the holder."""
    given = {"deployment": store.deployment, "name": name, "holder": holder, "ttl": ttl_s}
    with store.transaction() as conn:
        epoch = conn.execute(_ACQUIRE, given).scalar()
        if epoch is None:
            who = conn.execute(_WHO, given).one()
            raise LeaseHeld(f"{name} is held by {who[0]} for {float(who[1]):.1f} s more; it takes over when that ends")
    return Lease(name, holder, int(epoch))


def renew(store: Store, lease: Lease, ttl_s: float) -> None:
    """Hold on for `ttl_s` seconds from now. Raises LeaseHeld when another epoch has begun."""
    with store.transaction() as conn:
        if conn.execute(_RENEW, {**_given(store, lease), "ttl": ttl_s}).scalar() is None:
            raise LeaseHeld(f"{lease.name}: epoch {lease.epoch} of {lease.holder} is over; another process writes")


def release(store: Store, lease: Lease) -> None:
    """Let others take it now. A lease that was lost meanwhile is left alone."""
    with store.transaction() as conn:
        conn.execute(_RELEASE, _given(store, lease))


def prove(conn: Connection, deployment: str, lease: Lease) -> None:
    """Check the epoch inside the caller's transaction and keep it from changing until commit. Raises LeaseHeld."""
    given = {"deployment": deployment, "name": lease.name, "epoch": lease.epoch, "holder": lease.holder}
    if conn.execute(_PROVE, given).scalar() is None:
        raise LeaseHeld(f"{lease.name}: epoch {lease.epoch} of {lease.holder} is over; nothing was written")


def _given(store: Store, lease: Lease) -> dict[str, object]:
    return {"deployment": store.deployment, "name": lease.name, "epoch": lease.epoch, "holder": lease.holder}
