"""Client lifecycle and tickets on a real network: link, mandate, a refused and a given ticket, used once; idempotency."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aggregator.local.anvil import AnvilNode
from aggregator.plan import consent
from aggregator.plan.mandate import parse
from chains import protocols
from chains.actions import Approve, Borrow, Supply, Withdraw
from chains.devnet import bake, roles
from chains.signer import LocalSigner
from chains.types import Call
from tests.api.stage import CHAIN, OWNERS, Stage, raised, ticketed
from tests.conftest import StartAnvil

USDC = 10**6
MANDATE: dict[str, object] = {"networks": [int(CHAIN)], "venues": ["aave_v3"], "bridges": ["hyperlane"], "max_cost_bps": 50,
                              "may_move_collateral": True}  # fmt: skip


@pytest.fixture(scope="module")
def node(start_anvil_for_module: StartAnvil) -> AnvilNode:
    """Network A from its baked state."""
    state: Path = bake.states()[CHAIN]
    return start_anvil_for_module(int(CHAIN), 0.5, 2, load_state=state)


async def _opened(stage: Stage) -> None:
    assert (await stage.api.call("POST", "/v1/clients", {"client": "marlow", "title": "Marlow Capital"})).status == 201
    body = {"chain_id": int(CHAIN), "address": stage.safe.safe}
    linked = await stage.api.call("POST", "/v1/clients/marlow/safes", body)
    assert linked.status == 201 and linked.json["custody_intact"], linked.json


async def _mandate(stage: Stage) -> None:
    wrong = LocalSigner(roles.key("lender-0"))
    right = LocalSigner(roles.key(OWNERS[1]))
    digest = consent.digest("devnet", "marlow", 1, parse(MANDATE))
    for signer, status in ((wrong, 422), (right, 200)):
        body = {"version": 1, "mandate": MANDATE, "signature": "0x" + signer.sign_digest(digest).hex()}
        answer = await stage.api.call("POST", "/v1/clients/marlow/mandate", body)
        assert answer.status == status, answer.json
    again = await stage.api.call("POST", "/v1/clients/marlow/mandate", body)
    assert again.code == "signature-invalid" or again.code == "conflict"


async def _funded(stage: Stage) -> None:
    """1,000 USDC in the wallet, 10 WETH supplied."""
    pool = stage.network.protocols.aave_v3
    assert pool is not None
    weth = stage.network.tokens["weth"].address
    for token, atoms in ((stage.usdc, 1_000 * USDC), (weth, 10 * 10**18)):
        data = bytes.fromhex("a9059cbb") + bytes(12) + bytes.fromhex(stage.safe.safe[2:]) + atoms.to_bytes(32, "big")
        await stage.payer.send(Call(token, data, 0, "transfer"))
    await stage.safe.execute(
        protocols.encode(stage.network, Approve(weth, pool.pool, 2**256 - 1)),
        protocols.encode(stage.network, Supply("aave_v3", stage.safe.safe, weth, 10 * 10**18)),
    )
    await asyncio.sleep(4.0)  # final, so that the cautious view counts it


async def test_tickets__on_a_real_network__given_refused_used_once(module_url: str, node: AnvilNode) -> None:
    async with raised(module_url, node.url) as stage:
        await _opened(stage)
        await _mandate(stage)
        await _funded(stage)
        borrow = protocols.encode(stage.network, Borrow("aave_v3", stage.safe.safe, stage.usdc, 14_500 * USDC))
        given = await stage.trade(borrow, "borrow-0001")
        assert given.status == 201, given.json
        await stage.safe.execute(ticketed(given))
        await _repeats(stage, given.json)
        await _limits(stage)


async def _repeats(stage: Stage, first: dict[str, object]) -> None:
    borrow = protocols.encode(stage.network, Borrow("aave_v3", stage.safe.safe, stage.usdc, 14_500 * USDC))
    again = await stage.trade(borrow, "borrow-0001")
    assert again.json == first and again.headers["Idempotency-Replayed"] == "true"
    other = protocols.encode(stage.network, Borrow("aave_v3", stage.safe.safe, stage.usdc, 1 * USDC))
    assert (await stage.trade(other, "borrow-0001")).code == "idempotency-key-reused"


async def _limits(stage: Stage) -> None:
    await asyncio.sleep(4.0)
    too_much = await stage.withdrawal(15_400 * USDC, "withdraw-01")
    assert too_much.code == "margin-insufficient" and too_much.json["after"]["available_margin_usd"].startswith("-")
    assert (await stage.withdrawal(15_400 * USDC, "withdraw-01")).json["before"] == too_much.json["before"]
    assert (await stage.withdrawal(20_000 * USDC, "withdraw-02")).code == "balance-insufficient"
    stranger = await stage.withdrawal(1, "withdraw-03", recipient="0x" + "11" * 20)
    assert stranger.code == "recipient-not-pinned"
    deep = protocols.encode(stage.network, Withdraw("aave_v3", stage.safe.safe, stage.network.tokens["weth"].address, 3 * 10**18))
    assert (await stage.trade(deep, "deep-0001")).code == "venue-refuses"
    both = await asyncio.gather(*(stage.withdrawal(7_600 * USDC, f"both-000{i}") for i in range(2)))
    assert sorted(answer.status for answer in both) == [201, 409], [answer.json for answer in both]
    assert {answer.code for answer in both if answer.status == 409} == {"margin-insufficient"}
    winner = next(answer for answer in both if answer.status == 201)
    await stage.safe.execute(ticketed(winner))
    assert (await stage.api.call("POST", "/v1/clients/marlow/suspend", {"reason": "test"})).json["state"] == "suspended"
    assert (await stage.withdrawal(1, "withdraw-04")).code == "client-not-open"
