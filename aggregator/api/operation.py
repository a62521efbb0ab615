"""Operations: what one route takes, gives and asks of its caller. Routing, checking and the OpenAPI document all read these.

A handler gets a `Call` whose path, query and body have been checked; it answers with a model, or with a response of its own
when it streams.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from aggregator.api.services import Services
from aggregator.store.keys import ApiKey


class Scope(StrEnum):
    """What a key may do. They do not contain each other."""

    READ = "read"
    SIMULATE = "simulate"
    TICKET = "ticket"
    ADMIN = "admin"


class Input(BaseModel):
    """Base of everything a caller sends: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Input):
    """No fields."""


P = TypeVar("P", bound=Input)
Q = TypeVar("Q", bound=Input)
B = TypeVar("B", bound=Input)


@dataclass(frozen=True)
class Call(Generic[P, Q, B]):
    """One checked request. `key` is None on public operations; `idempotency_key` is '' where none is needed."""

    services: Services
    key: ApiKey | None
    path: P
    query: Q
    body: B
    idempotency_key: str
    request: web.Request

    @property
    def actor(self) -> str:
        """Who did it, as written beside what it changed."""
        return f"key:{self.key.key_id}" if self.key else "public"


Handler = Callable[[Call[Any, Any, Any]], Awaitable[BaseModel | web.StreamResponse]]


@dataclass(frozen=True)
class Operation:
    """One route. `path` uses {names} of the fields of `path_model`. `scope` None: public. `problems`: codes it may answer besides
    those that every operation of its kind has. `account_field`: the path field that a client's key must match."""

    method: str
    path: str
    operation_id: str
    summary: str
    handler: Handler
    answer: type[BaseModel]
    scope: Scope | None = Scope.READ
    status: int = 200
    path_model: type[Input] = Nothing
    query_model: type[Input] = Nothing
    body_model: type[Input] = Nothing
    problems: tuple[str, ...] = ()
    moves_value: bool = False
    content_type: str = "application/json"
    tags: tuple[str, ...] = field(default=())
