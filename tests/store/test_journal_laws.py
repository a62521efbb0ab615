"""Random histories of two networks: whatever is adopted, rewound, finalised, adopted again, balances are a plain re-read's."""

from __future__ import annotations

import secrets

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from aggregator.store import journal, leases
from aggregator.store.db import Store
from aggregator.store.journal import Decoded
from chains.types import Address, BlockRef, ChainId
from tests.store.sim import Sim, link, plain_balances, start, stored_balances
from tests.unit.pure_world import ALICE, BOB, NETWORKS, STRANGER, A, B

PARTIES = st.sampled_from([ALICE, BOB, STRANGER])
MOVES = st.lists(st.tuples(PARTIES, PARTIES, st.integers(0, 10**40)), max_size=4)
SIDES = st.sampled_from([A, B])


class Histories(RuleBasedStateMachine):
    """Each rule is one thing that may happen to a network; the invariant compares all balances after each."""

    shared: Store

    @initialize()
    def begin(self) -> None:
        self.store = Store(self.shared.engine, f"law-{secrets.token_hex(6)}")
        self.books = journal.Books({c: NETWORKS[c] for c in (A, B)})
        self.lease = leases.acquire(self.store, "index", "law", 600)
        self.sims = {c: Sim(c) for c in (A, B)}
        self.final: dict[int, int] = dict.fromkeys((A, B), 0)
        self.held: dict[tuple[int, Address], str] = {(int(A), ALICE): "alice"}
        self.dropped: dict[int, tuple[BlockRef, list[Decoded]]] = {}
        self.forks = 0
        start(self.store, self.lease, self.books, *self.sims.values(), held=self.held)

    @rule(chain=SIDES, blocks=st.lists(MOVES, min_size=1, max_size=4), one_tx=st.booleans(), final=st.integers(0, 3))
    def grow(self, chain: ChainId, blocks: list[list[tuple[Address, Address, int]]], one_tx: bool, final: int) -> None:
        sim = self.sims[chain]
        items = [sim.mine(*moves, fork=f"f{self.forks}", one_tx=one_tx) for moves in blocks]
        number = max(self.final[chain], sim.head.number - 3 - final)
        journal.adopt(self.store, self.books, self.lease, sim.adoption(items, sim.chain[number].block))
        self.final[chain] = number

    @rule(chain=SIDES, depth=st.integers(1, 6))
    def fork(self, chain: ChainId, depth: int) -> None:
        sim = self.sims[chain]
        depth = min(depth, sim.head.number - self.final[chain])
        if depth == 0:
            return
        self.forks += 1
        back, dropped = sim.fork(depth)
        journal.rewind(self.store, self.lease, back)
        self.dropped[chain] = (sim.head, dropped)

    @precondition(lambda self: self.dropped)
    @rule(chain=SIDES)
    def come_back(self, chain: ChainId) -> None:
        """The orphaned branch wins after all, when nothing was finalised beside it."""
        sim = self.sims[chain]
        parent, dropped = self.dropped.pop(chain, (sim.head, []))
        depth = sim.head.number - parent.number
        if not dropped or self.final[chain] > parent.number or sim.chain[parent.number].block != parent:
            return
        if depth:
            back, _ = sim.fork(depth)
            journal.rewind(self.store, self.lease, back)
        sim.restore(dropped)
        journal.adopt(self.store, self.books, self.lease, sim.adoption(dropped))

    @rule(chain=SIDES, size=st.integers(1, 5))
    def replay(self, chain: ChainId, size: int) -> None:
        sim = self.sims[chain]
        items = sim.chain[max(1, len(sim.chain) - size) :]
        if items:
            assert journal.adopt(self.store, self.books, self.lease, sim.adoption(items)).blocks == ()

    @rule(place=st.sampled_from([(int(A), BOB), (int(B), ALICE), (int(B), BOB)]))
    def link_late(self, place: tuple[int, Address]) -> None:
        if place not in self.held:
            client = "alice" if place[1] == ALICE else "bob"
            link(self.store, *place, client)
            journal.post_history(self.store, self.books, *place)
            self.held[place] = client
        assert journal.post_history(self.store, self.books, *place) == []

    @invariant()
    def balances_equal_a_plain_reread(self) -> None:
        if hasattr(self, "sims"):
            assert stored_balances(self.store) == plain_balances(list(self.sims.values()), self.held, self.final)
            assert journal.audit(self.store).clean


def test_journal__random_histories__balances_equal_plain_reread(shared_store: Store) -> None:
    class Machine(Histories):
        shared = shared_store

    limits = settings(max_examples=12, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Machine, settings=limits)


@given(st.lists(MOVES, min_size=1, max_size=6), st.integers(1, 6))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rewind__after_any_blocks__restores_balances_exactly(
    shared_store: Store, blocks: list[list[tuple[Address, Address, int]]], depth: int
) -> None:
    store = Store(shared_store.engine, f"law-{secrets.token_hex(6)}")
    books, sim = journal.Books({A: NETWORKS[A]}), Sim(A)
    lease = leases.acquire(store, "index", "law", 600)
    start(store, lease, books, sim, held={(int(A), ALICE): "alice", (int(A), BOB): "bob"})
    items = [sim.mine(*moves) for moves in blocks]
    depth = min(depth, len(items))
    journal.adopt(store, books, lease, sim.adoption(items[: len(items) - depth]))
    before = stored_balances(store)
    journal.adopt(store, books, lease, sim.adoption(items))
    journal.rewind(store, lease, sim.fork(depth)[0])
    assert stored_balances(store) == before
    assert journal.audit(store).clean
