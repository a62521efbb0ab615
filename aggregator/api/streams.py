"""Server-sent events from the one event log: resumable, in order, each row once; a heartbeat when nothing happens.

`GET /v1/stream` begins with a `snapshot` of the accounts at event number S, then every row after S. With Last-Event-ID it begins
after that number, without a snapshot. One listener on the database wakes all streams; a row is read from the log, never from
the notification, so that a lost notification only delays it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from aiohttp import web

from aggregator.api.problems import Problem
from aggregator.api.services import SERVICES, Services
from aggregator.errors import Retryable
from aggregator.store import event_log

HEARTBEAT_S: Final = 10.0
BATCH: Final = 500
RETRY_MS: Final = 1000
HEADERS: Final = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def frame(event: str, data: str, seq: int | None = None) -> bytes:
    """One server-sent event. `data` may hold line breaks."""
    lines = [f"id: {seq}"] if seq is not None else []
    lines.append(f"event: {event}")
    lines += [f"data: {line}" for line in data.split("\n")]
    return ("\n".join(lines) + "\n\n").encode()


def last_event_id(request: web.Request) -> int | None:
    """The number after which a stream resumes. Raises Problem `request-invalid` for one that is no number."""
    text = request.headers.get("Last-Event-ID", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Problem("request-invalid", "header.Last-Event-ID must be the id of an event of this stream")
    return int(text)


async def opened(request: web.Request) -> web.StreamResponse:
    """A stream's response, its headers sent."""
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    await response.write(f"retry: {RETRY_MS}\n\n".encode())
    return response


async def follow(services: Services, seq: int, client: str | None) -> AsyncIterator[list[event_log.LoggedEvent]]:
    """Rows after `seq` in order, as they come; an empty list is a heartbeat. Ends when the server stops.

    client None: all rows.
    """
    while not services.waker.closed:
        pending = asyncio.ensure_future(services.waker.wait(HEARTBEAT_S))  # begun before the read: nothing falls between
        await asyncio.sleep(0)
        try:
            rows = await services.read(event_log.after, services.store, seq, BATCH, client)
            if rows:
                seq = rows[-1].seq
                yield rows
                if len(rows) == BATCH:
                    continue
            woken = await pending
        finally:
            pending.cancel()
        if not woken:
            yield []


async def _listen(app: web.Application) -> AsyncIterator[None]:
    """Runs the listener's thread from start to end of the server."""
    services, loop, stop = app[SERVICES], asyncio.get_running_loop(), threading.Event()

    def run() -> None:
        listener = event_log.Listener(services.store)
        while not stop.is_set():
            try:
                if listener.wait(0.5):
                    loop.call_soon_threadsafe(services.waker.wake)
            except Retryable:
                stop.wait(1.0)  # the streams live on by their heartbeats until the database is back
        listener.close()

    thread = threading.Thread(target=run, name="event-log-listener", daemon=True)
    thread.start()
    yield
    stop.set()
    await asyncio.to_thread(thread.join, 5.0)


async def _close(app: web.Application) -> None:
    app[SERVICES].waker.close()


def install(app: web.Application) -> None:
    """Begins to listen with the server, and ends the streams before it stops."""
    app.cleanup_ctx.append(_listen)
    app.on_shutdown.append(_close)


async def send(response: web.StreamResponse, frames: bytes) -> bool:
    """Writes; False when the reader has gone."""
    with suppress(ConnectionError):
        await response.write(frames)
        return True
    return False
