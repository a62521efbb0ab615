"""`config show`: every setting, where it came from, secrets masked."""

from __future__ import annotations

import argparse

from aggregator import settings
from aggregator.cli.output import print_json, table


def run(arguments: argparse.Namespace) -> int:
    """Print the effective settings."""
    rows = settings.shown(settings.load())
    if arguments.json:
        print_json([{"name": n, "value": v, "source": s, "about": a} for n, v, s, a in rows])
    else:
        table("Settings (change one with ISTHMUS_<NAME> or in isthmus.toml)", ["setting", "value", "from", "what it is"], rows)
    return 0
