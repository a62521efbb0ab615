"""`portfolio`, `margin`, `explain`, `actions`, `verify`: what the API tells, as tables or JSON."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from decimal import Decimal

from aggregator.cli.context import configured, open_store
from aggregator.cli.output import print_json, short, table, usd
from aggregator.errors import NotFound
from aggregator.margin import explain as words
from aggregator.margin.report import MarginReport
from aggregator.store import queries, reports, views
from aggregator.store.db import Store
from aggregator.store.view_rows import AccountRow
from aggregator.units import decimal_of, plain


def _account(store: Store, name: str) -> tuple[AccountRow, MarginReport]:
    found = views.accounts(store, name)
    if not found:
        known = ", ".join(a.client for a in views.accounts(store)) or "none yet"
        raise NotFound(f"no account {name!r}; known are: {known}")
    if found[0].report is None:
        raise NotFound(f"{name} has not been assessed yet; is `isthmus run assess` running?")
    return found[0], words.from_json(dict(found[0].report.body))


def _as_of(report: MarginReport) -> str:
    return "as of " + ", ".join(f"{c}: {b.number:,} {short(b.hash)}" for c, b in sorted(report.as_of.cut.blocks.items()))


def portfolio(arguments: argparse.Namespace) -> int:
    """Holdings and debts of one account."""
    _, report = _account(open_store(configured()), arguments.account)
    if arguments.json:
        print_json(words.to_json(report)["values"])
        return 0
    rows = [
        (
            v.label,
            v.chain_id,
            v.place,
            plain(decimal_of(v.atoms, v.decimals)),
            "–" if v.price is None else f"{v.price:,.2f}",
            "–" if v.price_age_s is None else f"{v.price_age_s} s",
            usd(v.market_value_usd),
            v.state,
            f"{v.block_number:,}",
        )
        for v in report.values
    ]
    table(
        f"{arguments.account}, {_as_of(report)}",
        ["holding", "chain id", "place", "quantity", "price", "age", "value usd", "state", "block"],
        rows,
    )
    print(f"net liquidation value {usd(report.risk.net_liquidation_value)} USD")
    return 0


def margin(arguments: argparse.Namespace) -> int:
    """All accounts in one table, or one account in full."""
    store = open_store(configured())
    if arguments.account:
        return _margin_of(store, arguments)
    found = [(a, words.from_json(dict(a.report.body))) for a in views.accounts(store) if a.report]
    if arguments.json:
        print_json([{"account": a.client, **words.to_json(r)} for a, r in found])
        return 0
    rows = [
        (
            a.client,
            usd(r.risk.net_liquidation_value),
            usd(r.risk.initial_margin, up=True),
            usd(r.risk.maintenance_margin, up=True),
            usd(r.risk.available_margin),
            r.state.value,
            "–" if r.margin_ratio is None else f"{r.margin_ratio:.2f}",
            usd(r.capital_saved_usd),
        )
        for a, r in found
    ]
    table(
        "Accounts, USD",
        [
            "account",
            "net liq. value",
            "initial margin",
            "maint. margin",
            "available margin",
            "state",
            "margin ratio",
            "capital saved (usd)",
        ],
        rows,
    )
    return 0


def _margin_of(store: Store, arguments: argparse.Namespace) -> int:
    _, report = _account(store, arguments.account)
    if arguments.json:
        print_json(words.to_json(report))
        return 0
    risk = report.risk
    table(
        f"{arguments.account}: {report.state.value}, {_as_of(report)}",
        ["figure", "usd"],
        [
            ("net liquidation value", usd(risk.net_liquidation_value)),
            ("initial margin", usd(risk.initial_margin, up=True)),
            ("close-out target", usd(risk.close_out_target, up=True)),
            ("maintenance margin", usd(risk.maintenance_margin, up=True)),
            ("available margin", usd(risk.available_margin)),
            ("excess liquidity", usd(risk.excess_liquidity)),
            ("the venues alone ask", usd(report.requirement_alone_usd, up=True)),
            ("capital saved", usd(report.capital_saved_usd)),
        ],
    )
    table(
        "Requirement, line by line (binding: " + report.binding + ")",
        ["line", "initial usd", "maint. usd", "why"],
        [(n.name, usd(n.initial, up=True), usd(n.maintenance, up=True), n.why) for n in report.lines],
    )
    table(
        "Venues, each alone",
        ["position", "collateral usd", "debt usd", "health factor", "asks usd", "move to liquidation"],
        [
            (
                v.position,
                usd(v.collateral_usd),
                usd(v.debt_usd, up=True),
                "–" if v.health_factor is None else f"{v.health_factor:.3f}",
                usd(v.requirement_usd, up=True),
                "–" if v.move_to_liquidation_pct is None else f"{v.move_to_liquidation_pct:.1f} %",
            )
            for v in report.venues
        ],
    )
    table("Listed failures", ["name", "subject", "effect"], [(f.name, f.subject, f.effect) for f in report.failures], empty="none")
    return 0


def explain(arguments: argparse.Namespace) -> int:
    """One figure, line by line; without a figure the names."""
    _, report = _account(open_store(configured()), arguments.account)
    if not arguments.figure:
        names = words.figures(report)
        print_json(list(names)) if arguments.json else print("\n".join(names))
        return 0
    found = words.explain(report, arguments.figure)
    if arguments.json:
        print_json(asdict(found))
        return 0
    value = "does not exist" if found.value is None else plain(found.value)
    print(f"{found.figure} of {arguments.account}: {value}\n{found.sentence}\n{_as_of(report)}")
    table("Made of", ["line", "value", "why"], [(n.label, _plain(n.value), n.why) for n in found.lines])
    return 0


def _plain(value: Decimal | None) -> str:
    return "·" if value is None else plain(value)


def actions(arguments: argparse.Namespace) -> int:
    """What was decided and done."""
    found = queries.action_facts(open_store(configured()), arguments.account)
    if arguments.json:
        print_json([asdict(f) for f in found])
        return 0
    table(
        "Actions, oldest first",
        ["account", "kind", "chain id", "transaction", "block", "status", "done", "effect usd", "why"],
        [
            (
                f.client,
                f.kind,
                f.chain_id,
                short(f.tx_hash),
                f.block_number or "·",
                f.status,
                f"{f.executed_on_chain}×",
                usd(f.effect_usd),
                f.status_reason or f.reason,
            )
            for f in found
        ],
    )
    return 0


def verify(arguments: argparse.Namespace) -> int:
    """Recompute stored reports; exit 1 when one differs in any bit."""
    store = open_store(configured())
    newest = [a.report.id for a in views.accounts(store) if a.report]
    chosen = [arguments.report] if arguments.report is not None else newest
    found = [reports.verify(store, number) for number in chosen]
    if arguments.json:
        print_json([asdict(f) for f in found])
    else:
        table(
            "Reports recomputed from their inputs",
            ["report number", "account", "equal", "views that differ", "made by code"],
            [(f.report_id, f.client, "yes" if f.equal else "NO", ", ".join(f.differing) or "·", f.code_version) for f in found],
        )
    return 0 if all(f.equal for f in found) else 1
