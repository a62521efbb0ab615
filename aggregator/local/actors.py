"""The outsiders of the local networks in one process: market, liquidator bot, Hyperlane validators and relayer.

`python3 -m aggregator.local.actors --config FILE.json`. The file holds {"networks": {"71001": "http://..."}, "seed": 1,
"control_port": 0, "actors": ["market", "liquidator", "bridge"], "watched": [], "heartbeat_s": 60,
"prices": {"ETH": 2000, "USDC": 1}, "networks_folder": ""}; only `networks` is required. Once everything runs it prints one line,
{"ready": true, "control_port": N}.
A node that is away or restarts is waited for; an endpoint of another chain id ends the process with exit code 1 and its name.
Commands: price {asset, usd, wait}, status, pause_trading {all}, resume_trading, stop.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import logging
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aggregator.errors import ConfigInvalid, IsthmusError
from aggregator.local import actors_control
from aggregator.local.actors_bridge import Relayer, Validators
from aggregator.local.actors_chain import Node, Wallet
from aggregator.local.actors_control import CommandInvalid
from aggregator.local.actors_liquidator import Liquidator
from aggregator.local.actors_market import Market
from chains.devnet import roles
from chains.errors import ChainBroken, ChainRetryable
from chains.networks.network import FOLDER, NetworkInvalid, load_many
from chains.rpc.errors import RpcError
from chains.types import ChainId

ACTORS: Final = ("market", "liquidator", "bridge")
PRICES: Final[Mapping[str, float]] = {"ETH": 2000.0, "USDC": 1.0}
PAUSE_S: Final = 0.1
SETTLE_S: Final = 20.0
log = logging.getLogger("actors")


@dataclass(frozen=True)
class Config:
    """What the process is told at its start. Prices are USD; `networks` is chain id -> endpoint."""

    networks: Mapping[int, str]
    seed: int
    control_port: int
    actors: tuple[str, ...]
    watched: tuple[str, ...]
    heartbeat_s: float
    prices: Mapping[str, float]
    folder: Path


def configured(table: Mapping[str, Any]) -> Config:
    """Check a configuration table. Raises ConfigInvalid naming the field."""
    known = {"networks", "seed", "control_port", "actors", "watched", "heartbeat_s", "prices", "networks_folder"}
    if unknown := sorted(set(table) - known):
        raise ConfigInvalid(f"{unknown[0]!r} is not a field of the actors' configuration; known are {sorted(known)}")
    if not table.get("networks"):
        raise ConfigInvalid("networks is missing: give chain id and endpoint of each local network")
    chosen = tuple(table.get("actors", ACTORS))
    if wrong := sorted(set(chosen) - set(ACTORS)):
        raise ConfigInvalid(f"actors holds {wrong[0]!r}; choose from {ACTORS}")
    try:
        return Config(
            {int(chain): str(url) for chain, url in table["networks"].items()}, int(table.get("seed", 1)),
            int(table.get("control_port", 0)), chosen, tuple(table.get("watched", ())), float(table.get("heartbeat_s", 60)),
            {**PRICES, **{asset: float(usd) for asset, usd in table.get("prices", {}).items()}},
            Path(table.get("networks_folder") or FOLDER))
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigInvalid(f"a field of the actors' configuration has the wrong type: {error}") from error


class World:
    """All actors of one process."""

    def __init__(self, config: Config) -> None:
        """Raises NetworkInvalid when a network has no valid file."""
        networks = load_many(tuple(config.networks), config.folder)
        self.config = config
        self.prices = dict(config.prices)
        self.nodes = {chain: Node(network, [config.networks[chain]]) for chain, network in networks.items()}
        self.last_errors: dict[str, str] = {}
        self.stopped = asyncio.Event()
        self.markets: dict[ChainId, Market] = {}
        self.liquidators: dict[ChainId, Liquidator] = {}
        self.relayers: dict[ChainId, Relayer] = {}
        self._carriers: dict[ChainId, Wallet] = {}
        if "market" in config.actors:
            self.markets = {c: Market(n, self.prices, config.seed, config.heartbeat_s) for c, n in self.nodes.items()}
        if "liquidator" in config.actors:
            self.liquidators = {c: Liquidator(n, n.network.protocols.aave_v3, config.watched)
                                for c, n in self.nodes.items() if n.network.protocols.aave_v3}
        if "bridge" in config.actors:
            self._carriers = {c: Wallet(n, roles.key("relayer")) for c, n in self.nodes.items()}
            self.relayers = {c: Relayer(Validators(n, n.network.protocols.hyperlane), self.nodes, self._carriers)
                             for c, n in self.nodes.items() if n.network.protocols.hyperlane}

    async def run(self, ready: Callable[[int], None]) -> None:
        """Run until stopped. Raises (in an ExceptionGroup) what no retry can cure."""
        server = await actors_control.serve(self.command, self.config.control_port)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._forever(name, step)) for name, step in self._loops()]
                for node in self.nodes.values():
                    if node.head is None:
                        await node.next_head()
                ready(server.sockets[0].getsockname()[1])
                await self.stopped.wait()
                for task in tasks:
                    task.cancel()
        finally:
            server.close()
            await asyncio.gather(*(node.rpc.close() for node in self.nodes.values()))

    def _loops(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        loops: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        for name, group in (("heads", self.nodes), ("market", self.markets), ("liquidator", self.liquidators),
                            ("bridge", self.relayers)):
            loops += [(f"{name} {chain}", actor.run) for chain, actor in group.items()]
        loops += [(f"wallets {chain}", functools.partial(self._renewals, chain)) for chain in self.nodes]
        return loops

    async def _renewals(self, chain: ChainId) -> None:
        """After every reorg each wallet sends again what was dropped, whether or not it has new business."""
        wallets = [*self.markets[chain].wallets()] if chain in self.markets else []
        wallets += [self.liquidators[chain].wallet] if chain in self.liquidators else []
        wallets += [self._carriers[chain]] if chain in self._carriers else []
        while True:
            await self.nodes[chain].next_head()
            for wallet in wallets:
                await wallet.renew()

    async def _forever(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """A refused request or an absent node is told and tried again; a broken invariant ends the process."""
        while not self.stopped.is_set():
            try:
                await loop()
            except (ChainRetryable, RpcError) as error:
                if self.last_errors.get(name) != str(error):
                    log.warning("%s: %s: %s", name, type(error).__name__, error)
                self.last_errors[name] = str(error)
                await asyncio.sleep(PAUSE_S)

    async def command(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Answer one control command. Raises CommandInvalid naming command or field."""
        name = told.get("cmd")
        if name == "price":
            return await self._price(told)
        if name == "status":
            return await self._status()
        if name in ("pause_trading", "resume_trading"):
            for market in self.markets.values():
                market.noise = name == "resume_trading"
                market.arbitrage = name == "resume_trading" or not told.get("all", False)
            return {}
        if name == "stop":
            self.stopped.set()
            return {}
        raise CommandInvalid(f"unknown command {name!r}; known are price, status, pause_trading, resume_trading, stop")

    async def _price(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Move one asset's feeds on all networks; each network gets its own transactions."""
        asset, usd = told.get("asset"), told.get("usd")
        if asset not in self.prices:
            raise CommandInvalid(f"price: asset = {asset!r}; want one of {sorted(self.prices)}")
        if not isinstance(usd, int | float) or not usd > 0:
            raise CommandInvalid(f"price: usd = {usd!r}; want a positive number of USD")
        self.prices[str(asset)] = float(usd)
        feeds = [(market, name) for market in self.markets.values() for name in market.quotes
                 if market.node.network.feeds[name].base == asset]
        sent = await asyncio.gather(*(self._submit(market, name) for market, name in feeds))
        if told.get("wait", False):
            await asyncio.gather(*(self._settled(market, name) for market, name in feeds))
        return {"networks": {str(m.node.chain_id): hashes for (m, _), hashes in zip(feeds, sent, strict=True)}}

    async def _submit(self, market: Market, name: str) -> list[str]:
        try:
            return await market.submit(name)
        except (ChainRetryable, RpcError) as error:
            # The target is set, so the market's own loop submits as soon as the node answers again.
            log.warning("price on %s: %s", market.node.chain_id, error)
            return []

    async def _settled(self, market: Market, name: str) -> None:
        deadline = asyncio.get_running_loop().time() + SETTLE_S
        while asyncio.get_running_loop().time() < deadline:
            try:
                if await market.settled(name):
                    return
            except (ChainRetryable, RpcError) as error:
                log.warning("price on %s: %s", market.node.chain_id, error)
            await asyncio.sleep(PAUSE_S)
        raise CommandInvalid(f"price: network {market.node.chain_id} shows no {name} answer at the target after {SETTLE_S:.0f} s")

    async def _status(self) -> dict[str, Any]:
        taken: list[dict[str, Any]] = []
        for bot in self.liquidators.values():
            try:
                taken += await bot.taken()
            except (ChainRetryable, RpcError) as error:
                self.last_errors[f"liquidator {bot.node.chain_id}"] = str(error)
        return {
            "prices": self.prices,
            "networks": {str(chain): self._network(chain) for chain in self.nodes},
            "liquidations": taken,
            "last_errors": self.last_errors,
        }

    def _network(self, chain: ChainId) -> dict[str, Any]:
        node, found = self.nodes[chain], dict[str, Any]()
        found["head"] = node.head.number if node.head else None
        found["reorgs"] = node.reorgs
        if market := self.markets.get(chain):
            found["feeds"] = {n: {"round": q.round_id, "answer": q.answer, "updated_at": q.updated_at}
                              for n, q in market.quotes.items()}
            found["trades"] = market.trades
        if bot := self.liquidators.get(chain):
            found["borrowers"] = sorted(bot.borrowers)
        if relayer := self.relayers.get(chain):
            found["bridge"] = {"signed": len(relayer.validators.signed), "delivered": len(relayer.delivered),
                               "last_error": relayer.last_error, "pending": ["0x" + name.hex() for name in relayer.pending]}
        return found


async def play(config: Config) -> None:
    """Run the actors until a command or SIGTERM/SIGINT stops them."""
    world = World(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, world.stopped.set)
    await world.run(lambda port: print(json.dumps({"ready": True, "control_port": port}), flush=True))


def main(argv: Sequence[str] | None = None) -> int:
    """Read the configuration and play. Exit code 1 with the error's name when something cannot be cured by waiting."""
    parser = argparse.ArgumentParser(prog="python3 -m aggregator.local.actors", description="outsiders of the local networks")
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see the module's text")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        asyncio.run(play(configured(json.loads(parser.parse_args(argv).config.read_text()))))
    except* (ChainBroken, NetworkInvalid, IsthmusError, OSError, json.JSONDecodeError) as group:
        for error in group.exceptions:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
