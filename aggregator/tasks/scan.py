"""The due-row scan behind every doorbell: one thread in every worker, all alike, none in charge.

Rows are claimed with SKIP LOCKED, so any number of scanners share them and losing one loses nothing. What is due is asked of the
broker; when the broker does not take it, or a planned action has waited too long although it was rung, the scanner does the work
itself if its worker serves that queue. It also checks at the start that the network's nonces are ours.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Collection
from typing import Any, ClassVar

from celery import bootsteps
from kombu.exceptions import OperationalError

from aggregator.errors import IsthmusError
from aggregator.store import actions
from aggregator.store.actions import Due
from aggregator.store.event_log import Listener
from aggregator.tasks import chain_state
from aggregator.tasks.app import QUEUES, SETTLE, dispatch_queue, ring, ring_settle
from aggregator.tasks.dispatch import dispatch_action
from aggregator.tasks.periodic import Periodic
from aggregator.tasks.runtime import Runtime, current
from aggregator.tasks.settle import settle_action
from chains.errors import ChainError

LOG = logging.getLogger(__name__)
PERIOD_S = 0.25
AGAIN_MIN_S, AGAIN_MAX_S = 0.25, 4.0


class Scanner:
    """Looks for due rows of the networks of its settings until `stop`. `queues`: what this worker consumes."""

    def __init__(self, runtime: Runtime, queues: Collection[str]) -> None:
        self.runtime = runtime
        self.queues = frozenset(queues)
        self.periodic = Periodic(runtime.store, f"{socket.gethostname()}:{os.getpid()}", runtime.settings.reconcile_ms / 1000)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="isthmus-scan", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end and wait for the round it is in."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        checked = False
        listener = Listener(self.runtime.store)
        while not self._stop.is_set():
            try:
                checked = checked or self.check_lanes()
                self.scan()
                listener.wait(PERIOD_S)
            except (IsthmusError, ChainError, TimeoutError) as error:
                LOG.warning("scan waits: %s", error)
                self._stop.wait(1.0)
            except Exception:  # the scanner's boundary: a fault of ours must not end the only one who finds lost rows
                LOG.exception("scan failed; it goes on")
                self._stop.wait(1.0)
        listener.close()

    def check_lanes(self) -> bool:
        """Compare the network's nonces with our slots, for every network this worker dispatches to. True when all were asked.

        What the first dispatch would have to ask is asked here too, so that it need not wait.
        """
        for chain_id in self.runtime.networks:
            if dispatch_queue(chain_id) in self.queues and self.runtime.settings.gas_key:
                self.runtime.run(chain_state.planner_threshold(self.runtime, chain_id))
                reason = self.runtime.run(chain_state.check_lane(self.runtime, chain_id))
                if reason is not None:
                    LOG.error("network %s: lane quarantined: %s", chain_id, reason)
        return True

    def scan(self) -> int:
        """One round over all networks. Returns how many rows were due. Raises Retryable."""
        found = 0
        try:
            self.periodic.turn()
        except OperationalError as error:
            LOG.warning("the broker does not take the periodic tasks: %s", error)
        for chain_id, network in self.runtime.networks.items():
            again_s = min(max(network.block_time_ms / 2000, AGAIN_MIN_S), AGAIN_MAX_S)
            for due in actions.due(self.runtime.store, chain_id, again_s):
                found += 1
                self._serve(chain_id, due)
        return found

    def _serve(self, chain_id: int, due: Due) -> None:
        """Ring for one row; do it here when that fails or has not helped."""
        to_dispatch = due.task == "dispatch"
        queue = dispatch_queue(chain_id) if to_dispatch else QUEUES[SETTLE]
        try:
            if self.runtime.settings.broker_url and not (due.overdue and queue in self.queues):
                ring(chain_id, due.action_id) if to_dispatch else ring_settle(due.action_id)
                return
        except OperationalError as error:
            LOG.warning("the broker does not take %s of %s: %s", due.task, due.action_id, error)
        if queue not in self.queues:
            return
        work = dispatch_action if to_dispatch else settle_action
        try:
            self.runtime.run(work(self.runtime, due.action_id))
        except (IsthmusError, ChainError, TimeoutError) as error:
            LOG.error("%s of %s failed: %s", due.task, due.action_id, error)


class ScanStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no type hints, so the base class is Any.
    """Runs a Scanner beside the consumer of every worker, in the process that stays when children are replaced."""

    requires: ClassVar[set[str]] = {"celery.worker.components:Pool"}

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self.scanner: Scanner | None = None

    def start(self, parent: Any) -> None:
        """Begin to scan; the queues are those that the worker was told to serve."""
        self.scanner = Scanner(current(), [str(name) for name in parent.app.amqp.queues.consume_from])
        self.scanner.start()

    def stop(self, parent: Any) -> None:
        """End the scan before the consumer ends."""
        if self.scanner is not None:
            self.scanner.stop()
