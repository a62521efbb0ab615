"""Starts everything that a run on this machine leans on, at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aggregator.local.anvil import AnvilNode, AnvilSpec, start_node
from aggregator.local.postgres import database
from aggregator.local.processes import Supervisor
from aggregator.local.valkey import broker


@dataclass(frozen=True)
class Services:
    """What is up: URLs for SQLAlchemy and Celery, and the local networks by chain id."""

    database_url: str
    broker_url: str
    nodes: Mapping[int, AnvilNode]


def start_all(
    supervisor: Supervisor,
    *,
    database_url: str = "",
    broker_url: str = "",
    networks: Sequence[AnvilSpec] = (),
    binary: Path | None = None,
    durable: bool = True,
) -> Services:
    """Starts or checks PostgreSQL, the broker and the networks concurrently.

    A configured URL is used as it is, once it answers. Raises the ServiceError of the first that fails; what the
    others started ends with the supervisor.
    """
    with ThreadPoolExecutor(2 + len(networks)) as pool:
        store = pool.submit(database, supervisor, database_url, durable=durable)
        queue = pool.submit(broker, supervisor, broker_url)
        chains = [pool.submit(start_node, supervisor, spec, binary) for spec in networks]
        nodes = {node.spec.chain_id: node for node in (job.result() for job in chains)}
        return Services(store.result(), queue.result(), nodes)
