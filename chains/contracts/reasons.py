"""Why a call reverted: revert data or a call trace -> the name of the broken rule.

Pure. Knows the errors of the own contracts, `Error(string)` (Safe's GS codes and most venues) and `Panic`. Safe 1.4.1 hides the
inner reason behind GS013, so ask a node for a callTracer trace and use `of_trace`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chains import abi
from chains.contracts import artifacts

_ERROR: Final = bytes.fromhex("08c379a0")
_PANIC: Final = bytes.fromhex("4e487b71")


@dataclass(frozen=True, slots=True)
class Reason:
    """`name` is the error's name, a venue's own text, or '0x' and the selector of an unknown error; `values` are its arguments."""

    name: str
    values: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.values))})" if self.values else self.name


@functools.cache
def _errors() -> Mapping[bytes, tuple[str, tuple[str, ...]]]:
    found: dict[bytes, tuple[str, tuple[str, ...]]] = {}
    for contract in artifacts.names():
        for entry in artifacts.load(contract).abi:
            if entry["type"] == "error":
                kinds = tuple(item["type"] for item in entry["inputs"])
                found[abi.selector(f"{entry['name']}({','.join(kinds)})")] = (entry["name"], kinds)
    return found


def of_data(data: bytes) -> Reason | None:
    """The reason in revert data; None when there is none."""
    if len(data) < 4:
        return None
    head, body = data[:4], data[4:]
    try:
        if head == _ERROR:
            return Reason(abi.bytes_from(body, abi.offset_at(body, 0)).decode(errors="replace"))
        name, kinds = ("Panic", ("uint256",)) if head == _PANIC else _errors().get(head, ("0x" + head.hex(), ()))
        return Reason(name, tuple(_argument(kind, abi.word(body, at)) for at, kind in enumerate(kinds)))
    except ValueError:
        return Reason("0x" + data.hex())


def _argument(kind: str, word: bytes) -> int | str:
    """A static argument: a number, an address, or the hex of fixed bytes."""
    if kind == "address":
        return abi.to_address(word)
    if kind.startswith("uint"):
        return int.from_bytes(word, "big")
    return "0x" + word[: int(kind.removeprefix("bytes") or abi.WORD)].hex()


def of_trace(trace: Mapping[str, Any]) -> Reason | None:
    """The rule that a callTracer trace broke; None when the call passed.

    An own error speaks for itself. Any other failure may hide one that happened inside, so the first failed call inside is asked.
    """
    if not trace.get("error"):
        return None
    output = bytes.fromhex(str(trace.get("output") or "0x")[2:])
    if output[:4] not in _errors():
        for frame in trace.get("calls", ()):
            inner = of_trace(frame)
            if inner is not None:
                return inner
    return of_data(output) or Reason(str(trace["error"]))
