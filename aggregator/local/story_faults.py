"""Chapter 5: a worker killed between signing and sending, and a reorganisation twelve blocks deep.

Each fault leaves its evidence in the report: pids, slot states, hashes before and after.
"""

from __future__ import annotations

import asyncio
from typing import Any

from eth_hash.auto import keccak

from aggregator.local import story_reads
from aggregator.local.stack import GATED
from aggregator.local.story_cast import ClientCast
from aggregator.local.story_opening import atoms, transfer, wallet
from aggregator.local.story_stage import Stage, StoryFailed
from aggregator.store import views
from chains.types import ChainId

DEPTH = 12
DEPOSIT_USDC = 5000
HOLD_S = 30.0


async def mined(stage: Stage, tx_hash: str) -> dict[str, Any] | None:
    """The receipt of whatever the slot of these bytes was mined as; our own bytes may have been replaced at a higher fee."""
    for known in await stage.read(story_reads.hashes_of_slot, tx_hash):
        found: dict[str, Any] | None = await stage.rpcs[ChainId(GATED)].call("eth_getTransactionReceipt", [known])
        if found:
            return found
    return None


async def kill_between_sign_and_send(stage: Stage, cast: ClientCast) -> str:
    """The gate holds the signed bytes; the worker is killed with them; the slot goes on. Returns the hash that was killed."""
    gate, rpc = stage.stack.gate, stage.rpcs[ChainId(GATED)]
    assert gate is not None
    try:
        raw = await asyncio.wait_for(gate.held.get(), HOLD_S)
    except TimeoutError as error:
        raise StoryFailed(f"no transaction for network B reached the gate within {HOLD_S:g} s") from error
    tx_hash = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
    worker = stage.stack.children["worker-b"]
    worker.kill()
    slot = await stage.read(story_reads.slot_of, tx_hash)
    unknown = await rpc.call("eth_getTransactionByHash", [tx_hash]) is None
    gate.open()
    again = await asyncio.to_thread(stage.stack.start_gated_worker)
    stage.say(f"dispatch worker {worker.pid} killed with signed bytes {tx_hash[:10]} in hand; worker {again.pid} takes over")
    receipt = await stage.until("the killed worker's slot to be mined", lambda: mined(stage, tx_hash))
    recovered = unknown and slot["state"] == "signed" and receipt["status"] == "0x1"
    evidence = {
        "client": cast.client,
        "pid_killed": worker.pid,
        "pid_after": again.pid,
        "slot_state_at_kill": slot,
        "signed_at_kill": tx_hash,
        "known_to_network_at_kill": not unknown,
        "mined_as": receipt["transactionHash"],
        "mined_in": receipt["blockHash"],
    }
    stage.faults.append({"kind": "worker_killed", "recovered": recovered, "evidence": evidence})
    same = "the same bytes" if receipt["transactionHash"] == tx_hash else "their replacement at the same nonce"
    stage.check(
        "a worker killed between signing and sending loses nothing", recovered, f"{same} {receipt['transactionHash'][:10]} mined"
    )
    return tx_hash


async def reorganise(stage: Stage, payer: ClientCast, ours: str) -> None:
    """Twelve blocks of B vanish with a client's deposit and our top-up inside; both come back, and so does the ledger."""
    rpc, network = stage.rpcs[ChainId(GATED)], stage.networks[ChainId(GATED)]
    client = wallet(stage, GATED, f"{payer.role}-owner-0")
    safe = stage.safes[GATED, payer.client].safe
    paid = await client.send(transfer(network.tokens["usdc"].address, safe, atoms(network, "usdc", DEPOSIT_USDC)))
    before = await mined(stage, ours)
    assert before is not None, "the slot was mined before this chapter began"
    await indexed(stage, int(paid["blockNumber"], 16))
    head = int(await rpc.call("eth_blockNumber", []), 16)
    old = await hashes(stage, head - DEPTH + 1, head)
    # A transaction of a stranger in the first new block makes every one of them another block.
    stranger = (await rpc.call("eth_accounts", []))[0]
    await rpc.call("anvil_reorg", [DEPTH, [[{"from": stranger, "to": stranger, "value": "0x1"}, 0]]])
    new = await hashes(stage, head - DEPTH + 1, head)
    stage.say(f"network B replaced {DEPTH} blocks with our top-up and a client's deposit inside")
    clients = [w for (chain_id, _), w in stage.wallets.items() if chain_id == GATED]
    resent = [tx_hash for sent in await asyncio.gather(*(w.resend() for w in clients)) for tx_hash in sent]
    after = await stage.until("our dropped transaction to be mined again", lambda: mined_elsewhere(stage, ours, set(old.values())))
    voided = await stage.until("the ledger to void what vanished", lambda: voided_groups(stage, list(old.values())))
    inside = before["blockHash"] in old.values() and paid["blockHash"] in old.values()
    recovered = inside and paid["transactionHash"] in resent and all(old[n] != new[n] for n in old)
    evidence = {
        "chain_id": GATED,
        "depth": DEPTH,
        "orphaned": old,
        "adopted": new,
        "our_transaction": {
            "before": [before["transactionHash"], before["blockHash"]],
            "after": [after["transactionHash"], after["blockHash"]],
        },
        "client_transactions": resent,
        "voided_groups": voided,
    }
    stage.faults.append({"kind": "reorganisation", "recovered": recovered, "evidence": evidence})
    stage.check(
        "a reorganisation twelve blocks deep is undone and done again", recovered, f"{len(voided)} groups voided, both mined again"
    )


async def hashes(stage: Stage, first: int, last: int) -> dict[int, str]:
    """Block hashes of B by number."""
    calls = [("eth_getBlockByNumber", [hex(n), False]) for n in range(first, last + 1)]
    return {int(b["number"], 16): b["hash"] for b in await stage.rpcs[ChainId(GATED)].batch(calls)}


async def indexed(stage: Stage, number: int) -> None:
    """Until the deployment has adopted this block of B."""

    async def probe() -> bool | None:
        rows = await stage.read(views.networks)
        return any(r.chain_id == GATED and r.head_number >= number for r in rows) or None

    await stage.until(f"block {number} of B in the journal", probe)


async def mined_elsewhere(stage: Stage, tx_hash: str, not_in: set[str]) -> dict[str, Any] | None:
    """The receipt of the slot in a block that is none of these."""
    found = await mined(stage, tx_hash)
    return found if found and found["blockHash"] not in not_in else None


async def voided_groups(stage: Stage, block_hashes: list[str]) -> list[dict[str, Any]] | None:
    """The groups that went with these blocks, once both ours and the client's are void."""
    found = await stage.read(story_reads.orphaned_groups, GATED, block_hashes)
    return found if len({g["tx_hash"] for g in found}) > 1 else None
