"""How figures are written on the pages: U+2212 for minus, commas, rounding that never flatters, ages, short hashes.

A value shown is rounded against the client: what it has downward, what is required or owed upward. The exact value stands in the
title. Zero is `0`, nothing a middle dot, unknown an en dash.
"""

from __future__ import annotations

import re
from decimal import Decimal

from markupsafe import Markup

from aggregator.units import decimal_of, places_down, places_up, plain

MINUS, THIN, NOTHING, UNKNOWN = "\u2212", "\u202f", "\u00b7", "\u2013"
MILLION = Decimal(1_000_000)


def written(value: Decimal, places: int = 0) -> str:
    """An already rounded value with commas and a true minus."""
    text = f"{abs(value):,.{places}f}"
    return f"{MINUS}{text}" if value < 0 and any(c not in "0.," for c in text) else text


def has(value: Decimal, places: int = 0) -> str:
    """A value or an available amount, rounded down."""
    return written(places_down(value, places), places)


def needs(value: Decimal, places: int = 0) -> str:
    """A requirement, a debt or an asked amount, rounded up."""
    return written(places_up(value, places), places)


def change(value: Decimal) -> str:
    """A scenario result or a change: always signed, rounded down."""
    shown = places_down(value, 0)
    return f"+{written(shown)}" if shown > 0 else written(shown)


def million(value: Decimal, up: bool = False) -> str:
    """In millions (or thousands below one) for charts."""
    rounded = places_up if up else places_down
    if abs(value) >= MILLION:
        return f"{written(rounded(value / MILLION, 2), 2)}{THIN}M"
    if abs(value) >= 1000:
        return f"{written(rounded(value / 1000, 1), 1)}{THIN}k"
    return written(rounded(value, 0))


def ratio(value: Decimal | None) -> str:
    """Two decimals, rounded down; an en dash when there is none."""
    return UNKNOWN if value is None else written(places_down(value, 2), 2)


def percent(value: Decimal | None) -> str:
    """One decimal and a narrow space."""
    return UNKNOWN if value is None else f"{written(places_down(value, 1), 1)}{THIN}%"


def quantity(atoms: int, decimals: int) -> str:
    """At most three decimals, rounded down, without trailing zeros."""
    value = decimal_of(atoms, decimals)
    shown = has(value, 3)
    short = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return f"<{THIN}0.001" if short in ("0", "") and atoms > 0 else short


def price(value: Decimal | None) -> str:
    """Two decimals from one dollar on, five below two dollars."""
    if value is None:
        return UNKNOWN
    places = 2 if abs(value) >= 2 else 5
    return has(value, places)


def age(seconds: float | None) -> str:
    """3.1 s, 42 s, 14 m, 2 h 10 m, 3 d."""
    if seconds is None:
        return UNKNOWN
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} m"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} m" if minutes % 60 else f"{minutes // 60} h"
    return f"{minutes // (24 * 60)} d"


def whole_seconds(seconds: int | None) -> str:
    """An age in block time, which has whole seconds."""
    return UNKNOWN if seconds is None else f"{seconds} s" if seconds < 60 else age(seconds)


def short(text: str) -> Markup:
    """Hash or address: first and last four digits, the whole in the title."""
    if len(text) < 14:
        return Markup('<span class="mono">{}</span>').format(text)
    return Markup('<span class="mono" title="{}">{}\u2026{}</span>').format(text, text[:6], text[-4:])


def exact(value: Decimal | None) -> str:
    """The exact decimal, for titles."""
    return "" if value is None else plain(value)


def words(text: str) -> str:
    """A name in code as words: close_out -> close-out, credit_line -> credit line."""
    return text.replace("close_out", "close-out").replace("top_up", "top-up").replace("_", " ")


def prose(text: str) -> str:
    """A sentence of the engine as pages write it: true minus signs, whole dollars with commas, long hashes cut short."""
    text = re.sub(r"0x([0-9a-f]{4})[0-9a-f]{32,}([0-9a-f]{4})", "0x\\1\u2026\\2", text)
    text = re.sub(r"(?<![\w.])-(?=\d)", MINUS, text)
    return re.sub(r"\b(\d{4,})(?:\.\d{6}\b|(?:\.\d+)?(?= USD))", lambda m: f"{int(m[1]):,}", text)
