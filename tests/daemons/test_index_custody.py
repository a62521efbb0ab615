"""Custody as the index daemon keeps it: read when a safe is linked, doubted by its logs, read again at once."""

from __future__ import annotations

from eth_abi.abi import encode

from aggregator.store import event_log, journal
from aggregator.store.world import load_world
from chains import abi
from chains.rpc import Rpc, reads
from chains.types import ZERO_ADDRESS, Address, ChainId
from tests.chain.node_world import Node, accounts, as_anyone, send
from tests.daemons.conftest import Followed
from tests.store.sim import link

A = 71001


async def born(rpc: Rpc, world: Node) -> Address:
    """A prime account of one owner, from the network's own factory."""
    own = world.network.protocols.isthmus
    assert own is not None
    owner = (await accounts(rpc))[3]
    given = encode(["address[]", "uint256", "bytes32[]", "uint256"], [[owner], 1, [], 7])
    signature = "(address[],uint256,bytes32[],uint256)"
    head = await reads.head(rpc)
    answer = await reads.call_at(rpc, head.hash, own.factory, abi.selector("addressOf" + signature) + given)
    await send(rpc, owner, own.factory, abi.selector("create" + signature) + given)
    return abi.to_address(answer)


async def test_custody__real_account_then_its_guard_removed__intact_then_not_with_the_reason(followed: Followed) -> None:
    world, store = followed.nodes[A], followed.store
    networks = {ChainId(A): world.network}

    def custody() -> tuple[bool, str]:
        (safe,) = load_world(store, networks).clients["carol"].safes
        return safe.custody_intact, safe.custody_reason

    async with world.rpc() as rpc, followed.daemon():
        safe = await born(rpc, world)
        link(store, A, safe, "carol")
        await followed.until("custody read", lambda: not _due(followed, safe))
        assert custody() == (True, "")
        await as_anyone(rpc, safe, safe, abi.call_data("setGuard(address)", ZERO_ADDRESS))
        await followed.until("custody doubted and read", lambda: not custody()[0] and not _due(followed, safe))
        assert custody()[1].startswith(f"guard is {ZERO_ADDRESS}, not ")
        rows = [e for e in event_log.after(store, 0, kinds=["custody.changed"]) if e.subject == safe]
        assert [(r.client, r.body["intact"]) for r in rows][-2:] == [("carol", False), ("carol", False)]
        await rpc.call("anvil_reorg", [1, []])
        await followed.until("custody after the reorg", lambda: custody() == (True, ""))
        assert not load_world(store, networks).clients["alice"].custody_intact, "an address without code is no prime account"


def _due(followed: Followed, safe: Address) -> bool:
    return next(s.custody_due for s in journal.linked_safes(followed.store, A) if s.address == safe)
