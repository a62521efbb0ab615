"""Slots: where a sender's nonces, the bytes signed for them and what became of them are kept. The port and its reference.

Three objects, never merged: the *action* (what was decided; known here by its id), the *slot* (network, sender, nonce), the
*attempt* (one signed byte string, one hash). A store implements `Slots` in a database; `MemorySlots` says in forty lines what each
method means, and tests hold a store against it. Invariants, numbered as in the design:
I1 one action has at most one slot, for ever: whoever wants another try plans another action; I2 one (network, sender, nonce)
belongs to one action for ever; I4 attempts are only added; I5 nonces have no gaps: number and row are one write; I6 a slot ends
only by a final hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from chains.errors import ForeignNonce
from chains.types import Address, BlockRef, ChainId, Hash


class SlotState(StrEnum):
    """Where a slot stands. PLANNED is an action without a slot."""

    PLANNED = "planned"
    RESERVED = "reserved"  # the nonce is taken, nothing is signed
    SIGNED = "signed"  # bytes are durable; a node may or may not have them
    PENDING = "pending"  # a node holds one of our hashes
    MINED = "mined"  # one of our hashes is in a block that is not final
    CANCELLING = "cancelling"  # a no-op is signed for the nonce; any hash may still win
    FINAL_OK = "final_ok"
    FINAL_REVERT = "final_revert"
    EXPIRED = "expired"  # the no-op is final: the action will never run
    FOREIGN = "foreign"  # a hash we never signed is final at this nonce: quarantine the sender

    def live(self) -> bool:
        """Whether the slot can still change."""
        return self not in _ENDS


_ENDS = frozenset({SlotState.FINAL_OK, SlotState.FINAL_REVERT, SlotState.EXPIRED, SlotState.FOREIGN})


@dataclass(frozen=True, slots=True)
class Slot:
    """One nonce of one sender, taken for one action. `deadline` is in seconds of the network's block time.

    `tx_hash` and `block` say where the winning hash was last seen mined; both are None before, and again after a reorg dropped it.
    """

    chain_id: ChainId
    sender: Address
    nonce: int
    action_id: str
    deadline: int
    state: SlotState
    tx_hash: Hash | None = None
    block: BlockRef | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed byte string for a slot. `number` counts from 0, `cancels` marks the no-op, `head` is the newest block then."""

    chain_id: ChainId
    sender: Address
    nonce: int
    number: int
    tx_hash: Hash
    raw: bytes
    max_fee: int
    priority_fee: int
    cancels: bool
    head: int


class Slots(Protocol):
    """The port. Every method is one transaction and durable when it returns; none waits for a network."""

    def find(self, chain_id: ChainId, sender: Address, action_id: str) -> Slot | None:
        """The action's slot, or None."""
        ...

    def reserve(self, chain_id: ChainId, sender: Address, action_id: str, first_nonce: int, deadline: int) -> Slot:
        """The action's slot, made when it has none. Idempotent, and serialised per (chain_id, sender).

        A new nonce is 1 + the highest ever reserved; without any it is `first_nonce`, the network's own count of the sender's
        transactions. Raises ForeignNonce when there are slots and `first_nonce` lies above that number: bytes were sent that these
        slots do not know (lost history or a stolen key).
        """
        ...

    def attempts(self, slot: Slot) -> Sequence[Attempt]:
        """All attempts of the slot, by number."""
        ...

    def record(self, attempt: Attempt) -> Attempt:
        """Make the bytes durable before they are sent. The slot becomes SIGNED (CANCELLING for a no-op), unless it ended.

        When that number exists already, nothing is written and the existing attempt comes back: two workers send the same bytes.
        """
        ...

    def mark(self, slot: Slot, state: SlotState, *, tx_hash: Hash | None = None, block: BlockRef | None = None) -> Slot:
        """Write what was observed and return the slot as it stands then. A slot that ended stays as it is."""
        ...


class MemorySlots:
    """The reference implementation, for tests and simulations: a dictionary, one process, nothing durable."""

    def __init__(self) -> None:
        self._slots: dict[tuple[ChainId, Address, int], Slot] = {}
        self._attempts: dict[tuple[ChainId, Address, int], list[Attempt]] = {}

    def find(self, chain_id: ChainId, sender: Address, action_id: str) -> Slot | None:
        wanted = (chain_id, sender, action_id)
        return next((s for s in self._slots.values() if (s.chain_id, s.sender, s.action_id) == wanted), None)

    def reserve(self, chain_id: ChainId, sender: Address, action_id: str, first_nonce: int, deadline: int) -> Slot:
        found = self.find(chain_id, sender, action_id)
        if found is not None:
            return found
        taken = [s.nonce for s in self._slots.values() if (s.chain_id, s.sender) == (chain_id, sender)]
        nonce = max(taken) + 1 if taken else first_nonce
        if first_nonce > nonce:
            raise ForeignNonce(f"network {chain_id}: sender {sender} is at nonce {first_nonce}, our slots end at {nonce - 1}")
        made = Slot(chain_id, sender, nonce, action_id, deadline, SlotState.RESERVED)
        self._slots[chain_id, sender, nonce] = made
        return made

    def attempts(self, slot: Slot) -> Sequence[Attempt]:
        return tuple(self._attempts.get((slot.chain_id, slot.sender, slot.nonce), ()))

    def record(self, attempt: Attempt) -> Attempt:
        key = (attempt.chain_id, attempt.sender, attempt.nonce)
        slot = self._slots[key]
        known = self._attempts.setdefault(key, [])
        if attempt.number < len(known):
            return known[attempt.number]
        known.append(attempt)
        self.mark(slot, SlotState.CANCELLING if attempt.cancels else SlotState.SIGNED)
        return attempt

    def mark(self, slot: Slot, state: SlotState, *, tx_hash: Hash | None = None, block: BlockRef | None = None) -> Slot:
        key = (slot.chain_id, slot.sender, slot.nonce)
        now = self._slots[key]
        if now.state.live():
            self._slots[key] = replace(now, state=state, tx_hash=tx_hash, block=block)
        return self._slots[key]
