"""The compiled own contracts that ship with the package. A test rebuilds them from `src/` and compares byte for byte."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "artifacts"


class ArtifactUnknown(KeyError):
    """No own contract has that name."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One contract. `bytecode` is 0x creation code without arguments; `immutables` are (start, length) holes in `runtime`."""

    name: str
    abi: tuple[Mapping[str, Any], ...]
    bytecode: str
    runtime: bytes
    immutables: tuple[tuple[int, int], ...]

    def matches(self, code: bytes) -> bool:
        """Is `code`, as a node gives it, this contract, whatever its immutables are?"""
        if len(code) != len(self.runtime):
            return False
        found = bytearray(code)
        for start, length in self.immutables:
            found[start : start + length] = bytes(length)
        return bytes(found) == self.runtime


def names() -> tuple[str, ...]:
    """All shipped contracts."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@functools.cache
def load(name: str) -> Artifact:
    """The artifact of one contract, shared: treat it as read-only. Raises ArtifactUnknown listing the names there are."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        raise ArtifactUnknown(f"no own contract {name!r}; there are {', '.join(names())}")
    found = json.loads(path.read_text())
    holes = tuple((int(start), int(length)) for start, length in found["immutables"])
    return Artifact(name, tuple(found["abi"]), found["bytecode"], bytes.fromhex(found["deployedBytecode"][2:]), holes)
