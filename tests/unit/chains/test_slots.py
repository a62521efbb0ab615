"""The reference slots keep the lane's laws; a store is held against the same ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import ForeignNonce
from chains.slots import Attempt, MemorySlots, Slot, SlotState
from chains.types import Address, ChainId, Hash

CHAIN = ChainId(7)
SENDER = Address("0x" + "11" * 20)


def attempt(slot: Slot, number: int = 0, raw: bytes = b"\x01", cancels: bool = False) -> Attempt:
    return Attempt(slot.chain_id, slot.sender, slot.nonce, number, Hash("0x" + raw.hex() * 32), raw, 2, 1, cancels, 5)


@given(st.lists(st.sampled_from("abcdef"), max_size=20), st.integers(0, 9))
def test_reserve__any_order__one_slot_per_action_and_no_gap(actions: list[str], first: int) -> None:
    slots = MemorySlots()
    for action in actions:
        slots.reserve(CHAIN, SENDER, action, first, 99)
    nonces = [slot.nonce for a in dict.fromkeys(actions) if (slot := slots.find(CHAIN, SENDER, a))]
    assert nonces == list(range(first, first + len(set(actions))))


def test_reserve__network_behind_or_equal__goes_on_from_the_slots() -> None:
    slots = MemorySlots()
    assert slots.reserve(CHAIN, SENDER, "a", 4, 99).nonce == 4
    assert slots.reserve(CHAIN, SENDER, "b", 2, 99).nonce == 5
    assert slots.reserve(CHAIN, SENDER, "c", 6, 99).nonce == 6
    with pytest.raises(ForeignNonce, match="our slots end at 6"):
        slots.reserve(CHAIN, SENDER, "d", 8, 99)


def test_reserve__action_that_ended__same_slot_for_ever() -> None:
    slots = MemorySlots()
    slot = slots.mark(slots.reserve(CHAIN, SENDER, "a", 0, 99), SlotState.FINAL_OK)
    assert slots.reserve(CHAIN, SENDER, "a", 1, 99) == slot


def test_record__same_number_twice__the_first_bytes_stay() -> None:
    slots = MemorySlots()
    slot = slots.reserve(CHAIN, SENDER, "a", 0, 99)
    first = slots.record(attempt(slot, raw=b"\x01"))
    assert slots.record(attempt(slot, raw=b"\x02")) == first
    assert slots.attempts(slot) == (first,)
    assert slots.find(CHAIN, SENDER, "a") == replace(slot, state=SlotState.SIGNED)


def test_record__no_op__slot_is_cancelling() -> None:
    slots = MemorySlots()
    slot = slots.reserve(CHAIN, SENDER, "a", 0, 99)
    slots.record(attempt(slot))
    slots.record(attempt(slot, 1, b"\x02", cancels=True))
    found = slots.find(CHAIN, SENDER, "a")
    assert found is not None
    assert found.state is SlotState.CANCELLING


@pytest.mark.parametrize("end", [s for s in SlotState if not s.live()])
def test_mark__slot_that_ended__stays(end: SlotState) -> None:
    slots = MemorySlots()
    slot = slots.mark(slots.reserve(CHAIN, SENDER, "a", 0, 99), end)
    assert slots.mark(slot, SlotState.PENDING) == slot
    slots.record(attempt(slot))
    assert slots.find(CHAIN, SENDER, "a") == slot
