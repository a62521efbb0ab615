"""Read queries of the API and the pages: what stands in the database now, as frozen rows. Nothing here writes or decides.

Each function that gives several things reads them in one read-only repeatable-read transaction, so that they fit together.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Label, and_, cast, extract, func, or_, select

from aggregator.store import event_log as log
from aggregator.store.db import Store
from aggregator.store.event_log import LoggedEvent
from aggregator.store.tables import (
    actions,
    attempts,
    clients,
    cursors,
    event_log,
    leases,
    quarantine,
    reconciliations,
    reports,
    safes,
    slots,
)
from aggregator.store.view_rows import AccountRow, ActionRow, Desk, LeaseRow, NetworkRow, ReportRow, SafeRow, SlotRow

ACTIVE = ("planned", "dispatched", "mined")
FAILED = ("reverted", "expired", "refused")


def accounts(store: Store, client: str | None = None) -> tuple[AccountRow, ...]:
    """All accounts in order of their names, or the named one."""
    with store.snapshot() as conn:
        return _accounts(conn, store.deployment, client)


def desk(store: Store, client: str | None, about: str | None, quiet: Sequence[str] = (), events: int = 12) -> Desk:
    """Everything that a page shows. client: only that account; about: only its actions and events. quiet: kinds to leave out."""
    with store.snapshot() as conn:
        d = store.deployment
        checked = conn.execute(
            select(reconciliations.c.drift, reconciliations.c.accounts_checked, reconciliations.c.holdings_checked,
                   reconciliations.c.created_at).where(reconciliations.c.deployment == d)
            .order_by(reconciliations.c.id.desc()).limit(1)
        ).one_or_none()  # fmt: skip
        held = conn.execute(select(quarantine.c.account_key, quarantine.c.reason).where(quarantine.c.deployment == d)).all()
        return Desk(
            _accounts(conn, d, client), _networks(conn, d), _leases(conn, d), _actions(conn, d, about or client, 40),
            _events(conn, d, about or client, quiet, events),
            tuple((r[0], r[1]) for r in held if client in (None, r[0].split("|")[0])),
            dict(checked._mapping) if checked is not None else {}, log.last_seq(conn, d),
            conn.execute(select(func.now())).scalar_one(),
        )  # fmt: skip


def health(store: Store) -> tuple[tuple[NetworkRow, ...], tuple[LeaseRow, ...], int]:
    """Networks, leases and the last event number."""
    with store.snapshot() as conn:
        d = store.deployment
        return _networks(conn, d), _leases(conn, d), log.last_seq(conn, d)


def networks(store: Store) -> tuple[NetworkRow, ...]:
    """Every followed network."""
    with store.snapshot() as conn:
        return _networks(conn, store.deployment)


def report_at(store: Store, client: str, seq: int) -> ReportRow | None:
    """The report that was the latest when event number `seq` was written, or None before the first."""
    moment = select(event_log.c.created_at).where(event_log.c.deployment == store.deployment, event_log.c.seq <= seq).order_by(
        event_log.c.seq.desc()).limit(1).scalar_subquery()  # fmt: skip
    with store.snapshot() as conn:
        row = conn.execute(
            select(reports.c.id, reports.c.epoch, reports.c.code_version, reports.c.body, reports.c.created_at).where(
                reports.c.deployment == store.deployment, reports.c.client == client, reports.c.created_at <= moment)
            .order_by(reports.c.id.desc()).limit(1)
        ).one_or_none()  # fmt: skip
        return ReportRow(*row) if row is not None else None


def events_after(store: Store, client: str, seq: int, limit: int) -> tuple[LoggedEvent, ...]:
    """One client's own rows with a number above `seq`, in order."""
    c = event_log.c
    query = select(c.seq, c.kind, c.chain_id, c.client, c.subject, c.body, c.actor, c.created_at).where(
        c.deployment == store.deployment, c.client == client, c.seq > seq).order_by(c.seq).limit(limit)  # fmt: skip
    with store.snapshot() as conn:
        return tuple(LoggedEvent(*r) for r in conn.execute(query))


def action_page(store: Store, client: str, limit: int, before: tuple[datetime, str] | None) -> tuple[ActionRow, ...]:
    """One client's actions, newest first. before: place (planned_at, action_id) of the last one seen."""
    with store.snapshot() as conn:
        return _actions(conn, store.deployment, client, limit, before)


def action(store: Store, action_id: str) -> ActionRow | None:
    """One action by its id."""
    with store.snapshot() as conn:
        found = _actions(conn, store.deployment, None, 1, None, action_id)
        return found[0] if found else None


def last_seq(store: Store) -> int:
    """The newest event number."""
    with store.snapshot() as conn:
        return log.last_seq(conn, store.deployment)


def _seconds(span: ColumnElement[Any], name: str) -> Label[float]:
    return cast(extract("epoch", span), Double).label(name)


def _accounts(conn: Connection, deployment: str, client: str | None) -> tuple[AccountRow, ...]:
    latest = select(reports.c.client, func.max(reports.c.id).label("id")).where(reports.c.deployment == deployment).group_by(
        reports.c.client).subquery()  # fmt: skip
    query = select(clients, reports.c.id.label("report_id"), reports.c.epoch, reports.c.code_version, reports.c.body,
                   reports.c.created_at.label("assessed_at")).select_from(
        clients.outerjoin(latest, latest.c.client == clients.c.client).outerjoin(reports, reports.c.id == latest.c.id)
    ).where(clients.c.deployment == deployment).order_by(clients.c.client)  # fmt: skip
    linked = select(safes).where(safes.c.deployment == deployment).order_by(safes.c.chain_id)
    if client is not None:
        query, linked = query.where(clients.c.client == client), linked.where(safes.c.client == client)
    by_client: dict[str, list[SafeRow]] = {}
    for s in conn.execute(linked):
        by_client.setdefault(s.client, []).append(SafeRow(s.chain_id, s.address, s.custody_intact, s.custody_reason))
    return tuple(
        AccountRow(r.client, r.title, r.state, r.mandate, r.mandate_version, tuple(by_client.get(r.client, ())),
                   None if r.report_id is None else ReportRow(r.report_id, r.epoch, r.code_version, r.body, r.assessed_at))
        for r in conn.execute(query)
    )  # fmt: skip


def _networks(conn: Connection, deployment: str) -> tuple[NetworkRow, ...]:
    c = cursors.c
    query = select(c.chain_id, c.head_number, c.head_hash, c.head_timestamp, c.finalised_number, c.finalised_hash,
                   c.finalised_timestamp, c.state, c.state_reason.label("reason"),
                   _seconds(func.clock_timestamp() - c.seen_at, "seen_s"))  # fmt: skip
    rows = conn.execute(query.where(c.deployment == deployment).order_by(c.chain_id))
    return tuple(NetworkRow(**r._mapping) for r in rows)


def _leases(conn: Connection, deployment: str) -> tuple[LeaseRow, ...]:
    c = leases.c
    query = select(c.name, c.holder, c.epoch, _seconds(c.expires_at - func.clock_timestamp(), "left_s"))
    rows = conn.execute(query.where(c.deployment == deployment).order_by(c.name))
    return tuple(LeaseRow(**r._mapping) for r in rows)


def _events(
    conn: Connection, deployment: str, client: str | None, quiet: Sequence[str], limit: int
) -> tuple[LoggedEvent, ...]:
    c = event_log.c
    query = select(c.seq, c.kind, c.chain_id, c.client, c.subject, c.body, c.actor, c.created_at).where(c.deployment == deployment)
    if quiet:
        query = query.where(c.kind.not_in(list(quiet)))
    if client is not None:
        query = query.where(c.client == client)
    return tuple(LoggedEvent(*r) for r in conn.execute(query.order_by(c.seq.desc()).limit(limit)))


def _actions(
    conn: Connection, deployment: str, client: str | None, limit: int, before: tuple[datetime, str] | None = None,
    action_id: str | None = None,
) -> tuple[ActionRow, ...]:
    a = actions.c
    query = select(a.action_id, a.client, a.kind, a.chain_id, a.safe, a.need_key, a.sequence, a.status, a.status_reason, a.body,
                   a.effect_usd, a.cost_usd, a.deadline, a.as_of_s, a.decision_epoch, a.planned_at, a.finished_at,
                   _seconds(func.clock_timestamp() - a.planned_at, "age_s")).where(a.deployment == deployment)  # fmt: skip
    if client is not None:
        query = query.where(a.client == client)
    if action_id is not None:
        query = query.where(a.action_id == action_id)
    if before is not None:
        query = query.where(or_(a.planned_at < before[0], and_(a.planned_at == before[0], a.action_id < before[1])))
    rows = conn.execute(query.order_by(a.planned_at.desc(), a.action_id.desc()).limit(limit)).all()
    found = _slots(conn, deployment, [r.action_id for r in rows])
    return tuple(ActionRow(**r._mapping, slot=found.get(r.action_id)) for r in rows)


def _slots(conn: Connection, deployment: str, ids: Sequence[str]) -> dict[str, SlotRow]:
    if not ids:
        return {}
    s, t = slots.c, attempts.c
    rows = conn.execute(
        select(s.action_id, s.sender, s.nonce, s.state, s.final_hash, s.final_block_number, s.final_block_hash, t.tx_hash)
        .select_from(slots.outerjoin(attempts, and_(t.deployment == s.deployment, t.chain_id == s.chain_id,
                                                    t.sender == s.sender, t.nonce == s.nonce)))
        .where(s.deployment == deployment, s.action_id.in_(ids)).order_by(t.number)
    ).all()  # fmt: skip
    hashes: dict[str, list[str]] = {}
    for r in rows:
        hashes.setdefault(r.action_id, []).extend([r.tx_hash] if r.tx_hash else [])
    return {
        r.action_id: SlotRow(r.sender, r.nonce, r.state, tuple(hashes[r.action_id]), r.final_hash, r.final_block_number,
                             r.final_block_hash)
        for r in rows
    }  # fmt: skip
