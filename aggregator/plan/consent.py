"""Consent: the EIP-712 form of a mandate, which an owner of the account signs. Pure.

The domain names no chain: one mandate holds for all networks of the client. Version and deployment are inside the signed message,
so that an older mandate, or one for another deployment, never counts.
"""

from __future__ import annotations

from typing import Any, Final

from eth_hash.auto import keccak

from aggregator.plan.mandate import Mandate
from chains import abi

NAME: Final = "Isthmus Mandate"
VERSION: Final = "1"
FIELDS: Final = (
    ("bytes32", "deployment"), ("string", "client"), ("uint256", "version"), ("uint256[]", "networks"), ("string[]", "venues"),
    ("string[]", "bridges"), ("uint256", "maxCostBps"), ("bool", "mayMoveCollateral"),
)  # fmt: skip
_DOMAIN: Final = b"EIP712Domain(string name,string version)"


def _message(deployment: str, client: str, version: int, mandate: Mandate) -> dict[str, Any]:
    return {
        "deployment": keccak(deployment.encode()), "client": client, "version": version, "networks": sorted(mandate.networks),
        "venues": sorted(mandate.venues), "bridges": sorted(mandate.bridges), "maxCostBps": mandate.max_cost_bps,
        "mayMoveCollateral": mandate.may_move_collateral,
    }  # fmt: skip


def _word(kind: str, value: Any) -> bytes:
    if kind.endswith("[]"):
        return bytes(keccak(b"".join(_word(kind[:-2], item) for item in value)))
    if kind == "string":
        return bytes(keccak(value.encode()))
    return bytes(value) if kind == "bytes32" else abi.uint(int(value))


def digest(deployment: str, client: str, version: int, mandate: Mandate) -> bytes:
    """The 32 bytes that an owner signs."""
    message = _message(deployment, client, version, mandate)
    type_hash = keccak(("Mandate(" + ",".join(f"{kind} {name}" for kind, name in FIELDS) + ")").encode())
    struct = keccak(type_hash + b"".join(_word(kind, message[name]) for kind, name in FIELDS))
    domain = keccak(keccak(_DOMAIN) + keccak(NAME.encode()) + keccak(VERSION.encode()))
    return bytes(keccak(b"\x19\x01" + domain + struct))


def typed_data(deployment: str, client: str, version: int, mandate: Mandate) -> dict[str, Any]:
    """The same as a JSON document for eth_signTypedData_v4."""
    message = _message(deployment, client, version, mandate)
    return {
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}],
            "Mandate": [{"name": name, "type": kind} for kind, name in FIELDS],
        },
        "primaryType": "Mandate",
        "domain": {"name": NAME, "version": VERSION},
        "message": message | {"deployment": "0x" + message["deployment"].hex()},
    }
