"""Actions: what the planner decided for an account and how far each step came."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from aggregator.api import reading
from aggregator.api import schemas as sc
from aggregator.api.operation import Call, Input, Nothing, Operation
from aggregator.api.problems import Problem
from aggregator.api.routes.accounts import AccountPath, one
from aggregator.store import views


class ActionPath(Input):
    """One action."""

    action_id: str = Field(pattern=r"^0x[0-9a-f]{64}$", description="0x and 64 hex digits")


class Page(Input):
    """Where to go on."""

    limit: int = Field(50, ge=1, le=500)
    cursor: str = Field("", max_length=120, pattern=r"^[0-9A-Za-z:.+x_-]*$", description="`next` of the page before")


async def actions(call: Call[AccountPath, Page, Nothing]) -> sc.ActionsPage:
    """One account's actions, newest first."""
    await one(call.services, call.path.account)
    before = _place(call.query.cursor)
    rows = await call.services.read(views.action_page, call.services.store, call.path.account, call.query.limit, before)
    full = len(rows) == call.query.limit
    following = f"{rows[-1].planned_at.isoformat()}_{rows[-1].action_id}" if full else None
    return sc.ActionsPage(actions=[reading.action(row) for row in rows], next=following)


async def action(call: Call[ActionPath, Nothing, Nothing]) -> sc.ActionBody:
    """One action. Another client's is not found."""
    row = await call.services.read(views.action, call.services.store, call.path.action_id)
    if row is None or call.key is None or not call.key.sees(row.client):
        raise Problem("not-found", f"no action {call.path.action_id}; GET /v1/accounts/<account>/actions lists them")
    return reading.action(row)


def _place(cursor: str) -> tuple[datetime, str] | None:
    if not cursor:
        return None
    moment, _, action_id = cursor.partition("_")
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise Problem("request-invalid", "query.cursor is not the `next` of a page; leave it out to begin") from error
    if parsed.tzinfo is None:
        raise Problem("request-invalid", "query.cursor is not the `next` of a page; leave it out to begin")
    return parsed, action_id


TAGS = ("actions",)
OPERATIONS = (
    Operation("GET", "/v1/accounts/{account}/actions", "listActions", "Actions of the account, newest first", actions,
              sc.ActionsPage, path_model=AccountPath, query_model=Page, tags=TAGS),
    Operation("GET", "/v1/actions/{action_id}", "getAction", "One action", action, sc.ActionBody, path_model=ActionPath, tags=TAGS),
)  # fmt: skip
