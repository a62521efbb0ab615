"""What commands share: settings that name a database, the store, the networks and their nodes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aggregator import settings
from aggregator.errors import ConfigInvalid
from aggregator.settings import Settings
from aggregator.store.db import Store
from chains.networks.network import FOLDER, Network, NetworkInvalid, load_many
from chains.rpc import Rpc
from chains.types import ChainId


def configured() -> Settings:
    """Settings with a database. Raises ConfigInvalid with the fix."""
    config = settings.load()
    if not config.database_url:
        raise ConfigInvalid(
            "database_url is empty and no demo is running; set ISTHMUS_DATABASE_URL, or start `python3 -m aggregator demo` first"
        )
    return config


def open_store(config: Settings) -> Store:
    """The deployment's store. Raises Retryable or ConfigInvalid naming the database."""
    return Store.connect(config.database_url, config.deployment)


def networks_of(config: Settings, only: Iterable[int] | None = None) -> dict[ChainId, Network]:
    """The configured networks, or some of them. Raises ConfigInvalid naming file and field."""
    wanted = tuple(only) if only else config.networks
    if unknown := [c for c in wanted if c not in config.networks]:
        raise ConfigInvalid(f"network {unknown[0]} is not configured; networks = {','.join(map(str, config.networks))}")
    folder = Path(config.networks_folder) if config.networks_folder else FOLDER
    try:
        return load_many(wanted, folder)
    except NetworkInvalid as error:
        raise ConfigInvalid(str(error)) from error


def rpcs_of(config: Settings, networks: dict[ChainId, Network]) -> dict[ChainId, Rpc]:
    """One pool of endpoints per network. Raises ConfigInvalid for a network without endpoints."""
    pools = {}
    for chain_id, network in networks.items():
        urls = config.rpc_urls(chain_id, network.rpc_urls)
        if not urls:
            raise ConfigInvalid(f"network {chain_id} has no endpoint; set ISTHMUS_RPC to {chain_id}=https://...")
        pools[chain_id] = Rpc(chain_id, urls)
    return pools
