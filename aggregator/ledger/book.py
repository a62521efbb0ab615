"""The address book: which addresses are whose, which contracts are which. Pure.

Posting knows nothing but this book and the events. It must hold the safes of all networks of a client, because the value of a
bridge send belongs to whom it will be delivered to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aggregator.errors import LedgerBroken
from chains.types import ZERO_ADDRESS, Address

if TYPE_CHECKING:
    from chains.networks.network import Network

Place = tuple[int, Address]


@dataclass(frozen=True, slots=True)
class KnownToken:
    """A token contract that counts: its canonical asset and its places."""

    asset: str
    decimals: int


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Everything by (chain id, address).

    safes: prime account -> client id. tokens: ERC-20 and native coin (zero address). a_tokens, debt_tokens: lending pool's reserve
    (underlying token) -> share token. lines: chain id -> credit line. Tokens that are not in the book are no collateral and are not
    booked.
    """

    safes: Mapping[Place, str] = field(default_factory=dict)
    tokens: Mapping[Place, KnownToken] = field(default_factory=dict)
    a_tokens: Mapping[Place, Address] = field(default_factory=dict)
    debt_tokens: Mapping[Place, Address] = field(default_factory=dict)
    lines: Mapping[int, Address] = field(default_factory=dict)

    def client_of(self, chain_id: int, where: Address) -> str | None:
        """Client whose safe stands at this address of this network, or None."""
        return self.safes.get((chain_id, where))

    def canonical_decimals(self, asset: str) -> int:
        """Places in which a quantity in transit is kept: the most that any token of the asset has. Raises LedgerBroken for none."""
        places = [t.decimals for t in self.tokens.values() if t.asset == asset]
        if not places:
            raise LedgerBroken(f"asset_without_token: {asset}; add a token of it to a network file")
        return max(places)

    def share_token(self, chain_id: int, reserve: Address, debt: bool) -> Address:
        """Address of a reserve's aToken or variable debt token. Raises LedgerBroken when the network file lacks the reserve."""
        found = (self.debt_tokens if debt else self.a_tokens).get((chain_id, reserve))
        if found is None:
            raise LedgerBroken(f"reserve_without_share_token: {chain_id}:{reserve}; add it to protocols.aave_v3.reserves")
        return found


def book_of(networks: Mapping[int, Network], safes: Mapping[Place, str]) -> AddressBook:
    """Address book of these networks and these safes ((chain id, address) -> client id)."""
    tokens: dict[Place, KnownToken] = {}
    a_tokens: dict[Place, Address] = {}
    debt_tokens: dict[Place, Address] = {}
    lines: dict[int, Address] = {}
    for chain_id, network in networks.items():
        tokens[(chain_id, ZERO_ADDRESS)] = KnownToken(network.native.asset, network.native.decimals)
        tokens.update({(chain_id, t.address): KnownToken(t.asset, t.decimals) for t in network.tokens.values()})
        if network.protocols.aave_v3 is not None:
            for reserve in network.protocols.aave_v3.reserves:
                underlying = network.tokens[reserve.token].address
                a_tokens[(chain_id, underlying)] = reserve.a_token
                debt_tokens[(chain_id, underlying)] = reserve.variable_debt_token
        if network.protocols.isthmus is not None:
            lines[chain_id] = network.protocols.isthmus.credit_line
    return AddressBook(dict(safes), tokens, a_tokens, debt_tokens, lines)
