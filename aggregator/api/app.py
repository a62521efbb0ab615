"""The server: all operations of the API, the pages, and one boundary at which every failure becomes a problem with an id.

Startup is light: no contract library, no network call; the listener on the event log begins in the background.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from collections.abc import Mapping

from aiohttp import web

from aggregator.api import openapi, pages, streams
from aggregator.api.operation import Operation
from aggregator.api.problems import Problem
from aggregator.api.routes import ROUTES
from aggregator.api.server import Next, handler_of, refused, with_problems
from aggregator.api.services import SERVICES, Services
from aggregator.errors import ConfigInvalid
from aggregator.settings import Settings
from aggregator.store.db import Store
from aggregator.version import VERSION
from chains.networks.network import Network
from chains.rpc import Rpc
from chains.types import ChainId

log = logging.getLogger(__name__)
BODY_LIMIT = 64 * 1024


def operations() -> tuple[Operation, ...]:
    """Every operation of every route module."""
    return tuple(operation for module in ROUTES for operation in module.OPERATIONS)


@functools.cache
def document_text() -> str:
    """The OpenAPI document as served."""
    return json.dumps(openapi.document(operations(), VERSION), indent=1)


@web.middleware
async def boundary(request: web.Request, handler: Next) -> web.StreamResponse:
    """The last resort: what nobody foresaw is logged with its request id and answered without its inside."""
    try:
        return await handler(request)
    except (web.HTTPException, asyncio.CancelledError):
        raise
    except ConnectionError:
        return web.Response(status=499)  # the reader has gone: nobody will see this, and it is nobody's fault
    except Exception:
        log.exception("unforeseen error on %s %s", request.method, request.path)
        return refused(request, Problem("broken", "an unforeseen error; it is in the log under this request_id"))


async def _document(request: web.Request) -> web.Response:
    return web.Response(text=document_text(), content_type="application/json")


def create_app(
    store: Store, settings: Settings, networks: Mapping[ChainId, Network], rpcs: Mapping[ChainId, Rpc]
) -> web.Application:
    """The whole server as an aiohttp application. `rpcs` may be empty: linking Safes and tickets then answer `unavailable`."""
    app = web.Application(middlewares=[boundary, with_problems], client_max_size=BODY_LIMIT)
    app[SERVICES] = Services(store, settings, networks, rpcs)
    app.router.add_get("/openapi.json", _document)
    for operation in operations():
        app.router.add_route(operation.method, operation.path, handler_of(operation))
    pages.install(app)
    streams.install(app)
    return app


async def serve(app: web.Application, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Starts listening; the runner to clean up and the bound address as a URL. Raises ConfigInvalid when the port is taken."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        told = f"api_port = {port} on {host}: {error.strerror or error}; set ISTHMUS_API_PORT to a free port, or 0"
        raise ConfigInvalid(told) from error
    bound = runner.addresses[0]
    shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    return runner, f"http://{shown}:{bound[1]}"


async def run(settings: Settings, stop: asyncio.Event, ready: asyncio.Future[str] | None = None) -> None:
    """Serves until `stop`. Prints the bound address, and gives it to `ready`. Raises ConfigInvalid for wrong settings."""
    from aggregator.api.start import connected

    async with connected(settings) as (store, networks, rpcs):
        runner, address = await serve(create_app(store, settings, networks, rpcs), settings.api_host, settings.api_port)
        print(f"api listens on {address}", flush=True)
        if ready is not None:
            ready.set_result(address)
        try:
            await stop.wait()
        finally:
            await runner.cleanup()
