"""One network with real contracts, followed by the real index daemon, and a client's Safe on it: what tickets are tested on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from eth_abi.abi import encode

from aggregator.api.app import create_app, serve
from aggregator.daemons import index
from aggregator.local.wallets import SafeWallet, Wallet
from aggregator.settings import Settings
from aggregator.store import keys
from aggregator.store.db import Store
from chains import abi
from chains.contracts import typed
from chains.devnet import custody, roles
from chains.networks.network import Network, load_many
from chains.rpc import Rpc
from chains.signer import LocalSigner
from chains.types import Address, Call, ChainId, address
from tests.api.book import Book
from tests.api.conftest import Answer, Api

CHAIN = ChainId(71001)
OWNERS = tuple(f"client-1-owner-{i}" for i in range(3))


@dataclass
class Stage:
    """The server, the network, and the client 'marlow' with its Safe."""

    api: Api
    network: Network
    rpc: Rpc
    payer: Wallet
    safe: SafeWallet

    @property
    def usdc(self) -> Address:
        return self.network.tokens["usdc"].address

    @property
    def cold(self) -> Address:
        return address(roles.address(OWNERS[0]))

    async def until(self, path: str, good: str) -> Answer:
        """Asks again until `good` stands in the answer."""
        for _ in range(200):
            answer = await self.api.get(path)
            if good in str(answer.json):
                return answer
            await asyncio.sleep(0.1)
        raise AssertionError(f"{path} never showed {good}: {answer.json}")

    async def withdrawal(self, atoms: int, key: str, **more: str) -> Answer:
        """Asks for a withdrawal ticket."""
        body = {"chain_id": int(CHAIN), "token": self.usdc, "atoms": str(atoms), "recipient": self.cold} | more
        headers = {"Idempotency-Key": key}
        return await self.api.call("POST", "/v1/accounts/marlow/tickets/withdrawal", body, headers=headers)

    async def trade(self, call: Call, key: str) -> Answer:
        """Asks for a trade ticket."""
        body = {"chain_id": int(CHAIN), "to": call.to, "value": str(call.value), "data": "0x" + call.data.hex()}
        return await self.api.call("POST", "/v1/accounts/marlow/tickets/trade", body, headers={"Idempotency-Key": key})


async def priced(rpc: Rpc, network: Network) -> None:
    """A fresh answer of every feed: 2,000 and 1 USD. Baked prices lie in the past."""
    for name, answer in (("eth_usd", 2000 * 10**8), ("usdc_usd", 10**8)):
        feed = network.feeds[name].aggregator
        assert feed is not None
        latest = await rpc.call("eth_call", [{"to": feed, "data": "0x" + abi.call_data("latestRound()").hex()}, "latest"])
        data = abi.call_data("submit(uint256,int256)", int(latest, 16) + 1, answer)
        for role in roles.ORACLES[:2]:
            await Wallet(rpc, network, roles.key(role)).send(Call(feed, data, 0, "submit"))


def ticketed(answer: Answer) -> Call:
    """The call that a ticket allows."""
    return Call(address(answer.json["call"]["to"]), bytes.fromhex(answer.json["call"]["data"][2:]), 0, "ticketed")


async def born(payer: Wallet, salt: int) -> SafeWallet:
    """A prime account of the client's three owners, two of whom sign."""
    own = payer.network.protocols.isthmus
    assert own is not None
    owners, pins = [roles.address(role) for role in OWNERS], [typed.local_pin(address(roles.address(OWNERS[0])))]
    data = abi.selector("create(address[],uint256,bytes32[],uint256)") + encode(
        ["address[]", "uint256", "bytes32[]", "uint256"], [owners, 2, pins, salt])  # fmt: skip
    receipt = await payer.send(Call(own.factory, data, 0, "create"))
    topic = "0x" + abi.topic("AccountCreated(address,address[],uint256)").hex()
    safe = next(log["topics"][1] for log in receipt["logs"] if log["topics"][0] == topic)
    return SafeWallet(payer, address("0x" + safe[-40:]), tuple(LocalSigner(roles.key(r)) for r in OWNERS), 2)


@asynccontextmanager
async def raised(url: str, node: str) -> AsyncIterator[Stage]:
    """Everything up. url: of a migrated database; node: of an anvil with the baked state of network A."""
    store, networks, rpc = Store.connect(url, "devnet"), load_many((CHAIN,)), Rpc(CHAIN, [node])
    tickets = tuple(roles.key(role).hex() for role in custody.TICKETER_KEYS)
    settings = Settings(database_url=url, networks=(CHAIN,), rpc=(f"{CHAIN}={node}",), ticketer_keys=tickets, poll_ms=50)
    stop = asyncio.Event()
    daemon = asyncio.create_task(index.run(settings, stop))
    runner, address_ = await serve(create_app(store, settings, networks, {CHAIN: rpc}), "127.0.0.1", 0)
    token = keys.create(store, "", ("read", "simulate", "ticket", "admin"))
    payer = Wallet(rpc, networks[CHAIN], roles.key(OWNERS[0]))
    try:
        async with aiohttp.ClientSession() as session:
            await priced(rpc, networks[CHAIN])
            api = Api(address_, session, {"desk": token}, Book(store, networks))
            yield Stage(api, networks[CHAIN], rpc, payer, await born(payer, 7))
    finally:
        stop.set()
        await daemon
        await runner.cleanup()
        await rpc.close()
        store.close()
