"""The endpoint pool against servers that misbehave: dead, slow, throttling, foreign, talking nonsense."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from chains.rpc import Rpc, reads
from chains.rpc.errors import AnswerInvalid, ForeignNetwork, NodeUnavailable, RpcError
from chains.rpc.pool import SEND_RAW
from chains.types import Address, BlockRef, ChainId, Hash

CHAIN = ChainId(7)
DEAD = "http://127.0.0.1:9"
Handler = Callable[[str, list[Any]], Any]
HASH = Hash("0x" + "11" * 32)
TOKEN = Address("0x" + "22" * 20)


class Refusal(Exception):
    """A JSON-RPC error object."""

    def __init__(self, code: int, message: str) -> None:
        self.answer = {"code": code, "message": message}


class Server:
    """A node made of one function; `hits` counts the methods it was asked."""

    def __init__(self, handler: Handler, chain_id: int = CHAIN) -> None:
        self.handler = handler
        self.chain_id = chain_id
        self.hits: list[str] = []
        self.status = 200
        self.delay_s = 0.0
        self.url = ""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.hits.append(request["method"])
        head = {"jsonrpc": "2.0", "id": request["id"]}
        if request["method"] == "eth_chainId":
            return {**head, "result": hex(self.chain_id)}
        try:
            return {**head, "result": self.handler(request["method"], request["params"])}
        except Refusal as refusal:
            return {**head, "error": refusal.answer}

    async def serve(self, request: web.Request) -> web.Response:
        await asyncio.sleep(self.delay_s)
        if self.status != 200:
            return web.Response(status=self.status, headers={"Retry-After": "30"})
        asked = json.loads(await request.read())
        # Batches are answered in reverse: the order is the client's business.
        return web.json_response([self.answer(r) for r in reversed(asked)] if isinstance(asked, list) else self.answer(asked))


@asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[list[str]]:
    runners = []
    for server in servers:
        app = web.Application()
        app.router.add_post("/", server.serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        runners.append(runner)
    try:
        yield [server.url for server in servers]
    finally:
        for runner in runners:
            await runner.cleanup()


def echo(method: str, params: list[Any]) -> Any:
    return [method, *params]


async def test_call__first_use__chain_id_proven_once() -> None:
    server = Server(echo)
    async with serving(server) as urls, Rpc(CHAIN, urls) as rpc:
        assert await rpc.call("a", [1]) == ["a", 1]
        assert await rpc.call("b") == ["b"]
    assert server.hits == ["eth_chainId", "a", "b"]


async def test_call__foreign_network__named_and_never_used() -> None:
    foreign, honest = Server(echo, chain_id=8), Server(echo)
    async with serving(foreign, honest) as urls, Rpc(CHAIN, urls) as rpc:
        assert await rpc.call("a") == ["a"]
        assert foreign.hits == ["eth_chainId"]
        async with Rpc(CHAIN, urls[:1]) as alone:
            with pytest.raises(ForeignNetwork, match="answers for chain id 8, want 7: correct rpc_urls"):
                await alone.call("a")
    assert "a" not in foreign.hits


async def test_call__another_node_takes_the_port__chain_id_asked_again() -> None:
    server = Server(echo)
    async with serving(server) as urls, Rpc(CHAIN, urls, patience_s=1.0) as rpc:
        await rpc.call("a")
        server.status, server.chain_id = 503, 8
        again = asyncio.create_task(rpc.call("b"))
        await asyncio.sleep(0.05)
        server.status = 200
        with pytest.raises(ForeignNetwork):
            await again


async def test_call__dead_endpoint__the_other_answers_and_is_preferred_afterwards() -> None:
    server = Server(echo)
    async with serving(server) as urls, Rpc(CHAIN, [DEAD, *urls]) as rpc:
        for n in range(5):
            assert await rpc.call("a", [n]) == ["a", n]
        assert rpc.endpoints[0].score.failures == 1


async def test_call__slow_endpoint__loses_its_place() -> None:
    slow, fast = Server(echo), Server(echo)
    slow.delay_s = 0.05
    async with serving(slow, fast) as urls, Rpc(CHAIN, urls) as rpc:
        for _ in range(10):
            await rpc.call("a")
    assert slow.hits.count("a") == 1
    assert fast.hits.count("a") == 9


@pytest.mark.parametrize("kind", ["http", "answer"])
async def test_call__throttled__left_alone_for_the_time_asked(kind: str) -> None:
    def busy(method: str, params: list[Any]) -> Any:
        raise Refusal(-32005, "daily request limit reached")

    throttled, free = Server(busy), Server(echo)
    throttled.status = 429 if kind == "http" else 200
    async with serving(throttled, free) as urls, Rpc(CHAIN, urls) as rpc:
        for _ in range(3):
            assert await rpc.call("a") == ["a"]
    assert len(throttled.hits) <= 2


async def test_call__nobody_answers__each_endpoint_is_named_without_its_key() -> None:
    async with Rpc(CHAIN, ["http://secret:secret@127.0.0.1:9/v3/secret-key"], patience_s=0.1) as rpc:
        with pytest.raises(NodeUnavailable, match=r"network 7: no endpoint answered a: http://127\.0\.0\.1:9: ") as caught:
            await rpc.call("a")
    assert "secret" not in str(caught.value)


async def test_call__node_refuses__no_other_endpoint_is_bothered() -> None:
    def refuse(method: str, params: list[Any]) -> Any:
        raise Refusal(-32602, "bad params")

    one, two = Server(refuse), Server(refuse)
    async with serving(one, two) as urls, Rpc(CHAIN, urls) as rpc:
        with pytest.raises(RpcError, match="a: bad params \\(code -32602\\)"):
            await rpc.call("a")
    assert (one.hits + two.hits).count("a") == 1


async def test_batch__answers_out_of_order_and_in_parts__come_back_as_asked() -> None:
    def some(method: str, params: list[Any]) -> Any:
        if params[0] == 3:
            raise Refusal(-32000, "three")
        return params[0]

    async with serving(Server(some)) as urls, Rpc(CHAIN, urls, batch_limit=4) as rpc:
        answers = await rpc.batch_settled([("a", [n]) for n in range(10)])
        assert [n for n in answers if not isinstance(n, RpcError)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert isinstance(answers[3], RpcError)
        with pytest.raises(RpcError, match="three"):
            await rpc.batch([("a", [n]) for n in range(5)])


async def test_send_raw__all_endpoints_get_it__first_acceptance_wins() -> None:
    def known(method: str, params: list[Any]) -> Any:
        raise Refusal(-32000, "already known")

    servers = [Server(known), Server(echo), Server(echo)]
    servers[2].delay_s = 0.1
    async with serving(*servers) as urls, Rpc(CHAIN, [DEAD, *urls], patience_s=0.1) as rpc:
        assert await rpc.call(SEND_RAW, ["0x02"]) == [SEND_RAW, "0x02"]
        await rpc.close()
    assert [server.hits.count(SEND_RAW) for server in servers] == [1, 1, 1]


async def test_send_raw__all_refuse__the_refusal_is_raised() -> None:
    def refuse(method: str, params: list[Any]) -> Any:
        raise Refusal(-32000, "nonce too low")

    async with serving(Server(refuse)) as urls, Rpc(CHAIN, [DEAD, *urls]) as rpc:
        with pytest.raises(RpcError, match="nonce too low"):
            await rpc.call(SEND_RAW, ["0x02"])


def log(**changes: Any) -> dict[str, Any]:
    plain = {"address": TOKEN, "topics": [], "data": "0x", "blockNumber": "0x5", "blockHash": HASH, "logIndex": "0x0",
             "transactionHash": HASH, "transactionIndex": "0x0", "removed": False}  # fmt: skip
    return {**plain, **changes}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([log(blockHash="0x" + "33" * 32)], "a log of block 5 0x3333"),
        ([log(blockNumber="0x6")], "a log of block 6"),
        ([log(), log()], "log 0 after 0"),
        ([log(logIndex="0x4"), log(logIndex="0x3")], "log 3 after 4"),
        ([log(address="0x" + "44" * 20)], "was not asked for"),
        ([log(removed=True)], "removed log"),
        ([log(data="0xzz")], "not a log"),
        (None, "NoneType"),
    ],
    ids=["other_hash", "other_number", "doubled", "out_of_order", "other_address", "removed", "nonsense", "null"],
)
async def test_logs__node_lies__answer_refused(answer: Any, why: str) -> None:
    block = BlockRef(CHAIN, 5, HASH, HASH, 1)
    async with serving(Server(lambda method, params: answer)) as urls, Rpc(CHAIN, urls) as rpc:
        with pytest.raises(AnswerInvalid, match=why):
            await reads.logs_of_block(rpc, block, [TOKEN])


async def test_block__node_gives_another_number__answer_refused() -> None:
    raw = {"number": "0x6", "hash": HASH, "parentHash": HASH, "timestamp": "0x1"}
    async with serving(Server(lambda method, params: raw)) as urls, Rpc(CHAIN, urls) as rpc:
        with pytest.raises(AnswerInvalid, match="asked for block 5, got 6"):
            await reads.block_by_number(rpc, 5)


def test_rpc__no_endpoint__setting_named() -> None:
    with pytest.raises(ValueError, match="set rpc_urls"):
        Rpc(CHAIN, [])
