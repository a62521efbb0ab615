"""Clients: opened by the desk, linked to their Safes, bound by a mandate, suspended, resumed, on their way out.

Invariants: a Safe belongs to one client for ever; a mandate's versions follow each other without a gap; every change writes one row
of the event log in its transaction; whoever decides for a client by its state locks its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from aggregator.errors import Conflict, NotFound
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent, append
from aggregator.store.tables import clients, cursors, safes

OPEN, SUSPENDED, EXITING, CLOSED = "open", "suspended", "exiting", "closed"
# new state -> (from which states, kind of the event)
TURNS: Mapping[str, tuple[tuple[str, ...], str]] = {
    SUSPENDED: ((OPEN,), "client.suspended"),
    OPEN: ((SUSPENDED,), "client.resumed"),
    EXITING: ((OPEN, SUSPENDED), "client.exiting"),
}


@dataclass(frozen=True, slots=True)
class Client:
    """One client as it stands; the mandate is {} and version 0 until the first is signed."""

    client: str
    title: str
    state: str
    mandate: Mapping[str, Any]
    mandate_version: int
    safes: tuple[tuple[int, str], ...]


def open_client(store: Store, tenant: str, client: str, title: str, actor: str) -> Client:
    """A new client. Raises Conflict when the name is taken."""
    with store.transaction() as conn:
        made = conn.execute(upsert(clients).values(
            deployment=store.deployment, client=client, tenant=tenant, title=title, state=OPEN, mandate={}, mandate_version=0,
            mandate_signature="").on_conflict_do_nothing().returning(clients.c.client)).first()  # fmt: skip
        if made is None:
            raise Conflict(f"client {client!r} exists already; choose another name or GET /v1/accounts")
        append(conn, store.deployment, [NewEvent("client.opened", 0, client, client, {"title": title}, actor)])
    return Client(client, title, OPEN, {}, 0, ())


def get(store: Store, client: str) -> Client:
    """One client. Raises NotFound."""
    with store.transaction() as conn:
        return _get(conn, store.deployment, client)


def _get(conn: Connection, deployment: str, client: str, lock: bool = False) -> Client:
    query = select(clients).where(clients.c.deployment == deployment, clients.c.client == client)
    row = conn.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(f"no client {client!r}; GET /v1/accounts lists them, POST /v1/clients opens one")
    linked = conn.execute(select(safes.c.chain_id, safes.c.address).where(
        safes.c.deployment == deployment, safes.c.client == client).order_by(safes.c.chain_id))  # fmt: skip
    return Client(row.client, row.title, row.state, row.mandate, row.mandate_version, tuple((r[0], r[1]) for r in linked))


def lock(conn: Connection, deployment: str, client: str) -> Client:
    """The client with its row locked until the transaction ends: decisions about one client follow each other. Raises NotFound."""
    return _get(conn, deployment, client, lock=True)


def link_safe(
    store: Store, client: str, chain_id: int, address: str, custody: tuple[bool, str], actor: str
) -> tuple[bool, str]:
    """Links a prime account whose custody was just read: (intact, reason). Linking again stores the newer reading.

    Returns what is stored. Raises NotFound, Conflict when the Safe is another client's or the client has one on that network.
    """
    intact, reason = custody
    with store.transaction() as conn:
        known = _get(conn, store.deployment, client, lock=True)
        if any(c == chain_id and a != address for c, a in known.safes):
            raise Conflict(f"client {client} has a Safe on network {chain_id} already; a client has one per network")
        head = select(func.coalesce(func.max(cursors.c.head_number), 0)).where(
            cursors.c.deployment == store.deployment, cursors.c.chain_id == chain_id).scalar_subquery()  # fmt: skip
        made = upsert(safes).values(
            deployment=store.deployment, chain_id=chain_id, address=address, client=client, linked_block=head,
            custody_intact=intact, custody_reason=reason)  # fmt: skip
        changed = conn.execute(made.on_conflict_do_update(
            index_elements=["deployment", "chain_id", "address"], where=safes.c.client == client,
            set_={"custody_intact": intact, "custody_reason": reason}).returning(safes.c.client)).first()  # fmt: skip
        if changed is None:
            raise Conflict(f"Safe {address} on network {chain_id} belongs to another client")
        body = {"what": "linked", "intact": intact, "reason": reason}
        append(conn, store.deployment, [NewEvent("custody.changed", chain_id, client, address, body, actor)])
    return custody


def set_mandate(store: Store, client: str, mandate: Mapping[str, Any], version: int, signature: str, actor: str) -> None:
    """Stores a signed mandate. Raises NotFound, Conflict unless `version` follows the stored one."""
    with store.transaction() as conn:
        known = _get(conn, store.deployment, client, lock=True)
        if version != known.mandate_version + 1:
            raise Conflict(f"mandate.version must be {known.mandate_version + 1}, the one after the stored one; got {version}")
        conn.execute(update(clients).values(mandate=dict(mandate), mandate_version=version, mandate_signature=signature).where(
            clients.c.deployment == store.deployment, clients.c.client == client))  # fmt: skip
        body = {"version": str(version), "mandate": dict(mandate)}
        append(conn, store.deployment, [NewEvent("mandate.changed", 0, client, client, body, actor)])


def turn(store: Store, client: str, state: str, reason: str, actor: str) -> str:
    """Moves a client to SUSPENDED, OPEN (resume) or EXITING; the same state again changes nothing. Returns the state.

    Raises NotFound, Conflict when the client's state does not lead there.
    """
    allowed, kind = TURNS[state]
    with store.transaction() as conn:
        known = _get(conn, store.deployment, client, lock=True)
        if known.state == state:
            return state
        if known.state not in allowed:
            raise Conflict(f"client {client} is {known.state}; {state} is reached from {' or '.join(allowed)}")
        conn.execute(update(clients).values(state=state).where(
            clients.c.deployment == store.deployment, clients.c.client == client))  # fmt: skip
        append(conn, store.deployment, [NewEvent(kind, 0, client, client, {"from": known.state, "reason": reason}, actor)])
    return state

