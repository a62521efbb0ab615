"""Adopting, replaying, rewinding and finalising blocks on a real database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aggregator.errors import Broken, LeaseHeld, LedgerBroken, ReorgPastFinality
from aggregator.ledger.transfers import chain_group_key
from aggregator.store import event_log, journal, leases
from aggregator.store.db import Store
from aggregator.store.journal import Adoption, Books, Decoded
from aggregator.store.leases import Lease
from chains.types import Rewind
from tests.store.sim import Sim, digest, plain_balances, start, states, stored_balances
from tests.unit.pure_world import ALICE, BOB, STRANGER, A, B

HELD = {(int(A), ALICE): "alice", (int(A), BOB): "bob"}


@pytest.fixture
def sim(store: Store, books: Books, lease: Lease) -> Sim:
    sim = Sim(A)
    start(store, lease, books, sim, held=HELD)
    return sim


def test_adopt__block_with_transfers__pending_balances_cursor_and_log(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    item = sim.mine((STRANGER, ALICE, 100), (ALICE, BOB, 30), (STRANGER, STRANGER, 5))
    adopted = journal.adopt(store, books, lease, sim.adoption([item]))
    assert [g.block_number for g in adopted.groups] == [1, 1]
    assert stored_balances(store) == plain_balances([sim], HELD, {})
    assert set(states(store).values()) == {"pending"}
    cursor = journal.load_cursor(store, A)
    assert cursor is not None
    assert (cursor.head, cursor.finalised.number) == (item.block, 0)
    kinds = [(e.kind, e.client) for e in event_log.after(store, 0)][1:]
    assert kinds[0] == ("block.adopted", "")
    assert kinds[1:] == [("transfer.pending", c) for c in ("alice", "alice", "bob")]
    assert journal.audit(store).clean


def test_adopt__same_block_again__changes_nothing(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    items = [sim.mine((STRANGER, ALICE, 100)), sim.mine()]
    journal.adopt(store, books, lease, sim.adoption(items))
    before, seq = stored_balances(store), len(event_log.after(store, 0))
    again = journal.adopt(store, books, lease, sim.adoption(items))
    assert (again.blocks, again.groups) == ((), ())
    assert stored_balances(store) == before
    assert len(event_log.after(store, 0)) == seq


def test_adopt__overlapping_batch__adopts_only_what_is_new(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    first = [sim.mine((STRANGER, ALICE, 7)), sim.mine()]
    journal.adopt(store, books, lease, sim.adoption(first))
    more = sim.mine((STRANGER, BOB, 9))
    assert journal.adopt(store, books, lease, sim.adoption([*first, more])).blocks == (more.block,)
    assert stored_balances(store) == plain_balances([sim], HELD, {})


def test_adopt__other_content_under_the_same_hash__ledger_broken_and_other_networks_go_on(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    other = Sim(B)
    start(store, lease, books, other)
    item = sim.mine((STRANGER, ALICE, 100))
    journal.adopt(store, books, lease, sim.adoption([item]))
    lie = Decoded(item.block, item.logs[:0], item.events[:0])
    with pytest.raises(LedgerBroken, match="block_returned_with_other_content: network 71001 block 1"):
        journal.adopt(store, books, lease, Adoption(A, (lie,)))
    journal.stop(store, A, "a provider lied")
    with pytest.raises(Broken, match="network 71001 is stopped: a provider lied"):
        journal.adopt(store, books, lease, sim.adoption([sim.mine()]))
    journal.adopt(store, books, lease, other.adoption([other.mine()]))
    journal.resume(store, A, "desk")
    journal.adopt(store, books, lease, sim.adoption(sim.chain[2:]))
    kinds = [e.kind for e in event_log.after(store, 0) if e.kind.startswith("network.")]
    assert kinds == ["network.stopped", "network.resumed"]


def test_adopt__gap_or_foreign_parent__ledger_broken_and_nothing_written(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    sim.mine((STRANGER, ALICE, 1))
    second = sim.mine()
    with pytest.raises(LedgerBroken, match="block_does_not_follow: network 71001 block 2"):
        journal.adopt(store, books, lease, sim.adoption([second]))
    foreign = Decoded(replace(sim.chain[1].block, parent_hash=digest("elsewhere")))
    with pytest.raises(LedgerBroken, match="block_does_not_follow"):
        journal.adopt(store, books, lease, Adoption(A, (foreign,)))
    assert stored_balances(store) == {}


def test_fork__a_b_a__finds_its_events_again_in_a_new_incarnation(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    base = sim.mine((STRANGER, ALICE, 50))
    branch_a = [sim.mine((STRANGER, ALICE, 100)), sim.mine((ALICE, BOB, 40))]
    journal.adopt(store, books, lease, sim.adoption([base, *branch_a]))
    on_a = stored_balances(store)
    back, dropped = sim.fork(2)
    voided = journal.rewind(store, lease, back)
    assert len(voided) == 2
    assert stored_balances(store) == plain_balances([sim], HELD, {})
    branch_b = [sim.mine((STRANGER, BOB, 1), fork="b"), sim.mine(fork="b"), sim.mine(fork="b")]
    journal.adopt(store, books, lease, sim.adoption(branch_b))
    assert stored_balances(store) == plain_balances([sim], HELD, {})
    back, _ = sim.fork(3)
    journal.rewind(store, lease, back)
    sim.restore(dropped)
    journal.adopt(store, books, lease, sim.adoption(dropped))
    assert stored_balances(store) == on_a == plain_balances([sim], HELD, {})
    log = branch_a[0].logs[0]
    keys = [chain_group_key(A, log.ref.block_hash, log.ref.tx_hash, i) for i in (1, 2)]
    assert [states(store)[k] for k in keys] == ["voided", "pending"]
    assert journal.audit(store).clean


def test_rewind__event_log__names_orphaned_hashes_groups_and_events(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    item = sim.mine((STRANGER, ALICE, 100))
    journal.adopt(store, books, lease, sim.adoption([item]))
    back, _ = sim.fork(1)
    (key,) = journal.rewind(store, lease, back)
    assert journal.rewind(store, lease, back) == []
    rows = event_log.after(store, 0, kinds=["chain.rewound", "transfer.voided"])
    assert [(r.kind, r.client) for r in rows] == [("chain.rewound", ""), ("transfer.voided", "alice")]
    body = rows[0].body
    assert body["to"] == {"number": "0", "hash": sim.head.hash}
    (block,) = body["orphaned"]
    assert (block["number"], block["hash"], block["groups"]) == ("1", item.block.hash, [key])
    assert [(e["kind"], e["subject"]) for e in block["events"]] == [("Moved", ALICE)]


def test_finalise__pending_groups__posted_once(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    items = [sim.mine((STRANGER, ALICE, 10)), sim.mine((STRANGER, ALICE, 20)), sim.mine((STRANGER, ALICE, 40))]
    journal.adopt(store, books, lease, sim.adoption(items, items[0].block))
    assert stored_balances(store) == plain_balances([sim], HELD, {A: 1})
    assert len(journal.finalise(store, lease, A, items[1].block)) == 1
    assert journal.finalise(store, lease, A, items[1].block) == []
    assert stored_balances(store) == plain_balances([sim], HELD, {A: 2})
    assert [b.number for b in journal.recent(store, A)] == [2, 3]
    assert journal.audit(store).clean


def test_finalise__block_that_was_not_adopted__ledger_broken(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    item = sim.mine()
    journal.adopt(store, books, lease, sim.adoption([item]))
    with pytest.raises(LedgerBroken, match="final_block_not_adopted"):
        journal.finalise(store, lease, A, replace(item.block, hash=digest("other")))
    cursor = journal.load_cursor(store, A)
    assert cursor is not None
    assert cursor.finalised.number == 0


def test_rewind__below_finality__reorg_past_finality(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    items = [sim.mine((STRANGER, ALICE, 10)), sim.mine()]
    journal.adopt(store, books, lease, sim.adoption(items, items[0].block))
    before = stored_balances(store)
    with pytest.raises(ReorgPastFinality, match="lies below 1"):
        journal.rewind(store, lease, Rewind(A, sim.chain[0].block, (items[0].block, items[1].block)))
    assert stored_balances(store) == before


def test_lease__taken_over__old_writer_writes_nothing(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    slow = leases.acquire(store, "index:71001", "slow", 0)
    fast = leases.acquire(store, "index:71001", "fast", 60)
    assert fast.epoch == slow.epoch + 1
    item = sim.mine((STRANGER, ALICE, 5))
    with pytest.raises(LeaseHeld, match="epoch 1 of slow is over; nothing was written"):
        journal.adopt(store, books, slow, sim.adoption([item]))
    assert stored_balances(store) == {}
    journal.adopt(store, books, fast, sim.adoption([item]))
    with pytest.raises(LeaseHeld, match="held by fast"):
        leases.acquire(store, "index:71001", "slow", 1)
    with pytest.raises(LeaseHeld):
        leases.renew(store, slow, 1)
    leases.renew(store, fast, 60)
    leases.release(store, fast)
    assert leases.acquire(store, "index:71001", "slow", 1).epoch == 3
