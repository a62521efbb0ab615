"""`key`: make an API key; the secret is shown once and only its digest is kept."""

from __future__ import annotations

import argparse

from aggregator.cli.context import configured, open_store
from aggregator.cli.output import print_json
from aggregator.errors import Rejected
from aggregator.store import keys

SCOPES = ("read", "simulate", "ticket", "admin")


def create(arguments: argparse.Namespace) -> int:
    """Make one key. Raises Rejected for an unknown scope."""
    scopes = [s.strip() for s in arguments.scopes.split(",") if s.strip()]
    if wrong := [s for s in scopes if s not in SCOPES]:
        raise Rejected(f"--scopes {wrong[0]!r} is unknown; choose from {', '.join(SCOPES)}")
    store = open_store(configured())
    token = keys.create(store, arguments.account, scopes)
    if arguments.json:
        print_json({"key": token, "account": arguments.account, "scopes": scopes})
    else:
        print(f"{token}\nKeep it: it is shown once. Send it as `Authorization: Bearer {token[:8]}...`.")
    return 0
