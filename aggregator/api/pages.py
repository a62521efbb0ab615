"""The pages: overview and account, live over server-sent events, behind the same keys as the API.

Every panel is rendered on the server; the stream sends a panel again only when its markup changed. The page script is ours and
small, because swapping a rendered panel in place and marking what changed is all it does: a library would be four times its size
and would still need that part written. The policy allows nothing from another host and nothing inline.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any, Final
from urllib.parse import quote, unquote

from aiohttp import web

from aggregator.api import rendering, streams
from aggregator.api.auth import COOKIE, of_cookie, of_token
from aggregator.api.board import Account, Board, board
from aggregator.api.happened import QUIET
from aggregator.api.problems import Problem
from aggregator.api.rendering import ACCOUNT, OVERVIEW
from aggregator.api.services import SERVICES
from aggregator.store import views
from aggregator.store.keys import ApiKey
from aggregator.version import VERSION

POLICY: Final = ("default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
                 "form-action 'self'")  # fmt: skip
HEADERS: Final = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
                  "Cross-Origin-Opener-Policy": "same-origin", "Cache-Control": "no-store"}  # fmt: skip
PACE_S: Final = 0.3
QUIET_BEAT_S: Final = 2.0
DAY_S: Final = 86_400


async def overview(request: web.Request) -> web.StreamResponse:
    """The desk's page: what needs a hand, the book, every account, networks, actions, events."""
    key = await of_cookie(request)
    if key is None:
        return _ask(request)
    found = await _board(request, key, "")
    return _html(rendering.page("overview.html", found, _frame(request, key, "overview", "")))


async def account(request: web.Request) -> web.StreamResponse:
    """One client's page; `?explain=FIGURE` opens the drawer, and with X-Fragment only the drawer is sent."""
    key = await of_cookie(request)
    if key is None:
        return _ask(request)
    name = request.match_info["account"]
    found = await _board(request, key, name)
    values = rendering.account_values(_one(found, key, name), request.query.get("explain", "")[:160])
    frame = _frame(request, key, "account", name)
    template = "drawer.html" if request.headers.get("X-Fragment") == "drawer" else "account.html"
    return _html(rendering.page(template, found, frame | values))


async def _board(request: web.Request, key: ApiKey, name: str) -> Board:
    services = request.app[SERVICES]
    if name and not key.sees(name):
        raise Problem("not-found", f"no account {name!r}; the overview lists those of this key")
    return board(await services.read(views.desk, services.store, key.client or None, name or None, QUIET), services.networks)


def _one(found: Board, key: ApiKey, name: str) -> Account:
    account = next((a for a in found.accounts if a.row.client == name), None)
    if account is None or not key.sees(name):
        raise Problem("not-found", f"no account {name!r}; the overview lists those of this key")
    return account


def _frame(request: web.Request, key: ApiKey, here: str, name: str) -> dict[str, Any]:

    return {"here": here, "stream": f"/page/stream?account={quote(name)}", "version": VERSION,
            "deployment": request.app[SERVICES].store.deployment,
            "who": f"Signed in as {key.client or 'the desk'}, key {key.key_id[:6]}"}  # fmt: skip


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


async def stream(request: web.Request) -> web.StreamResponse:
    """Panels of one page, each sent when its markup changed; at most every 0.3 s, at least every 2 s while something moves."""
    key = await of_cookie(request)
    if key is None:
        raise Problem("unauthenticated", "the page stream needs the page's cookie; sign in at /")
    name, sent = request.query.get("account", ""), dict[str, str]()
    await _board(request, key, name)
    response, waker = await streams.opened(request), request.app[SERVICES].waker
    while not waker.closed:
        woken = asyncio.ensure_future(waker.wait(QUIET_BEAT_S))
        try:
            if not await streams.send(response, await _changes(request, key, name, sent)):
                break
            await asyncio.sleep(PACE_S)
            await woken
        finally:
            woken.cancel()
    return response


async def _changes(request: web.Request, key: ApiKey, name: str, sent: dict[str, str]) -> bytes:
    """Frames of the panels whose markup is not what this stream sent last."""
    found = await _board(request, key, name)
    values = rendering.account_values(_one(found, key, name)) if name else {}
    frames = []
    for panel in ACCOUNT if name else OVERVIEW:
        html = rendering.panel(panel, found, values)
        digest = hashlib.sha256(html.encode()).hexdigest()
        if sent.get(panel) != digest:
            sent[panel] = digest
            body = json.dumps({"id": f"p-{panel}", "html": html, "seq": found.last_seq})
            frames.append(streams.frame("panel", body, found.last_seq))
    return b"".join(frames) or b": still here\n\n"


def _ask(request: web.Request, wrong: bool = False, following: str = "") -> web.Response:
    values = {"wrong": wrong, "next": following or request.path_qs, "stream": ""}
    return _html(rendering.page("enter.html", None, values), 403 if wrong else 401)


async def enter(request: web.Request) -> web.StreamResponse:
    """Takes a key, from the form or from the link that `demo` prints, and keeps it in the page's cookie."""
    given = await request.post() if request.method == "POST" else request.query
    token, following = str(given.get("key", "")), str(given.get("next", "/"))
    # only a path of this server: nobody is sent elsewhere, nor back here
    if not following.startswith("/") or following.startswith(("//", "/\\", "/enter")):
        following = "/"
    if await of_token(request, token) is None:
        return _ask(request, wrong=bool(token), following=following)
    answer = web.HTTPSeeOther(following)
    answer.set_cookie(COOKIE, token, max_age=DAY_S, httponly=True, samesite="Strict", secure=request.secure, path="/")
    answer.headers["Cache-Control"] = "no-store"
    raise answer


async def leave(request: web.Request) -> web.StreamResponse:
    """Forgets the page's cookie."""
    answer = web.HTTPSeeOther("/")
    answer.del_cookie(COOKIE, path="/")
    raise answer


async def file(request: web.Request) -> web.Response:
    """A static file; its address carries its hash, so it is kept for ever."""
    found = rendering.static_files().get(unquote(request.match_info["name"]))
    if found is None:
        raise Problem("not-found", "no such file")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=found[0], content_type=found[1], headers=headers)


def install(app: web.Application) -> None:
    """The pages' routes."""
    app.router.add_get("/", overview)
    app.router.add_get("/accounts/{account:[a-z0-9-]{1,63}}", account)
    app.router.add_get("/page/stream", stream)
    app.router.add_get("/enter", enter)
    app.router.add_post("/enter", enter)
    app.router.add_post("/leave", leave)
    app.router.add_get("/static/{name:[a-z0-9./-]+}", file)
