"""Ledger accounts: who, on which network, at which place, of which kind, in which asset.

A balance is debits minus credits in atoms (or shares) of one asset. Positions, in_transit and reserved stand positive when the
client has the quantity; debt and financing stand negative when the client owes it. Over all accounts of one asset the balances sum
to zero, always: `external` is the counterpart of everything that came from outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The eight kinds of ledger account."""

    POSITION = "position"
    DEBT = "debt"
    FINANCING = "financing"
    IN_TRANSIT = "in_transit"
    RESERVED = "reserved"
    EXTERNAL = "external"
    FEES = "fees"
    BAD_DEBT = "bad_debt"


@dataclass(frozen=True, slots=True, order=True)
class LedgerAccount:
    """One ledger account.

    client: margin account id, '' for the outside world. chain_id: 0 for in_transit (it stands on no network).
    place: 'wallet', a protocol name ('aave_v3', 'credit_line'), or 'hyperlane:<message id>' for in_transit.
    asset: '<chain_id>:<token address>' (native coin: zero address; Aave: address of the aToken or debt token, quantity in scaled
    shares; financing: address of the credit line, quantity in scaled shares); in_transit: 'asset:<canonical>:<decimals>'.
    """

    client: str
    chain_id: int
    place: str
    kind: Kind
    asset: str

    def key(self) -> str:
        """Canonical text, unique per account; the natural key in the store."""
        return f"{self.client}|{self.chain_id}|{self.place}|{self.kind.value}|{self.asset}"


def parse(key: str) -> LedgerAccount:
    """Inverse of `LedgerAccount.key`. Raises ValueError for a malformed key."""
    client, chain_id, place, kind, asset = key.split("|")
    return LedgerAccount(client, int(chain_id), place, Kind(kind), asset)


def external(asset: str, place: str = "outside") -> LedgerAccount:
    """The outside world's account for one asset; `chain_id` follows the asset ('asset:...' has none)."""
    head = asset.partition(":")[0]
    return LedgerAccount("", int(head) if head.isdigit() else 0, place, Kind.EXTERNAL, asset)
