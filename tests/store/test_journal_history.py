"""A safe that is linked late: its past is posted from our own raw logs, on every network, as if it had been in the book always."""

from __future__ import annotations

import pytest

from aggregator.errors import NotFound
from aggregator.store import event_log, journal
from aggregator.store.db import Store
from aggregator.store.journal import Books
from aggregator.store.leases import Lease
from tests.store.sim import Sim, link, plain_balances, start, states, stored_balances
from tests.unit.pure_world import ALICE, BOB, STRANGER, A, B

ALICE_ONLY = {(int(A), ALICE): "alice"}
BOTH = {**ALICE_ONLY, (int(A), BOB): "bob"}


@pytest.fixture
def sim(store: Store, books: Books, lease: Lease) -> Sim:
    """Alice is followed from the start; Bob's safe trades with her and with strangers before anybody links it."""
    sim = Sim(A)
    start(store, lease, books, sim, held=ALICE_ONLY)
    blocks = [
        sim.mine((STRANGER, ALICE, 1000), (STRANGER, BOB, 500)),
        sim.mine((ALICE, BOB, 300), (BOB, STRANGER, 50), one_tx=True),
        sim.mine((BOB, ALICE, 20)),
        sim.mine((STRANGER, STRANGER, 9)),
    ]
    journal.adopt(store, books, lease, sim.adoption(blocks, blocks[1].block))
    assert stored_balances(store) == plain_balances([sim], ALICE_ONLY, {A: 2})
    return sim


def test_post_history__transfers_between_clients__balances_as_if_linked_from_the_start(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    link(store, A, BOB, "bob")
    added = journal.post_history(store, books, A, BOB)
    assert stored_balances(store) == plain_balances([sim], BOTH, {A: 2})
    assert len(added) == 3
    assert all(g.key.endswith(f":{int(A)}:{BOB}") for g in added)
    assert [states(store)[g.key] for g in added] == ["posted", "posted", "pending"]
    assert journal.audit(store).clean
    rows = event_log.after(store, 0, client="bob", kinds=["transfer.posted", "transfer.pending"])
    assert len([r for r in rows if r.client == "bob"]) == 3


def test_post_history__again__changes_nothing(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    link(store, A, BOB, "bob")
    journal.post_history(store, books, A, BOB)
    before = stored_balances(store)
    assert journal.post_history(store, books, A, BOB) == []
    assert stored_balances(store) == before


def test_post_history__then_new_blocks__posted_with_the_new_book_at_once(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    link(store, A, BOB, "bob")
    journal.adopt(store, books, lease, sim.adoption([sim.mine((STRANGER, BOB, 7))]))
    assert stored_balances(store) == plain_balances([sim], ALICE_ONLY, {A: 2})  # linked, but not in the book
    journal.post_history(store, books, A, BOB)
    journal.adopt(store, books, lease, sim.adoption([sim.mine((STRANGER, BOB, 8))]))
    assert stored_balances(store) == plain_balances([sim], BOTH, {A: 2})


def test_post_history__reorg_above_finality__history_is_voided_with_its_block(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    link(store, A, BOB, "bob")
    journal.post_history(store, books, A, BOB)
    back, dropped = sim.fork(2)
    journal.rewind(store, lease, back)
    assert stored_balances(store) == plain_balances([sim], BOTH, {A: 2})
    sim.restore(dropped)
    journal.adopt(store, books, lease, sim.adoption(dropped))
    assert stored_balances(store) == plain_balances([sim], BOTH, {A: 2})
    assert journal.audit(store).clean


def test_post_history__orphaned_logs__do_not_count(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    back, _ = sim.fork(2)
    journal.rewind(store, lease, back)
    link(store, A, BOB, "bob")
    journal.post_history(store, books, A, BOB)
    assert stored_balances(store) == plain_balances([sim], BOTH, {A: 2})


def test_post_history__networks_begun_later__use_the_same_book(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    link(store, B, BOB, "bob")
    journal.post_history(store, books, B, BOB)
    other = Sim(B)
    journal.begin(store, lease, other.head)
    journal.adopt(store, books, lease, other.adoption([other.mine((STRANGER, BOB, 3))]))
    held = {**ALICE_ONLY, (int(B), BOB): "bob"}
    assert stored_balances(store) == plain_balances([sim, other], held, {A: 2})


def test_post_history__stranger__not_found(store: Store, books: Books) -> None:
    with pytest.raises(NotFound, match="is linked to no client; link it first"):
        journal.post_history(store, books, A, STRANGER)
