"""Tickets: issued together with their reservation, one client at a time over all networks.

Invariants: the reservation group and the ticket row are written in one transaction that holds the client's row; it commits only
if the client's live reservations are those the decision counted, so two tickets for one surplus cannot both be issued; a ticket is
signed after its reservation stands, and signing again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from aggregator.errors import NotFound, Retryable
from aggregator.ledger.transfers import Group
from aggregator.store.clients import OPEN, lock
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent, append
from aggregator.store.journal_groups import insert_groups
from aggregator.store.tables import tickets

_LIVE = text(
    """
    select distinct g.key from groups g
    join transfers t on t.deployment = g.deployment and t.group_key = g.key
    join ledger_accounts a on a.id in (t.debit_id, t.credit_id)
    where g.deployment = :deployment and g.state = 'pending' and g.origin in ('action', 'ticket') and a.client = :client
    """
)


class BooksMoved(Retryable):
    """The client's reservations changed between decision and issue; decide again."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket. terms: the EIP-712 message, integers as decimal strings. expiry: block time. as_of: what it was decided on."""

    ticket_id: str
    client: str
    chain_id: int
    safe: str
    kind: str
    terms: Mapping[str, Any]
    nonce: int
    expiry: int
    as_of: Mapping[str, Any]
    signatures: str
    idempotency_key: str
    actor: str
    state: str


def issue(store: Store, ticket: Ticket, reservation: Group, counted: frozenset[str]) -> None:
    """Writes ticket and reservation. `counted`: keys of the live reservations that the decision knew.

    Raises NotFound for an unknown client, BooksMoved when it is no longer open or its reservations are others: decide again.
    """
    with store.transaction() as conn:
        client = lock(conn, store.deployment, ticket.client)
        if client.state != OPEN:
            raise BooksMoved(f"client {ticket.client} became {client.state}")
        live = _live(conn, store.deployment, ticket.client)
        if live != counted:
            raise BooksMoved(f"reservations of {ticket.client} changed: {sorted(live ^ counted)[:3]}")
        insert_groups(conn, store.deployment, [reservation])
        conn.execute(insert(tickets).values(
            deployment=store.deployment, ticket_id=ticket.ticket_id, client=ticket.client, chain_id=ticket.chain_id,
            safe=ticket.safe, kind=ticket.kind, terms=dict(ticket.terms), nonce=ticket.nonce, expiry=ticket.expiry,
            as_of=dict(ticket.as_of), signatures="", idempotency_key=ticket.idempotency_key, actor=ticket.actor, state="open"))
        body = {"kind": ticket.kind, "nonce": str(ticket.nonce), "expiry": str(ticket.expiry), "terms": dict(ticket.terms)}
        append(conn, store.deployment, [
            NewEvent("ticket.issued", ticket.chain_id, ticket.client, ticket.ticket_id, body, ticket.actor)])  # fmt: skip


def signed(store: Store, ticket_id: str, signatures: str) -> None:
    """Keeps the signatures of a ticket. Raises NotFound."""
    with store.transaction() as conn:
        changed = conn.execute(update(tickets).values(signatures=signatures).where(
            tickets.c.deployment == store.deployment, tickets.c.ticket_id == ticket_id))  # fmt: skip
        if not changed.rowcount:
            raise NotFound(f"no ticket {ticket_id}")


def refused(store: Store, client: str, chain_id: int, code: str, why: str, actor: str) -> None:
    """Tells in the event log that a ticket was asked for and not given."""
    with store.transaction() as conn:
        append(conn, store.deployment, [NewEvent("ticket.refused", chain_id, client, code, {"code": code, "why": why}, actor)])


def by_key(store: Store, client: str, idempotency_key: str) -> Ticket | None:
    """The ticket that a request with this key made, if it got that far."""
    with store.transaction() as conn:
        row = conn.execute(select(tickets).where(
            tickets.c.deployment == store.deployment, tickets.c.client == client,
            tickets.c.idempotency_key == idempotency_key)).one_or_none()  # fmt: skip
    if row is None:
        return None
    return Ticket(row.ticket_id, row.client, row.chain_id, row.safe, row.kind, row.terms, row.nonce, row.expiry, row.as_of,
                  row.signatures, row.idempotency_key, row.actor, row.state)  # fmt: skip


def _live(conn: Connection, deployment: str, client: str) -> frozenset[str]:
    return frozenset(r[0] for r in conn.execute(_LIVE, {"deployment": deployment, "client": client}))
