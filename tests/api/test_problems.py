"""Refusals: problem+json with a stable type, the field and the fix; decimals are strings in both directions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.conftest import Api

TOKEN = "0x" + "ab" * 20
WITHDRAWAL = {"chain_id": 71001, "token": TOKEN, "atoms": "1", "recipient": TOKEN}
KEY = {"Idempotency-Key": "problem-0001"}
PATH = "/v1/accounts/marlow/tickets/withdrawal"


async def test_problem__every_member__is_there(api: Api) -> None:
    answer = await api.call("GET", "/v1/nothing", headers={"X-Request-Id": "my-request-1"})
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.json | {"detail": ""} == {
        "type": "urn:isthmus:problem:not-found", "title": "Nothing has that name", "status": 404, "detail": "",
        "instance": "/v1/nothing", "request_id": "my-request-1", "retryable": False, "errors": []}  # fmt: skip
    assert answer.headers["X-Request-Id"] == "my-request-1"


async def test_method__that_the_path_lacks__names_the_others(api: Api) -> None:
    answer = await api.call("DELETE", "/v1/accounts")
    assert answer.code == "method-not-allowed" and "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(("change", "field"), [
    ({"atoms": 1}, "body.atoms"), ({"atoms": "1.5"}, "body.atoms"), ({"atoms": "0"}, "body.atoms"), ({"atoms": "-1"}, "body.atoms"),
    ({"atoms": str(2**256)}, "body.atoms"), ({"atoms": None, "amount": 1.5}, "body.amount"),
    ({"atoms": None, "amount": 2}, "body.amount"), ({"atoms": None, "amount": "1e3"}, "body.amount"),
    ({"atoms": None, "amount": "NaN"}, "body.amount"), ({"amount": "1"}, "body"), ({"atoms": None}, "body"),
    ({"token": "0x12"}, "body.token"), ({"chain_id": "71001"}, "body.chain_id"), ({"chain_id": True}, "body.chain_id"),
    ({"surprise": 1}, "body.surprise"),
])  # fmt: skip
async def test_withdrawal__wrong_field__is_named(api: Api, change: dict[str, Any], field: str) -> None:
    answer = await api.call("POST", PATH, WITHDRAWAL | change, headers=KEY)
    assert (answer.status, answer.code) == (422, "request-invalid"), answer.json
    assert field in {error["field"] for error in answer.json["errors"]}, answer.json


@pytest.mark.parametrize(("sent", "code"), [
    (b"{", "body-not-json"), (b"[]", "request-invalid"), (b'{"chain_id":1,"chain_id":2}', "body-not-json"),
    (b"\xff", "body-not-json"), (b"[" * 40_000, "body-not-json"), (b" " * 70_000, "body-too-large"),
])  # fmt: skip
async def test_body__that_is_no_object__is_refused(api: Api, sent: bytes, code: str) -> None:
    answer = await api.call("POST", PATH, sent, headers=KEY | {"Content-Type": "application/json"})
    assert answer.code == code
    assert (await api.call("POST", PATH, b"{}", headers=KEY | {"Content-Type": "text/plain"})).code == "media-type-unsupported"


async def test_idempotency_key__missing_or_odd__is_told(api: Api) -> None:
    assert (await api.call("POST", PATH, WITHDRAWAL)).code == "idempotency-key-missing"
    assert (await api.call("POST", PATH, WITHDRAWAL, headers={"Idempotency-Key": "short"})).code == "request-invalid"


async def test_network__that_is_unknown_or_away__is_told_apart(api: Api) -> None:
    unknown = await api.call("POST", PATH, WITHDRAWAL | {"chain_id": 5}, headers=KEY)
    away = await api.call("POST", PATH, WITHDRAWAL, headers=KEY)
    assert (unknown.code, away.code) == ("request-invalid", "unavailable") and "ISTHMUS_RPC" in away.json["detail"]


async def test_query__given_twice_or_unknown__is_refused(api: Api) -> None:
    for query in ("at=1&at=2", "colour=blue", "at=x"):
        assert (await api.get(f"/v1/accounts/marlow/margin?{query}")).code == "request-invalid"


def numbers(value: Any, path: str = "") -> list[str]:
    """Places of JSON floats in an answer."""
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in numbers(v, f"{path}.{k}")]
    if isinstance(value, list):
        return [p for v in value for p in numbers(v, path + "[]")]
    return [path] if isinstance(value, float) else []


async def test_answers__decimals__are_strings_without_exponent(api: Api) -> None:
    for path in ("/v1/accounts", "/v1/accounts/marlow/portfolio", "/v1/accounts/salt/margin", "/v1/accounts/marlow/actions",
                 "/v1/accounts/marlow/explain/capital_saved", "/v1/health"):  # fmt: skip
        answer = await api.get(path)
        assert answer.status == 200 and not numbers(answer.json), (path, numbers(answer.json))
        assert "E+" not in json.dumps(answer.json)


async def test_clients__open_twice_and_turn__follow_their_states(api: Api) -> None:
    body = {"client": "newcomer", "title": "Newcomer Fund"}
    assert (await api.call("POST", "/v1/clients", body)).status == 201
    assert (await api.call("POST", "/v1/clients", body)).code == "conflict"
    why = {"reason": "reviewed by the desk"}
    turns = [("resume", "open"), ("suspend", "suspended"), ("suspend", "suspended"), ("resume", "open"), ("exit", "exiting")]
    for what, state in turns:
        assert (await api.call("POST", f"/v1/clients/newcomer/{what}", why)).json["state"] == state
    assert (await api.call("POST", "/v1/clients/newcomer/resume", why)).code == "conflict"
    assert (await api.call("POST", "/v1/clients/nobody/suspend", why)).code == "not-found"
    kinds = [e["kind"] for e in (await api.get("/v1/accounts/newcomer/events")).json["events"]]
    assert kinds == ["client.opened", "client.suspended", "client.resumed", "client.exiting"]
    assert (await api.get("/v1/accounts/newcomer/margin")).code == "not-found"
