"""The endpoints of one network behind one method: `call(method, params)`.

Endpoints are asked best score first; transport trouble and throttling move the request to the next one, an error *answer* does
not (another node would say the same). When all are in trouble the pool waits until the first may be asked again, up to
`patience_s`, then raises NodeUnavailable naming each. Raw transactions go to all endpoints and the first acceptance wins. Nothing
here reads the wall clock; `loop.time()` is the only time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import aiohttp

from chains.rpc.endpoint import Endpoint, EndpointFailed, Request
from chains.rpc.errors import ForeignNetwork, NodeUnavailable, RpcError
from chains.types import ChainId

SEND_RAW = "eth_sendRawTransaction"
BATCH_LIMIT = 100


class Rpc:
    """All endpoints of one network. Use from one event loop; `async with` or `close()` ends its connections."""

    def __init__(
        self,
        chain_id: ChainId,
        urls: Sequence[str],
        *,
        timeout_s: float = 10.0,
        patience_s: float = 3.0,
        batch_limit: int = BATCH_LIMIT,
    ) -> None:
        """Raises ValueError without a URL: set rpc_urls of the network's file or the settings that override it."""
        if not urls:
            raise ValueError(f"network {chain_id} has no endpoint: set rpc_urls in its file or its override")
        self.chain_id = chain_id
        self.endpoints = tuple(Endpoint(chain_id, url, timeout_s) for url in urls)
        self._patience_s = patience_s
        self._batch_limit = batch_limit
        self._session: aiohttp.ClientSession | None = None
        self._sending: set[asyncio.Future[list[Any]]] = set()

    async def __aenter__(self) -> Rpc:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connections; the Rpc may be used again."""
        if self._sending:
            await asyncio.wait(self._sending)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def call(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The result of one request. Raises RpcError (the node refused), NodeUnavailable, ForeignNetwork."""
        if method == SEND_RAW:
            return await self._to_all(method, list(params))
        (answer,) = await self._ask([(method, list(params))])
        if isinstance(answer, RpcError):
            raise answer
        return answer

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results in the order asked, in as few HTTP requests as the batch limit allows. Raises the first RpcError."""
        answers = await self.batch_settled(calls)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return answers

    async def batch_settled(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Like `batch`, but an item that a node refused is its RpcError instead of an exception."""
        requests: list[Request] = [(method, list(params)) for method, params in calls]
        size = self._batch_limit
        parts = [requests[i : i + size] for i in range(0, len(requests), size)]
        return [answer for answers in await asyncio.gather(*map(self._ask, parts)) for answer in answers]

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=16, keepalive_timeout=60)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    async def _ask(self, requests: list[Request]) -> list[Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        usable = list(self.endpoints)
        while True:
            ready = [e for e in usable if e.score.not_before <= loop.time()]
            for endpoint in sorted(ready, key=lambda e: e.score.rank()):
                try:
                    return await endpoint.post(self._open(), requests)
                except EndpointFailed:
                    continue
                except ForeignNetwork:
                    # Never waited for: the setting is wrong or a port was taken. Without another endpoint it is the answer.
                    usable.remove(endpoint)
                    if not usable:
                        raise
            wake = min(e.score.not_before for e in usable)
            if wake > deadline:
                raise NodeUnavailable(self._nobody(f"no endpoint answered {requests[0][0]}"))
            await asyncio.sleep(max(wake - loop.time(), 0.0))

    def _nobody(self, what: str) -> str:
        troubles = "; ".join(e.score.trouble or f"{e.name}: not tried" for e in self.endpoints)
        return f"network {self.chain_id}: {what}: {troubles}"

    async def _to_all(self, method: str, params: list[Any]) -> Any:
        """First acceptance wins; without one the first refusal is raised, without any answer NodeUnavailable.

        Slower endpoints go on in the background: a node that is reached late still spreads the transaction.
        """
        session = self._open()
        tries = {asyncio.ensure_future(e.post(session, [(method, params)])) for e in self.endpoints}
        self._sending |= tries
        for one in tries:
            one.add_done_callback(self._sending.discard)
        refusal: BaseException | None = None
        waiting = tries
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                trouble = one.exception()
                if trouble is None and not isinstance(one.result()[0], RpcError):
                    return one.result()[0]
                if not isinstance(trouble, EndpointFailed):
                    refusal = refusal or trouble or one.result()[0]
        raise refusal or NodeUnavailable(self._nobody(f"{method} reached no endpoint"))
