"""Needs: what the planner has to know of earlier actions: which are live, how often a need was served or failed, what is drawn.

Sequences come from what the networks told (ActionDone), not from our own rows: after lost history they are still right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text

from aggregator.store.db import Store

_LIVE = text(
    "select need_key from actions where deployment = :deployment and status in ('planned', 'dispatched', 'mined')"
)
_SEQUENCES = text(
    """
    select body->>'need_key', max((body->>'sequence')::bigint) + 1 from chain_events
    where deployment = :deployment and kind = 'ActionDone' and not orphaned group by 1
    """
)
_FAILURES = text(
    """
    select a.need_key, count(*), max(a.as_of_s) from actions a
    where a.deployment = :deployment and a.status in ('refused', 'reverted', 'expired') and a.planned_at > now() - interval '1 day'
      and not exists (
        select 1 from actions b where b.deployment = a.deployment and b.need_key = a.need_key and b.status = 'confirmed'
          and b.planned_at > a.planned_at)
    group by a.need_key
    """
)
# Draws that no network shows yet. A close-out pays its draw back in the same transaction.
_DRAWN = text(
    """
    select a.chain_id, a.safe, sum((a.body->>'draw_atoms')::numeric) from actions a
    join groups g on g.deployment = a.deployment and g.key = 'action:' || a.action_id and g.state = 'pending'
    where a.deployment = :deployment and a.status in ('planned', 'dispatched', 'mined') and a.kind <> 'close_out'
    group by a.chain_id, a.safe
    """
)


@dataclass(frozen=True, slots=True)
class Needs:
    """live: needs with a live action. sequences: next number on chain. failures: (failed in a row, block time of the last) by need.
    drawn: atoms that live actions will draw, by (chain id, safe)."""

    live: frozenset[str]
    sequences: Mapping[str, int]
    failures: Mapping[str, tuple[int, int]]
    drawn: Mapping[tuple[int, str], int]


def load_needs(store: Store) -> Needs:
    """All of one deployment, in one moment."""
    given = {"deployment": store.deployment}
    with store.snapshot() as conn:
        return Needs(
            frozenset(conn.execute(_LIVE, given).scalars()),
            {str(r[0]): int(r[1]) for r in conn.execute(_SEQUENCES, given)},
            {str(r[0]): (int(r[1]), int(r[2])) for r in conn.execute(_FAILURES, given)},
            {(int(r[0]), str(r[1])): int(r[2]) for r in conn.execute(_DRAWN, given)},
        )
