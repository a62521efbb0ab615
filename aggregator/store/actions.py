"""Actions: what was decided, with the reservation it stands on; how it ends; and which are due to be looked at.

Invariants: an action, its reservation and its event are one transaction; at most one live action per need (a partial unique index
is the last line); an action ends once, and what it reserved ends with it; a plan made before the client's other reservations
changed is not kept. Due rows are claimed with SKIP LOCKED, so that any number of scanners share the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from aggregator.errors import NotFound
from aggregator.ledger.transfers import Group, Origin
from aggregator.margin.parameters import Parameters
from aggregator.market.prices import Snapshot
from aggregator.plan.codec import decode_step, encode_step
from aggregator.plan.steps import Plan, Refusal, Step, action_id
from aggregator.store import reports
from aggregator.store.clients import lock
from aggregator.store.db import Store
from aggregator.store.event_log import SYSTEM, NewEvent, append
from aggregator.store.journal_groups import Placed, insert_groups, told
from aggregator.store.leases import Lease, prove
from aggregator.store.reports import Assessed
from aggregator.store.tables import actions
from aggregator.units import plain

LIVE = ("planned", "dispatched", "mined")
ENDS = {"confirmed", "reverted", "expired", "refused"}
PLANNER = "planner"
OVERDUE_S = 5.0
_RESERVED = text(
    """
    select distinct g.key from groups g
    join transfers t on t.deployment = g.deployment and t.group_key = g.key
    join ledger_accounts a on a.id in (t.debit_id, t.credit_id)
    where g.deployment = :deployment and g.state = 'pending' and g.origin in ('action', 'ticket') and a.client = :client
    """
)
_CONCLUDE = text(
    """
    update actions set status = :status, status_reason = :reason, finished_at = clock_timestamp()
    where deployment = :deployment and action_id = :action_id and status in ('planned', 'dispatched', 'mined')
    returning client, chain_id, kind
    """
)
_VOID = text(
    """
    update groups set state = 'voided'
    where deployment = :deployment and key = :key and state = 'pending' and origin = 'action'
    returning key, chain_id, block_number, block_hash, tx_hash
    """
)
_NOTE = text(
    """
    update actions set status_reason = :reason
    where deployment = :deployment and action_id = :action_id and status in ('planned', 'dispatched', 'mined')
    """
)
_DUE = text(
    """
    with picked as (
      select deployment, action_id from actions
      where deployment = :deployment and chain_id = :chain_id and status in ('planned', 'dispatched', 'mined')
        and next_check_at <= clock_timestamp()
      order by next_check_at limit :limit for update skip locked
    )
    update actions a set next_check_at = clock_timestamp() + make_interval(secs => :again_s)
    from picked p where a.deployment = p.deployment and a.action_id = p.action_id
    returning a.action_id, a.status, a.status = 'planned' and a.planned_at < clock_timestamp() - make_interval(secs => :overdue_s)
    """
)
_DUE_RESTRICTIONS = text(
    """
    with picked as (
      select deployment, chain_id, sender, nonce from slots
      where deployment = :deployment and chain_id = :chain_id and action_id like 'restrict:%' and next_check_at <= clock_timestamp()
        and state in ('reserved', 'signed', 'pending', 'mined', 'cancelling')
      order by next_check_at limit :limit for update skip locked
    )
    update slots s set next_check_at = clock_timestamp() + make_interval(secs => :again_s)
    from picked p where s.deployment = p.deployment and s.chain_id = p.chain_id and s.sender = p.sender and s.nonce = p.nonce
    returning s.action_id
    """
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One client's round: reports (None when nothing changed), the plan, what it counted, refusals that are news.

    counted: keys of the live reservations that the plan knew."""

    client: str
    assessed: Assessed | None
    plan: Plan
    counted: frozenset[str]
    news: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A row to look at: 'dispatch' for what is only planned, 'settle' for what may be on its way. overdue: planned long ago."""

    task: str
    action_id: str
    overdue: bool = False


@dataclass(frozen=True, slots=True)
class StoredAction:
    """An action as it stands, with its step."""

    action_id: str
    step: Step
    status: str
    status_reason: str

    @property
    def live(self) -> bool:
        return self.status in LIVE


def save_assessment(
    store: Store, lease: Lease, decisions: Sequence[Decision], market: Snapshot, parameters: Parameters,
    price_seen_at: datetime | None, first_check_s: float = 0.0,
) -> tuple[tuple[str, int], ...]:
    """Reports, new actions with their reservations, and their events, in one transaction. Returns (action id, chain id) of the new.

    An action whose id is known, or whose need has a live action, is left out. first_check_s: when scanners may pick it up, for a
    caller that rings the doorbell itself. Raises LeaseHeld when the lease was lost: nothing is written.
    """  # fmt: skip
    made: list[tuple[str, int]] = []
    with store.transaction() as conn:
        prove(conn, store.deployment, lease)
        saved = [d.assessed for d in decisions if d.assessed is not None]
        if saved:
            reports.save_market(conn, store.deployment, market, parameters)
        ids = reports.save(conn, store.deployment, saved)
        events = [_assessed_event(one, ids[one.client]) for one in saved if one.client in ids]
        for decision in sorted(decisions, key=lambda d: d.client):
            events += [_refused_event(refusal) for refusal in decision.news]
            for step in _still_good(conn, store.deployment, decision):
                name = action_id(store.deployment, step)
                if _insert(conn, store.deployment, name, step, price_seen_at, first_check_s):
                    made.append((name, step.chain_id))
                    events.append(_planned_event(name, step))
        append(conn, store.deployment, events)
    return tuple(made)


def reserved(conn: Connection, deployment: str, client: str) -> frozenset[str]:
    """Keys of the client's live reservations, of actions and of tickets."""
    return frozenset(conn.execute(_RESERVED, {"deployment": deployment, "client": client}).scalars())


def _still_good(conn: Connection, deployment: str, decision: Decision) -> tuple[Step, ...]:
    """The plan's steps when the client's reservations are still those it counted; the client's row stays locked until commit."""
    if not decision.plan.steps:
        return ()
    lock(conn, deployment, decision.client)
    return decision.plan.steps if reserved(conn, deployment, decision.client) == decision.counted else ()


def _insert(conn: Connection, deployment: str, name: str, step: Step, seen_at: datetime | None, first_check_s: float) -> bool:
    row = upsert(actions).values(
        deployment=deployment, action_id=name, client=step.client, kind=step.kind, chain_id=step.chain_id, safe=step.safe,
        need_key=step.need_key, sequence=step.sequence, decision_epoch=step.decision_epoch, body=encode_step(step),
        deadline=step.deadline, as_of_s=step.as_of_s, effect_usd=step.effect_usd, cost_usd=step.cost_usd, actor=PLANNER,
        idempotency_key=name, price_seen_at=seen_at, planned_at=text("clock_timestamp()"),
        next_check_at=text(f"clock_timestamp() + interval '{max(0.0, first_check_s):.3f} seconds'"),
    )  # fmt: skip
    if conn.execute(row.on_conflict_do_nothing().returning(actions.c.action_id)).one_or_none() is None:
        return False
    key = f"action:{name}"
    insert_groups(conn, deployment, [Group(key, Origin.ACTION, step.chain_id, -1, "", "", 0, step.effects, step.deadline)])
    return True


def load(store: Store, name: str) -> StoredAction:
    """One action. Raises NotFound."""
    columns = (actions.c.action_id, actions.c.body, actions.c.status, actions.c.status_reason)
    query = select(*columns).where(actions.c.deployment == store.deployment, actions.c.action_id == name)
    with store.transaction() as conn:
        row = conn.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"no action {name} in deployment {store.deployment}")
    return StoredAction(row.action_id, decode_step(row.body), row.status, row.status_reason)


def conclude(store: Store, name: str, status: str, reason: str, body: Mapping[str, Any] | None = None) -> bool:
    """End an action that is still live, and void what it reserved unless it was done. Returns whether it was live.

    status: confirmed, reverted, expired or refused. Raises ValueError for another.
    """
    if status not in ENDS:
        raise ValueError(f"status {status!r} ends no action; use one of {sorted(ENDS)}")
    given = {"deployment": store.deployment, "action_id": name, "status": status, "reason": reason}
    with store.transaction() as conn:
        row = conn.execute(_CONCLUDE, given).one_or_none()
        if row is None:
            return False
        news = [NewEvent(f"action.{status}", row.chain_id, row.client, name, {"kind": row.kind, "why": reason, **(body or {})})]
        if status != "confirmed":
            voided = [Placed(*r) for r in conn.execute(_VOID, {"deployment": store.deployment, "key": f"action:{name}"})]
            news += told(conn, store.deployment, "transfer.voided", voided)
        append(conn, store.deployment, news)
    return True


def note(store: Store, name: str, reason: str) -> None:
    """Keep why a live action failed or waits, before its end is final."""
    with store.transaction() as conn:
        conn.execute(_NOTE, {"deployment": store.deployment, "action_id": name, "reason": reason})


def due(store: Store, chain_id: int, again_s: float, limit: int = 100) -> tuple[Due, ...]:
    """Claim the rows of one network that are due; they are due again after `again_s` seconds unless they end."""
    given = {"deployment": store.deployment, "chain_id": chain_id, "again_s": again_s, "limit": limit}
    with store.transaction() as conn:
        rows = conn.execute(_DUE, {**given, "overdue_s": OVERDUE_S})
        found = [Due("dispatch" if r[1] == "planned" else "settle", r[0], bool(r[2])) for r in rows]
        found += [Due("settle", name) for name in conn.execute(_DUE_RESTRICTIONS, given).scalars()]
    return tuple(found)


def _planned_event(name: str, step: Step) -> NewEvent:
    body = {
        "kind": step.kind, "need_key": step.need_key, "sequence": str(step.sequence), "draw_atoms": str(step.draw_atoms),
        "effect_usd": plain(step.effect_usd), "cost_usd": plain(step.cost_usd), "deadline": str(step.deadline),
        "reason": step.reason,
    }  # fmt: skip
    return NewEvent("action.planned", step.chain_id, step.client, name, body, PLANNER)


def _refused_event(refusal: Refusal) -> NewEvent:
    body = {"kind": refusal.need.partition(" ")[0], "need": refusal.need, "why": refusal.why}
    return NewEvent("action.refused", 0, refusal.client, refusal.need, body, PLANNER)


def _assessed_event(one: Assessed, report_id: int) -> NewEvent:
    report, risk = one.head, one.head.risk
    body = {
        "report_id": report_id, "epoch": report.as_of.key(), "state": report.state.value,
        "net_liquidation_value_usd": plain(risk.net_liquidation_value), "initial_margin_usd": plain(risk.initial_margin),
        "maintenance_margin_usd": plain(risk.maintenance_margin), "close_out_target_usd": plain(risk.close_out_target),
        "available_margin_usd": plain(risk.available_margin), "excess_liquidity_usd": plain(risk.excess_liquidity),
        "capital_saved_usd": plain(report.capital_saved_usd),
    }  # fmt: skip
    return NewEvent("margin.assessed", 0, one.client, one.client, body, SYSTEM)
