"""A gate in front of one node: passes every request on, and can hold raw transactions back.

The demo and tests use it to stop a sender between signing and sending: while the gate is closed, `eth_sendRawTransaction` is taken
but never reaches the network, so that killing the sender then leaves signed bytes that nobody sent.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp
from aiohttp import web


class Gate:
    """One reverse proxy on loopback. `url` is valid between start() and stop()."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""
        self.held: asyncio.Queue[str] = asyncio.Queue()
        self._open = asyncio.Event()
        self._open.set()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> str:
        """Listen on a free loopback port; returns the URL."""
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self.url

    async def stop(self) -> None:
        self._open.set()
        if self._runner:
            await self._runner.cleanup()
        if self._session:
            await self._session.close()

    def close(self) -> None:
        """From now on raw transactions are held, not sent."""
        self._open.clear()

    def open(self) -> None:
        """Pass everything again. What was held and whose sender is gone stays unsent."""
        self._open.set()

    async def _pass(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._open.is_set() and b"eth_sendRawTransaction" in body:
            asked = json.loads(body)
            for one in asked if isinstance(asked, list) else [asked]:
                if one["method"] == "eth_sendRawTransaction":
                    self.held.put_nowait(one["params"][0])
            await asyncio.Event().wait()  # The handler is cancelled when the client's connection ends.
        assert self._session is not None
        async with self._session.post(self.target, data=body, headers={"content-type": "application/json"}) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")
