"""The reconcile task: every holding against its network, at finalised blocks. What it finds stands in the database."""

from __future__ import annotations

import logging

from aggregator.errors import Retryable
from aggregator.tasks.app import RECONCILE, task
from aggregator.tasks.reconcile import ReconcileReport, reconcile
from aggregator.tasks.runtime import Runtime, current
from chains.types import ChainId

LOG = logging.getLogger(__name__)
ACTOR = "worker"


@task(RECONCILE)
def reconcile_all() -> None:
    """Task: compare all networks of this process's settings."""
    runtime = current()
    try:
        found = runtime.run(reconcile_networks(runtime))
    except (Retryable, TimeoutError) as error:
        LOG.warning("reconciling waits: %s", error)
        return
    for drift in found.drift:
        LOG.error("drift: %s", drift)


async def reconcile_networks(runtime: Runtime) -> ReconcileReport:
    """Compare and keep the result. Raises Retryable when the database is away."""
    networks = {ChainId(c): n for c, n in runtime.networks.items()}
    rpcs = {ChainId(c): runtime.rpc(c) for c in runtime.networks}
    return await reconcile(runtime.store, rpcs, networks, ACTOR)
