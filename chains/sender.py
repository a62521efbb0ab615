"""Hop 7, sending: the only place that puts transactions on a network. One nonce lane per signer, kept by a `Slots` port.

The nonce is reserved with the action, bytes are durable before they are broadcast (I3), and what a send call answers decides
nothing: "already known", "nonce too low" and a timeout all mean "go and observe" (chains.observer). A call that would revert is
refused before it takes a nonce. A replacement changes fees alone (I7); past the deadline only a no-op may be sent at the nonce
(I10), and a nonce that was taken is always used up, so the lane has no gap (I5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from chains import fees
from chains.errors import ChainError, DeadlinePassed, SenderUnfunded, WouldRevert
from chains.fees import Fees
from chains.networks.network import Network
from chains.rpc import reads
from chains.rpc.errors import NodeUnavailable, RpcError
from chains.rpc.pool import SEND_RAW, Rpc
from chains.signer import Signer, TxFields, read_transaction, sign_transaction
from chains.slots import Attempt, Slot, Slots, SlotState
from chains.types import Address, BlockRef, Call

GAS_MARGIN_BPS = 2_500
NO_OP_GAS = 21_000
_ERROR_TEXT = bytes.fromhex("08c379a0")
_TEXT_START = 68


@dataclass(frozen=True, slots=True)
class _Look:
    """What one round trip tells before signing: `nonce` and `balance` are the sender's; `gas` is 0 where `revert` is set."""

    head: BlockRef
    nonce: int
    balance: int
    gas: int
    revert: RpcError | None
    history: dict[str, Any]


async def dispatch(
    rpc: Rpc, network: Network, signer: Signer, slots: Slots, action_id: str, call: Call, deadline: int
) -> Attempt:
    """Send `call` for the action, once: called again and again, by any worker, it ends in one slot and the same bytes.

    deadline: seconds of the network's block time; the contract must enforce it too. Returns the newest attempt, durable, whether or
    not a node took it. Raises WouldRevert, DeadlinePassed, FeeAboveLimit and SenderUnfunded before a nonce is taken, ForeignNonce
    when the network is ahead of our slots. A slot that was reserved before, and whose call can no longer be sent, is closed with a
    no-op instead.
    """
    slot = slots.find(network.chain_id, signer.address, action_id)
    if slot is not None and (known := slots.attempts(slot)):
        if slot.state.live() and (known[-1].cancels or (await reads.head(rpc)).timestamp <= slot.deadline):
            await broadcast(rpc, slots, slot, known[-1])
        return known[-1]
    look = await _look(rpc, signer.address, call)
    refusal = _refusal(look, call, deadline)
    if refusal is not None:
        if slot is None:
            raise refusal
        return await cancel(rpc, network, signer, slots, slot)
    offer = fees.first_offer(look.history, _cap(network))
    gas = look.gas * (fees.ALL_BPS + GAS_MARGIN_BPS) // fees.ALL_BPS
    _afford(look, signer.address, call.value + gas * offer.max_fee)
    slot = slot or slots.reserve(network.chain_id, signer.address, action_id, look.nonce, deadline)
    fields = TxFields(
        network.chain_id, slot.nonce, offer.priority_fee, offer.max_fee, gas, call.to, call.value, call.data
    )
    return await _sign_and_send(rpc, signer, slots, slot, fields, look.head, number=0, cancels=False)


async def bump(rpc: Rpc, network: Network, signer: Signer, slots: Slots, slot: Slot) -> Attempt:
    """Replace the newest attempt by the same call at higher fees, or send its bytes again when the cap leaves no room.

    Past the deadline the call is not sent again but cancelled. Raises ValueError for a slot without attempts: dispatch it first.
    """
    known = slots.attempts(slot)
    if not known:
        raise ValueError(f"nonce {slot.nonce} of {slot.sender} on network {slot.chain_id} has no attempt to replace")
    last = known[-1]
    head, history = await _market(rpc)
    if head.timestamp > slot.deadline and not last.cancels:
        return await cancel(rpc, network, signer, slots, slot)
    offer = fees.replacement(Fees(last.max_fee, last.priority_fee), history, network.limits.bump_bps, _cap(network))
    if offer is None:
        await broadcast(rpc, slots, slot, last)
        return last
    fields = replace(read_transaction(last.raw), max_fee=offer.max_fee, priority_fee=offer.priority_fee)
    return await _sign_and_send(rpc, signer, slots, slot, fields, head, number=last.number + 1, cancels=last.cancels)


async def cancel(rpc: Rpc, network: Network, signer: Signer, slots: Slots, slot: Slot) -> Attempt:
    """Send the no-op (nothing, to the sender itself) at the slot's nonce. What mined decides: an earlier hash may still win.

    A slot that has a no-op already gets a replacement of it. Raises FeeAboveLimit when no fee under the cap would be taken.
    """
    known = slots.attempts(slot)
    if known and known[-1].cancels:
        return await bump(rpc, network, signer, slots, slot)
    head, history = await _market(rpc)
    cap = _cap(network)
    offer = fees.first_offer(history, cap)
    if known:
        last = Fees(known[-1].max_fee, known[-1].priority_fee)
        # The cap binds the call's fees. A no-op that cannot outbid the call within it may pass it by one step: the lane must move.
        offer = fees.replacement(last, history, network.limits.bump_bps, 2 * cap) or offer
    fields = TxFields(
        network.chain_id, slot.nonce, offer.priority_fee, offer.max_fee, NO_OP_GAS, slot.sender, 0, b""
    )
    return await _sign_and_send(rpc, signer, slots, slot, fields, head, number=len(known), cancels=True)


async def broadcast(rpc: Rpc, slots: Slots, slot: Slot, attempt: Attempt) -> bool:
    """Send stored bytes to all endpoints. Whether one took them: False decides nothing, observe does."""
    try:
        await rpc.call(SEND_RAW, ["0x" + attempt.raw.hex()])
    except RpcError as error:
        if "already known" not in error.text.lower() and "already imported" not in error.text.lower():
            return False
    except NodeUnavailable:
        return False
    if slot.state in (SlotState.RESERVED, SlotState.SIGNED):
        slots.mark(slot, SlotState.CANCELLING if attempt.cancels else SlotState.PENDING)
    return True


async def _sign_and_send(
    rpc: Rpc,
    signer: Signer,
    slots: Slots,
    slot: Slot,
    fields: TxFields,
    head: BlockRef,
    *,
    number: int,
    cancels: bool,
) -> Attempt:
    """Sign, make durable, only then broadcast. When another worker recorded this number first, its bytes are the ones sent."""
    raw, tx_hash = sign_transaction(signer, fields)
    made = Attempt(
        slot.chain_id,
        slot.sender,
        slot.nonce,
        number,
        tx_hash,
        raw,
        fields.max_fee,
        fields.priority_fee,
        cancels,
        head.number,
    )
    kept = slots.record(made)
    await broadcast(rpc, slots, slot, kept)
    return kept


def _cap(network: Network) -> int:
    return network.limits.max_fee_gwei * fees.GWEI


async def _market(rpc: Rpc) -> tuple[BlockRef, dict[str, Any]]:
    block, history = await rpc.batch([reads.by_tag("latest"), fees.history_request()])
    return reads.parse_block(rpc.chain_id, block), history


async def _look(rpc: Rpc, sender: Address, call: Call) -> _Look:
    """Simulate, and ask for everything else a signature needs, in one round trip. Raises RpcError when anything else is refused."""
    fields = {"from": sender, "to": call.to, "data": "0x" + call.data.hex(), "value": hex(call.value)}
    block, nonce, balance, called, gas, history = await rpc.batch_settled(
        [
            reads.by_tag("latest"),
            ("eth_getTransactionCount", [sender, "latest"]),
            ("eth_getBalance", [sender, "latest"]),
            ("eth_call", [fields, "latest"]),
            ("eth_estimateGas", [fields, "latest"]),
            fees.history_request(),
        ]
    )
    for answer in (block, nonce, balance, history):
        if isinstance(answer, RpcError):
            raise answer
    refused = [answer for answer in (called, gas) if isinstance(answer, RpcError)]
    head = reads.parse_block(rpc.chain_id, block)
    revert = next((answer for answer in refused if answer.reverted()), None)
    look = _Look(head, int(nonce, 16), int(balance, 16), 0 if refused else int(gas, 16), revert, history)
    if refused and revert is None:
        _afford(look, sender, call.value + 1)
        raise refused[0]
    return look


def _afford(look: _Look, sender: Address, wei: int) -> None:
    if look.balance < wei:
        raise SenderUnfunded(f"network {look.head.chain_id}: sender {sender} holds {look.balance} wei and needs {wei}: fund it")


def _refusal(look: _Look, call: Call, deadline: int) -> ChainError | None:
    """Why the call must not be sent, or None."""
    where = f"network {look.head.chain_id}"
    now = look.head.timestamp
    if now >= deadline:
        return DeadlinePassed(f"{where}: deadline {deadline} is not after block {look.head.number} at {now}: plan again")
    if look.revert is None:
        return None
    data = bytes.fromhex(look.revert.data[2:]) if look.revert.data else b""
    reason = revert_reason(data) or look.revert.text
    what = f" ({call.note})" if call.note else ""
    return WouldRevert(f"{where}: call to {call.to}{what} would revert at block {look.head.number}: {reason}", reason, data)


def revert_reason(data: bytes) -> str:
    """The text of Error(string), else the four-byte selector of a custom error, else ''."""
    if data[:4] == _ERROR_TEXT and len(data) >= _TEXT_START:
        size = int.from_bytes(data[36:_TEXT_START], "big")
        return data[_TEXT_START : _TEXT_START + size].decode(errors="replace")
    return "0x" + data[:4].hex() if len(data) >= 4 else ""
