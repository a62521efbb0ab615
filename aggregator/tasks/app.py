"""The Celery application: one dispatch queue per network, and settle, reconcile and reports.

Losing, doubling or delaying a task changes nothing: rows say what is due, and every worker scans them (aggregator.tasks.scan). So
there are no results, no retries, no ETAs and no beat; messages are JSON with one id. Importing this module is light.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, cast

from celery import Celery

from aggregator import settings as settings_module
from aggregator.settings import Settings

VISIBILITY_S: Final = 60
DISPATCH, SETTLE, RECONCILE, REPORTS = "isthmus.dispatch", "isthmus.settle", "isthmus.reconcile", "isthmus.reports"
QUEUES: Final = {SETTLE: "settle", RECONCILE: "reconcile", REPORTS: "reports"}
MODULES = (
    "aggregator.tasks.dispatch", "aggregator.tasks.settle", "aggregator.tasks.reconciling", "aggregator.tasks.reports",
    "aggregator.tasks.worker",
)  # fmt: skip
F = TypeVar("F", bound=Callable[..., None])

app = Celery("isthmus", include=list(MODULES))


def configure(settings: Settings) -> None:
    """Point the application at a broker. Without one nothing is rung; scanners then run what is due themselves."""
    shared = {
        "visibility_timeout": VISIBILITY_S, "socket_timeout": 5, "socket_connect_timeout": 2, "socket_keepalive": True,
        "max_retries": 1, "interval_start": 0, "interval_step": 0.1, "interval_max": 0.1,
    }  # fmt: skip
    app.conf.update(
        broker_url=settings.broker_url or "memory://",
        task_serializer="json", result_serializer="json", accept_content=["json"], task_ignore_result=True,
        task_store_errors_even_if_ignored=False, task_acks_late=True, task_reject_on_worker_lost=True,
        task_publish_retry=False, task_create_missing_queues=True, task_default_queue=QUEUES[SETTLE],
        task_queue_max_priority=None, worker_prefetch_multiplier=1, worker_hijack_root_logger=False,
        worker_enable_remote_control=False, worker_send_task_events=False, worker_soft_shutdown_timeout=3.0,
        worker_enable_soft_shutdown_on_idle=True, worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True, broker_transport_options=shared, visibility_timeout=VISIBILITY_S,
        result_backend_transport_options={"visibility_timeout": VISIBILITY_S}, timezone="UTC", enable_utc=True,
    )  # fmt: skip


configure(settings_module.load())


def dispatch_queue(chain_id: int) -> str:
    """The queue of one network's dispatch tasks; workers choose with -Q which networks they serve."""
    return f"dispatch.{chain_id}"


def task(name: str) -> Callable[[F], F]:
    """Registers a function as a task under a fixed name, typed."""

    def register(function: F) -> F:
        return cast(F, app.task(name=name)(function))

    return register


def ring(chain_id: int, action_id: str) -> None:
    """Ask the workers of one network to dispatch an action. Raises what the broker raises: the caller may ignore it."""
    app.send_task(DISPATCH, args=[action_id], queue=dispatch_queue(chain_id))


def ring_settle(action_id: str) -> None:
    """Ask a worker to look at an action's slot."""
    app.send_task(SETTLE, args=[action_id], queue=QUEUES[SETTLE])


def work(settings: Settings, serve: tuple[str, ...] = (), pool: str = "threads", concurrency: int = 4) -> int:
    """Run a worker in the foreground until SIGTERM or Ctrl-C: the queues in `serve`, or all of the settings' networks.

    With a pool that forks, children read their settings from the environment, as a worker started by `celery -A` does.
    """
    from aggregator.tasks import runtime

    configure(settings)
    runtime.use(settings)
    arguments = ["worker", "--pool", pool, "--concurrency", str(concurrency), "--loglevel", "WARNING", "--without-gossip",
                 "--without-mingle", "--without-heartbeat", "--queues", ",".join(serve or queues(settings.networks))]  # fmt: skip
    app.worker_main(arguments)
    return 0


def queues(networks: tuple[int, ...]) -> tuple[str, ...]:
    """Every queue of a deployment with these networks, for a worker that serves all of it."""
    return (*(dispatch_queue(c) for c in networks), *QUEUES.values())
