"""What the server is made of, from settings: store, networks, endpoints; all closed again at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aggregator.errors import ConfigInvalid
from aggregator.settings import Settings
from aggregator.store.db import Store
from chains.networks.network import FOLDER, Network, NetworkInvalid, load_many
from chains.rpc import Rpc
from chains.types import ChainId

Parts = tuple[Store, Mapping[ChainId, Network], Mapping[ChainId, Rpc]]


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Parts]:
    """Store, networks and endpoints. Raises ConfigInvalid naming the setting or the network file."""
    folder = Path(settings.networks_folder) if settings.networks_folder else FOLDER
    try:
        networks = load_many(settings.networks, folder)
    except NetworkInvalid as error:
        raise ConfigInvalid(str(error)) from error
    store = await asyncio.to_thread(Store.connect, settings.database_url, settings.deployment)
    rpcs: dict[ChainId, Rpc] = {}
    for chain_id, network in networks.items():
        if urls := settings.rpc_urls(chain_id, network.rpc_urls):
            rpcs[chain_id] = Rpc(chain_id, urls)
    try:
        yield store, networks, rpcs
    finally:
        for rpc in rpcs.values():
            await rpc.close()
        store.close()
