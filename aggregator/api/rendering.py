"""Rendering: templates, their filters, and static files by the hash of their content.

Static addresses carry the hash, so that browsers keep them for ever; what a template writes is escaped unless it is our own markup.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aggregator.api import figures as f
from aggregator.api import pictures
from aggregator.api.board import Account, Board
from aggregator.margin.explain import explain

WEB: Final = Path(__file__).parent / "web"
TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".woff2": "font/woff2", ".txt": "text/plain"}
OVERVIEW: Final = ("cut", "book", "desk", "accounts", "networks", "machine", "actions", "events")
ACCOUNT: Final = ("cut", "title", "call", "three", "falls", "venues", "scenarios", "positions", "saved", "happened", "client")
ICONS: Final = {
    "home": "M2 9.5 8 3l6 6.5M4 8v5h8V8",
    "person": "M8 8a2.600 2.600 0 1 0 0-5.200A2.600 2.600 0 0 0 8 8zM3 13.500c.6-2.600 2.500-4 5-4s4.400 1.400 5 4",
    "alarm": "M8 2 14.500 13.500h-13zM8 6.500v3.500M8 11.800v.1",
    "graph": "M3.500 5a1.500 1.500 0 1 0 0-3 1.500 1.500 0 0 0 0 3zM12.500 14a1.500 1.500 0 1 0 0-3 1.500 1.500 0 0 0 0 3z"
    "M12.500 5a1.500 1.500 0 1 0 0-3 1.500 1.500 0 0 0 0 3zM5 3.500h6M4.500 4.700l7 6.800M12.500 5v6",
    "send": "M2 8h9M8 4.500 11.500 8 8 11.500M14 3v10",
    "page": "M4 2h6l3 3v9H4zM10 2v3h3M6 8h5M6 11h5",
}


def icon(name: str) -> Markup:
    """A line drawing beside a word."""
    return Markup(f'<svg class="i" viewBox="0 0 16 16" aria-hidden="true"><path d="{ICONS[name]}"/></svg>')


@cache
def static_files() -> Mapping[str, tuple[bytes, str, str]]:
    """Every static file by name: content, content type, hash."""
    found = {}
    folder = WEB / "static"
    for path in sorted(p for p in folder.rglob("*") if p.suffix in TYPES):
        content = path.read_bytes()
        found[path.relative_to(folder).as_posix()] = (content, TYPES[path.suffix], hashlib.sha256(content).hexdigest())
    return found


def static(name: str) -> str:
    """Address of a static file."""
    return f"/static/{name}?v={static_files()[name][2][:12]}"


def brief(text: str) -> str:
    """The first reason of several, shortened; the whole stands in the title."""
    first = text.split("; ")[0]
    return first if len(first) <= 64 else first[:63].rstrip() + "\u2026"


@cache
def environment() -> Environment:
    """Templates with the pages' own filters."""
    made = Environment(loader=FileSystemLoader(WEB / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                       lstrip_blocks=True)  # fmt: skip
    made.filters |= {"has": f.has, "needs": f.needs, "ratio": f.ratio, "percent": f.percent, "price": f.price, "age": f.age,
                     "seconds": f.whole_seconds, "short": f.short, "exact": f.exact, "words": f.words, "brief": brief,
                     "prose": f.prose, "change": f.change}
    made.globals |= {"icon": icon, "static": static, "room": pictures.room, "three": pictures.three, "falls": pictures.falls,
                     "bar": pictures.bar, "quantity": f.quantity}
    return made


def account_values(account: Account, figure: str = "") -> dict[str, Any]:
    """What the account's templates read. Raises NotFound for a figure that the report lacks."""
    zero, report = Decimal(0), account.report
    values = [v.market_value_usd for v in report.values] if report else []
    explanation = explain(report, figure) if report and figure else None
    sizes = [abs(line.value) for line in explanation.lines if line.value is not None] if explanation else []
    return {
        "a": account, "assets": sum((v for v in values if v > 0), zero), "debts": -sum((v for v in values if v < 0), zero),
        "stressed": sum((v.stressed_requirement_usd for v in report.venues), zero) if report else zero,
        "x": explanation, "most": max(sizes, default=zero),
    }  # fmt: skip


def panel(name: str, board: Board, values: Mapping[str, Any]) -> str:
    """One panel as it stands on its page, without surrounding blanks."""
    return environment().get_template(f"panels/{name}.html").render(b=board, **values).strip()


def page(template: str, board: Board | None, values: Mapping[str, Any]) -> str:
    """A whole page."""
    return environment().get_template(template).render(b=board, **values)
