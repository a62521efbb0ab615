"""Turn a file out of an npm package into {abi, bytecode, linkReferences}; standard library only.

Four shapes are known: the JSON of Hardhat and Truffle (bytecode on top), Chainlink's (under `compilerOutput.evm`), the JavaScript
of Hyperlane's typechain factories (`const _abi = [...]`, `const _bytecode = "0x..."`) and one exported JavaScript constant. Nothing
is evaluated: JavaScript literals are read by the small parser below, which knows objects, arrays, strings, numbers and words.
"""

from __future__ import annotations

import json
import re
from typing import Any

_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.S)
_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'", re.S)
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None, "undefined": None}


class ShapeUnknown(ValueError):
    """The file does not look like a contract artifact; the message says where reading stopped."""


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _string(raw: str) -> str:
    body = raw[1:-1]
    if raw[0] == "'":
        body = body.replace("\\'", "'").replace('"', '\\"')
    return str(json.loads(f'"{body}"'))


def js_literal(text: str, at: int = 0) -> tuple[Any, int]:
    """(value, position after it) of the JavaScript literal at `at`. Raises ShapeUnknown naming the position."""
    at = _skip(text, at)
    head = text[at : at + 1]
    if head and head in "[{":
        return _container(text, at)
    if found := _STRING.match(text, at):
        return _string(found.group()), found.end()
    if found := _NUMBER.match(text, at):
        number = found.group()
        return (float(number) if "." in number else int(number)), found.end()
    found = _WORD.match(text, at)
    if found and found.group() in _WORDS:
        return _WORDS[found.group()], found.end()
    raise ShapeUnknown(f"no JavaScript literal at character {at}: {text[at : at + 30]!r}")


def _container(text: str, at: int) -> tuple[Any, int]:
    closing = "]" if text[at] == "[" else "}"
    items: list[Any] = []
    pairs: dict[str, Any] = {}
    at = _skip(text, at + 1)
    while text[at : at + 1] != closing:
        if closing == "}":
            name, at = _name(text, at)
            pairs[name], at = js_literal(text, at)
        else:
            item, at = js_literal(text, at)
            items.append(item)
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at : at + 1] != closing:
            raise ShapeUnknown(f"want ',' or {closing!r} at character {at}: {text[at : at + 30]!r}")
    return (pairs if closing == "}" else items), at + 1


def _name(text: str, at: int) -> tuple[str, int]:
    if found := _STRING.match(text, at):
        name = _string(found.group())
    elif found := _WORD.match(text, at):
        name = found.group()
    else:
        raise ShapeUnknown(f"want a property name at character {at}: {text[at : at + 30]!r}")
    at = _skip(text, found.end())
    if text[at : at + 1] != ":":
        raise ShapeUnknown(f"want ':' at character {at}: {text[at : at + 30]!r}")
    return name, at + 1


def _constant(text: str, name: str) -> Any:
    found = re.search(rf"\b(?:const|let|var)\s+{re.escape(name)}\s*=", text)
    if not found:
        raise ShapeUnknown(f"no constant {name!r} in the file")
    return js_literal(text, found.end())[0]


def _hex(value: Any) -> str:
    """0x-prefixed creation bytecode. Library placeholders (`__$...$__`) stay for the linker."""
    text = value.get("object") if isinstance(value, dict) else value
    if not isinstance(text, str) or len(text) <= 2:
        raise ShapeUnknown("no creation bytecode: the contract is abstract or an interface")
    return text if text.startswith("0x") else "0x" + text


def artifact(content: bytes, constant: str = "") -> dict[str, Any]:
    """{abi, bytecode, linkReferences} of one file; `constant` names the exported bytecode of a plain JavaScript file."""
    text = content.decode()
    if constant:
        return {"abi": [], "bytecode": _hex(_constant(text, constant)), "linkReferences": {}}
    if not text.lstrip().startswith("{"):
        return {"abi": _constant(text, "_abi"), "bytecode": _hex(_constant(text, "_bytecode")), "linkReferences": {}}
    found = json.loads(text)
    if "compilerOutput" in found:
        found = found["compilerOutput"]
        found = {"abi": found["abi"], "bytecode": found["evm"]["bytecode"]}
    return {"abi": found["abi"], "bytecode": _hex(found["bytecode"]), "linkReferences": found.get("linkReferences", {})}
