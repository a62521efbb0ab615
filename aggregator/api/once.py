"""Once: a request under one Idempotency-Key is carried out once; its first answer, also a refusal that was decided, is repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel

from aggregator.api import problems
from aggregator.api.operation import Call
from aggregator.api.problems import Problem
from aggregator.store import requests
from aggregator.store.requests import Answer, KeyReused, StillRunning

# Refusals that were decided on the books: repeated. Everything else (a node away, a wrong field) may be tried again.
DECIDED: Final = frozenset({"margin-insufficient", "venue-refuses"})


async def once(call: Call[Any, Any, Any], client: str, run: Callable[[], Awaitable[BaseModel]], status: int) -> web.Response:
    """Runs, or repeats the first answer. Raises Problem `idempotency-key-reused`, `request-in-progress`, and what `run` raises."""
    read, store, key = call.services.read, call.services.store, call.idempotency_key
    text = f"{call.request.method} {call.request.path}\n{call.body.model_dump_json()}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    try:
        first = await read(requests.begin, store, client, key, digest)
    except KeyReused as error:
        raise Problem("idempotency-key-reused", str(error)) from error
    except StillRunning as error:
        raise Problem("request-in-progress", str(error), retryable=True) from error
    if first is not None:
        return _repeated(first)
    decided = False
    try:
        answer = (await run()).model_dump(mode="json")
        decided = True
        await read(requests.finish, store, client, key, Answer(status, answer))
    except Problem as problem:
        if problem.code in DECIDED:
            decided = True
            await read(requests.finish, store, client, key, Answer(problem.status, problems.as_json(problem)))
        raise
    finally:
        if not decided:
            await read(requests.release, store, client, key)
    return web.json_response(answer, status=status, headers={"Cache-Control": "no-store"})


def _repeated(first: Answer) -> web.Response:
    if first.status >= 400:
        body = dict(first.body)
        raise Problem(str(body["code"]), str(body["detail"]), more=body["more"])
    headers = {"Cache-Control": "no-store", "Idempotency-Replayed": "true"}
    return web.json_response(dict(first.body), status=first.status, headers=headers)
