"""From operation to aiohttp handler: authenticate, check path, query, headers and body, answer; every refusal becomes a problem.

The order is fixed: who, then what. Nothing of a request is read before its caller is known, so that a wrong field never tells an
outsider more than `unauthenticated`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from aggregator import errors
from aggregator.api import auth, problems
from aggregator.api.operation import Call, Input, Nothing, Operation
from aggregator.api.problems import FieldError, Problem
from aggregator.api.services import SERVICES
from aggregator.store.keys import ApiKey
from chains.errors import ChainError, ChainRetryable

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
REQUEST_ID: Final = web.RequestKey("request_id", str)
IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{8,64}\Z")
_GIVEN_ID: Final = re.compile(r"[A-Za-z0-9-]{8,64}\Z")


@web.middleware
async def with_problems(request: web.Request, handler: Next) -> web.StreamResponse:
    """Gives every request an id and answers every refusal as problem+json."""
    given = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = given if _GIVEN_ID.match(given) else uuid.uuid4().hex
    try:
        response = await handler(request)
    except Problem as problem:
        response = refused(request, problem)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = refused(request, problems.of_http(error), error.headers.get("Allow", ""))
    except errors.IsthmusError as error:
        response = refused(request, problems.of_error(error))
    except ChainError as error:
        away = isinstance(error, ChainRetryable)
        response = refused(request, Problem("unavailable" if away else "broken", str(error), retryable=away))
    except (OperationalError, PoolTimeout) as error:
        told = f"the database does not answer ({type(error).__name__}); try again"
        response = refused(request, Problem("unavailable", told, retryable=True))
    except DBAPIError as error:
        response = refused(request, Problem("broken", f"the database refused a statement ({type(error.orig).__name__})"))
    if not response.prepared:
        response.headers["X-Request-Id"] = request[REQUEST_ID]
    return response


def refused(request: web.Request, problem: Problem, allow: str = "") -> web.Response:
    """The problem as this request's response."""
    response = problems.answer(problem, request.path, request[REQUEST_ID])
    if allow:
        response.headers["Allow"] = allow
    return response


def handler_of(operation: Operation) -> Next:
    """The aiohttp handler of an operation."""

    async def handle(request: web.Request) -> web.StreamResponse:
        key = None if operation.scope is None else await auth.of_bearer(request, operation.scope)
        path = _checked(operation.path_model, dict(request.match_info), "path")
        _own(key, path)
        query = _checked(operation.query_model, _query(request), "query")
        token = _idempotency_key(request) if operation.moves_value else ""
        body = await _body(request, operation.body_model)
        answer = await operation.handler(
            Call(request.app[SERVICES], key, path, query, body, token, request))  # fmt: skip
        if isinstance(answer, web.StreamResponse):
            return answer
        response = web.Response(body=answer.model_dump_json().encode(), status=operation.status, content_type="application/json")
        response.headers["Cache-Control"] = "no-store"
        return response

    return handle


def _own(key: ApiKey | None, path: Input) -> None:
    client = getattr(path, "account", None) or getattr(path, "client", None)
    if key is not None and client is not None:
        auth.only_own(key, client)


def _checked(model: type[Input], values: dict[str, Any], where: str) -> Input:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise problems.of_validation(error, where) from error


def _query(request: web.Request) -> dict[str, Any]:
    repeated = [name for name in request.query if len(request.query.getall(name)) > 1]
    if repeated:
        raise Problem("request-invalid", f"query.{repeated[0]} is given more than once; give it once")
    return dict(request.query)


def _idempotency_key(request: web.Request) -> str:
    token = request.headers.get("Idempotency-Key", "")
    if not token:
        raise Problem("idempotency-key-missing", "send the header Idempotency-Key with a new value for each new intent, for "
                      "example a UUID; a repeated value repeats the first answer")  # fmt: skip
    if not IDEMPOTENCY_KEY.match(token):
        wrong = FieldError(field="header.Idempotency-Key", message="must be 8 to 64 printable ASCII characters")
        raise Problem("request-invalid", f"{wrong.field} {wrong.message}", fields=[wrong])
    return token


async def _body(request: web.Request, model: type[Input]) -> Input:
    if model is Nothing:
        return Nothing()
    if request.content_type != "application/json":
        raise Problem("media-type-unsupported", f"Content-Type is {request.content_type}; send application/json")
    try:
        values = json.loads(await request.read(), parse_float=_Number, parse_constant=_Number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise Problem("body-not-json", f"the body is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise Problem("request-invalid", f"the body must be a JSON object, not {type(values).__name__}")
    return _checked(model, values, "body")


class _Number:
    """A JSON number that is not an integer: no field takes one, because a float has lost what was meant."""

    def __init__(self, text: str) -> None:
        self.text = text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are different: two readers of one body must not see two values."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a field twice")
    return found
