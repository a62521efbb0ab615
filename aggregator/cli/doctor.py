"""`doctor`: one line per check, each with its fix. Exit 1 when something is broken; warnings do not fail.

Nothing is assumed: chain id, bytecode at every address of the network file, feeds that answer, signers that the contracts
know, rules on chain equal to those of the file, and how many endpoints a network really has.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel

from aggregator import settings
from aggregator.cli.context import networks_of
from aggregator.cli.output import print_json, table
from aggregator.errors import ConfigInvalid, IsthmusError
from aggregator.settings import Settings
from chains import abi
from chains.contracts import rules
from chains.errors import ChainError
from chains.networks.network import AaveV3, Network
from chains.rpc import Rpc
from chains.signer import LocalSigner
from chains.types import Address

OK, WARN, BROKEN = "ok", "warning", "broken"
FREE_GIB = 5
PLANNERS, TICKETERS = 0, 1


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it is, and what to do."""

    name: str
    state: str
    detail: str
    fix: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Run all checks. Returns 1 when one is broken."""
    checks = asyncio.run(_all(arguments))
    if arguments.json:
        print_json([asdict(c) for c in checks])
    else:
        table("Doctor", ["check", "state", "found", "fix"], [(c.name, c.state, c.detail, c.fix) for c in checks])
    return 1 if any(c.state == BROKEN for c in checks) else 0


async def _all(arguments: argparse.Namespace) -> list[Check]:
    config = settings.load()
    checks = [_python(), _disk(), await asyncio.to_thread(_database, config), await asyncio.to_thread(_broker, config)]
    try:
        networks = networks_of(config, arguments.network)
    except ConfigInvalid as error:
        return [*checks, Check("network files", BROKEN, str(error), "correct the file it names")]
    for network in networks.values():
        checks += [check async for check in _network(config, network)]
    return checks


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    state = OK if sys.version_info >= (3, 11) else BROKEN
    return Check("python", state, version, "" if state == OK else "install Python 3.11 or newer")


def _disk() -> Check:
    free = shutil.disk_usage(".").free / 2**30
    return Check("disk", OK if free >= FREE_GIB else WARN, f"{free:.0f} GiB free", "" if free >= FREE_GIB else "free some space")


def _database(config: Settings) -> Check:
    from aggregator.store.db import Store

    if not config.database_url:
        return Check("database", WARN, "not configured", "set ISTHMUS_DATABASE_URL; the demo brings its own")
    try:
        Store.connect(config.database_url, config.deployment).close()
    except IsthmusError as error:
        return Check("database", BROKEN, str(error), "correct ISTHMUS_DATABASE_URL or run `isthmus migrate`")
    return Check("database", OK, "answers, schema is current")


def _broker(config: Settings) -> Check:
    import redis

    if not config.broker_url:
        return Check("broker", WARN, "not configured", "set ISTHMUS_BROKER_URL; the demo brings its own")
    if not config.broker_url.startswith("redis"):
        return Check("broker", WARN, "not a Redis protocol URL: not looked at", "see `celery inspect ping`")
    try:
        redis.Redis.from_url(config.broker_url, socket_timeout=3).ping()
    except redis.RedisError as error:
        return Check("broker", BROKEN, f"{type(error).__name__}: {error}", "correct ISTHMUS_BROKER_URL or start Valkey")
    return Check("broker", OK, "answers")


async def _network(config: Settings, network: Network) -> AsyncIterator[Check]:
    name, urls = f"network {network.chain_id} {network.name}", config.rpc_urls(network.chain_id, network.rpc_urls)
    if not urls:
        yield Check(name, BROKEN, "no endpoint", f"set ISTHMUS_RPC to {network.chain_id}=https://...")
        return
    rpc = Rpc(network.chain_id, urls, patience_s=1.0, timeout_s=5.0)
    try:
        head = await rpc.call("eth_getBlockByNumber", ["latest", False])
        yield Check(f"{name}: chain id", OK, f"{network.chain_id}, head {int(head['number'], 16):,}")
        one = len(urls) == 1 and network.kind == "production"
        yield Check(
            f"{name}: endpoints",
            WARN if one else OK,
            f"{len(urls)}",
            "only one: a lie of it would not be noticed; add a second to ISTHMUS_RPC" if one else "",
        )
        yield await _bytecode(rpc, name, network)
        if network.protocols.aave_v3:
            yield await _aave(rpc, name, network, network.protocols.aave_v3)
        yield await _feeds(rpc, name, network, int(head["timestamp"], 16))
        async for check in _own(config, rpc, name, network):
            yield check
    except ChainError as error:
        yield Check(name, BROKEN, str(error), f"correct ISTHMUS_RPC for {network.chain_id}")
    finally:
        await rpc.close()


def addresses(part: Any, path: str) -> list[tuple[str, Address]]:
    """Every contract address of a network file with its field's name; keys of people and feeds' sources are not contracts."""
    found: list[tuple[str, Address]] = []
    if isinstance(part, BaseModel):
        for field in type(part).model_fields:
            if field not in {"validators", "guardian"}:
                found += addresses(getattr(part, field), f"{path}.{field}" if path else field)
    elif isinstance(part, dict):
        for key, item in part.items():
            found += addresses(item, f"{path}.{key}")
    elif isinstance(part, tuple):
        for number, item in enumerate(part):
            found += addresses(item, f"{path}[{number}]")
    elif isinstance(part, str) and part.startswith("0x") and len(part) == 42:
        found.append((path, Address(part)))
    return found


async def _bytecode(rpc: Rpc, name: str, network: Network) -> Check:
    listed = addresses(network, "")
    codes = await rpc.batch([("eth_getCode", [where, "latest"]) for _, where in listed])
    empty = [field for (field, _), code in zip(listed, codes, strict=True) if code in ("0x", None)]
    if empty:
        return Check(
            f"{name}: bytecode", BROKEN, f"no contract at {', '.join(empty)}", f"correct chains/networks/{network.chain_id}.toml"
        )
    return Check(f"{name}: bytecode", OK, f"{len(listed)} addresses hold contracts")


async def _feeds(rpc: Rpc, name: str, network: Network, now: int) -> Check:
    data = "0x" + abi.selector("latestRoundData()").hex()
    answers = await rpc.batch([("eth_call", [{"to": f.proxy, "data": data}, "latest"]) for f in network.feeds.values()])
    late = []
    for (feed_name, feed), answer in zip(network.feeds.items(), answers, strict=True):
        words = bytes.fromhex(answer[2:])
        price, updated = int.from_bytes(words[32:64], "big", signed=True), int.from_bytes(words[96:128], "big")
        if price <= 0 or now - updated > feed.heartbeat_ms / 1000:
            late.append(f"{feed_name} (age {now - updated} s, answer {price})")
    state = WARN if late else OK
    return Check(
        f"{name}: feeds",
        state,
        "stale: " + ", ".join(late) if late else f"{len(answers)} answer within their heartbeat",
        "see who publishes them; stale assets count zero for initial margin" if late else "",
    )


async def _aave(rpc: Rpc, name: str, network: Network, aave: AaveV3) -> Check:
    """Risk parameters of the lending venue: governance moves them, and every health factor rests on them."""
    tokens = [network.tokens[r.token].address for r in aave.reserves]
    data = ["0x" + abi.call_data("getReserveConfigurationData(address)", token).hex() for token in tokens]
    answers = await rpc.batch([("eth_call", [{"to": aave.data_provider, "data": d}, "latest"]) for d in data])
    wrong = []
    for reserve, answer in zip(aave.reserves, answers, strict=True):
        words = [int(answer[2 + 64 * i : 66 + 64 * i], 16) for i in range(1, 4)]
        wanted = [reserve.ltv_bps, reserve.liquidation_threshold_bps, 10_000 + reserve.liquidation_bonus_bps]
        if words != wanted:
            wrong.append(f"{reserve.token}: ltv, threshold, bonus are {words} on chain, {wanted} in the file")
    fix = f"correct chains/networks/{network.chain_id}.toml" if wrong else ""
    return Check(f"{name}: aave risk", BROKEN if wrong else OK, "; ".join(wrong) or "ltv, threshold and bonus as in the file", fix)


async def _own(config: Settings, rpc: Rpc, name: str, network: Network) -> AsyncIterator[Check]:
    own = network.protocols.isthmus
    if own is None:
        yield Check(
            f"{name}: own contracts", WARN, "not deployed", "deploy them and write [protocols.isthmus] into the network file"
        )
        return
    for title, role, keys in (("planner keys", PLANNERS, config.planner_keys), ("ticketer keys", TICKETERS, config.ticketer_keys)):
        signers = [LocalSigner(key).address for key in keys]
        calls = [
            ("eth_call", [{"to": own.module, "data": "0x" + abi.call_data("isKey(uint8,address)", role, s).hex()}, "latest"])
            for s in signers
        ]
        known = [int(answer, 16) == 1 for answer in await rpc.batch(calls)] if calls else []
        state = BROKEN if not all(known) else OK if known else WARN
        yield Check(
            f"{name}: {title}",
            state,
            f"{sum(known)} of {len(known)} known to the module",
            "" if state == OK else f"set ISTHMUS_{title.split()[0].upper()}_KEYS to keys that the module lists",
        )
    if config.gas_key:
        payer = LocalSigner(config.gas_key).address
        wei = int(await rpc.call("eth_getBalance", [payer, "latest"]), 16)
        yield Check(
            f"{name}: gas",
            OK if wei > 10**17 else WARN,
            f"{wei / 1e18:,.3f} at {payer}",
            "" if wei > 10**17 else "send native coin there",
        )
    wanted = rules.table(network)
    asked = [("eth_call", [{"to": own.rule_book, "data": "0x" + data.hex()}, "latest"]) for _, data in rules.queries(wanted)]
    found = rules.differences(wanted, [bytes.fromhex(answer[2:]) for answer in await rpc.batch(asked)])
    yield Check(
        f"{name}: rules",
        BROKEN if found else OK,
        "; ".join(found) or "on chain as in the file",
        "have the timelock set them, or correct the network file" if found else "",
    )
