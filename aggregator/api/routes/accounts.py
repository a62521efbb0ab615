"""Accounts: list, portfolio, margin, explain. All from stored reports; nothing is computed here."""

from __future__ import annotations

from pydantic import Field

from aggregator.api import reading
from aggregator.api import schemas as sc
from aggregator.api.operation import Call, Input, Nothing, Operation
from aggregator.api.problems import Problem
from aggregator.api.services import Services
from aggregator.api.values import ClientName
from aggregator.margin import explain as words
from aggregator.margin.engine import assess, cautious
from aggregator.margin.report import MarginReport
from aggregator.store import reports, views
from aggregator.store.db import Store
from aggregator.store.view_rows import AccountRow, ReportRow

CAUTIOUS = ("cautious_final", "cautious_head")  # the two views whose worse report is the cautious one


class AccountPath(Input):
    """One margin account."""

    account: ClientName


class FigurePath(AccountPath):
    """One figure of one account."""

    figure: str = Field(min_length=1, max_length=160, pattern=r"^[a-z0-9_:.]+$", examples=["initial_margin"],
                        description="initial_margin, net_liquidation_value, ..., or health_factor:<position>")  # fmt: skip


class At(Input):
    """Which report."""

    at: int | None = Field(None, ge=0, le=2**62, description="Event number: the report that was the latest when it was written")


class Shown(At):
    """Which report, and how pending legs count in it."""

    view: str = Field("head", pattern=r"^[a-z_]{1,40}$", description="head, cautious, projected or optimistic")


async def accounts(call: Call[Nothing, Nothing, Nothing]) -> sc.AccountsPage:
    """Every account that the key sees."""
    mine = (call.key.client or None) if call.key else None
    rows = await call.services.read(views.accounts, call.services.store, mine)
    followed = await _followed(call.services)
    return sc.AccountsPage(accounts=[reading.account(row, followed) for row in rows])


async def portfolio(call: Call[AccountPath, Nothing, Nothing]) -> sc.PortfolioBody:
    """What the account holds and owes."""
    row, report = await assessed(call.services, call.path.account)
    return reading.portfolio(row, report, await _followed(call.services))


async def margin(call: Call[AccountPath, Shown, Nothing]) -> sc.MarginBody:
    """The margin report, the latest or the one of an event number; other views are computed from its stored inputs."""
    _, stored = await assessed(call.services, call.path.account, call.query.at)
    report = None if call.query.view == "head" else await call.services.read(_view, call.services.store, stored.id, call.query.view)
    return reading.margin(call.path.account, stored, await _followed(call.services), report)


def _view(store: Store, report_id: int, view: str) -> MarginReport:
    portfolios, market, parameters = reports.inputs(store, report_id)
    if view == "cautious" and set(CAUTIOUS) <= set(portfolios):
        final, head = (assess(portfolios[name], market, parameters) for name in CAUTIOUS)
        return cautious(final, head)
    if view not in portfolios:
        raise Problem("not-found", f"report {report_id} has no view {view!r}; it has {', '.join(sorted(portfolios))}")
    return assess(portfolios[view], market, parameters)


async def explain(call: Call[FigurePath, At, Nothing]) -> sc.ExplainBody:
    """One figure in words."""
    _, report = await assessed(call.services, call.path.account, call.query.at)
    found = words.explain(reading.report_of(report), call.path.figure)
    return sc.ExplainBody(
        account=call.path.account, figure=found.figure, value=found.value, sentence=found.sentence,
        lines=[sc.ExplainLineBody(label=line.label, value=line.value, why=line.why) for line in found.lines],
        as_of=reading.as_of(reading.report_of(report), report, await _followed(call.services)),
    )  # fmt: skip


async def one(services: Services, account: str) -> AccountRow:
    """The account's row. Raises Problem `not-found`."""
    rows = await services.read(views.accounts, services.store, account)
    if not rows:
        raise Problem("not-found", f"no account {account!r}; GET /v1/accounts lists those of this key")
    return rows[0]


async def assessed(services: Services, account: str, at: int | None = None) -> tuple[AccountRow, ReportRow]:
    """The account with its latest report, or that of event `at`. Raises Problem `not-found` before the first assessment."""
    row = await one(services, account)
    report = row.report if at is None else await services.read(views.report_at, services.store, account, at)
    if report is None:
        when = "yet" if at is None else f"when event {at} was written"
        raise Problem("not-found", f"account {account} has not been assessed {when}; link a Safe and wait for the next block")
    return row, report


async def _followed(services: Services) -> reading.Followed:
    return {row.chain_id: row for row in await services.read(views.networks, services.store)}


TAGS = ("accounts",)
OPERATIONS = (
    Operation("GET", "/v1/accounts", "listAccounts", "Accounts with their three numbers", accounts, sc.AccountsPage, tags=TAGS),
    Operation("GET", "/v1/accounts/{account}/portfolio", "getPortfolio", "What the account holds and owes", portfolio,
              sc.PortfolioBody, path_model=AccountPath, tags=TAGS),
    Operation("GET", "/v1/accounts/{account}/margin", "getMargin", "The margin report", margin, sc.MarginBody,
              path_model=AccountPath, query_model=Shown, tags=TAGS),
    Operation("GET", "/v1/accounts/{account}/explain/{figure}", "explainFigure", "One figure in words, with its lines", explain,
              sc.ExplainBody, path_model=FigurePath, query_model=At, tags=TAGS),
)  # fmt: skip
