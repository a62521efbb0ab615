"""Dispatch (hop 7): a planned action becomes signed bytes in one slot, durable before they are sent.

Everything is read again from the row, so the task may run twice, late or on two workers at once: it ends in the same bytes. What
the network would refuse is refused before a nonce is taken; whatever may pass stays due.
"""

from __future__ import annotations

import logging

from aggregator.errors import ConfigInvalid, NotFound, Retryable
from aggregator.plan.steps import Step
from aggregator.store import actions
from aggregator.store.slots import RESTRICT
from aggregator.tasks import chain_state
from aggregator.tasks.app import DISPATCH, task
from aggregator.tasks.runtime import Runtime, current
from chains import protocols, sender
from chains.contracts import reasons, typed
from chains.errors import ChainRetryable, DeadlinePassed, ForeignNonce, WouldRevert
from chains.types import ZERO_ADDRESS, Address, Call

LOG = logging.getLogger(__name__)
RESTRICTION_S = 6 * 3600
RESTRICTION_LEFT_S = 3600


@task(DISPATCH)
def dispatch(action_id: str) -> None:
    """Task: send one action. What may pass is left for the due-row scan."""
    runtime = current()
    try:
        runtime.run(dispatch_action(runtime, action_id))
    except NotFound as error:
        LOG.warning("%s", error)
    except (Retryable, ChainRetryable, TimeoutError) as error:
        LOG.warning("dispatch of %s waits: %s", action_id, error)


async def dispatch_action(runtime: Runtime, name: str) -> None:
    """Sign and send one live action; one that ended is left alone. Raises NotFound, ConfigInvalid, Retryable, ChainRetryable."""
    found = actions.load(runtime.store, name)
    if not found.live:
        return
    step = found.step
    network, rpc, gas = runtime.network(step.chain_id), runtime.rpc(step.chain_id), runtime.gas()
    try:
        call = await action_call(runtime, name, step)
        if step.restrict_owner:
            await _restrict(runtime, name, step)
        await sender.dispatch(rpc, network, gas, runtime.slots, name, call, step.deadline)
    except WouldRevert as error:
        await _would_revert(runtime, name, step, error)
    except DeadlinePassed as error:
        actions.conclude(runtime.store, name, "expired", f"It was not sent in time: {error}.")
    except ForeignNonce as error:
        actions.note(runtime.store, name, str(error))
        chain_state.quarantine(runtime, step.chain_id, gas.address, str(error))


async def action_call(runtime: Runtime, name: str, step: Step) -> Call:
    """MarginModule.execute of the step with the planners' signatures; the same step always gives the same bytes.

    Raises ConfigInvalid when this process has fewer planner keys than the module wants.
    """
    network, own = runtime.network(step.chain_id), runtime.own(step.chain_id)
    post = step.post
    terms = typed.ActionTerms(
        deployment=own.deployment, safe=Address(step.safe), action_id=name, need_key=step.need_key, sequence=step.sequence,
        draw=step.draw_atoms, calls=tuple(protocols.encode(network, action) for action in step.actions), deadline=step.deadline,
        as_of=step.as_of_s, post_target=Address(post.target) if post.target else ZERO_ADDRESS,
        post_call=bytes.fromhex(post.call.removeprefix("0x")), post_word=post.word, post_min=post.minimum,
    )  # fmt: skip
    signatures = await _signatures(runtime, step.chain_id, typed.digest("Action", terms, step.chain_id, own.module))
    return Call(own.module, typed.encode_execute(terms, signatures), note=f"{step.kind} {name[:10]}")


async def _signatures(runtime: Runtime, chain_id: int, digest: bytes) -> dict[Address, bytes]:
    """Exactly as many planner signatures as the module wants."""
    need, keys = await chain_state.planner_threshold(runtime, chain_id), runtime.planners()
    if len(keys) < need:
        raise ConfigInvalid(f"planner_keys holds {len(keys)} keys, the module on network {chain_id} wants {need}; add the others")
    return {signer.address: signer.sign_digest(digest) for signer in keys[:need]}


async def _restrict(runtime: Runtime, name: str, step: Step) -> None:
    """Holds the owners' own trades back while an account is closed out. Failing to does not stop the close-out."""
    if await chain_state.restricted_until(runtime, step.chain_id, step.safe) > step.as_of_s + RESTRICTION_LEFT_S:
        return
    network, own = runtime.network(step.chain_id), runtime.own(step.chain_id)
    terms = typed.RestrictionTerms(own.deployment, Address(step.safe), step.as_of_s + RESTRICTION_S, step.as_of_s)
    signatures = await _signatures(runtime, step.chain_id, typed.digest("Restriction", terms, step.chain_id, own.module))
    call = Call(own.module, typed.encode_restrict(terms, signatures), note=f"restrict {step.safe}")
    try:
        gas, rpc = runtime.gas(), runtime.rpc(step.chain_id)
        await sender.dispatch(rpc, network, gas, runtime.slots, RESTRICT + name, call, step.deadline)
    except WouldRevert as error:
        LOG.warning("restriction of %s is refused: %s", step.safe, decoded(error))


async def _would_revert(runtime: Runtime, name: str, step: Step, error: WouldRevert) -> None:
    """The network would refuse it: the action ends, unless somebody else has executed it, which counts when it is final."""
    reason = decoded(error)
    if reason.startswith("AlreadyDone"):
        if await chain_state.done_finally(runtime, step.chain_id, step.safe, name):
            actions.conclude(runtime.store, name, "confirmed", "It was executed by another sender.")
        else:
            actions.note(runtime.store, name, "Another sender executed it; it is not final yet.")
        return
    actions.conclude(runtime.store, name, "refused", f"The network would refuse it: {reason}.")


def decoded(error: WouldRevert) -> str:
    """The broken rule by name, as our contracts and venues call it."""
    found = reasons.of_data(error.data)
    return str(found) if found is not None else error.reason
