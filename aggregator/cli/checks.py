"""`test`: the three gates, in order: ruff, mypy --strict, pytest."""

from __future__ import annotations

import argparse


def run(arguments: argparse.Namespace) -> int:
    """Hands all further arguments to pytest."""
    from aggregator.local import checks

    return checks.run(arguments.rest)
