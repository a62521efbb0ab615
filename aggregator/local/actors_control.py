"""The actors' control channel: one JSON object per line over loopback TCP, one answer line per question.

Every answer holds "ok"; a refused command holds "error" with what is wrong and what is wanted. `ask` is the client's side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aggregator.errors import Rejected, Retryable

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]
HOST = "127.0.0.1"
LINE_LIMIT = 1 << 20


class CommandInvalid(Rejected):
    """A control command is not known or lacks a field."""


class ActorsAway(Retryable):
    """Nobody answers at the control port."""


async def serve(handler: Handler, port: int = 0) -> asyncio.Server:
    """Start answering on loopback; port 0 takes a free one. OSError when the port is taken."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write((json.dumps(await _answer(handler, line)) + "\n").encode())
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    return await asyncio.start_server(talk, HOST, port, limit=LINE_LIMIT)


async def _answer(handler: Handler, line: bytes) -> dict[str, Any]:
    try:
        command = json.loads(line)
        if not isinstance(command, dict):
            raise CommandInvalid('a command is one JSON object per line, like {"cmd": "status"}')
        return {"ok": True, **await handler(command)}
    except (CommandInvalid, json.JSONDecodeError) as error:
        return {"ok": False, "error": str(error)}


async def ask(port: int, command: Mapping[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
    """Send one command and return its answer. Raises ActorsAway when nobody answers, CommandInvalid when it is refused."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(HOST, port, limit=LINE_LIMIT)
            try:
                writer.write((json.dumps(command) + "\n").encode())
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise ActorsAway(f"the actors do not answer at {HOST}:{port} ({type(error).__name__}); see their log") from error
    if not line:
        raise ActorsAway(f"the actors at {HOST}:{port} hung up; see their log")
    answer: dict[str, Any] = json.loads(line)
    if not answer.get("ok"):
        raise CommandInvalid(str(answer.get("error")))
    return answer
