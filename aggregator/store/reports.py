"""Margin reports: stored by reference to what they were made from, recomputed bit for bit by `verify`.

Invariants: a report's market snapshot and parameter set are rows of their own, named by a hash of their content; its inputs hold
the portfolio of every view; a row is never changed. One report per client and decision epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert as upsert

from aggregator.errors import NotFound
from aggregator.margin import codec, explain
from aggregator.margin.engine import assess
from aggregator.margin.parameters import Parameters
from aggregator.margin.report import MarginReport
from aggregator.market.prices import Snapshot
from aggregator.portfolio.portfolio import Portfolio
from aggregator.store.db import Store
from aggregator.store.event_log import NewEvent, append
from aggregator.store.tables import market_snapshots, parameter_sets, reports
from aggregator.version import VERSION

HEAD = "head"


@dataclass(frozen=True, slots=True)
class Assessed:
    """One client's reports by the name of their view ('head' is the one shown), with the portfolios they were made from."""

    client: str
    views: Mapping[str, tuple[Portfolio, MarginReport]]

    @property
    def head(self) -> MarginReport:
        return self.views[HEAD][1]


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a stored report came out again; `differing` names the views that did not."""

    report_id: int
    client: str
    differing: tuple[str, ...]
    code_version: str

    @property
    def equal(self) -> bool:
        return not self.differing


def save_market(conn: Connection, deployment: str, market: Snapshot, parameters: Parameters) -> None:
    """Keep what reports refer to; what is there already stays. Inside the caller's transaction."""
    for table, name, value in ((market_snapshots, market.id, market), (parameter_sets, parameters.id, parameters)):
        row = upsert(table).values(deployment=deployment, id=name, body=codec.encode(value))
        conn.execute(row.on_conflict_do_nothing())


def save(conn: Connection, deployment: str, found: Sequence[Assessed]) -> dict[str, int]:
    """Write reports; one for an epoch that has one is left out. Returns row ids by client. Inside the caller's transaction."""
    ids: dict[str, int] = {}
    for one in found:
        report = one.head
        body = upsert(reports).values(
            deployment=deployment, client=one.client, epoch=report.as_of.key(), cut=codec.encode(report.as_of.cut),
            market_id=report.as_of.market_id, parameters_id=report.as_of.parameters_id, code_version=VERSION,
            inputs={"views": {name: codec.encode(portfolio) for name, (portfolio, _) in one.views.items()},
                    "digests": {name: explain.digest(made) for name, (_, made) in one.views.items()}},
            body=explain.to_json(report), digest=explain.digest(report), state=report.state.value,
            net_liquidation_value=report.risk.net_liquidation_value, initial_margin=report.risk.initial_margin,
            maintenance_margin=report.risk.maintenance_margin,
        )  # fmt: skip
        row = conn.execute(body.on_conflict_do_nothing().returning(reports.c.id)).one_or_none()
        if row is not None:
            ids[one.client] = int(row.id)
    return ids


def latest(store: Store, client: str) -> MarginReport | None:
    """The newest stored report of a client, head view."""
    query = select(reports.c.body).where(reports.c.deployment == store.deployment, reports.c.client == client)
    with store.snapshot() as conn:
        body = conn.execute(query.order_by(reports.c.id.desc()).limit(1)).scalar()
        return explain.from_json(body) if body is not None else None


def inputs(store: Store, report_id: int) -> tuple[dict[str, Portfolio], Snapshot, Parameters]:
    """(portfolio by view, market, parameters) of a stored report. Raises NotFound."""
    with store.snapshot() as conn:
        row = _row(conn, store.deployment, report_id)
        return _inputs(conn, store.deployment, row)


def verify(store: Store, report_id: int) -> Verified:
    """Compute every view of a stored report again from its inputs and compare digests. Raises NotFound."""
    with store.snapshot() as conn:
        row = _row(conn, store.deployment, report_id)
        portfolios, market, parameters = _inputs(conn, store.deployment, row)
    told: Mapping[str, str] = row.inputs["digests"]
    made = {name: explain.digest(assess(portfolio, market, parameters)) for name, portfolio in portfolios.items()}
    differing = tuple(sorted(name for name in set(told) | set(made) if told.get(name) != made.get(name)))
    if row.digest != told.get(HEAD):
        differing = (*differing, "row")
    return Verified(report_id, row.client, differing, row.code_version)


def tell_difference(store: Store, found: Verified) -> None:
    """Write a 'report.differs' event: the desk has to find out which code or row changed."""
    body = {"report_id": found.report_id, "views": list(found.differing), "code_version": found.code_version}
    with store.transaction() as conn:
        append(conn, store.deployment, [NewEvent("report.differs", 0, found.client, str(found.report_id), body)])


def newest_ids(store: Store, limit: int = 20) -> tuple[int, ...]:
    """Row ids of the newest reports of all clients."""
    query = select(reports.c.id).where(reports.c.deployment == store.deployment).order_by(reports.c.id.desc()).limit(limit)
    with store.snapshot() as conn:
        return tuple(int(i) for i in conn.execute(query).scalars())


def _row(conn: Connection, deployment: str, report_id: int) -> Any:
    row = conn.execute(select(reports).where(reports.c.deployment == deployment, reports.c.id == report_id)).one_or_none()
    if row is None:
        raise NotFound(f"no report {report_id} in deployment {deployment}; GET /v1/accounts/<client>/margin names the newest")
    return row


def _inputs(conn: Connection, deployment: str, row: Any) -> tuple[dict[str, Portfolio], Snapshot, Parameters]:
    market = conn.execute(
        select(market_snapshots.c.body).where(market_snapshots.c.deployment == deployment, market_snapshots.c.id == row.market_id)
    ).scalar_one()
    parameters = conn.execute(
        select(parameter_sets.c.body).where(parameter_sets.c.deployment == deployment, parameter_sets.c.id == row.parameters_id)
    ).scalar_one()
    views = {name: codec.decode(Portfolio, body) for name, body in row.inputs["views"].items()}
    return views, codec.decode(Snapshot, market), codec.decode(Parameters, parameters)
