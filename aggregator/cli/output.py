"""Tables for people, JSON for programs. Money is shown with thousands, never rounded in the reader's favour by this module:
it prints what it is given."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

RIGHT = ("usd", "atoms", "quantity", "price", "health", "ms", "block", "head", "finalised", "number", "value", "margin", "age")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing yet") -> None:
    """A table on standard output; figures are right-aligned by their column's name."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160)
    out = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = any(word in column.lower() for word in RIGHT)
        out.add_column(column, justify="right" if right else "left", no_wrap=right, overflow="fold")
    listed = [[Text(str(cell)) for cell in row] for row in rows]
    for row in listed:
        out.add_row(*row)
    console.print(Text(title if listed else f"{title}: {empty}", style="bold" if listed else ""))
    if listed:
        console.print(out)


def usd(value: Decimal | str | None, *, up: bool = False) -> str:
    """Whole dollars with thousands; `up` for requirements and debts, else down; the minus sign is U+2212."""
    if value is None:
        return "–"
    number = Decimal(value).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR)
    return f"{number:,}".replace("-", "\u2212")


def short(hex_text: str | None) -> str:
    """First and last four hex digits of a hash or address."""
    return f"{hex_text[:6]}…{hex_text[-4:]}" if hex_text and len(hex_text) > 14 else hex_text or "·"
