"""EIP-1559 fees in whole wei: what to offer first, and what a replacement must offer.

Pure. A replacement raises both fees by at least `bump_bps` (nodes want 10 %, the network file asks a little more); neither ever
passes the cap. The cap is limits.max_fee_gwei of the network's file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from chains.errors import FeeAboveLimit

GWEI = 10**9
LEAST_PRIORITY = GWEI // 100
HISTORY_BLOCKS = 5
HISTORY_PERCENTILE = 50
ALL_BPS = 10_000


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei per gas."""

    max_fee: int
    priority_fee: int


def history_request() -> tuple[str, list[Any]]:
    """The request whose answer `market` reads."""
    return "eth_feeHistory", [hex(HISTORY_BLOCKS), "latest", [HISTORY_PERCENTILE]]


def market(history: Mapping[str, Any]) -> tuple[int, int]:
    """(base fee of the next block, usual priority fee) from an eth_feeHistory answer."""
    base = int(history["baseFeePerGas"][-1], 16)
    tips = [int(tip[0], 16) for tip in history.get("reward") or [] if tip]
    return base, max(median_low(tips) if tips else 0, LEAST_PRIORITY)


def first_offer(history: Mapping[str, Any], cap: int) -> Fees:
    """Twice the base fee plus the usual tip, at most `cap`. Raises FeeAboveLimit when not even one base fee plus tip fits."""
    base, tip = market(history)
    if base + tip > cap:
        raise FeeAboveLimit(f"the next block asks {base + tip} wei per gas, limits.max_fee_gwei allows {cap}: wait or raise it")
    return Fees(min(2 * base + tip, cap), tip)


def replacement(last: Fees, history: Mapping[str, Any], bump_bps: int, cap: int) -> Fees | None:
    """Fees that replace `last` and suit the market, or None when the cap leaves no room: then the old bytes are sent again."""
    base, tip = market(history)
    least = Fees(*(-(-fee * (ALL_BPS + bump_bps) // ALL_BPS) for fee in (last.max_fee, last.priority_fee)))
    wanted = Fees(max(least.max_fee, min(2 * base + tip, cap)), max(least.priority_fee, min(tip, cap)))
    return wanted if max(wanted.max_fee, wanted.priority_fee) <= cap else None
