"""Slots in the database behave as the reference, give no nonce twice, and keep the action's status beside them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import select

from aggregator.store.actions import load
from aggregator.store.db import Store
from aggregator.store.event_log import after
from aggregator.store.leases import Lease
from aggregator.store.slots import PgSlots, SlotMissing
from aggregator.store.tables import actions as actions_table
from chains.errors import ForeignNonce
from chains.slots import Attempt, MemorySlots, Slot, Slots, SlotState
from chains.types import Address, BlockRef, ChainId, Hash
from tests.store import actions_kit as kit
from tests.store.actions_kit import save
from tests.unit.plan.world import A

CHAIN, SENDER = ChainId(A), Address("0x" + "ab" * 20)
BLOCK = BlockRef(CHAIN, 7, Hash("0x" + "07" * 32), Hash("0x" + "06" * 32), 1_800_000_010)

assess_lease = kit.assess_lease


def attempt(slot: Slot, number: int = 0, cancels: bool = False) -> Attempt:
    tx_hash = Hash(f"0x{slot.nonce:02x}{number:02x}" + "00" * 30)
    return Attempt(slot.chain_id, slot.sender, slot.nonce, number, tx_hash, b"\x02raw", 10**9, 10**7, cancels, 5)


@pytest.fixture(params=["reference", "database"])
def slots(request: pytest.FixtureRequest, store: Store) -> Slots:
    return MemorySlots() if request.param == "reference" else PgSlots(store)


def test_reserve__again__same_nonce_and_no_gaps(slots: Slots) -> None:
    one = slots.reserve(CHAIN, SENDER, "0x01", 5, 100)
    two = slots.reserve(CHAIN, SENDER, "0x02", 5, 100)
    assert (one.nonce, two.nonce) == (5, 6)
    assert slots.reserve(CHAIN, SENDER, "0x01", 9, 999) == one == slots.find(CHAIN, SENDER, "0x01")
    assert slots.find(CHAIN, SENDER, "0x03") is None


def test_reserve__network_ahead_of_us__foreign_nonce(slots: Slots) -> None:
    slots.reserve(CHAIN, SENDER, "0x01", 5, 100)
    with pytest.raises(ForeignNonce):
        slots.reserve(CHAIN, SENDER, "0x02", 7, 100)


def test_record__same_number_twice__first_bytes_win(slots: Slots) -> None:
    slot = slots.reserve(CHAIN, SENDER, "0x01", 0, 100)
    made = slots.record(attempt(slot))
    assert slots.record(replace(attempt(slot), raw=b"other", tx_hash=Hash("0x" + "ff" * 32))) == made
    slots.record(attempt(slot, 1, cancels=True))
    assert [a.number for a in slots.attempts(slot)] == [0, 1]
    found = slots.find(CHAIN, SENDER, "0x01")
    assert found is not None and found.state is SlotState.CANCELLING


@pytest.mark.parametrize("end", [SlotState.FINAL_OK, SlotState.FINAL_REVERT, SlotState.EXPIRED, SlotState.FOREIGN])
def test_mark__ended__stays_ended(slots: Slots, end: SlotState) -> None:
    slot = slots.reserve(CHAIN, SENDER, "0x01", 0, 100)
    slots.record(attempt(slot))
    mined = slots.mark(slot, SlotState.MINED, tx_hash=attempt(slot).tx_hash, block=BLOCK)
    assert (mined.state, mined.block) == (SlotState.MINED, BLOCK)
    assert slots.mark(slot, SlotState.PENDING).block is None
    ended = slots.mark(slot, end, tx_hash=attempt(slot).tx_hash, block=BLOCK)
    assert slots.mark(slot, SlotState.PENDING) == ended == slots.find(CHAIN, SENDER, "0x01")
    slots.record(attempt(slot, 1))
    found = slots.find(CHAIN, SENDER, "0x01")
    assert found is not None and found.state is end


def test_reserve__many_threads__every_nonce_once(store: Store) -> None:
    slots = PgSlots(store)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: slots.reserve(CHAIN, SENDER, f"0x{i % 12:02x}", 3, 100).nonce, range(24)))
    assert sorted(set(found)) == list(range(3, 15))


def test_lane__foreign_slot__is_quarantined_and_gives_no_more(store: Store) -> None:
    slots = PgSlots(store)
    slot = slots.reserve(CHAIN, SENDER, "0x01", 0, 100)
    slots.record(attempt(slot))
    slots.mark(slot, SlotState.FOREIGN)
    with pytest.raises(ForeignNonce, match="quarantined"):
        slots.reserve(CHAIN, SENDER, "0x02", 1, 100)
    slots.quarantine(CHAIN, SENDER, "again")
    assert [e.kind for e in after(store, 0)].count("lane.quarantined") == 1
    assert slots.last_nonce(CHAIN, SENDER) == 0


def test_mark__nonce_nobody_reserved__slot_missing(store: Store) -> None:
    with pytest.raises(SlotMissing):
        PgSlots(store).mark(Slot(CHAIN, SENDER, 9, "0x01", 1, SlotState.SIGNED), SlotState.PENDING)


def test_status__follows_the_slot__event_by_event(store: Store, assess_lease: Lease) -> None:
    ((name, _),) = save(store, assess_lease)
    slots = PgSlots(store)
    slot = slots.reserve(CHAIN, SENDER, name, 0, 100)
    assert load(store, name).status == "planned"
    slots.record(attempt(slot))
    assert load(store, name).status == "dispatched"
    tx_hash = attempt(slot).tx_hash
    for state in (SlotState.PENDING, SlotState.PENDING):
        slots.mark(slot, state)
    slots.mark(slot, SlotState.MINED, tx_hash=tx_hash, block=BLOCK)
    assert load(store, name).status == "mined"
    slots.mark(slot, SlotState.PENDING)
    assert load(store, name).status == "dispatched"
    slots.mark(slot, SlotState.FINAL_OK, tx_hash=tx_hash, block=BLOCK)
    assert load(store, name).status == "confirmed"
    told = [e.kind for e in after(store, 0) if e.subject == name]
    assert told == ["action.planned", "action.signed", "action.dispatched", "action.mined", "action.dispatched", "action.confirmed"]
    with store.transaction() as conn:
        row = conn.execute(select(actions_table).where(actions_table.c.action_id == name)).one()
    assert row.signed_at and row.mined_at and row.finished_at


def test_status__restriction_slot__speaks_for_no_action(store: Store, assess_lease: Lease) -> None:
    ((name, _),) = save(store, assess_lease)
    slots = PgSlots(store)
    slot = slots.reserve(CHAIN, SENDER, f"restrict:{name}", 0, 100)
    slots.record(attempt(slot))
    slots.mark(slot, SlotState.PENDING)
    assert load(store, name).status == "planned"
    assert slots.of_action(f"restrict:{name}") is not None
