"""Who calls: an API key in `Authorization: Bearer isk_<id>_<secret>`, checked on every request that is not public.

The pages use the same key, kept by the browser in a cookie that scripts cannot read and that other sites cannot send; the cookie
opens pages and their stream only, never `/v1`, so that no page of another site can act for its holder.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from aggregator.api.operation import Scope
from aggregator.api.problems import Problem
from aggregator.api.services import SERVICES
from aggregator.store import keys
from aggregator.store.keys import ApiKey

COOKIE: Final = "isthmus_key"


async def of_bearer(request: web.Request, scope: Scope) -> ApiKey:
    """The key of an API request. Raises Problem `unauthenticated` or `scope-missing`."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Problem("unauthenticated", "send the header Authorization: Bearer isk_<id>_<secret>")
    key = await request.app[SERVICES].read(keys.check, request.app[SERVICES].store, token.strip())
    if key is None:
        raise Problem("unauthenticated", "the key is unknown, expired or revoked; ask the desk for a new one")
    if scope not in key.scopes:
        held = ", ".join(sorted(key.scopes)) or "none"
        raise Problem("scope-missing", f"the operation needs the scope {scope.value}; this key has: {held}")
    return key


async def of_cookie(request: web.Request) -> ApiKey | None:
    """The key of a page request, or None: the page then asks for one."""
    return await of_token(request, request.cookies.get(COOKIE, ""))


async def of_token(request: web.Request, token: str) -> ApiKey | None:
    """The key behind a token if it may read, else None."""
    if not token:
        return None
    key = await request.app[SERVICES].read(keys.check, request.app[SERVICES].store, token)
    return key if key is not None and Scope.READ in key.scopes else None


def only_own(key: ApiKey, client: str) -> None:
    """Raises Problem `not-found` for another client's account: a key does not learn which others exist."""
    if not key.sees(client):
        raise Problem("not-found", f"no account {client!r}; GET /v1/accounts lists those of this key")


def desk_only(key: ApiKey) -> None:
    """Raises Problem `scope-missing` for a client's key on an operation of the desk."""
    if key.client:
        raise Problem("scope-missing", "the operation belongs to the desk; this is a client's key")
