"""Feeds: what aggregators answered becomes the immutable price snapshot of a cut. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from aggregator.market.prices import Price, Snapshot
from aggregator.units import decimal_of
from chains.types import Cut

if TYPE_CHECKING:
    from chains.networks.network import Network


@dataclass(frozen=True, slots=True)
class Answer:
    """A feed's last answer at or below the cut: in feed decimals, with the update's block time and the block that told it."""

    answer: int
    updated_at: int
    block_number: int


def snapshot(answers: Mapping[tuple[int, str], Answer], networks: Mapping[int, Network], cut: Cut) -> Snapshot:
    """Snapshot as of a cut from answers by (chain id, feed name). A feed without an answer is absent: a listed failure later.

    Answers of networks that the cut lacks are left out. Heartbeats are rounded up to whole seconds.
    """
    times = {int(c): b.timestamp for c, b in cut.blocks.items()}
    prices: dict[tuple[int, str], Price] = {}
    for (chain_id, name), told in answers.items():
        network = networks.get(chain_id)
        if network is None or chain_id not in times or name not in network.feeds:
            continue
        feed = network.feeds[name]
        value: Decimal = decimal_of(told.answer, feed.decimals)
        heartbeat_s = -(-feed.heartbeat_ms // 1000)
        prices[(chain_id, name)] = Price(
            chain_id, name, feed.base, value, told.updated_at, times[chain_id], heartbeat_s, told.block_number
        )
    return Snapshot(prices)
