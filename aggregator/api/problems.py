"""Problems: every refusal is RFC 9457 problem+json with a stable type code that names the field and the fix.

The codes below are the whole list; a code never changes its meaning. `retryable` tells a program whether the same request may
succeed later. Nothing here tells what an unauthenticated caller may not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aggregator import errors

PREFIX: Final = "urn:isthmus:problem:"
CONTENT_TYPE: Final = "application/problem+json"

# code: (status, title)
CODES: Final[Mapping[str, tuple[int, str]]] = {
    "request-invalid": (422, "The request does not have the form that this operation asks for"),
    "body-not-json": (400, "The body is not JSON"),
    "unauthenticated": (401, "An API key is needed"),
    "scope-missing": (403, "The API key does not have the scope of this operation"),
    "not-found": (404, "Nothing has that name"),
    "method-not-allowed": (405, "The path has no such method"),
    "not-acceptable": (406, "The operation has no such representation"),
    "body-too-large": (413, "The body is too large"),
    "media-type-unsupported": (415, "The body must be application/json"),
    "idempotency-key-missing": (400, "The operation moves value and needs an Idempotency-Key"),
    "idempotency-key-reused": (422, "The Idempotency-Key belongs to another request"),
    "request-in-progress": (409, "The first request with this Idempotency-Key is still running"),
    "conflict": (409, "The state of the thing does not allow this"),
    "client-not-open": (409, "The client is suspended, exiting or closed"),
    "custody-not-intact": (409, "The account is not a prime account of this deployment"),
    "signature-invalid": (422, "The signature is not of an owner of the account over these exact terms"),
    "mandate-forbids": (409, "The client's mandate does not allow this"),
    "margin-insufficient": (409, "Initial margin would not be covered afterwards"),
    "venue-refuses": (409, "The venue's own rule would be broken"),
    "recipient-not-pinned": (409, "The recipient is not one of the account's pinned recipients"),
    "balance-insufficient": (409, "The account does not hold what would be taken"),
    "call-unknown": (422, "The call is not one that the engine can value"),
    "rejected": (422, "A named rule is broken"),
    "unavailable": (503, "A part that this operation needs is away"),
    "broken": (500, "An invariant does not hold; a person has been told"),
    "bad-request": (400, "The request cannot be read"),
}


class FieldError(BaseModel):
    """One field that is wrong: where it stands, what is wrong with it."""

    field: str = Field(description="Place in the request: body.amount, query.limit, header.Idempotency-Key")
    message: str


class ProblemBody(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Stable code: urn:isthmus:problem:<code>")
    title: str
    status: int
    detail: str = Field(description="What is wrong here and how to put it right")
    instance: str = Field(description="Path of the request")
    request_id: str
    retryable: bool
    errors: list[FieldError] = []


class Problem(Exception):
    """A refusal on its way out. `more` holds members of its own, already JSON values with decimal strings."""

    def __init__(self, code: str, detail: str, *, fields: Sequence[FieldError] = (), retryable: bool = False,
                 more: Mapping[str, object] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.status, self.title = CODES[code]
        self.detail = detail
        self.fields = tuple(fields)
        self.retryable = retryable
        self.more = dict(more or {})


def answer(problem: Problem, path: str, request_id: str) -> web.Response:
    """The problem as a response."""
    body = ProblemBody(
        type=PREFIX + problem.code, title=problem.title, status=problem.status, detail=problem.detail, instance=path,
        request_id=request_id, retryable=problem.retryable, errors=list(problem.fields), **problem.more,
    )  # fmt: skip
    response = web.Response(body=body.model_dump_json().encode(), status=problem.status, content_type=CONTENT_TYPE)
    if problem.code == "unauthenticated":
        response.headers["WWW-Authenticate"] = 'Bearer realm="isthmus"'
    if problem.retryable:
        response.headers["Retry-After"] = "1"
    return response


def of_validation(error: ValidationError, where: str) -> Problem:
    """A pydantic error as a problem that names each field."""
    fields = [FieldError(field=".".join([where, *(str(p) for p in e["loc"])]), message=e["msg"]) for e in error.errors()]
    told = "; ".join(f"{f.field}: {f.message}" for f in fields)
    return Problem("request-invalid", told, fields=fields)


def of_error(error: errors.IsthmusError) -> Problem:
    """An error of the tree as a problem. Rejections keep their words: they name the field and the fix."""
    text = str(error)
    named = {errors.NotFound: "not-found", errors.Conflict: "conflict", errors.MandateForbids: "mandate-forbids",
             errors.MarginInsufficient: "margin-insufficient"}  # fmt: skip
    for kind, code in named.items():
        if isinstance(error, kind):
            return Problem(code, text)
    if isinstance(error, errors.Retryable):
        return Problem("unavailable", f"{text}; try again", retryable=True)
    if isinstance(error, errors.Rejected):
        return Problem("rejected", text)
    return Problem("broken", f"{type(error).__name__}: {text}")


_HTTP = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 406: "not-acceptable", 413: "body-too-large",
         415: "media-type-unsupported"}  # fmt: skip


def of_http(error: web.HTTPException) -> Problem:
    """aiohttp's own refusals (no such path, no such method, body too large)."""
    problem = Problem(_HTTP.get(error.status, "bad-request"), error.text or error.reason)
    problem.status = error.status
    return problem


def as_json(problem: Problem) -> dict[str, object]:
    """The parts of a problem that an idempotent replay repeats."""
    stored: dict[str, object] = json.loads(json.dumps(
        {"code": problem.code, "detail": problem.detail, "more": problem.more}))  # fmt: skip
    return stored
