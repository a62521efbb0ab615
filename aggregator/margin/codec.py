"""Codec: frozen records of this project to JSON and back, without loss. Pure.

Decimals are strings, enums their values, mappings with keys that are not text become sorted lists of pairs. `decode` follows the
type hints of the class and refuses unknown and missing fields by name. Equal records have equal canonical texts and digests.
"""

from __future__ import annotations

import hashlib
import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Json = dict[str, Any]


def encode(value: object) -> Any:
    """JSON-ready value of a record, a sequence, a mapping or a scalar. Raises TypeError naming a type that has no form."""
    if value is None or (isinstance(value, bool | int | float) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        if all(isinstance(k, str) for k in value):
            return {k: encode(v) for k, v in sorted(value.items())}
        return [[encode(k), encode(v)] for k, v in sorted(value.items())]
    if isinstance(value, tuple | list):
        return [encode(v) for v in value]
    raise TypeError(f"codec_has_no_form_for: {type(value).__name__}")


def decode(kind: type[T], body: Json) -> T:
    """Record of class `kind` from what `encode` made. Raises ValueError naming an unknown or missing field."""
    return cast(T, _decode(kind, body))


def canonical(value: object) -> str:
    """One text per content: sorted keys, no spaces."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"))


def digest(value: object) -> str:
    """sha256 of the canonical text, hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _decode(kind: Any, body: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if body is None:
            return None
        return _decode(next(a for a in arguments if a is not type(None)), body)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_decode(arguments[0], v) for v in body)
        return tuple(_decode(a, v) for a, v in zip(arguments, body, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        pairs = body.items() if isinstance(body, dict) else body
        return {_decode(arguments[0], k): _decode(arguments[1], v) for k, v in pairs}
    if is_dataclass(kind):
        return _record(cast(type, kind), body)
    if hasattr(kind, "__supertype__"):
        return _decode(kind.__supertype__, body)
    return kind(body)


def _record(kind: type, body: Json) -> Any:
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(body) - set(known))
    missing = sorted(n for n, f in known.items() if n not in body and f.default is MISSING and f.default_factory is MISSING)
    if unknown or missing:
        raise ValueError(f"{kind.__name__}: unknown fields {unknown}, missing fields {missing}")
    hints = _hints(kind)
    return kind(**{name: _decode(hints[name], value) for name, value in body.items()})
