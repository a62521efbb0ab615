"""Prices: one immutable snapshot of every feed as of a cut, with age and staleness. Pure.

A holding is valued at the feed of its own network. Conservatism lives here and only here: `low` for assets, `high` for debts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Price:
    """One feed's answer as of the cut. `value` USD per unit of the asset; times in seconds of that network's block time."""

    chain_id: int
    feed: str
    asset: str
    value: Decimal
    updated_at: int
    as_of: int
    heartbeat_s: int
    block_number: int

    @property
    def age_s(self) -> int:
        """Seconds of block time since the feed's update, never negative."""
        return max(0, self.as_of - self.updated_at)

    @property
    def stale(self) -> bool:
        """Older than the feed's own heartbeat."""
        return self.age_s > self.heartbeat_s


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All prices as of one cut, by (chain_id, feed name). `id` is a hash of the content: equal content, equal id."""

    prices: Mapping[tuple[int, str], Price]

    @property
    def id(self) -> str:
        text = "\n".join(
            f"{c}|{f}|{p.asset}|{p.value}|{p.updated_at}|{p.as_of}|{p.heartbeat_s}" for (c, f), p in sorted(self.prices.items())
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def get(self, chain_id: int, feed: str) -> Price | None:
        return self.prices.get((chain_id, feed))
