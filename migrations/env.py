"""Alembic's environment: runs revisions on the connection that `aggregator.store.migrate` hands over.

Partitions of raw_logs are made when a network is first followed; they are no part of the schema that is compared.
"""

from __future__ import annotations

import re
from typing import Any

from alembic import context

from aggregator.store.tables import metadata

PARTITION = re.compile(r"raw_logs_\d+\Z")


def _counts(thing: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    owner = name if kind == "table" else getattr(getattr(thing, "table", None), "name", None)
    return not (reflected and PARTITION.match(owner or ""))


def _run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is None:
        raise RuntimeError("run migrations with `isthmus migrate`: it hands over the connection")
    context.configure(connection=connection, target_metadata=metadata, include_object=_counts, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


_run()
