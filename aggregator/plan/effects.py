"""Effects: a step's consequences as ledger transfers, with the accounts that posting will use for the same events. Pure.

A step's effects are its reservation: counted in the projected view until the network's own logs take their place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from aggregator.ledger.accounts import Kind, LedgerAccount, external
from aggregator.ledger.posting import WALLET, financing, in_transit
from aggregator.ledger.transfers import Transfer
from aggregator.portfolio.netting import AAVE
from chains.types import Address

if TYPE_CHECKING:
    from chains.networks.network import AaveReserve, Network

Change = tuple[LedgerAccount, int, str]

__all__ = ["AAVE", "Change", "collateral", "debt", "effects", "financing", "in_transit", "reserve_named", "wallet"]


def wallet(client: str, chain_id: int, token: Address) -> LedgerAccount:
    """The client's own tokens in the prime account."""
    return LedgerAccount(client, chain_id, WALLET, Kind.POSITION, f"{chain_id}:{token}")


def collateral(client: str, chain_id: int, reserve: AaveReserve) -> LedgerAccount:
    """The client's supply to a lending pool, in scaled shares."""
    return LedgerAccount(client, chain_id, AAVE, Kind.POSITION, f"{chain_id}:{reserve.a_token}")


def debt(client: str, chain_id: int, reserve: AaveReserve) -> LedgerAccount:
    """The client's debt to a lending pool, in scaled shares; stands negative."""
    return LedgerAccount(client, chain_id, AAVE, Kind.DEBT, f"{chain_id}:{reserve.variable_debt_token}")


def reserve_named(network: Network, token: str) -> AaveReserve | None:
    """The lending pool's reserve of a token (by its name in the network file), or None."""
    venue = network.protocols.aave_v3
    return next((r for r in venue.reserves if r.token == token), None) if venue is not None else None


def effects(changes: Iterable[Change]) -> tuple[Transfer, ...]:
    """One transfer against the outside world per signed change; zero changes are left out."""
    made: list[Transfer] = []
    for account, atoms, reason in changes:
        if atoms == 0:
            continue
        outside = external(account.asset)
        debit, credit = (account, outside) if atoms > 0 else (outside, account)
        made.append(Transfer(len(made), 0, debit, credit, abs(atoms), reason))
    return tuple(made)
