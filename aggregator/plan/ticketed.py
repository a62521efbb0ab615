"""Ticketed calls: what a withdrawal or a call that needs the engine's consent would do to the client's books, as transfers. Pure.

Known calls: taking collateral out of the lending pool, borrowing from it, sending over a bridge route to an own account. Every
other call is refused by name: the engine signs nothing whose effect it cannot state in ledger transfers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aggregator.errors import Rejected
from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.transfers import Transfer
from aggregator.plan import effects as fx
from aggregator.portfolio.interest import InterestState, compounded_index, linear_index, state_of
from aggregator.units import RAY
from chains import abi
from chains.types import ZERO_ADDRESS, Address, Call

if TYPE_CHECKING:
    from chains.networks.network import AaveReserve, HyperlaneRoute, Network

WITHDRAW = "withdraw(address,uint256,address)"
BORROW = "borrow(address,uint256,uint256,uint16,address)"
SEND = "transferRemote(uint32,bytes32,uint256)"
E_MODE = "setUserEMode(uint8)"
COLLATERAL_SWITCH = "setUserUseReserveAsCollateral(address,bool)"
NO_VALUE = {E_MODE: "the engine values no e-mode", COLLATERAL_SWITCH: "the engine counts every supply as collateral"}


class CallUnknown(Rejected):
    """The engine cannot value the call; the message says which ones it can."""


class BalanceInsufficient(Rejected):
    """The account does not hold what the call would take."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the effects are computed on: one client on one network, as of one cut.

    balances: signed atoms at the head, less open tickets and reservations. interest: by ledger asset key. now: block time.
    safes: (chain id, address) of all prime accounts of the client. decimals_in_transit: by canonical asset.
    """

    client: str
    network: Network
    balances: Mapping[LedgerAccount, int]
    interest: Mapping[str, InterestState]
    now: int
    safes: tuple[tuple[int, str], ...]
    decimals_in_transit: Mapping[str, int]

    @property
    def safe(self) -> str:
        """The prime account on this network. Raises Rejected when there is none."""
        found = dict(self.safes).get(self.network.chain_id)
        if found is None:
            raise Rejected(f"account {self.client} has no Safe on network {self.network.chain_id}; link one first")
        return found


def withdrawal(held: Held, token: Address, atoms: int) -> tuple[Transfer, ...]:
    """Effects of paying `atoms` of `token` (zero address: native coin) out of the account.

    Raises CallUnknown for a token that the network file does not name, BalanceInsufficient.
    """
    if token != ZERO_ADDRESS and held.network.token_at(token) is None:
        known = ", ".join(sorted(f"{n} {t.address}" for n, t in held.network.tokens.items()))
        raise CallUnknown(f"token {token} is not in the file of network {held.network.chain_id}; known: {known}")
    return fx.effects([_taken(held, token, atoms, "withdrawal ticket")])


def trade(held: Held, call: Call, label: str) -> tuple[Transfer, ...]:
    """Effects of one call by the account. `label` names the ticket, for what will be in transit.

    Raises CallUnknown for a call that the engine cannot value, BalanceInsufficient.
    """
    venue, hyperlane = held.network.protocols.aave_v3, held.network.protocols.hyperlane
    changes = [_taken(held, ZERO_ADDRESS, call.value, "native coin sent along")] if call.value else []
    if venue is not None and call.to == venue.pool:
        changes += _lending(held, call.data)
    elif route := next((r for r in hyperlane.routes if r.router == call.to), None) if hyperlane is not None else None:
        changes += _bridged(held, route, call.data, label)
    else:
        raise CallUnknown(f"{call.to} takes no tickets; they are for the lending pool and the bridge routes of the network file")
    return fx.effects(changes)


def _taken(held: Held, token: Address, atoms: int, reason: str) -> fx.Change:
    account = fx.wallet(held.client, held.network.chain_id, token)
    there = held.balances.get(account, 0)
    if atoms > there:
        raise BalanceInsufficient(
            f"the account holds {max(0, there)} atoms of {token} on network {held.network.chain_id} that are not promised "
            f"already, {atoms} are asked")  # fmt: skip
    return account, -atoms, reason


def _lending(held: Held, data: bytes) -> list[fx.Change]:
    selector = data[:4]
    for signature, why in NO_VALUE.items():
        if selector == abi.selector(signature):
            raise CallUnknown(f"{signature}: {why}; no ticket is given")
    if selector == abi.selector(WITHDRAW):
        reserve, token = _reserve(held, _words(data, 3, WITHDRAW))
        return _withdrawn(held, reserve, token, abi.uint_at(data[4:], 1))
    if selector == abi.selector(BORROW):
        reserve, token = _reserve(held, _words(data, 5, BORROW))
        return _borrowed(held, reserve, token, abi.uint_at(data[4:], 1))
    raise CallUnknown(f"0x{selector.hex()} of the lending pool takes no ticket; tickets are for {WITHDRAW} and {BORROW}")


def _words(data: bytes, count: int, signature: str) -> bytes:
    if len(data) != 4 + 32 * count:
        raise CallUnknown(f"{signature} has {count} words of arguments, the calldata holds {len(data) - 4} bytes")
    return data[4:]


def _reserve(held: Held, words: bytes) -> tuple[AaveReserve, Address]:
    try:
        token = abi.address_at(words, 0)
    except ValueError as error:
        raise CallUnknown(f"argument 0: {error}") from error
    found = held.network.token_at(token)
    reserve = fx.reserve_named(held.network, found[0]) if found is not None else None
    if reserve is None:
        raise CallUnknown(f"{token} is no reserve of the lending pool on network {held.network.chain_id}")
    return reserve, token


def _withdrawn(held: Held, reserve: AaveReserve, token: Address, atoms: int) -> list[fx.Change]:
    account = fx.collateral(held.client, held.network.chain_id, reserve)
    shares = held.balances.get(account, 0)
    if shares <= 0:
        raise BalanceInsufficient(f"the account has supplied no {reserve.token} on network {held.network.chain_id}")
    state = state_of(held.interest, account.asset)
    index = linear_index(state.index, state.rate, held.now - state.updated_at)
    worth = shares * index // RAY
    asked = worth if atoms == abi.MAX_UINT256 else atoms
    if asked > worth:
        raise BalanceInsufficient(f"the account has supplied {worth} atoms of {reserve.token}, {asked} are asked")
    burned = shares if atoms == abi.MAX_UINT256 else min(shares, -(-asked * RAY // index))
    wallet = fx.wallet(held.client, held.network.chain_id, token)
    return [(account, -burned, "withdrawn"), (wallet, asked, "withdrawn")]


def _borrowed(held: Held, reserve: AaveReserve, token: Address, atoms: int) -> list[fx.Change]:
    account = fx.debt(held.client, held.network.chain_id, reserve)
    state = state_of(held.interest, account.asset)
    index = compounded_index(state.index, state.rate, held.now - state.updated_at)
    wallet = fx.wallet(held.client, held.network.chain_id, token)
    owed = -(-atoms * RAY // index)
    return [(account, -owed, "borrowed"), (wallet, atoms, "borrowed")]


def _bridged(held: Held, route: HyperlaneRoute, data: bytes, label: str) -> list[fx.Change]:
    if data[:4] != abi.selector(SEND):
        raise CallUnknown(f"0x{data[:4].hex()} of a bridge route takes no ticket; tickets are for {SEND}")
    words = _words(data, 3, SEND)
    destination, atoms = abi.uint_at(words, 0), abi.uint_at(words, 2)
    recipient = "0x" + abi.word(words, 1)[12:].hex()
    if destination not in route.destinations:
        raise CallUnknown(f"the route of {route.token} does not go to {destination}; it goes to {list(route.destinations)}")
    if any(abi.word(words, 1)[:12]) or dict(held.safes).get(destination) != recipient:
        raise CallUnknown(f"recipient {recipient} is not the client's own Safe on network {destination}")
    token = held.network.tokens[route.token]
    places = held.decimals_in_transit[token.asset]
    carried = fx.in_transit(held.client, "hyperlane", label, token.asset, places)
    return [_taken(held, token.address, atoms, "sent"), (carried, atoms * 10 ** (places - token.decimals), "sent")]
