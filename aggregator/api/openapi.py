"""The OpenAPI 3.1 document, made from the operations: what is served and what is documented cannot differ.

Component names are the names of the models; two models of one name would be refused by pydantic's own naming.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from aggregator.api.operation import Nothing, Operation
from aggregator.api.problems import CODES, CONTENT_TYPE, ProblemBody

REF: Final = "#/components/schemas/{model}"
ABOUT: Final = """Margin accounts over several EVM networks.

Decimals are strings without exponent; JSON numbers are refused where an amount is wanted. Integer token quantities stand beside \
them as `_atoms` strings. Every figure comes with the blocks, market snapshot and parameter set it was computed from."""


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole document, ready for JSON."""
    listed = tuple(operations)
    schemas, components = _components(listed)
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Isthmus account API", "version": version, "description": ABOUT,
                 "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/", "description": "this server"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "isk_<id>_<secret>",
                                        "description": "API key with scopes read, simulate, ticket, admin"}},
        },
    }  # fmt: skip


Key = tuple[type[BaseModel], JsonSchemaMode]
Schemas = Mapping[Key, Any]


def _components(operations: tuple[Operation, ...]) -> tuple[Schemas, dict[str, Any]]:
    wanted: dict[Key, None] = {(ProblemBody, "serialization"): None}
    for operation in operations:
        wanted[(operation.answer, "serialization")] = None
        if operation.body_model is not Nothing:
            wanted[(operation.body_model, "validation")] = None
    schemas, definitions = models_json_schema(list(wanted), ref_template=REF)
    return {key: schemas[key] for key in wanted}, dict(sorted(definitions["$defs"].items()))


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, schemas),
        "security": [] if operation.scope is None else [{"key": []}],
    }
    if operation.tags:
        made["tags"] = list(operation.tags)
    if operation.scope is not None:
        made["x-scope"] = operation.scope.value
    if operation.body_model is not Nothing:
        schema = schemas[(operation.body_model, "validation")]
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return made


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    found = []
    for where, model in (("path", operation.path_model), ("query", operation.query_model)):
        schema = model.model_json_schema(mode="validation", ref_template=REF)
        for name, content in schema.get("properties", {}).items():
            content = {k: v for k, v in content.items() if k != "title"}
            parameter: dict[str, Any] = {"name": name, "in": where, "required": name in schema.get("required", ())}
            if "description" in content:
                parameter["description"] = content.pop("description")
            found.append(parameter | {"schema": content})
    if operation.moves_value:
        found.append({
            "name": "Idempotency-Key", "in": "header", "required": True,
            "description": "New for each new intent; a repeated value repeats the first answer",
            "schema": {"type": "string", "minLength": 8, "maxLength": 64, "pattern": "^[\\x21-\\x7e]+$"},
        })  # fmt: skip
    return found


def _codes(operation: Operation) -> list[str]:
    codes = ["request-invalid", "unavailable", *operation.problems]
    if operation.scope is not None:
        codes += ["unauthenticated", "scope-missing"]
    if "{" in operation.path and operation.scope is not None:
        codes.append("not-found")
    if operation.body_model is not Nothing:
        codes += ["body-not-json", "body-too-large", "media-type-unsupported", "bad-request"]
    if operation.moves_value:
        codes += ["idempotency-key-missing", "idempotency-key-reused", "request-in-progress"]
    return list(dict.fromkeys(codes))


def _responses(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    good = schemas[(operation.answer, "serialization")]
    made: dict[str, Any] = {
        str(operation.status): {"description": operation.summary, "content": {operation.content_type: {"schema": good}}}}
    problem = {CONTENT_TYPE: {"schema": schemas[(ProblemBody, "serialization")]}}
    by_status: dict[int, list[str]] = {}
    for code in _codes(operation):
        by_status.setdefault(CODES[code][0], []).append(code)
    for status, codes in sorted(by_status.items()):
        text = "; ".join(f"`{code}`: {CODES[code][1]}" for code in sorted(codes))
        made[str(status)] = {"description": text, "content": problem}
    return made
