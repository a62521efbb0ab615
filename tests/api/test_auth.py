"""Keys: no route is open that should not be, scopes do not contain each other, clients see their own only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aggregator.api.app import operations
from aggregator.store import keys
from tests.api.book import digest
from tests.api.conftest import Api

FILLED = {"account": "marlow", "client": "marlow", "figure": "initial_margin", "action_id": digest("x")}


def path_of(template: str) -> str:
    return template.format(**FILLED)


@pytest.mark.parametrize("operation", [o for o in operations() if o.scope], ids=lambda o: o.operation_id)
async def test_operation__without_a_good_key__is_refused(api: Api, operation: object) -> None:
    method, path = operation.method, path_of(operation.path)  # type: ignore[attr-defined]  # parametrize gives plain objects
    body = {} if method == "POST" else None
    expired = keys.create(api.book.store, "", ("read", "simulate", "ticket", "admin"), datetime.now(UTC) - timedelta(seconds=1))
    revoked = keys.create(api.book.store, "", ("read", "simulate", "ticket", "admin"))
    keys.revoke(api.book.store, revoked.split("_")[1])
    good = api.tokens["desk"]
    wrong = ["", "Bearer", f"Basic {good}", f"Bearer {good}x", f"Bearer {good[:-1]}", "Bearer isk__", f"Bearer {expired}",
             f"Bearer {revoked}", f"Bearer isk_{good.split('_')[1]}_{'0' * 48}", "Bearer \u00e9"]  # fmt: skip
    for header in wrong:
        given = {"Authorization": header} if header else {}
        answer = await api.call(method, path, body, key="", headers=given)
        assert (answer.status, answer.code) == (401, "unauthenticated"), header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_scope__read_only__may_not_write(api: Api) -> None:
    for operation in operations():
        if operation.scope and operation.scope.value != "read":
            answer = await api.call(operation.method, path_of(operation.path), {}, key="reader")
            assert (answer.status, answer.code) == (403, "scope-missing"), operation.operation_id


async def test_client_key__of_another_account__finds_nothing(api: Api) -> None:
    for operation in operations():
        if operation.scope and ("{account}" in operation.path or "{client}" in operation.path):
            body = {"reason": "x"} if operation.method == "POST" else None
            path = operation.path.format(**FILLED | {"account": "tern", "client": "tern"})
            answer = await api.call(operation.method, path, body, key="marlow")
            assert (answer.status, answer.code) == (404, "not-found"), operation.operation_id


async def test_client_key__on_the_desks_operations__is_refused(api: Api) -> None:
    answer = await api.call("POST", "/v1/clients", {"client": "new", "title": "New"}, key="marlow")
    assert answer.code == "scope-missing"
    assert (await api.call("POST", "/v1/clients/marlow/suspend", {"reason": "x"}, key="marlow")).code == "scope-missing"


async def test_page_cookie__on_the_api__counts_for_nothing(api: Api) -> None:
    answer = await api.call("GET", "/v1/accounts", key="", headers={"Cookie": f"isthmus_key={api.tokens['desk']}"})
    assert answer.code == "unauthenticated"


async def test_pages__without_a_key__show_no_account(api: Api) -> None:
    for path in ("/", "/accounts/marlow", "/accounts/marlow?explain=initial_margin"):
        async with api.session.get(api.url + path) as answer:
            text = await answer.text()
            assert answer.status == 401 and "Marlow" not in text
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert (await api.call("GET", "/page/stream", key="")).code == "unauthenticated"


async def test_enter__with_a_client_key__shows_its_account_only(api: Api) -> None:
    form = {"key": api.tokens["tern"], "next": "//evil"}
    async with api.session.post(api.url + "/enter", data=form, allow_redirects=False) as answer:
        assert answer.status == 303 and answer.headers["Location"] == "/"
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    given = {"Cookie": f"isthmus_key={api.tokens['tern']}"}
    async with api.session.get(api.url + "/", headers=given) as answer:
        text = await answer.text()
        assert "Tern Street Partners" in text and "Marlow" not in text
    async with api.session.get(api.url + "/accounts/marlow", headers=given) as answer:
        assert answer.status == 404
