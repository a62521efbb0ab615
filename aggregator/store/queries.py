"""Reads for people and reports: what was executed, what stands where, what a fault left behind. Frozen rows or plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Integer, Subquery, and_, func, select
from sqlalchemy.sql.expression import cast

from aggregator.ledger.accounts import Kind
from aggregator.store.db import Store
from aggregator.store.tables import (
    actions,
    attempts,
    balances,
    chain_events,
    groups,
    ledger_accounts,
    safes,
    slots,
    transfers,
)

SAME_SLOT = and_(
    attempts.c.deployment == slots.c.deployment,
    attempts.c.chain_id == slots.c.chain_id,
    attempts.c.sender == slots.c.sender,
    attempts.c.nonce == slots.c.nonce,
)


@dataclass(frozen=True, slots=True)
class ActionFact:
    """An action with what networks say of it: the transaction that did it and how often it was done on the canonical chain."""

    action_id: str
    client: str
    kind: str
    chain_id: int
    status: str
    status_reason: str
    reason: str
    tx_hash: str | None
    block_number: int | None
    block_hash: str | None
    executed_on_chain: int
    effect_usd: Decimal
    cost_usd: Decimal
    price_seen_at: datetime | None
    planned_at: datetime
    signed_at: datetime | None
    mined_at: datetime | None


def _executed(store: Store) -> Subquery:
    """By action: how often the canonical chain holds its execution, and where."""
    e = chain_events.c
    return (
        select(
            e.body["action_id"].astext.label("action_id"),
            func.count().label("times"),
            func.max(e.tx_hash).label("tx_hash"),
            func.max(e.block_hash).label("block_hash"),
            func.max(e.block_number).label("block_number"),
        )
        .where(e.deployment == store.deployment, e.kind == "ActionDone", ~e.orphaned)
        .group_by("action_id")
        .subquery()
    )


def _last_sent(store: Store) -> Subquery:
    """By action: a hash that was signed for it."""
    return (
        select(slots.c.action_id, func.max(attempts.c.tx_hash).label("tx_hash"))
        .join(attempts, SAME_SLOT)
        .where(slots.c.deployment == store.deployment)
        .group_by(slots.c.action_id)
        .subquery()
    )


def action_facts(store: Store, client: str | None = None) -> tuple[ActionFact, ...]:
    """All actions, oldest first; of one client when named."""
    a, done, last = actions.c, _executed(store), _last_sent(store)
    query = (
        select(
            a.action_id,
            a.client,
            a.kind,
            a.chain_id,
            a.status,
            a.status_reason,
            a.body["reason"].astext,
            func.coalesce(done.c.tx_hash, last.c.tx_hash),
            done.c.block_number,
            done.c.block_hash,
            cast(func.coalesce(done.c.times, 0), Integer),
            a.effect_usd,
            a.cost_usd,
            a.price_seen_at,
            a.planned_at,
            a.signed_at,
            a.mined_at,
        )
        .select_from(actions.outerjoin(done, done.c.action_id == a.action_id).outerjoin(last, last.c.action_id == a.action_id))
        .where(a.deployment == store.deployment)
        .order_by(a.planned_at, a.action_id)
    )
    if client is not None:
        query = query.where(a.client == client)
    with store.snapshot() as conn:
        return tuple(ActionFact(*tuple(row)) for row in conn.execute(query))


def slot_of(store: Store, tx_hash: str) -> dict[str, Any]:
    """State of the slot that holds these bytes, as plain JSON; {} when nobody signed them."""
    query = (
        select(slots.c.chain_id, slots.c.sender, slots.c.nonce, slots.c.state, slots.c.action_id)
        .join(attempts, SAME_SLOT)
        .where(slots.c.deployment == store.deployment, attempts.c.tx_hash == tx_hash)
    )
    with store.snapshot() as conn:
        row = conn.execute(query).mappings().one_or_none()
        return dict(row) if row else {}


def hashes_of_slot(store: Store, tx_hash: str) -> tuple[str, ...]:
    """Every hash that was ever signed for the slot that holds this one, oldest first: any of them does the slot's action."""
    same = attempts.alias()
    query = (
        select(same.c.tx_hash)
        .join(
            attempts,
            and_(
                attempts.c.deployment == same.c.deployment,
                attempts.c.chain_id == same.c.chain_id,
                attempts.c.sender == same.c.sender,
                attempts.c.nonce == same.c.nonce,
            ),
        )
        .where(attempts.c.deployment == store.deployment, attempts.c.tx_hash == tx_hash)
        .order_by(same.c.created_at)
    )
    with store.snapshot() as conn:
        return tuple(str(h) for h in conn.execute(query).scalars())


def liquidations(store: Store, client: str) -> list[dict[str, Any]]:
    """What protocols seized from a client, oldest first, canonical only."""
    e = chain_events.c
    query = (
        select(e.chain_id, e.block_number, e.block_hash, e.tx_hash, e.body)
        .join(
            safes,
            and_(safes.c.deployment == e.deployment, safes.c.chain_id == e.chain_id, safes.c.address == e.body["holder"].astext),
        )
        .where(e.deployment == store.deployment, e.kind == "Liquidated", ~e.orphaned, safes.c.client == client)
        .order_by(e.chain_id, e.block_number, e.log_index)
    )
    with store.snapshot() as conn:
        return [{**row, **row["body"]} for row in conn.execute(query).mappings()]


def standing_in_transit(store: Store, client: str) -> list[tuple[str, int]]:
    """(ledger account, atoms) of everything of a client that left one network and is not proven on another."""
    query = (
        select(ledger_accounts.c.key, balances.c.posted + balances.c.pending)
        .join(balances, balances.c.account_id == ledger_accounts.c.id)
        .where(
            ledger_accounts.c.deployment == store.deployment,
            ledger_accounts.c.client == client,
            ledger_accounts.c.kind == Kind.IN_TRANSIT.value,
            balances.c.posted + balances.c.pending != 0,
        )
    )
    with store.snapshot() as conn:
        return [(str(key), int(atoms)) for key, atoms in conn.execute(query)]


def voided_in(store: Store, chain_id: int, block_hashes: Sequence[str]) -> list[dict[str, Any]]:
    """Groups that a reorganisation voided because their block is one of these: key, transaction, legs in words."""
    query = (
        select(groups.c.key, groups.c.tx_hash, groups.c.block_hash, func.string_agg(transfers.c.reason, ", ").label("legs"))
        .join(transfers, and_(transfers.c.deployment == groups.c.deployment, transfers.c.group_key == groups.c.key))
        .where(
            groups.c.deployment == store.deployment,
            groups.c.chain_id == chain_id,
            groups.c.state == "voided",
            groups.c.block_hash.in_(block_hashes),
        )
        .group_by(groups.c.key, groups.c.tx_hash, groups.c.block_hash)
    )
    with store.snapshot() as conn:
        return [dict(row) for row in conn.execute(query).mappings()]


def pending_count(store: Store) -> int:
    """Groups from networks that are not final yet."""
    query = select(func.count()).where(
        groups.c.deployment == store.deployment, groups.c.state == "pending", groups.c.origin == "chain"
    )
    with store.snapshot() as conn:
        return int(conn.execute(query).scalar_one())
