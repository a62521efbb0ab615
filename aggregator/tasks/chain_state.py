"""What tasks ask a network about an action: how many must sign, is it done, why did it revert; and the startup check of lanes.

Reads at a final block decide, reads at the head only advise.
"""

from __future__ import annotations

from typing import Any

from aggregator.tasks.runtime import Runtime
from chains import abi, follower
from chains.contracts import reasons
from chains.rpc import reads
from chains.rpc.errors import RpcError
from chains.types import Address, Hash

PLANNERS = 0
_THRESHOLDS: dict[tuple[int, Address], int] = {}


async def planner_threshold(runtime: Runtime, chain_id: int) -> int:
    """Signatures that the module wants; asked once per process, because it changes behind a timelock only."""
    module = runtime.own(chain_id).module
    if (chain_id, module) not in _THRESHOLDS:
        answer = await _call(runtime, chain_id, module, abi.call_data("threshold(uint8)", PLANNERS))
        _THRESHOLDS[chain_id, module] = abi.uint_at(answer, 0)
    return _THRESHOLDS[chain_id, module]


async def restricted_until(runtime: Runtime, chain_id: int, safe: str) -> int:
    """Block time until which the owners of an account may not trade, at the head; 0 for never restricted."""
    module = runtime.own(chain_id).module
    return abi.uint_at(await _call(runtime, chain_id, module, abi.call_data("restrictedUntil(address)", Address(safe))), 0)


async def done_finally(runtime: Runtime, chain_id: int, safe: str, action_id: str) -> bool:
    """Whether the module holds the action as done at a final block."""
    rpc, module = runtime.rpc(chain_id), runtime.own(chain_id).module
    _, final = await follower.finality(rpc, runtime.network(chain_id), await reads.head(rpc))
    data = abi.selector("done(address,bytes32)") + abi.padded(Address(safe)) + bytes.fromhex(action_id[2:])
    return bool(abi.uint_at(await reads.call_at(rpc, final.hash, module, data), 0))


async def why_reverted(runtime: Runtime, chain_id: int, tx_hash: Hash) -> str:
    """The rule that a mined transaction broke, from a call trace; without tracing the node's own words."""
    rpc = runtime.rpc(chain_id)
    try:
        trace: Any = await rpc.call("debug_traceTransaction", [tx_hash, {"tracer": "callTracer"}])
    except RpcError as error:
        return f"no trace of {tx_hash}: {error}"
    return str(reasons.of_trace(trace) or "it reverted without a reason")


async def check_lane(runtime: Runtime, chain_id: int) -> str | None:
    """Startup check: the network's nonce of our gas key against our slots. Returns why the lane was quarantined, else None.

    A nonce above ours means lost history or a stolen key: nothing more is sent from it until a person has looked.
    """
    sender = runtime.gas().address
    last = runtime.slots.last_nonce(chain_id, sender)
    if last is None:
        return None
    count = int(await runtime.rpc(chain_id).call("eth_getTransactionCount", [sender, "latest"]), 16)
    if count <= last + 1:
        return None
    reason = f"the network counts {count} transactions of {sender}, our slots end at nonce {last}"
    quarantine(runtime, chain_id, sender, reason)
    return reason


def quarantine(runtime: Runtime, chain_id: int, sender: Address, reason: str) -> None:
    """Stop a lane and tell it once."""
    runtime.slots.quarantine(chain_id, sender, reason)


async def _call(runtime: Runtime, chain_id: int, to: Address, data: bytes) -> bytes:
    answer = await runtime.rpc(chain_id).call("eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"])
    return bytes.fromhex(str(answer)[2:])
