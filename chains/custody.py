"""Custody: is this Safe a prime account of ours, and is everything its custody rests on still in place. Pure.

Reads are asked at one block; `judge` names the first thing that is wrong. Only the factory's word admits an account: a clean look
at a foreign Safe proves nothing, because set-up code may have left a module that no list shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eth_hash.auto import keccak

from chains import abi
from chains.networks.network import Network, OwnContracts
from chains.types import ZERO_ADDRESS, Address, Call

SENTINEL: Final = Address("0x" + "00" * 19 + "01")
GUARD_SLOT: Final = int.from_bytes(keccak(b"guard_manager.guard.address"), "big")
HANDLER_SLOT: Final = int.from_bytes(keccak(b"fallback_manager.handler.address"), "big")
STORAGE: Final = "getStorageAt(uint256,uint256)"


@dataclass(frozen=True, slots=True)
class Custody:
    """What was found. reason '' exactly when intact. `nonce`: the next Safe transaction's."""

    intact: bool
    reason: str
    owners: tuple[Address, ...]
    threshold: int
    nonce: int


def reads(network: Network, safe: Address) -> tuple[Call, ...]:
    """Calls whose answers `judge` wants, in order. Empty for a network without own contracts."""
    own = network.protocols.isthmus
    if own is None:
        return ()
    return (
        Call(own.rule_book, abi.call_data("isAccount(address)", safe)),
        Call(safe, abi.call_data("getOwners()")),
        Call(safe, abi.call_data("getThreshold()")),
        Call(safe, abi.call_data("nonce()")),
        Call(safe, abi.call_data("getModulesPaginated(address,uint256)", SENTINEL, 10)),
        Call(safe, abi.call_data(STORAGE, 0, 1)),
        Call(safe, abi.call_data(STORAGE, GUARD_SLOT, 1)),
        Call(safe, abi.call_data(STORAGE, HANDLER_SLOT, 1)),
        Call(own.module, abi.call_data("exitAt(address)", safe)),
    )


def judge(network: Network, safe: Address, answers: Sequence[bytes | None]) -> Custody:
    """Custody of `safe` from the answers to `reads` (None: the call reverted)."""
    own = network.protocols.isthmus
    if own is None:
        return Custody(False, f"network {network.chain_id} has no own contracts in its file", (), 0, 0)
    try:
        return _judge(network, own, safe, answers)
    except ValueError:
        return Custody(False, f"{safe} does not answer as a Safe does", (), 0, 0)


def _judge(network: Network, own: OwnContracts, safe: Address, answers: Sequence[bytes | None]) -> Custody:
    born, owners, threshold, nonce, modules, singleton, guard, handler, exit_at = (a or b"" for a in answers)
    if not owners:
        raise ValueError("no owners")
    found_owners = tuple(abi.to_address(w) for w in abi.words_from(owners, abi.offset_at(owners, 0)))
    listed = [abi.to_address(w) for w in abi.words_from(modules, abi.offset_at(modules, 0))]
    wrong = ""
    if abi.uint_at(born, 0) != 1:
        wrong = f"{safe} was not born by the account factory {own.factory}"
    elif _stored(singleton) != network.protocols.safe.singleton:
        wrong = f"singleton is {_stored(singleton)}, not {network.protocols.safe.singleton}"
    elif listed != [own.module] or abi.address_at(modules, 1) not in (SENTINEL, ZERO_ADDRESS):
        wrong = f"modules are {listed}, not exactly {own.module}"
    elif _stored(guard) != own.guard:
        wrong = f"guard is {_stored(guard)}, not {own.guard}"
    elif _stored(handler) != own.handler:
        wrong = f"fallback handler is {_stored(handler)}, not {own.handler}"
    elif abi.uint_at(exit_at, 0) != 0:
        wrong = f"an exit is asked for, from block time {abi.uint_at(exit_at, 0)} on the account is free"
    return Custody(not wrong, wrong, found_owners, abi.uint_at(threshold, 0), abi.uint_at(nonce, 0))


def _stored(answer: bytes) -> Address:
    """The address in a one-word answer of getStorageAt (dynamic bytes)."""
    return abi.to_address(abi.bytes_from(answer, abi.offset_at(answer, 0)))
