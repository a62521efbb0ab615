"""What the story reads of the running deployment: stored reports, actions, ledger accounts. Plain values, nothing decided."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from aggregator.ledger.accounts import parse
from aggregator.local.story_stage import StoryFailed
from aggregator.margin.explain import from_json
from aggregator.margin.report import MarginReport
from aggregator.store import queries, views
from aggregator.store.db import Store
from aggregator.units import decimal_of, usd_down

TIMES = (("price_to_plan", "planned_at"), ("price_to_signed", "signed_at"), ("price_to_mined", "mined_at"))


def actions(store: Store, client: str | None) -> list[dict[str, Any]]:
    """Actions as plain rows, oldest first."""
    return [asdict(fact) for fact in queries.action_facts(store, client)]


def report_of(store: Store, client: str) -> MarginReport:
    """The latest margin report. Raises StoryFailed before the first."""
    found = views.accounts(store, client)
    if not found or found[0].report is None:
        raise StoryFailed(f"{client} has no margin report yet")
    return from_json(dict(found[0].report.body))


def margin(store: Store, client: str) -> dict[str, Any]:
    """The latest report as the story uses it: numbers, state, block per network; zeros and no blocks before the first."""
    found = views.accounts(store, client)
    if not found or found[0].report is None:
        return {"blocks": {}, "state": "ok", "net_liquidation_value": Decimal(0), "close_out_target": Decimal(0)}
    report = from_json(dict(found[0].report.body))
    risk = report.risk
    return {
        "blocks": {int(c): b.number for c, b in report.as_of.cut.blocks.items()},
        "state": report.state.value,
        "net_liquidation_value": risk.net_liquidation_value,
        "initial_margin": risk.initial_margin,
        "maintenance_margin": risk.maintenance_margin,
        "close_out_target": risk.close_out_target,
        "requirement_alone": report.requirement_alone_usd,
        "capital_saved": report.capital_saved_usd,
        "coverage": report.coverage,
        "line_debt": sum((-v.market_value_usd for v in report.values if v.place == "credit_line"), Decimal(0)),
    }


def revalued(report: MarginReport, asset: str, price: float) -> Decimal:
    """Net liquidation value of a report's holdings with one asset at another price; everything else as reported, USD."""
    total = Decimal(0)
    for line in report.values:
        moved = line.asset == asset
        sign = -1 if line.side == "debt" else 1
        total += sign * decimal_of(line.atoms, line.decimals) * Decimal(str(price)) if moved else line.market_value_usd
    return usd_down(total)


def stage_row(found: dict[str, Any]) -> dict[str, Any]:
    """One stage of an account, as the JSON report holds it: decimal strings."""
    return {
        "net_liquidation_value_usd": str(found["net_liquidation_value"]),
        "initial_margin_usd": str(found["initial_margin"]),
        "maintenance_margin_usd": str(found["maintenance_margin"]),
        "close_out_target_usd": str(found["close_out_target"]),
        "state": found["state"],
        "requirement_alone_usd": str(found["requirement_alone"]),
        "capital_saved_usd": str(found["capital_saved"]),
        "coverage": None if found["coverage"] is None else str(found["coverage"]),
        "blocks": found["blocks"],
    }


def line_debt_usd(store: Store, client: str) -> float:
    """What a client owes all credit lines, USD, as of its latest report."""
    return float(margin(store, client).get("line_debt", Decimal(0)))


def liquidations(store: Store, client: str) -> list[dict[str, Any]]:
    """What protocols seized from a client."""
    return queries.liquidations(store, client)


def in_transit(store: Store, client: str) -> dict[str, Any] | None:
    """The ledger accounts that hold a client's quantity in transit, or None while there is none."""
    standing = queries.standing_in_transit(store, client)
    if not standing:
        return None
    return {"accounts": len(standing), "atoms": sum(a for _, a in standing), "places": [parse(k).place for k, _ in standing]}


def slot_of(store: Store, tx_hash: str) -> dict[str, Any]:
    """State of the slot that holds these bytes."""
    return queries.slot_of(store, tx_hash)


def hashes_of_slot(store: Store, tx_hash: str) -> tuple[str, ...]:
    """Every hash signed for the slot that holds these bytes."""
    return queries.hashes_of_slot(store, tx_hash)


def orphaned_groups(store: Store, chain_id: int, hashes: list[str]) -> list[dict[str, Any]]:
    """Groups voided with these blocks."""
    return queries.voided_in(store, chain_id, hashes)


def pending_groups(store: Store) -> int:
    """Groups from networks that are not final yet."""
    return queries.pending_count(store)


def actions_report(store: Store) -> list[dict[str, Any]]:
    """Actions as the JSON report holds them."""
    kept = ("action_id", "kind", "chain_id", "tx_hash", "block_hash", "block_number", "status", "executed_on_chain", "reason")
    return [
        {"account": f.client, **{k: getattr(f, k) for k in kept}, "effect_usd": str(f.effect_usd), "cost_usd": str(f.cost_usd)}
        for f in queries.action_facts(store)
    ]


def timings(store: Store, client: str) -> dict[str, float]:
    """Milliseconds from the price's adoption to plan, signature and block of the client's first top-up; {} without one."""
    first = next((f for f in queries.action_facts(store, client) if f.kind == "top_up" and f.price_seen_at), None)
    if first is None or first.price_seen_at is None:
        return {}
    found = {}
    for name, column in TIMES:
        moment = getattr(first, column)
        if moment is not None:
            found[name] = round((moment - first.price_seen_at).total_seconds() * 1000, 1)
    return found
