"""Tickets as a client uses them: ask the engine, sign as owners, send; and what happens without one.

A ticket names the Safe's own nonce and is good for a few minutes. `refused_withdrawal` shows the other side: what breaks initial
margin gets no ticket, and without a ticket the contracts refuse, each way for its own reason.
"""

from __future__ import annotations

import hashlib
from typing import Any

from aggregator.client import ApiRefused
from aggregator.local.story_cast import ClientCast
from aggregator.local.story_stage import Stage
from aggregator.local.wallets import SafeWallet, WalletRefused
from chains import abi, protocols
from chains.actions import Borrow
from chains.contracts import reasons, typed
from chains.devnet import roles
from chains.networks.network import Network
from chains.signer import LocalSigner
from chains.types import Address, Call, address

AAVE = "aave_v3"
WRONG_SIGNERS = ("planner-0", "planner-1")


def _module(network: Network) -> Address:
    assert network.protocols.isthmus is not None
    return network.protocols.isthmus.module


def ticket_call(answer: dict[str, Any]) -> Call:
    """The MarginModule call that a ticket allows: what the owners sign as their next Safe transaction."""
    call = answer["call"]
    return Call(address(call["to"]), bytes.fromhex(call["data"][2:]), int(call["value_wei"]), f"ticketed {answer['kind']}")


async def _asked(stage: Stage, what: str, ask: Any) -> dict[str, Any]:
    """The ticket; asked again only where the engine says that the same may succeed later."""
    attempt = 0

    async def probe() -> dict[str, Any] | None:
        nonlocal attempt
        attempt += 1
        try:
            answer: dict[str, Any] = await ask(hashlib.sha256(f"{stage.cast.seed}:{what}:{attempt}".encode()).hexdigest())
        except ApiRefused as refused:
            if refused.body.get("retryable"):
                return None
            raise
        return answer

    return await stage.until(what, probe)


async def borrow(stage: Stage, cast: ClientCast, network: Network, amount: int) -> int:
    """Borrow USDC with a trade ticket; returns the block."""
    safe = stage.safes[network.chain_id, cast.client]
    call = protocols.encode(network, Borrow(AAVE, safe.safe, network.tokens["usdc"].address, amount))
    answer = await _asked(
        stage,
        f"a borrow ticket for {cast.title}",
        lambda key: stage.api.trade_ticket(cast.client, network.chain_id, call.to, call.data, key),
    )
    return int((await safe.execute(ticket_call(answer)))["blockNumber"], 16)


async def withdraw(stage: Stage, cast: ClientCast, network: Network, token: str, amount: int, what: str) -> dict[str, Any]:
    """Take tokens out to the client's cold wallet with a withdrawal ticket; returns the ticket."""
    safe = stage.safes[network.chain_id, cast.client]
    cold = address(roles.address(f"{cast.role}-owner-0"))
    answer = await _asked(
        stage,
        f"a withdrawal ticket for {cast.title}: {what}",
        lambda key: stage.api.withdrawal_ticket(cast.client, network.chain_id, network.tokens[token].address, amount, cold, key),
    )
    await safe.execute(ticket_call(answer))
    return answer


async def refusal(stage: Stage, safe: SafeWallet, call: Call, what: str) -> str:
    """Try a call as the Safe and name the rule that refused it, from the innermost frame of a call trace; '' when it passed."""
    outer = await safe.transaction([call])
    tx = {"from": safe.payer.address, "to": outer.to, "data": "0x" + outer.data.hex(), "gas": hex(8_000_000)}
    trace = await safe.payer.rpc.call("debug_traceCall", [tx, "latest", {"tracer": "callTracer"}])
    found = reasons.of_trace(trace)
    reason = found.name if found else ""
    try:
        await safe.payer.send(outer)
        reason = ""
    except WalletRefused:
        pass
    stage.refusals.append({"what": what, "chain_id": safe.payer.network.chain_id, "reason": reason or "PASSED"})
    return reason


async def chapter(stage: Stage, cast: ClientCast, network: Network) -> None:
    """Chapter 2: a withdrawal that would break initial margin is refused; one with a ticket passes, once."""
    safe, usdc = stage.safes[network.chain_id, cast.client], network.tokens["usdc"].address
    cold = address(roles.address(f"{cast.role}-owner-0"))
    held = int(
        await safe.payer.rpc.call(
            "eth_call", [{"to": usdc, "data": "0x" + abi.call_data("balanceOf(address)", safe.safe).hex()}, "latest"]
        ),
        16,
    )
    try:
        await stage.api.withdrawal_ticket(cast.client, network.chain_id, usdc, held, cold, f"{stage.cast.seed}:everything")
        stage.check("no ticket for a withdrawal that breaks initial margin", False, "a ticket was issued")
    except ApiRefused as refused:
        stage.check("no ticket for a withdrawal that breaks initial margin", "margin" in refused.type, str(refused))
    plain = Call(usdc, abi.call_data("transfer(address,uint256)", cold, held), 0, "plain transfer")
    reason = await refusal(stage, safe, plain, "a plain transfer by the owners")
    stage.check("without a ticket the guard refuses a transfer", reason == "NotListed", reason or "it passed")
    forged = await _forged(safe, network, usdc, held, cold)
    reason = await refusal(stage, safe, forged, "a ticket signed by other keys")
    stage.check("a forged ticket is refused", reason == "BadSignatures", reason or "it passed")
    answer = await withdraw(stage, cast, network, "usdc", held // 20, "a twentieth of its cash")
    stage.check("a ticketed withdrawal passes", True, f"{held // 20 / 1e6:,.2f} USDC to its own cold wallet")
    reason = await refusal(stage, safe, ticket_call(answer), "the same ticket again")
    stage.check("the same ticket a second time is refused", reason in {"AlreadyDone", "WrongNonce"}, reason or "it passed")


async def _forged(safe: SafeWallet, network: Network, token: Address, amount: int, to: Address) -> Call:
    """A well-formed ticket over the right terms, signed by keys that are not the ticketers'."""
    assert network.protocols.isthmus is not None
    block = await safe.payer.rpc.call("eth_getBlockByNumber", ["latest", False])
    at = int(block["timestamp"], 16)
    terms = typed.WithdrawalTerms(
        network.protocols.isthmus.deployment, safe.safe, token, amount, to, await safe.nonce(), at + 300, at, "0x" + "00" * 32
    )
    digest = typed.digest("Withdrawal", terms, network.chain_id, _module(network))
    signers = [LocalSigner(roles.key(role)) for role in WRONG_SIGNERS]
    return Call(
        _module(network), typed.encode_withdraw(terms, {s.address: s.sign_digest(digest) for s in signers}), 0, "forged ticket"
    )
