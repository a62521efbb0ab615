"""Hop 8's eyes: what became of a slot. Silence, timeouts and refusals never end a slot; only a final hash does (I6).

A receipt counts only while its block is canonical, and ends the slot only when a final block covers it, a revert no sooner than a
success. Dropped bytes are sent again as they were stored. Cancellation is told by which hash mined, not by what was asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chains import follower
from chains.errors import BlockUnknown
from chains.networks.network import Network
from chains.rpc import reads
from chains.rpc.pool import Rpc
from chains.sender import broadcast, bump, cancel
from chains.signer import Signer
from chains.slots import Attempt, Slot, Slots, SlotState
from chains.types import BlockRef, Hash

BUMP_AFTER_BLOCKS = 3


class Seen(StrEnum):
    """What the network shows of a slot."""

    PENDING = "pending"  # a node holds one of our hashes, or the nonce is open or taken but not yet final
    MINED = "mined"  # one of our hashes is in a canonical block; `slot.state` says whether that is final
    DROPPED = "dropped"  # no node held our bytes; they were sent again, unless the deadline is past
    FOREIGN = "foreign"  # a final transaction we never signed used the nonce: quarantine the sender, tell a person


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at a slot. `slot` is as the store has it now; the fields after `head` belong to what mined."""

    seen: Seen
    slot: Slot
    head: BlockRef
    attempt: Attempt | None = None
    block: BlockRef | None = None
    ok: bool | None = None
    gas_used: int = 0
    fee_wei: int = 0


async def observe(rpc: Rpc, network: Network, slots: Slots, slot: Slot) -> Observation:
    """Look for every known hash of the slot, write what is seen, send dropped bytes again. Raises BlockUnknown amid a reorg."""
    known = slots.attempts(slot)
    asked: list[tuple[str, list[Any]]] = [reads.by_tag("latest"), ("eth_getTransactionCount", [slot.sender, "latest"])]
    asked += [("eth_getTransactionReceipt", [a.tx_hash]) for a in known]
    asked += [("eth_getTransactionByHash", [a.tx_hash]) for a in known]
    block, count, *rest = await rpc.batch(asked)
    head = reads.parse_block(rpc.chain_id, block)
    receipts, held = rest[: len(known)], rest[len(known) :]
    for attempt, receipt in zip(known, receipts, strict=True):
        if receipt is not None:
            return await _mined(rpc, network, slots, slot, attempt, receipt, head)
    if int(count, 16) > slot.nonce:
        return await _taken(rpc, network, slots, slot, known, head)
    if not known or any(h is not None for h in held):
        return Observation(Seen.PENDING, _waiting(slots, slot, known), head)
    if known[-1].cancels or head.timestamp <= slot.deadline:
        await broadcast(rpc, slots, slot, known[-1])
    return Observation(Seen.DROPPED, _waiting(slots, slot, known), head)


async def advance(
    rpc: Rpc, network: Network, signer: Signer, slots: Slots, slot: Slot, bump_after: int = BUMP_AFTER_BLOCKS
) -> Observation:
    """Observe, then do what is due: past the deadline the no-op, and after `bump_after` blocks without inclusion a fee bump.

    Raises FeeAboveLimit when the no-op has to wait for cheaper blocks, BlockUnknown amid a reorg.
    """
    found = await observe(rpc, network, slots, slot)
    known = slots.attempts(slot)
    if found.seen not in (Seen.PENDING, Seen.DROPPED) or not found.slot.state.live():
        return found
    late = found.head.timestamp > slot.deadline
    if late and not any(a.cancels for a in known):
        await cancel(rpc, network, signer, slots, slot)
    elif known and found.head.number - known[-1].head >= bump_after:
        await bump(rpc, network, signer, slots, slot)
    return found


def _waiting(slots: Slots, slot: Slot, known: Sequence[Attempt]) -> Slot:
    """The slot marked as waiting for inclusion; a no-op among its attempts shows."""
    if not known:
        return slot
    return slots.mark(slot, SlotState.CANCELLING if any(a.cancels for a in known) else SlotState.PENDING)


async def _mined(
    rpc: Rpc, network: Network, slots: Slots, slot: Slot, attempt: Attempt, receipt: Any, head: BlockRef
) -> Observation:
    number, where = int(receipt["blockNumber"], 16), Hash(receipt["blockHash"].lower())
    block = await reads.block_by_number(rpc, number)
    if block.hash != where:
        raise BlockUnknown(f"network {slot.chain_id}: receipt of {attempt.tx_hash} is from orphan {where}; observe again")
    _, final = await follower.finality(rpc, network, head, (block,))
    ok = receipt["status"] == "0x1"
    state = SlotState.MINED if final.number < number else _end(attempt, ok)
    marked = slots.mark(slot, state, tx_hash=attempt.tx_hash, block=block)
    gas = int(receipt["gasUsed"], 16)
    paid = gas * int(receipt.get("effectiveGasPrice", "0x0"), 16)
    return Observation(Seen.MINED, marked, head, attempt, block, ok, gas, paid)


def _end(attempt: Attempt, ok: bool) -> SlotState:
    if attempt.cancels:
        return SlotState.EXPIRED
    return SlotState.FINAL_OK if ok else SlotState.FINAL_REVERT


async def _taken(
    rpc: Rpc, network: Network, slots: Slots, slot: Slot, known: Sequence[Attempt], head: BlockRef
) -> Observation:
    """The nonce is used and no receipt of ours is there. Only when that is final, and receipts are still missing, it is foreign."""
    _, final = await follower.finality(rpc, network, head)
    asked: list[tuple[str, list[Any]]] = [("eth_getTransactionCount", [slot.sender, reads.at_block(final.hash)])]
    asked += [("eth_getTransactionReceipt", [a.tx_hash]) for a in known]
    count, *receipts = await rpc.batch(asked)
    if int(count, 16) <= slot.nonce or any(r is not None for r in receipts):
        return Observation(Seen.PENDING, slot, head)
    return Observation(Seen.FOREIGN, slots.mark(slot, SlotState.FOREIGN), head)
