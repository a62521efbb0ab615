"""Reservations, tickets, custody, exits and native coin: what a network's word changes, and what a reorg takes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert, text

from aggregator.errors import LedgerBroken
from aggregator.ledger.accounts import Kind, LedgerAccount
from aggregator.ledger.transfers import Group, Origin, Transfer
from aggregator.store import event_log, journal
from aggregator.store.db import Store
from aggregator.store.journal import Books, Decoded
from aggregator.store.journal_groups import insert_groups
from aggregator.store.leases import Lease
from aggregator.store.tables import tickets
from chains import events as ev
from chains.types import ZERO_ADDRESS, EventRef
from tests.store.sim import Sim, digest, start, states, stored_balances
from tests.unit.pure_world import ALICE, BOB, STRANGER, USDC, A

Maker = tuple[type[ev.Event], dict[str, Any]]
ACTION = "0x" + "ac" * 32
WALLET = LedgerAccount("alice", A, "wallet", Kind.POSITION, f"{A}:{USDC}")
RESERVED = replace(WALLET, kind=Kind.RESERVED)


@pytest.fixture
def sim(store: Store, books: Books, lease: Lease) -> Sim:
    sim = Sim(A)
    start(store, lease, books, sim, held={(int(A), ALICE): "alice"})
    return sim


def reserve(store: Store, origin: Origin, name: str, expires_at: int) -> str:
    key = f"{origin.value}:{name}"
    leg = Transfer(0, 0, RESERVED, WALLET, 10, "reserved")
    with store.transaction() as conn:
        insert_groups(conn, store.deployment, [Group(key, origin, A, -1, "", "", 0, (leg,), expires_at)])
    return key


def ticket(store: Store, name: str, nonce: int, kind: str, expiry: int = 10_000) -> str:
    with store.transaction() as conn:
        conn.execute(insert(tickets).values(
            deployment=store.deployment, ticket_id=name, client="alice", chain_id=A, safe=ALICE, kind=kind, terms={}, nonce=nonce,
            expiry=expiry, as_of={}, signatures="", idempotency_key=name, actor="test", state="open"))  # fmt: skip
    return reserve(store, Origin.TICKET, name, expiry)


def ticket_states(store: Store) -> dict[str, str]:
    with store.transaction() as conn:
        query = text("select ticket_id, state from tickets where deployment = :d")
        return {r.ticket_id: r.state for r in conn.execute(query, {"d": store.deployment})}


def say(sim: Sim, *makers: Maker) -> Decoded:
    """The next block, with events made from their classes and fields, without logs."""
    item = sim.mine(fork=str(len(makers)))
    events = []
    for i, (kind, given) in enumerate(makers):
        events.append(kind(ref=EventRef(sim.chain_id, item.block.number, item.block.hash, i, digest("tx", i)), **given))
    said = Decoded(item.block, (), tuple(events))
    sim.chain[-1] = said
    return said


def custody(what: str, detail: str = "") -> Maker:
    return ev.CustodyChanged, {"safe": ALICE, "what": what, "detail": detail}


def safe_row(store: Store) -> tuple[bool, str, bool]:
    with store.transaction() as conn:
        query = text("select custody_intact, custody_reason, custody_due from safes where deployment = :d and address = :a")
        row = conn.execute(query, {"d": store.deployment, "a": ALICE}).one()
    return bool(row[0]), str(row[1]), bool(row[2])


def client_state(store: Store) -> str:
    with store.transaction() as conn:
        return str(conn.execute(text("select state from clients where deployment = :d"), {"d": store.deployment}).scalar_one())


def test_action_done__seen_orphaned_seen_again__reservation_ends_and_lives_again(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    key = reserve(store, Origin.ACTION, ACTION, 10_000)
    assert stored_balances(store) == {}  # reservations are not balances
    done = (ev.ActionDone, {"safe": ALICE, "action_id": ACTION, "need_key": "0x", "sequence": 1, "draw_atoms": 0})
    item = say(sim, done)
    journal.adopt(store, books, lease, sim.adoption([item]))
    assert states(store)[key] == "voided"
    back, dropped = sim.fork(1)
    journal.rewind(store, lease, back)
    assert states(store)[key] == "pending"
    sim.restore(dropped)
    journal.adopt(store, books, lease, sim.adoption(dropped))
    assert states(store)[key] == "voided"


def test_ticket_used__same_nonce_other_kind__only_its_own_kind_ends(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    paid, trade = ticket(store, "t1", 4, "withdrawal"), ticket(store, "t2", 4, "trade")
    used = (ev.TicketUsed, {"safe": ALICE, "kind": "withdrawal", "token": USDC, "recipient": BOB, "atoms": 10, "nonce": 4})
    journal.adopt(store, books, lease, sim.adoption([say(sim, used)]))
    assert ticket_states(store) == {"t1": "used", "t2": "open"}
    assert (states(store)[paid], states(store)[trade]) == ("voided", "pending")
    journal.rewind(store, lease, sim.fork(1)[0])
    assert ticket_states(store) == {"t1": "open", "t2": "open"}
    assert states(store)[paid] == "pending"


def test_finalise__deadline_passed__lapses_by_finalised_block_time_only(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    action, paid = reserve(store, Origin.ACTION, ACTION, 1003), ticket(store, "t1", 4, "withdrawal", expiry=1003)
    items = [sim.mine(), sim.mine(), sim.mine()]  # block times 1002, 1004, 1006
    journal.adopt(store, books, lease, sim.adoption(items, items[0].block))
    assert (states(store)[action], states(store)[paid]) == ("pending", "pending")
    journal.finalise(store, lease, A, items[1].block)
    assert (states(store)[action], states(store)[paid]) == ("expired", "expired")
    assert ticket_states(store) == {"t1": "lapsed"}
    kinds = [e.kind for e in event_log.after(store, 0, client="alice") if e.client == "alice"]
    assert kinds.count("ticket.lapsed") == 1
    assert kinds.count("transfer.voided") == 2


@pytest.mark.parametrize(("what", "intact"), [("guard_changed", False), ("owner_added", True), ("executed", True)])
def test_custody_changed__each_kind__doubted_only_where_custody_rests_on_it(
    store: Store, books: Books, lease: Lease, sim: Sim, what: str, intact: bool
) -> None:
    journal.set_custody(store, A, ALICE, True, "", 0, "")
    assert safe_row(store) == (True, "", False)
    journal.adopt(store, books, lease, sim.adoption([say(sim, custody(what, STRANGER))]))
    found = safe_row(store)
    assert (found[0], found[2]) == (intact, what != "executed")
    if not intact:
        assert found[1] == f"{what} {STRANGER} in block 1; not read again yet"
        assert journal.set_custody(store, A, ALICE, True, "", 1, "0x") is True
        assert safe_row(store) == (True, "", False)


def test_exit__requested_orphaned_requested_cancelled__client_state_follows(
    store: Store, books: Books, lease: Lease, sim: Sim
) -> None:
    ask, cancel = custody("exit_requested", "2000"), custody("exit_cancelled")
    journal.adopt(store, books, lease, sim.adoption([say(sim, ask)]))
    assert client_state(store) == "exiting"
    journal.rewind(store, lease, sim.fork(1)[0])
    assert client_state(store) == "open"
    journal.adopt(store, books, lease, sim.adoption([say(sim, ask, custody("executed"))]))
    assert client_state(store) == "exiting"
    journal.adopt(store, books, lease, sim.adoption([say(sim, cancel, custody("executed"), custody("executed"))]))
    assert client_state(store) == "open"
    journal.rewind(store, lease, sim.fork(1)[0])
    assert client_state(store) == "exiting"


def test_true_up__native_coin_read__difference_is_posted_once(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    items = [sim.mine(), sim.mine()]
    native = LedgerAccount("alice", A, "wallet", Kind.POSITION, f"{A}:{ZERO_ADDRESS}")
    journal.adopt(store, books, lease, sim.adoption(items, items[0].block))
    with pytest.raises(LedgerBroken, match="true_up_before_finality"):
        journal.true_up(store, books, lease, items[1].block, {ALICE: 5})
    assert [e.delta for e in journal.true_up(store, books, lease, items[0].block, {ALICE: 5})] == [5]
    assert journal.true_up(store, books, lease, items[0].block, {ALICE: 7}) == []  # once per block
    journal.finalise(store, lease, A, items[1].block)
    assert [e.delta for e in journal.true_up(store, books, lease, items[1].block, {ALICE: 2})] == [-3]
    found = stored_balances(store)[native]
    assert (found.posted, found.pending) == (2, 0)
    assert journal.audit(store).clean


def test_audit__balance_changed_by_hand__named_with_both_figures(store: Store, books: Books, lease: Lease, sim: Sim) -> None:
    journal.adopt(store, books, lease, sim.adoption([sim.mine((STRANGER, ALICE, 5))]))
    with store.transaction() as conn:
        account = "(select id from ledger_accounts where deployment = :d and key = :k)"
        query = f"update balances set pending = 6 where account_id = {account}"
        conn.execute(text(query), {"d": store.deployment, "k": WALLET.key()})
    found = journal.audit(store)
    assert found.balances == ((WALLET.key(), 0, 6, 0, 5),)
    assert found.sums == ((f"{A}:{USDC}", 0, 1),)
