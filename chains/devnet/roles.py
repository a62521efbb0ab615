"""Accounts of the local networks: one key per role, derived from the role's name, the same on every network.

These keys are public by construction and worth nothing anywhere else. `FUNDED` roles hold native coin in every baked state.
"""

from __future__ import annotations

import functools
from typing import Final

from eth_account import Account
from eth_hash.auto import keccak

ORACLES: Final = ("oracle-0", "oracle-1", "oracle-2")
VALIDATORS: Final = ("validator-0", "validator-1", "validator-2")
LENDERS: Final = ("lender-0", "lender-1")
CLIENT_OWNERS: Final = tuple(f"client-{c}-owner-{o}" for c in (1, 2) for o in (0, 1, 2))
FUNDED: Final = (
    "house", "market-maker", *ORACLES, "liquidator", "relayer", *LENDERS, *CLIENT_OWNERS, "gas", "governor", "guardian",
)


def key(role: str) -> bytes:
    """Private key of a role: keccak256 of 'isthmus-devnet-<role>'."""
    return bytes(keccak(f"isthmus-devnet-{role}".encode()))


@functools.cache
def address(role: str) -> str:
    """Checksummed address of a role."""
    return str(Account.from_key(key(role)).address)
