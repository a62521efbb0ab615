"""Reconcile against a real node: clean when ledger and network agree, drift named and quarantined when a token lies."""

from __future__ import annotations

from eth_hash.auto import keccak

from aggregator.store import event_log, journal
from aggregator.store.world import load_world
from aggregator.tasks.reconcile import reconcile
from chains import abi
from chains.rpc import Rpc
from chains.types import ZERO_ADDRESS, ChainId
from tests.chain.node_world import Node, as_anyone, mine, mint_usdc, node
from tests.daemons.conftest import Followed, on_chain
from tests.daemons.test_index_follow import in_book
from tests.store.sim import states, stored_balances
from tests.unit.pure_world import ALICE, BOB

A = 71001


async def balance_slot(rpc: Rpc, world: Node) -> int:
    """Slot of the token's balance mapping: the one whose word for ALICE reads as her balance."""
    token, atoms = world.network.tokens["usdc"].address, await on_chain(rpc, world, ALICE)
    for slot in range(64):
        where = keccak(abi.padded(ALICE) + abi.uint(slot))
        if int(await rpc.call("eth_getStorageAt", [token, "0x" + where.hex(), "latest"]), 16) == atoms:
            return slot
    raise AssertionError("no balance mapping among the first 64 slots")


async def test_reconcile__clean_then_a_planted_balance_then_mended__names_quarantines_and_releases(followed: Followed) -> None:
    world, store = followed.nodes[A], followed.store
    networks, token = {ChainId(A): world.network}, world.network.tokens["usdc"].address
    async with world.rpc() as rpc, followed.daemon():
        await followed.until("both safes in the book", lambda: in_book(store, ALICE, BOB))
        await mint_usdc(rpc, world.network, ALICE, 123_456)
        await as_anyone(rpc, BOB, world.network.tokens["weth"].address, abi.selector("deposit()"), value=10**17)
        await _final(followed, rpc)
        clean = await reconcile(store, {ChainId(A): rpc}, networks)
        assert clean.drift == ()
        assert clean.failures == ()
        assert clean.accounts_checked == 2
        # Three tokens, two reserves' supply and debt, the credit line, for each of two; native coin of the one who was given some.
        assert clean.holdings_checked == 2 * (3 + 4 + 1) + 1
        place = "0x" + keccak(abi.padded(ALICE) + abi.uint(await balance_slot(rpc, world))).hex()
        await rpc.call("anvil_setStorageAt", [token, place, "0x" + abi.uint(999).hex()])
        await _final(followed, rpc)
        (drift,) = (await reconcile(store, {ChainId(A): rpc}, networks)).drift
        assert (drift.safe, drift.account) == (ALICE, f"alice|{A}|wallet|position|{A}:{token}")
        assert (drift.ledger_atoms, drift.network_atoms) == (123_456, 999)
        cursor = journal.load_cursor(store, A)
        assert cursor is not None
        assert drift.block_number <= cursor.finalised.number
        assert load_world(store, networks).quarantined == {drift.account}
        await rpc.call("anvil_setStorageAt", [token, place, "0x" + abi.uint(123_456).hex()])
        await _final(followed, rpc)
        assert (await reconcile(store, {ChainId(A): rpc}, networks)).drift == ()
        assert load_world(store, networks).quarantined == frozenset()
    rows = event_log.after(store, 0, kinds=["reconcile.done", "reconcile.drift"])
    assert [(r.kind, r.client) for r in rows] == [
        ("reconcile.done", ""), ("reconcile.drift", "alice"), ("reconcile.done", ""), ("reconcile.done", ""),
    ]  # fmt: skip
    assert rows[-1].body["released"] == [drift.account]


async def _final(followed: Followed, rpc: Rpc) -> None:
    """Mine until everything so far is final and Bob's native coin is booked."""
    head = (await mine(rpc, 12)).number

    def done() -> bool:
        cursor = journal.load_cursor(followed.store, A)
        booked = any(a.client == "bob" and a.asset.endswith(ZERO_ADDRESS) for a in stored_balances(followed.store))
        return booked and cursor is not None and cursor.finalised.number >= head - 4

    await followed.until("finality and true-up", done)


async def test_reconcile__network_away__failure_in_the_report_and_no_drift(followed: Followed) -> None:
    world, store = followed.nodes[A], followed.store
    async with world.rpc() as rpc, followed.daemon():
        await followed.until("both safes in the book", lambda: in_book(store, ALICE, BOB))
        await followed.level(A, rpc)
    with node(71003) as other:
        wrong = Rpc(ChainId(A), [other.url], patience_s=0.2)
        found = await reconcile(store, {ChainId(A): wrong}, {ChainId(A): world.network})
        await wrong.close()
    assert found.drift == ()
    assert [(c, why.split(":")[0]) for c, why in found.failures] == [(A, "ForeignNetwork")]
    assert states(store) == {}
