"""The demo's report as tables: what happened, why, and what it cost."""

from __future__ import annotations

from typing import Any

from aggregator.cli.output import short, table, usd


def show(found: dict[str, Any]) -> None:
    """Print all tables of a report."""
    table(
        "Networks",
        ["chain id", "endpoint", "head", "finalised"],
        [(n["chain_id"], n["rpc_url"], n["head"], n["finalized"]) for n in found["networks"]],
    )
    _accounts(found)
    _actions(found)
    table(
        "Refused on chain, each for its own reason",
        ["what", "chain", "reason"],
        [(r["what"], r["chain_id"], r["reason"]) for r in found["refusals"]],
    )
    table(
        "Faults",
        ["fault", "recovered"],
        [(f["kind"], "yes" if f["recovered"] else "NO") for f in found["faults"]],
        empty="none in this run",
    )
    if found["saving"]:
        saving = found["saving"]
        print(f"Without the planner {saving['client']} lost {saving['net_liquidation_value_lost_usd']} USD to the liquidator.")
    times = found["timings_ms"]
    print("First top-up, after the price was seen: " + ", ".join(f"{k.removeprefix('price_to_')} {v} ms" for k, v in times.items()))
    rec = found["reconcile"]
    print(f"Reconciled {rec['holdings_checked']} holdings of {rec['accounts_checked']} accounts: {len(rec['drift'])} drift.")
    broken = [c for c in found["checks"] if not c["holds"]]
    print(f"{len(found['checks']) - len(broken)} of {len(found['checks'])} promises held in {found['seconds']} s.")
    for check in broken:
        print(f"  BROKEN: {check['name']}: {check['detail']}")


def _accounts(found: dict[str, Any]) -> None:
    rows = [
        (
            a["account"],
            s["name"],
            usd(s["net_liquidation_value_usd"]),
            usd(s["initial_margin_usd"], up=True),
            usd(s["maintenance_margin_usd"], up=True),
            s["state"],
            usd(s["requirement_alone_usd"], up=True),
            usd(s["capital_saved_usd"]),
            "–" if s["coverage"] is None else f"{float(s['coverage']):.2f}",
        )
        for a in found["accounts"]
        for s in a["stages"]
    ]
    table(
        "Accounts, USD",
        [
            "account",
            "when",
            "net liq. value",
            "initial margin",
            "maint. margin",
            "state",
            "venues alone (usd)",
            "capital saved (usd)",
            "coverage",
        ],
        rows,
    )


def _actions(found: dict[str, Any]) -> None:
    table(
        "Actions",
        ["account", "kind", "chain", "transaction", "status", "done", "effect usd", "cost usd", "why"],
        [
            (
                a["account"],
                a["kind"],
                a["chain_id"],
                short(a["tx_hash"]),
                a["status"],
                f"{a['executed_on_chain']}×",
                usd(a["effect_usd"]),
                usd(a["cost_usd"], up=True),
                a["reason"],
            )
            for a in found["actions"]
        ],
        empty="none: nothing had to be done",
    )
