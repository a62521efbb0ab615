"""The index daemon on a real node: follows, survives reorgs and kills, lets one of two write, stops a broken network alone."""

from __future__ import annotations

import asyncio
import time

from aggregator.store import event_log, journal
from aggregator.store.db import Store
from chains.types import Address
from tests.chain.node_world import Node, mine, mint_usdc, node
from tests.daemons.conftest import Followed, on_chain, pay
from tests.store.sim import states
from tests.unit.pure_world import ALICE, BOB, STRANGER

A, C = 71001, 71003


def in_book(store: Store, *safes: Address) -> bool:
    found = {s.address for s in journal.linked_safes(store, A) if s.in_book}
    return set(safes) <= found


async def test_follow__transfers_of_linked_accounts__balances_equal_the_network(followed: Followed) -> None:
    world = followed.nodes[A]
    async with world.rpc() as rpc:
        await mint_usdc(rpc, world.network, ALICE, 1_000_000)  # before the daemon and before the book
        async with followed.daemon():
            await followed.until("both safes in the book", lambda: in_book(followed.store, ALICE, BOB))
            await pay(rpc, world, ALICE, BOB, 300_000)
            await pay(rpc, world, BOB, STRANGER, 1)
            await followed.level(A, rpc)
            assert followed.usdc(A) == {"alice": 700_000, "bob": 299_999}
            assert await on_chain(rpc, world, ALICE) == 700_000
            await mine(rpc, 12)
            await followed.level(A, rpc)
            await followed.until("finality", lambda: set(states(followed.store).values()) == {"posted"})
    assert journal.audit(followed.store).clean
    trued = [k for k in states(followed.store) if ":true-up:" in k]
    assert trued, "native coin given to impersonated accounts is booked at finality"


async def test_follow__mined_to_visible__is_quick(followed: Followed) -> None:
    world = followed.nodes[A]
    taken = []
    async with world.rpc() as rpc, followed.daemon():
        await followed.until("both safes in the book", lambda: in_book(followed.store, ALICE, BOB))
        for _ in range(8):
            mined = time.monotonic()
            await mint_usdc(rpc, world.network, ALICE, 5)
            await followed.level(A, rpc)
            taken.append(time.monotonic() - mined)
    assert sorted(taken)[len(taken) // 2] < 0.5, f"mined to visible, seconds: {taken}"


async def test_reorg__transfers_dropped__voided_and_the_log_names_them(followed: Followed) -> None:
    world = followed.nodes[A]
    async with world.rpc() as rpc, followed.daemon():
        await followed.until("both safes in the book", lambda: in_book(followed.store, ALICE, BOB))
        await mint_usdc(rpc, world.network, ALICE, 1_000)
        await pay(rpc, world, ALICE, BOB, 400)
        await followed.level(A, rpc)
        assert followed.usdc(A) == {"alice": 600, "bob": 400}
        await rpc.call("anvil_reorg", [2, []])
        await followed.level(A, rpc)
        assert followed.usdc(A) == {}
        await mint_usdc(rpc, world.network, BOB, 70)
        await followed.level(A, rpc)
        assert followed.usdc(A) == {"bob": 70}
    (rewound,) = event_log.after(followed.store, 0, kinds=["chain.rewound"])
    assert [len(b["groups"]) for b in rewound.body["orphaned"]] == [1, 1]
    assert journal.audit(followed.store).clean


async def test_reorg__past_finality__that_network_stops_with_its_reason_and_others_go_on(followed: Followed) -> None:
    world = followed.nodes[A]
    with node(C) as other:
        followed.nodes[C] = other
        async with world.rpc() as rpc, other.rpc() as rpc_c, followed.daemon():
            await followed.level(C, rpc_c)
            await mint_usdc(rpc, world.network, ALICE, 1)  # without it the blocks mined anew would be the same blocks
            head = (await mine(rpc, 12)).number
            await followed.until("finality", lambda: _final(followed) >= head - 4)
            await rpc.call("anvil_reorg", [15, []])
            await followed.until("network A to stop", lambda: _state(followed, A) == "stopped")
            await mine(rpc_c, 3)
            await followed.level(C, rpc_c)
            cursor = journal.load_cursor(followed.store, A)
            assert cursor is not None
            assert "ReorgPastFinality" in cursor.state_reason
            assert "was final" in cursor.state_reason
    assert [e.kind for e in event_log.after(followed.store, 0, kinds=["network.stopped"])] == ["network.stopped"]


def _final(followed: Followed) -> int:
    cursor = journal.load_cursor(followed.store, A)
    return -1 if cursor is None else cursor.finalised.number


def _state(followed: Followed, chain_id: int) -> str:
    cursor = journal.load_cursor(followed.store, chain_id)
    return "" if cursor is None else cursor.state


async def test_two_daemons__one_writes__the_other_takes_over_when_it_ends(followed: Followed) -> None:
    world = followed.nodes[A]
    async with world.rpc() as rpc, followed.daemon() as first:
        await followed.level(A, rpc)
        async with followed.daemon():
            await mint_usdc(rpc, world.network, ALICE, 10)
            await followed.level(A, rpc)
            first.set()
            await asyncio.sleep(0.05)
            await mint_usdc(rpc, world.network, ALICE, 5)
            await followed.level(A, rpc)
            assert followed.usdc(A) == {"alice": 15}
    assert journal.audit(followed.store).clean


async def test_kill__minus_nine_in_mid_run__next_daemon_ends_with_the_same_balances(followed: Followed) -> None:
    world = followed.nodes[A]
    async with world.rpc() as rpc:
        for round_ in range(3):
            daemon = followed.process()
            try:
                for _ in range(4):
                    await mint_usdc(rpc, world.network, ALICE, 100)
                    await pay(rpc, world, ALICE, BOB, 30 + round_)
                if round_ == 1:
                    await rpc.call("anvil_reorg", [2, []])
                await followed.until("some progress", lambda: _number(followed) > 3)
            finally:
                daemon.kill()
                daemon.wait()
        async with followed.daemon():
            await followed.level(A, rpc)
            await followed.until("both safes in the book", lambda: in_book(followed.store, ALICE, BOB))
        want = {"alice": await on_chain(rpc, world, ALICE), "bob": await on_chain(rpc, world, BOB)}
        assert followed.usdc(A) == want
    assert journal.audit(followed.store).clean


def _number(followed: Followed) -> int:
    cursor = journal.load_cursor(followed.store, A)
    return -1 if cursor is None else cursor.head.number


async def test_start__node_answers_for_another_chain__error_names_it_and_nothing_is_written(store: Store) -> None:
    with node(C) as other:
        followed = Followed(store, {A: Node(other.url, other.network)})
        async with followed.daemon():
            await asyncio.sleep(1.0)
            assert journal.load_cursor(store, A) is None
