"""What the planner asks of networks beside the rounds: the credit line's cash and limits, bridge fees."""

from __future__ import annotations

import pytest

from aggregator.daemons.outside import LineAnswer, Outside
from aggregator.plan.situation import LineState
from chains.devnet import custody
from chains.rpc import Rpc
from tests.chain.custody_calls import USDC
from tests.chain.node_world import node
from tests.tasks import kit

pytestmark = [pytest.mark.chain]


async def test_outside__real_credit_line__cash_limits_and_fees_are_known() -> None:
    with kit.stage() as stage:
        network = stage.world.network
        async with Rpc(network.chain_id, [stage.url]) as rpc:
            outside = Outside({stage.chain_id: network}, {stage.chain_id: rpc}, {stage.chain_id: frozenset({stage.world.safe})})
            await outside.refresh(stage.chain_id)
    assert outside.lines[stage.chain_id].cash == 8_000_000 * USDC
    place = (stage.chain_id, str(stage.world.safe))
    states = outside.line_states([place], {place: 1_000_000 * USDC})
    assert states[stage.chain_id] == LineState(7_000_000 * USDC, (custody.LINE_PER_ACCOUNT - 1_000_000) * USDC)
    assert {destination for _, destination in outside.fees} == set(network.protocols.hyperlane.routes[0].destinations)  # type: ignore[union-attr]


async def test_outside__network_without_lending__its_routes_are_quoted_too() -> None:
    with node(71003) as world:
        async with world.rpc() as rpc:
            outside = Outside({71003: world.network}, {71003: rpc})
            await outside.refresh(71003)
    assert set(outside.fees) == {(71003, 71001), (71003, 71002)}


def test_outside__unknown_safe_or_network__no_credit() -> None:
    outside = Outside({}, {}, lines={1: LineAnswer(10, 10, {"0xa": (10, 4)})})
    assert outside.line_states([(1, "0xb"), (2, "0xa")], {}) == {}
    assert outside.line_states([(1, "0xa")], {(1, "0xc"): 9}) == {1: LineState(1, 1)}
