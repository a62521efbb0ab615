"""Interest: shares become atoms at the index as of a block, with the protocols' own integer arithmetic. Pure.

Lending supply grows linearly from its last update, lending debt by the pool's third-order binomial, the credit line linearly and
rounded against the debtor; the formulas stand with their protocols. Times are block times of the network. A block before the
update uses the index as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind
from aggregator.ledger.book import AddressBook
from aggregator.units import ray_mul
from chains.events import IndexUpdated
from chains.protocols.aave_v3 import debt_index_at, supply_index_at
from chains.protocols.isthmus import line_debt, line_index_at


@dataclass(frozen=True, slots=True)
class InterestState:
    """Last known interest of one share token (aToken, variable debt token) or credit line.

    token: ledger asset key '<chain>:<address>'. index: ray, one at birth. rate: ray per year, valid from `updated_at` (block time).
    """

    chain_id: int
    place: str
    token: str
    index: int
    rate: int
    updated_at: int


def linear_index(index: int, rate: int, elapsed: int) -> int:
    """Lending pool's normalised income after `elapsed` seconds, ray."""
    return supply_index_at(index, rate, 0, max(elapsed, 0))


def compounded_index(index: int, rate: int, elapsed: int) -> int:
    """Lending pool's normalised variable debt after `elapsed` seconds, ray."""
    return debt_index_at(index, rate, 0, max(elapsed, 0))


def line_index(index: int, rate: int, elapsed: int) -> int:
    """Credit line's index after `elapsed` seconds, ray."""
    return line_index_at(index, rate, 0, max(elapsed, 0))


def atoms_of(kind: Kind, shares: int, state: InterestState, timestamp: int) -> int:
    """Atoms of `shares` (signed) at block time `timestamp`: what the holder would be paid or would have to pay, to the atom.

    Raises LedgerBroken for a kind of account that bears no interest.
    """
    elapsed = timestamp - state.updated_at
    sign, size = (-1, -shares) if shares < 0 else (1, shares)
    if kind is Kind.POSITION:
        return sign * ray_mul(size, linear_index(state.index, state.rate, elapsed))
    if kind is Kind.DEBT:
        return sign * ray_mul(size, compounded_index(state.index, state.rate, elapsed))
    if kind is Kind.FINANCING:
        return sign * line_debt(size, line_index(state.index, state.rate, elapsed))
    raise LedgerBroken(f"account_kind_bears_no_interest: {kind.value}")


def interest_states(event: IndexUpdated, timestamp: int, book: AddressBook) -> tuple[InterestState, ...]:
    """States that one event tells: supply and debt of a reserve, or the debt of a credit line. `timestamp`: of its block."""
    chain_id = event.ref.chain_id
    if book.lines.get(chain_id) == event.market:
        line = f"{chain_id}:{event.market}"
        return (InterestState(chain_id, event.venue, line, event.debt_index, event.debt_rate, timestamp),)
    a_token, debt_token = book.a_tokens.get((chain_id, event.reserve)), book.debt_tokens.get((chain_id, event.reserve))
    if a_token is None or debt_token is None:
        return ()
    return (
        InterestState(chain_id, event.venue, f"{chain_id}:{a_token}", event.supply_index, event.supply_rate, timestamp),
        InterestState(chain_id, event.venue, f"{chain_id}:{debt_token}", event.debt_index, event.debt_rate, timestamp),
    )


def state_of(interest: Mapping[str, InterestState], token: str) -> InterestState:
    """State by ledger asset key. Raises LedgerBroken when none was ever told: shares cannot exist before their index."""
    found = interest.get(token)
    if found is None:
        raise LedgerBroken(f"shares_without_index: {token} has a balance but no IndexUpdated was followed")
    return found
