"""The OpenAPI document: made from the code, valid for a real reader, and changed only on purpose."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from aggregator.api.app import document_text, operations
from tests.api.conftest import Api

# What these may take depends on networks and signatures, which no schema can say: a well-formed request may still be refused.
WORLDLY = {"/v1/clients/{client}/safes", "/v1/clients/{client}/mandate", "/v1/accounts/{account}/tickets/withdrawal",
           "/v1/accounts/{account}/tickets/trade"}  # fmt: skip
SNAPSHOT = Path(__file__).parent / "openapi.json"


def test_document__snapshot__is_what_the_code_makes() -> None:
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(document_text() + "\n")
        pytest.fail(f"{SNAPSHOT.name} was missing and has been written; look at it and keep it with the change")
    assert json.loads(SNAPSHOT.read_text()) == json.loads(document_text()), f"delete {SNAPSHOT} and run again to renew it"


def test_document__operations__are_unique_and_described() -> None:
    document = json.loads(document_text())
    listed = [o for path in document["paths"].values() for o in path.values()]
    ids = [o["operationId"] for o in listed]
    assert document["openapi"] == "3.1.0" and len(ids) == len(set(ids)) == len(operations())
    for operation in listed:
        assert operation["summary"] and ("401" in operation["responses"]) == bool(operation["security"])


def test_document__amounts__are_never_json_numbers() -> None:
    schemas = json.loads(document_text())["components"]["schemas"]
    floats = [f"{name}.{field}" for name, schema in schemas.items() for field, content in schema.get("properties", {}).items()
              if content.get("type") == "number"]  # fmt: skip
    assert not floats
    for name, schema in schemas.items():
        for field, content in schema.get("properties", {}).items():
            if field.endswith(("_usd", "_atoms", "_wei")):
                kinds = {content.get("type")} | {option.get("type") for option in content.get("anyOf", ())}
                assert "string" in kinds, f"{name}.{field}"


async def test_document__served__is_the_same(api: Api) -> None:
    answer = await api.call("GET", "/openapi.json", key="")
    assert answer.json == json.loads(document_text())


async def test_document__schemathesis__finds_no_fault(api: Api) -> None:
    """Made-up requests, good and wrong, for every operation but the endless stream: each answer fits the document."""
    document = json.loads(document_text())
    del document["paths"]["/v1/stream"]
    schema = schemathesis.openapi.from_dict(document)
    headers = {"Authorization": f"Bearer {api.tokens['desk']}"}

    def attempt(case: schemathesis.Case) -> None:
        more = [positive_data_acceptance] if case.operation.path in WORLDLY else []
        case.call_and_validate(base_url=api.url, headers=headers, excluded_checks=more)

    def hammer() -> None:
        few = settings(max_examples=15, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
        for result in schema.get_all_operations():
            few(given(result.ok().as_strategy())(attempt))()

    await asyncio.to_thread(hammer)
