"""`reconcile`: every holding against its network at a finalised block hash; exit 1 and names when something drifted."""

from __future__ import annotations

import argparse
import asyncio

from aggregator.cli.context import configured, networks_of, open_store, rpcs_of
from aggregator.cli.output import print_json, short, table
from aggregator.tasks.reconcile import ReconcileReport, reconcile


def run(arguments: argparse.Namespace) -> int:
    """Reconcile now. Returns 1 on drift, or when a network could not be read."""
    found = asyncio.run(_reconcile(arguments))
    if arguments.json:
        print_json(found.body())
    else:
        _tables(found)
    return 1 if found.drift or found.failures else 0


async def _reconcile(arguments: argparse.Namespace) -> ReconcileReport:
    config = configured()
    store, networks = open_store(config), networks_of(config, arguments.network)
    rpcs = rpcs_of(config, networks)
    try:
        return await reconcile(store, rpcs, networks)
    finally:
        for rpc in rpcs.values():
            await rpc.close()
        store.close()


def _tables(found: ReconcileReport) -> None:
    body = found.body()
    table(
        "Read at these finalised blocks",
        ["chain id", "block", "hash"],
        [(c, b["number"], b["hash"]) for c, b in body["cut"].items()],
    )
    table("Networks that could not be read", ["chain id", "why"], found.failures, empty="none")
    rows = [
        (d["account"], d["client"], d["chain_id"], short(d["safe"]), d["ledger_atoms"], d["network_atoms"]) for d in body["drift"]
    ]
    table(
        "Drift",
        ["ledger account", "client", "chain id", "safe", "ledger atoms", "network atoms"],
        rows,
        empty=f"none: {body['holdings_checked']} holdings of {body['accounts_checked']} accounts equal their networks",
    )
