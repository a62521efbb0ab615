"""Settle (hop 8): what became of a slot, and what that means for its action.

A receipt books nothing: values come back as logs through the index daemon. An action is confirmed when a final block covers it.
When its slot ended otherwise it has failed, unless the module says at a final block that somebody executed it: anybody may submit
what the planners signed.
"""

from __future__ import annotations

import logging

from aggregator.errors import NotFound, Retryable
from aggregator.store import actions
from aggregator.store.slots import RESTRICT
from aggregator.tasks import chain_state
from aggregator.tasks.app import SETTLE, task
from aggregator.tasks.runtime import Runtime, current
from chains import observer
from chains.errors import ChainRetryable
from chains.observer import Observation, Seen
from chains.slots import Slot, SlotState

LOG = logging.getLogger(__name__)
BUMP_MIN_S = 3.0
FAILED = {
    SlotState.FINAL_REVERT: ("reverted", "The network reverted it"),
    SlotState.EXPIRED: ("expired", "It was not mined before its deadline; a no-op took its nonce"),
    SlotState.FOREIGN: ("reverted", "A transaction that we never signed took its nonce"),
}


@task(SETTLE)
def settle(action_id: str) -> None:
    """Task: look at one action's slot. What cannot be seen now is looked at again when the row is due."""
    runtime = current()
    try:
        runtime.run(settle_action(runtime, action_id))
    except NotFound as error:
        LOG.warning("%s", error)
    except (Retryable, ChainRetryable, TimeoutError) as error:
        LOG.warning("settling %s waits: %s", action_id, error)


async def settle_action(runtime: Runtime, name: str) -> Slot | None:
    """Observe the slot of an action or of a restriction, do what is due, and conclude. Returns the slot as it stands, None without.

    Raises Retryable, ChainRetryable.
    """
    slot = runtime.slots.of_action(name)
    if slot is None:
        return None
    if slot.state.live():
        found = await _look(runtime, slot)
        slot = found.slot
        await _note_revert(runtime, name, found)
    if not slot.state.live() and not name.startswith(RESTRICT):
        await _conclude(runtime, name, slot)
    return slot


async def _look(runtime: Runtime, slot: Slot) -> Observation:
    """Observe; past the deadline, or when the newest bytes have waited long enough at a node, also do what is due."""
    rpc, network = runtime.rpc(slot.chain_id), runtime.network(slot.chain_id)
    found = await observer.observe(rpc, network, runtime.slots, slot)
    if found.seen not in (Seen.PENDING, Seen.DROPPED) or not found.slot.state.live():
        return found
    patience_s = max(BUMP_MIN_S, observer.BUMP_AFTER_BLOCKS * network.block_time_ms / 1000)
    if found.head.timestamp > slot.deadline or runtime.slots.age_s(slot) > patience_s:
        return await observer.advance(rpc, network, runtime.gas(), runtime.slots, found.slot)
    return found


async def _note_revert(runtime: Runtime, name: str, found: Observation) -> None:
    """A revert that is mined is explained at once; it counts when it is final."""
    if found.ok is not False or found.attempt is None or name.startswith(RESTRICT):
        return
    stored = actions.load(runtime.store, name)
    if stored.live and not stored.status_reason:
        reason = await chain_state.why_reverted(runtime, found.slot.chain_id, found.attempt.tx_hash)
        actions.note(runtime.store, name, f"The network reverted it: {reason}.")


async def _conclude(runtime: Runtime, name: str, slot: Slot) -> None:
    """The action's end, from its slot's end and from the module at a final block."""
    stored = actions.load(runtime.store, name)
    if not stored.live:
        return
    body = {"tx_hash": slot.tx_hash or "", "nonce": str(slot.nonce)}
    if slot.state is SlotState.FINAL_OK:
        actions.conclude(runtime.store, name, "confirmed", "", body)
    elif await chain_state.done_finally(runtime, slot.chain_id, stored.step.safe, name):
        actions.conclude(runtime.store, name, "confirmed", "It was executed by another sender.", body)
    else:
        status, words = FAILED[slot.state]
        actions.conclude(runtime.store, name, status, stored.status_reason or f"{words}.", body)
