"""What ends or changes because of what a network said: reservations, tickets, custody. Inside the caller's transaction.

Invariants: a reservation leaves `pending` when the chain shows its action or ticket done (finality may lapse it); if the block
that showed it is taken back, the reservation lives again. Custody that may have changed counts as not intact until it has been read
again. A client is exiting exactly while one of its safes has an exit request that was not cancelled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from aggregator.store.event_log import NewEvent
from aggregator.store.journal_groups import Placed, told
from chains import events as ev

RESERVED = "origin in ('action', 'ticket')"
_PLACED = "key, chain_id, block_number, block_hash, tx_hash"
_END = text(
    f"""
    update groups set state = 'voided' where deployment = :deployment and key = any(:keys) and state = 'pending' and {RESERVED}
    returning {_PLACED}
    """
)
_REVIVE = text(
    f"""
    update groups set state = 'pending' where deployment = :deployment and key = any(:keys) and state = 'voided' and {RESERVED}
    returning {_PLACED}
    """
)
_TURN_TICKETS = text(
    """
    update tickets t set state = :new
    from unnest(cast(:safes as text[]), cast(:nonces as bigint[]), cast(:trades as boolean[])) as u (safe, nonce, trade)
    where t.deployment = :deployment and t.chain_id = :chain_id and t.state = :old
      and t.safe = u.safe and t.nonce = u.nonce and (t.kind = 'trade') = u.trade
    returning t.ticket_id, t.client, t.safe, t.nonce
    """
)
_CUSTODY = text(
    """
    update safes set custody_intact = false, custody_reason = :reason
    where deployment = :deployment and chain_id = :chain_id and address = :safe returning client
    """
)
_CUSTODY_DUE = text(
    "update safes set custody_due = true where deployment = :deployment and chain_id = :chain_id and address = any(:safes)"
)
_NAMED = text("select address, client from safes where deployment = :deployment and chain_id = :chain_id and address = any(:safes)")
_EXITS = text(
    """
    with latest as (
      select distinct on (s.client, s.chain_id, s.address) s.client, e.body ->> 'what' as what
      from safes s join chain_events e on e.deployment = s.deployment and e.chain_id = s.chain_id and e.subject = s.address
      where s.deployment = :deployment and s.client = any(:clients) and e.kind = 'CustodyChanged' and not e.orphaned
        and e.body ->> 'what' in ('exit_requested', 'exit_cancelled')
      order by s.client, s.chain_id, s.address, e.block_number desc, e.log_index desc
    ),
    wanted as (
      select n.client, exists (select from latest l where l.client = n.client and l.what = 'exit_requested') as leaving
      from unnest(cast(:clients as text[])) as n (client)
    )
    update clients c set state = case when w.leaving then 'exiting' else 'open' end
    from wanted w
    where c.deployment = :deployment and c.client = w.client
      and (w.leaving and c.state in ('open', 'suspended') or not w.leaving and c.state = 'exiting')
    returning c.client, c.state
    """
)
TRADE = "trade"
# Every transaction of a Safe tells `executed`: no change, and no news. DOUBTFUL breaks custody until it has been read again.
ROUTINE = frozenset({"executed", "execution_failed"})
DOUBTFUL = frozenset({
    "module_enabled", "module_disabled", "guard_changed", "module_guard_changed", "handler_changed", "singleton_changed",
    "released",
})  # fmt: skip
EXITS = frozenset({"exit_requested", "exit_cancelled"})


def seen(conn: Connection, deployment: str, chain_id: int, events: Sequence[ev.Event]) -> list[NewEvent]:
    """End the reservations of actions and tickets that these events show done; doubt custody that they say changed."""
    keys = [f"action:{e.action_id}" for e in events if isinstance(e, ev.ActionDone)]
    used = [e for e in events if isinstance(e, ev.TicketUsed)]
    turned = _turn(conn, deployment, chain_id, [(e.safe, e.nonce, e.kind) for e in used], "open", "used") if used else []
    keys += [f"ticket:{t.subject}" for t in turned]
    ended = _placed(conn, _END, deployment, keys)
    news = told(conn, deployment, "transfer.voided", ended)
    changes = [e for e in events if isinstance(e, ev.CustodyChanged) and e.what not in ROUTINE]
    if changes:
        news += _changed(conn, deployment, chain_id, changes)
    born = [e.safe for e in events if isinstance(e, ev.AccountOpened)]
    if born:
        conn.execute(_CUSTODY_DUE, {"deployment": deployment, "chain_id": chain_id, "safes": born})
    return [*turned, *news]


def unseen(conn: Connection, deployment: str, chain_id: int, orphaned: Sequence[tuple[str, str, dict[str, Any]]]) -> list[NewEvent]:
    """Take back what orphaned events (kind, subject, body) had ended: reservations and tickets live again, custody is due."""
    keys = [f"action:{body['action_id']}" for kind, _, body in orphaned if kind == "ActionDone"]
    used = [(subject, int(body["nonce"]), body["kind"]) for kind, subject, body in orphaned if kind == "TicketUsed"]
    turned = _turn(conn, deployment, chain_id, used, "used", "open") if used else []
    keys += [f"ticket:{t.subject}" for t in turned]
    revived = _placed(conn, _REVIVE, deployment, keys)
    safes = sorted({subject for kind, subject, _ in orphaned if kind in ("CustodyChanged", "AccountOpened")})
    if safes:
        given = {"deployment": deployment, "chain_id": chain_id, "safes": safes}
        conn.execute(_CUSTODY_DUE, given)
        turned += exits(conn, deployment, chain_id, sorted({r.client for r in conn.execute(_NAMED, given)}))
    return [*turned, *told(conn, deployment, "transfer.pending", revived)]


def _placed(conn: Connection, statement: Any, deployment: str, keys: list[str]) -> list[Placed]:
    if not keys:
        return []
    return [Placed(*r) for r in conn.execute(statement, {"deployment": deployment, "keys": keys})]


def _turn(
    conn: Connection, deployment: str, chain_id: int, used: Sequence[tuple[str, int, str]], old: str, new: str
) -> list[NewEvent]:
    given = {
        "deployment": deployment, "chain_id": chain_id, "old": old, "new": new, "safes": [u[0] for u in used],
        "nonces": [u[1] for u in used], "trades": [u[2] == TRADE for u in used],
    }  # fmt: skip
    kind = "ticket.used" if new == "used" else "ticket.issued"
    return [ticket_news(kind, chain_id, *r) for r in conn.execute(_TURN_TICKETS, given)]


def ticket_news(kind: str, chain_id: int, ticket_id: str, client: str, safe: str, nonce: int) -> NewEvent:
    """Event log row of a ticket that was issued, used or has lapsed."""
    return NewEvent(kind, chain_id, client, ticket_id, {"safe": safe, "nonce": str(nonce)})


def _changed(conn: Connection, deployment: str, chain_id: int, changes: Sequence[ev.CustodyChanged]) -> list[NewEvent]:
    """Note what changed on linked safes; strangers' safes are none of our business."""
    given = {"deployment": deployment, "chain_id": chain_id, "safes": sorted({e.safe for e in changes})}
    clients = {r.address: r.client for r in conn.execute(_NAMED, given)}
    conn.execute(_CUSTODY_DUE, given)
    news: list[NewEvent] = []
    for event in changes:
        if event.safe not in clients:
            continue
        body: dict[str, Any] = {"what": event.what, "detail": event.detail, "number": str(event.ref.block_number)}
        if event.what in DOUBTFUL:
            reason = f"{event.what} {event.detail} in block {event.ref.block_number}; not read again yet"
            conn.execute(_CUSTODY, {"deployment": deployment, "chain_id": chain_id, "safe": event.safe, "reason": reason})
            body["intact"] = False
        news.append(NewEvent("custody.changed", chain_id, clients[event.safe], event.safe, body))
    leaving = sorted({clients[e.safe] for e in changes if e.what in EXITS and e.safe in clients})
    return [*news, *exits(conn, deployment, chain_id, leaving)]


def exits(conn: Connection, deployment: str, chain_id: int, clients: Sequence[str]) -> list[NewEvent]:
    """Bring the state of these clients in line with their safes' exit requests: exiting, or open again."""
    if not clients:
        return []
    turned = conn.execute(_EXITS, {"deployment": deployment, "clients": list(clients)})
    return [NewEvent("client.exiting" if r.state == "exiting" else "client.resumed", chain_id, r.client) for r in turned]
