"""The only reader of the machine's time. Deadlines never use it: they are compared with block timestamps."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Wall clock, UTC."""
    return datetime.now(UTC)


def now_s() -> float:
    """Wall clock, seconds since 1970."""
    return time.time()


def ticks_ms() -> float:
    """Monotonic milliseconds, for durations."""
    return time.monotonic() * 1000.0
