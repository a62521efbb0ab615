"""Events: the numbered log of one account, and the live stream of everything the key sees."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from aggregator.api import schemas as sc
from aggregator.api import streams
from aggregator.api.operation import Call, Input, Nothing, Operation
from aggregator.api.problems import Problem
from aggregator.api.routes.accounts import AccountPath, accounts, one
from aggregator.store import views
from aggregator.store.event_log import LoggedEvent


class After(Input):
    """From where on."""

    after: int = Field(0, ge=0, le=2**62, description="Only events with a greater number")
    limit: int = Field(100, ge=1, le=500)


def body(event: LoggedEvent) -> sc.EventBody:
    """One row as the API gives it."""
    return sc.EventBody(seq=event.seq, kind=event.kind, chain_id=event.chain_id, account=event.client, subject=event.subject,
                        body=dict(event.body), actor=event.actor, at=event.created_at)  # fmt: skip


async def events(call: Call[AccountPath, After, Nothing]) -> sc.EventsPage:
    """One account's events in order."""
    await one(call.services, call.path.account)
    query = call.query
    rows = await call.services.read(views.events_after, call.services.store, call.path.account, query.after, query.limit)
    return sc.EventsPage(events=[body(row) for row in rows], last_seq=rows[-1].seq if rows else query.after)


async def stream(call: Call[Nothing, Nothing, Nothing]) -> web.StreamResponse:
    """Server-sent events: a snapshot of the accounts, then every event after it; or only what came after Last-Event-ID."""
    if call.key is None:
        raise Problem("unauthenticated", "the stream needs a key")
    services, mine = call.services, call.key.client
    seq = streams.last_event_id(call.request)
    first: bytes | None = None
    if seq is None:
        seq = await services.read(views.last_seq, services.store)
        snapshot = await accounts(call)
        first = streams.frame("snapshot", snapshot.model_dump_json(), seq)
    response = await streams.opened(call.request)
    if first is not None and not await streams.send(response, first):
        return response
    async for rows in streams.follow(services, seq, mine or None):
        frames = b"".join(_frame(row) for row in rows if not mine or row.client == mine)
        if not await streams.send(response, frames or b": still here\n\n"):
            break
    return response


def _frame(row: LoggedEvent) -> bytes:
    return streams.frame(row.kind, body(row).model_dump_json(), row.seq)


TAGS = ("events",)
OPERATIONS = (
    Operation("GET", "/v1/accounts/{account}/events", "listEvents", "Events of the account, in order", events, sc.EventsPage,
              path_model=AccountPath, query_model=After, tags=TAGS),
    Operation("GET", "/v1/stream", "stream", "Live events; resume with Last-Event-ID", stream, sc.EventBody,
              content_type="text/event-stream", tags=TAGS),
)  # fmt: skip
