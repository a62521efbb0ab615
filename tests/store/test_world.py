"""The world that margin decisions are made from, and the event log that wakes them."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest

from aggregator.errors import LedgerBroken, Retryable
from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.ledger.balances import view_balances
from aggregator.ledger.transfers import Group, Origin, Transfer
from aggregator.portfolio.portfolio import View
from aggregator.store import event_log, journal
from aggregator.store.db import Store
from aggregator.store.event_log import Listener, NewEvent
from aggregator.store.journal import Books
from aggregator.store.journal_groups import insert_groups
from aggregator.store.leases import Lease
from aggregator.store.world import load_world
from chains import events as ev
from tests.store.sim import Sim, start
from tests.store.test_journal_ends import Maker, say
from tests.unit.pure_world import A_WETH, ALICE, BOB, D_WETH, LINE, NETWORKS, POOL, RAY, STRANGER, USDC, WETH, A, B

ZERO = "0x" + "00" * 20
WALLET = LedgerAccount("alice", A, "wallet", Kind.POSITION, f"{A}:{USDC}")


def price(answer: int, updated_at: int) -> Maker:
    return ev.PricePublished, {"feed": ZERO, "answer": answer, "round_id": 1, "updated_at": updated_at}


def index(venue: str, market: str, reserve: str, supply: int, debt: int) -> Maker:
    return ev.IndexUpdated, {
        "venue": venue, "market": market, "reserve": reserve, "supply_index": supply, "debt_index": debt, "supply_rate": 5,
        "debt_rate": 7,
    }  # fmt: skip


def test_load_world__two_networks__cuts_balances_groups_prices_and_interest(store: Store, books: Books, lease: Lease) -> None:
    sim, other = Sim(A), Sim(B)
    start(store, lease, books, sim, other, held={(int(A), ALICE): "alice", (int(A), BOB): "bob"})
    final, pending = sim.mine((STRANGER, ALICE, 100)), sim.mine((ALICE, BOB, 30))
    spoken = say(
        sim, price(2000 * 10**8, 1005), index("aave_v3", POOL, WETH, RAY + 1, RAY + 2), index("credit_line", LINE, LINE, 0, RAY + 3)
    )
    journal.adopt(store, books, lease, sim.adoption([final, pending, spoken], final.block))
    world = load_world(store, {c: NETWORKS[c] for c in (A, B)})
    assert (world.cut_head.blocks[A], world.cut_final.blocks[A]) == (spoken.block, final.block)
    assert world.cut_head.blocks[B] == other.head
    alice = world.clients["alice"]
    assert (alice.posted[WALLET], alice.pending[WALLET]) == (100, -30)
    assert alice.chain_groups == world.clients["bob"].chain_groups
    assert view_balances(alice.posted, alice.chain_groups, (), View.HEAD)[WALLET] == 70
    assert (alice.places, alice.custody_intact) == (((A, ALICE),), True)
    found = world.market.get(A, "eth_usd")
    assert found is not None
    assert (found.value, found.updated_at, found.as_of, found.age_s) == (Decimal(2000), 1005, spoken.block.timestamp, 1)
    assert {t: (i.index, i.rate) for t, i in world.interest.items()} == {
        f"{A}:{A_WETH}": (RAY + 1, 5), f"{A}:{D_WETH}": (RAY + 2, 7), f"{A}:{LINE}": (RAY + 3, 7),
    }  # fmt: skip
    assert world.interest_final == {}
    assert world.seq == event_log.after(store, 0)[-1].seq


def test_load_world__after_a_reorg__orphaned_prices_and_interest_are_gone(store: Store, books: Books, lease: Lease) -> None:
    sim = Sim(A)
    start(store, lease, books, sim, held={(int(A), ALICE): "alice"})
    journal.adopt(store, books, lease, sim.adoption([say(sim, price(1900 * 10**8, 1001))]))
    journal.adopt(store, books, lease, sim.adoption([say(sim, price(1500 * 10**8, 1003), index("aave_v3", POOL, WETH, RAY, RAY))]))
    back, dropped = sim.fork(1)
    journal.rewind(store, lease, back)
    world = load_world(store, {A: NETWORKS[A]})
    assert [p.value for p in world.market.prices.values()] == [Decimal(1900)]
    assert world.interest == {}
    sim.restore(dropped)
    journal.adopt(store, books, lease, sim.adoption(dropped))
    assert [p.value for p in load_world(store, {A: NETWORKS[A]}).market.prices.values()] == [Decimal(1500)]


def test_load_world__reservations__are_with_their_client_and_not_in_balances(store: Store, books: Books, lease: Lease) -> None:
    start(store, lease, books, Sim(A), held={(int(A), ALICE): "alice"})
    reserved = LedgerAccount("alice", A, "wallet", Kind.RESERVED, WALLET.asset)
    group = Group("ticket:t", Origin.TICKET, A, -1, "", "", 0, (Transfer(0, 0, reserved, WALLET, 5, "withdrawal"),), 2000)
    with store.transaction() as conn:
        insert_groups(conn, store.deployment, [group])
    world = load_world(store, {A: NETWORKS[A]})
    assert world.clients["alice"].ticket_groups == (group,)
    assert world.clients["alice"].posted == {}


def test_insert_groups__same_key_other_content__ledger_broken(store: Store) -> None:
    here = LedgerAccount("alice", A, "wallet", Kind.RESERVED, WALLET.asset)
    groups = [Group("ticket:t", Origin.TICKET, A, -1, "", "", 0, (Transfer(0, 0, here, WALLET, n, "w"),), 2000) for n in (5, 6)]
    with store.transaction() as conn:
        assert insert_groups(conn, store.deployment, groups[:1]) == groups[:1]
        assert insert_groups(conn, store.deployment, groups[:1]) == []
    with pytest.raises(LedgerBroken, match="group_returned_with_other_content: ticket:t"), store.transaction() as conn:
        insert_groups(conn, store.deployment, groups[1:])


def test_event_log__many_writers__numbers_become_visible_in_order(store: Store) -> None:
    def write(name: str) -> None:
        for i in range(15):
            with store.transaction() as conn:
                event_log.append(conn, store.deployment, [NewEvent(f"k.{name}", body={"i": i, "j": j}) for j in range(3)])

    writers = [threading.Thread(target=write, args=(str(n),)) for n in range(4)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    while len(seen) < 4 * 15 * 3:
        seen += [e.seq for e in event_log.after(store, seen[-1] if seen else 0, limit=7)]
    for writer in writers:
        writer.join()
    assert seen == sorted(set(seen)) == [e.seq for e in event_log.after(store, 0)]
    mine = [(e.body["i"], e.body["j"]) for e in event_log.after(store, 0, kinds=["k.2"])]
    assert mine == [(i, j) for i in range(15) for j in range(3)]


def test_listener__row_of_this_deployment__wakes_up(store: Store, shared_store: Store) -> None:
    listener = Listener(store)
    assert listener.wait(0) is True  # what was written before it listened
    assert listener.wait(0.05) is False
    with shared_store.transaction() as conn:
        event_log.append(conn, shared_store.deployment, [NewEvent("other")])
    assert listener.wait(0.05) is False
    with store.transaction() as conn:
        event_log.append(conn, store.deployment, [NewEvent("mine")])
    assert listener.wait(5) is True
    assert listener.wait(0.05) is False
    listener.close()


def test_listener__database_away__retryable(store: Store) -> None:
    from sqlalchemy import create_engine

    listener = Listener(Store(create_engine("postgresql+psycopg://x@127.0.0.1:1/x"), "d"))
    with pytest.raises(Retryable, match="check that the database runs"):
        listener.wait(0.1)
