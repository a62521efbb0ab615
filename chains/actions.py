"""Actions: the closed union of what a network can be asked to perform; protocols turn each into Calls.

Pure. Atoms are integers > 0; `venue` names the protocol file that encodes it; `account` is the prime account (Safe) that acts.
"""

from __future__ import annotations

from dataclasses import dataclass

from chains.types import Address


@dataclass(frozen=True, slots=True)
class Approve:
    token: Address
    spender: Address
    atoms: int


@dataclass(frozen=True, slots=True)
class Supply:
    venue: str
    account: Address
    token: Address
    atoms: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    venue: str
    account: Address
    token: Address
    atoms: int


@dataclass(frozen=True, slots=True)
class Borrow:
    venue: str
    account: Address
    token: Address
    atoms: int


@dataclass(frozen=True, slots=True)
class Repay:
    venue: str
    account: Address
    token: Address
    atoms: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Sell exactly `atoms` of `token_in` for at least `minimum_out` of `token_out` in the pool of `fee`."""

    venue: str
    account: Address
    token_in: Address
    token_out: Address
    fee: int
    atoms: int
    minimum_out: int


@dataclass(frozen=True, slots=True)
class Bridge:
    """Send `atoms` over `route` to `recipient` on `destination` (chain id)."""

    venue: str
    account: Address
    route: Address
    destination: int
    recipient: Address
    atoms: int
    fee_wei: int = 0


@dataclass(frozen=True, slots=True)
class RepayLine:
    """Pay back `atoms` of `account`'s credit line debt."""

    account: Address
    atoms: int


AnyAction = Approve | Supply | Withdraw | Borrow | Repay | Swap | Bridge | RepayLine
