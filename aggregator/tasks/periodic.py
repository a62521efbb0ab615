"""What is due by the clock alone: reconcile, and a second look at the newest report. Rung by whichever scanner comes first.

A lease named after the job and held for one period is the whole schedule: many scanners, no beat, at most one ring per period.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aggregator import clock
from aggregator.errors import LeaseHeld
from aggregator.store import leases, reports
from aggregator.store.db import Store
from aggregator.tasks.app import QUEUES, RECONCILE, REPORTS, app


@dataclass
class Periodic:
    """The jobs of one scanner. `turn` is cheap between periods."""

    store: Store
    holder: str
    period_s: float
    due_ms: float = field(default_factory=clock.ticks_ms)

    def __post_init__(self) -> None:
        self.due_ms += self.period_s * 1000

    def turn(self) -> tuple[str, ...]:
        """Ring for every job whose period is over and that nobody else rang for; returns their names. Raises as the broker does."""
        if clock.ticks_ms() < self.due_ms:
            return ()
        self.due_ms = clock.ticks_ms() + self.period_s * 1000
        jobs: dict[str, Callable[[], None]] = {"reconcile": self._reconcile, "verify": self._verify}
        return tuple(name for name, ring in jobs.items() if self._once(name, ring))

    def _once(self, name: str, ring: Callable[[], None]) -> bool:
        try:
            leases.acquire(self.store, f"every:{name}", self.holder, self.period_s)
        except LeaseHeld:
            return False
        ring()
        return True

    def _reconcile(self) -> None:
        app.send_task(RECONCILE, args=[], queue=QUEUES[RECONCILE])

    def _verify(self) -> None:
        for number in reports.newest_ids(self.store, 1):
            app.send_task(REPORTS, args=[number], queue=QUEUES[REPORTS])
