"""`run` and `migrate`: the daemons of the distributed deployment in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import importlib
import logging
import signal
import sys

from aggregator import settings
from aggregator.errors import ConfigInvalid

DAEMONS = {"index": "aggregator.daemons.index", "assess": "aggregator.daemons.assess", "api": "aggregator.api.app"}


def run(arguments: argparse.Namespace) -> int:
    """Run one daemon until SIGTERM or Ctrl-C."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config = settings.load()
    if not config.database_url:
        raise ConfigInvalid("database_url is empty; set ISTHMUS_DATABASE_URL to postgresql+psycopg://user:password@host/name")
    if arguments.networks:
        config = dataclasses.replace(config, networks=tuple(int(n) for n in arguments.networks.split(",")))
    if arguments.daemon == "worker":
        from aggregator.tasks.app import work

        return work(config, tuple(q for q in (arguments.queues or "").split(",") if q))
    return asyncio.run(_until_stopped(arguments.daemon, config))


async def _until_stopped(daemon: str, config: settings.Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await importlib.import_module(DAEMONS[daemon]).run(config, stop)
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """Lift the stop of one network; the index daemon goes on with it."""
    from aggregator.cli.context import configured, open_store
    from aggregator.store import journal

    journal.resume(open_store(configured()), arguments.network, "cli")
    print(f"network {arguments.network} goes on")
    return 0


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the schema up to date."""
    from aggregator.store import migrate as migration

    config = settings.load()
    if not config.database_url:
        raise ConfigInvalid("database_url is empty; set ISTHMUS_DATABASE_URL to postgresql+psycopg://user:password@host/name")
    migration.upgrade(config.database_url)
    print("schema is up to date")
    return 0
