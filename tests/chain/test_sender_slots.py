"""Sender and observer against a real node: one effect per action through kills, drops, reorgs, bumps and cancellations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from chains import abi, observer, sender
from chains.devnet import roles
from chains.errors import BlockUnknown, DeadlinePassed, FeeAboveLimit, ForeignNonce, SenderUnfunded, WouldRevert
from chains.observer import Observation, Seen
from chains.protocols.erc20 import uint_answer
from chains.rpc import Rpc, reads
from chains.rpc.errors import NodeUnavailable
from chains.rpc.pool import SEND_RAW
from chains.signer import LocalSigner, TxFields, read_transaction, sign_transaction
from chains.slots import Attempt, MemorySlots, Slot, SlotState
from chains.types import Address, Call
from tests.chain.node_world import Node, mine, node, reorg

FAR = 2**40
KEEPER = Address("0x" + "cd" * 20)
SEEDS = iter(range(1, 1000))


@pytest.fixture(scope="module")
def world() -> Iterator[Node]:
    with node(71002, interval_s=1) as made:
        yield made


class Lane:
    """A fresh sender with its slots; each test has its own, so that nonces start at zero."""

    def __init__(self, world: Node, rpc: Rpc) -> None:
        self.network = world.network
        self.rpc = rpc
        self.signer = LocalSigner(roles.key(f"sender test {next(SEEDS)}"))
        self.slots = MemorySlots()

    def call(self, atoms: int = 5) -> Call:
        data = abi.call_data("mint(address,uint256)", self.signer.address, atoms)
        return Call(self.network.tokens["usdc"].address, data, note="mint")

    async def dispatch(self, action: str = "a1", deadline: int = FAR, rpc: Rpc | None = None) -> Attempt:
        return await sender.dispatch(
            rpc or self.rpc, self.network, self.signer, self.slots, action, self.call(), deadline
        )

    def slot(self, action: str = "a1") -> Slot:
        found = self.slots.find(self.network.chain_id, self.signer.address, action)
        assert found is not None
        return found

    async def observe(self, action: str = "a1") -> Observation:
        return await observer.observe(self.rpc, self.network, self.slots, self.slot(action))

    async def mined(self, action: str = "a1") -> Observation:
        """Observe until the node has mined it: its automine answers before the block is there."""
        for _ in range(500):
            seen = await self.observe(action)
            if seen.seen is Seen.MINED:
                return seen
            await asyncio.sleep(0.002)
        raise AssertionError(f"{action} is not mined: {seen}")

    async def advance(self, action: str = "a1") -> Observation:
        return await observer.advance(self.rpc, self.network, self.signer, self.slots, self.slot(action))

    async def minted(self) -> int:
        head = await reads.head(self.rpc)
        token = self.network.tokens["usdc"].address
        data = abi.call_data("balanceOf(address)", self.signer.address)
        return uint_answer(await reads.call_at(self.rpc, head.hash, token, data))

    async def automine(self, on: bool) -> None:
        await self.rpc.call("evm_setAutomine", [on])


@pytest.fixture
async def lane(world: Node) -> AsyncIterator[Lane]:
    async with world.rpc() as rpc:
        made = Lane(world, rpc)
        await rpc.call("anvil_setBalance", [made.signer.address, hex(10**20)])
        yield made
        await rpc.call("anvil_dropAllTransactions")
        await made.automine(True)


class DeafRpc(Rpc):
    """A node that is lost at the moment of sending: the worker dies between the record and the broadcast."""

    async def call(self, method: str, params: Any = ()) -> Any:
        if method == SEND_RAW:
            raise asyncio.CancelledError("killed before the bytes left")
        return await super().call(method, params)


async def test_dispatch__mined_and_final__ends_ok_with_its_cost(lane: Lane) -> None:
    attempt = await lane.dispatch()
    seen = await lane.mined()
    assert (seen.seen, seen.slot.state, seen.ok) == (Seen.MINED, SlotState.MINED, True)
    assert seen.attempt == attempt
    assert seen.fee_wei > seen.gas_used > 21_000
    await mine(lane.rpc, 17)
    assert (await lane.observe()).slot.state is SlotState.FINAL_OK
    assert await lane.dispatch() == attempt
    assert await lane.minted() == 5


async def test_dispatch__call_reverts__named_before_a_nonce_is_taken(lane: Lane) -> None:
    token = lane.network.tokens["usdc"].address
    call = Call(token, abi.call_data("transfer(address,uint256)", KEEPER, 1), note="pay")
    with pytest.raises(WouldRevert, match=r"\(pay\) would revert at block .* exceeds balance") as caught:
        await sender.dispatch(lane.rpc, lane.network, lane.signer, lane.slots, "a1", call, FAR)
    assert caught.value.reason == "ERC20: transfer amount exceeds balance"
    assert lane.slots.find(lane.network.chain_id, lane.signer.address, "a1") is None


async def test_dispatch__deadline_behind_the_head__refused(lane: Lane) -> None:
    head = await reads.head(lane.rpc)
    with pytest.raises(DeadlinePassed, match="plan again"):
        await lane.dispatch(deadline=head.timestamp)


async def test_dispatch__base_fee_above_the_limit__refused_before_a_nonce(lane: Lane) -> None:
    await lane.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(300 * 10**9)])
    await mine(lane.rpc)
    try:
        with pytest.raises(FeeAboveLimit, match="max_fee_gwei"):
            await lane.dispatch()
    finally:
        await lane.rpc.call("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
        await mine(lane.rpc)
    assert lane.slots.find(lane.network.chain_id, lane.signer.address, "a1") is None


@pytest.mark.parametrize("wei", [0, 10**9])
async def test_dispatch__sender_without_coin__named_before_a_nonce_is_taken(lane: Lane, wei: int) -> None:
    await lane.rpc.call("anvil_setBalance", [lane.signer.address, hex(wei)])
    with pytest.raises(SenderUnfunded, match="fund it"):
        await lane.dispatch()
    assert lane.slots.find(lane.network.chain_id, lane.signer.address, "a1") is None


async def test_dispatch__twice_at_once__one_slot_one_effect(lane: Lane) -> None:
    await asyncio.gather(*(lane.dispatch() for _ in range(4)))
    await lane.mined()
    assert len(lane.slots.attempts(lane.slot())) == 1
    assert await lane.minted() == 5


async def test_dispatch__killed_between_record_and_send__resumes_with_the_same_bytes(world: Node, lane: Lane) -> None:
    async with DeafRpc(world.network.chain_id, [world.url]) as deaf:
        with pytest.raises(asyncio.CancelledError):
            await lane.dispatch(rpc=deaf)
    (stored,) = lane.slots.attempts(lane.slot())
    assert lane.slot().state is SlotState.SIGNED
    assert (await lane.observe()).seen is Seen.DROPPED
    assert (await lane.mined()).attempt == stored
    assert await lane.dispatch() == stored
    assert await lane.minted() == 5


async def test_dispatch__killed_between_reserve_and_sign__same_nonce(lane: Lane) -> None:
    reserved = lane.slots.reserve(lane.network.chain_id, lane.signer.address, "a1", 0, FAR)
    attempt = await lane.dispatch()
    assert attempt.nonce == reserved.nonce == 0
    await lane.mined()
    assert await lane.minted() == 5


async def test_dispatch__reserved_and_no_longer_possible__the_nonce_is_burned_by_a_no_op(lane: Lane) -> None:
    head = await reads.head(lane.rpc)
    lane.slots.reserve(lane.network.chain_id, lane.signer.address, "a1", 0, head.timestamp)
    attempt = await lane.dispatch(deadline=head.timestamp)
    assert attempt.cancels
    await lane.mined()
    await mine(lane.rpc, 17)
    assert (await lane.observe()).slot.state is SlotState.EXPIRED
    assert (await lane.dispatch("a2")).nonce == 1
    await lane.mined("a2")
    assert await lane.minted() == 5


async def test_observe__reorg_drops_a_mined_transaction__the_same_bytes_are_mined_again(lane: Lane) -> None:
    attempt = await lane.dispatch()
    await lane.mined()
    await reorg(lane.rpc, 1)
    assert await lane.minted() == 0
    dropped = await lane.observe()
    assert (dropped.seen, dropped.slot.block) == (Seen.DROPPED, None)
    assert (await lane.mined()).attempt == attempt
    assert await lane.minted() == 5


async def test_observe__reorg_of_several_slots__all_come_back_in_nonce_order(lane: Lane) -> None:
    names = ("a1", "a2", "a3")
    for name in names:
        await lane.dispatch(name)
        await lane.mined(name)
    await reorg(lane.rpc, 3)
    assert [(await lane.observe(name)).seen for name in names] == [Seen.DROPPED] * 3
    assert [(await lane.mined(name)).slot.nonce for name in names] == [0, 1, 2]
    assert await lane.minted() == 15


async def test_advance__not_included__same_call_at_higher_fees_and_one_effect(lane: Lane) -> None:
    await lane.automine(False)
    first = await lane.dispatch()
    # The node leaves it out: it is dropped from the pool each time before a block is made.
    for _ in range(3):
        await lane.rpc.call("anvil_dropTransaction", [first.tx_hash])
        await mine(lane.rpc)
    await lane.advance()
    one, two = lane.slots.attempts(lane.slot())
    old, new = read_transaction(one.raw), read_transaction(two.raw)
    assert new.max_fee * 10_000 >= old.max_fee * 11_250
    assert new.priority_fee * 10_000 >= old.priority_fee * 11_250
    assert (new.nonce, new.to, new.data, new.gas, new.value) == (old.nonce, old.to, old.data, old.gas, old.value)
    await mine(lane.rpc)
    seen = await lane.observe()
    assert (seen.seen, seen.attempt) == (Seen.MINED, two)
    assert await lane.minted() == 5


async def test_advance__past_the_deadline__no_op_wins_and_the_action_expires(lane: Lane) -> None:
    await lane.automine(False)
    head = await reads.head(lane.rpc)
    first = await lane.dispatch(deadline=head.timestamp + 1)
    await lane.rpc.call("anvil_dropTransaction", [first.tx_hash])
    await mine(lane.rpc, 2)
    assert (await lane.advance()).seen is Seen.DROPPED
    assert lane.slot().state is SlotState.CANCELLING
    await mine(lane.rpc, 1)
    seen = await lane.observe()
    assert (seen.slot.state, seen.attempt and seen.attempt.cancels) == (SlotState.MINED, True)
    await mine(lane.rpc, 17)
    assert (await lane.observe()).slot.state is SlotState.EXPIRED
    assert await lane.minted() == 0


async def test_cancel__the_call_mines_first__attributed_to_the_call(lane: Lane) -> None:
    await lane.automine(False)
    first = await lane.dispatch()
    cheap = first.max_fee
    await lane.rpc.call("anvil_dropTransaction", [first.tx_hash])
    no_op = await sender.cancel(lane.rpc, lane.network, lane.signer, lane.slots, lane.slot())
    assert no_op.max_fee > cheap
    await lane.rpc.call("anvil_dropTransaction", [no_op.tx_hash])
    await lane.rpc.call(SEND_RAW, ["0x" + first.raw.hex()])
    await mine(lane.rpc, 18)
    seen = await lane.observe()
    assert (seen.attempt, seen.slot.state) == (first, SlotState.FINAL_OK)
    assert await lane.minted() == 5


async def test_observe__reverted_on_chain__final_only_when_the_block_is(lane: Lane) -> None:
    await lane.dispatch("fund")
    await lane.mined("fund")
    await lane.automine(False)
    call = Call(lane.network.tokens["usdc"].address, abi.call_data("transfer(address,uint256)", KEEPER, 5))
    for name in ("a1", "a2"):
        await sender.dispatch(lane.rpc, lane.network, lane.signer, lane.slots, name, call, FAR)
    await mine(lane.rpc)
    seen = await lane.observe("a2")
    assert (seen.ok, seen.slot.state) == (False, SlotState.MINED)
    await mine(lane.rpc, 17)
    assert (await lane.observe("a2")).slot.state is SlotState.FINAL_REVERT
    assert (await lane.observe("a1")).slot.state is SlotState.FINAL_OK


async def test_observe__nonce_used_by_unknown_bytes__foreign_once_final(lane: Lane) -> None:
    await lane.automine(False)
    ours = await lane.dispatch()
    await lane.rpc.call("anvil_dropTransaction", [ours.tx_hash])
    fields = TxFields(lane.network.chain_id, 0, 2 * 10**9, 50 * 10**9, 21_000, KEEPER, 1, b"")
    raw, _ = sign_transaction(lane.signer, fields)
    await lane.rpc.call(SEND_RAW, ["0x" + raw.hex()])
    await mine(lane.rpc)
    assert (await lane.observe()).seen is Seen.PENDING
    await mine(lane.rpc, 17)
    seen = await lane.observe()
    assert (seen.seen, seen.slot.state) == (Seen.FOREIGN, SlotState.FOREIGN)


async def test_dispatch__network_ahead_of_our_slots__foreign_nonce(lane: Lane) -> None:
    await lane.dispatch()
    await lane.mined()
    for nonce in (1, 2):
        fields = TxFields(lane.network.chain_id, nonce, 2 * 10**9, 50 * 10**9, 21_000, KEEPER, 1, b"")
        await lane.rpc.call("eth_sendRawTransactionSync", ["0x" + sign_transaction(lane.signer, fields)[0].hex()])
    with pytest.raises(ForeignNonce, match="our slots end at 0"):
        await lane.dispatch("a2")


async def test_dispatch__no_endpoint__named_and_no_slot(lane: Lane) -> None:
    async with Rpc(lane.network.chain_id, ["http://127.0.0.1:9"], patience_s=0.2) as nowhere:
        with pytest.raises(NodeUnavailable, match="no endpoint answered"):
            await lane.dispatch(rpc=nowhere)
    assert lane.slots.find(lane.network.chain_id, lane.signer.address, "a1") is None


async def test_observe__receipt_of_an_orphan__asks_again(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    await lane.dispatch()
    await lane.mined()
    honest = reads.block_by_number

    async def moved(rpc: Rpc, number: int) -> Any:
        return await honest(rpc, number - 1)

    monkeypatch.setattr(reads, "block_by_number", moved)
    with pytest.raises(BlockUnknown, match="orphan"):
        await lane.observe()
