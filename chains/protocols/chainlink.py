"""Chainlink price feeds: answers of the aggregators behind the listed proxies.

Pure. The aggregator emits, the proxy is the feed's lasting name: PricePublished carries the proxy. A feed whose file names no
aggregator is not watched. Answers are signed in the contract; one below zero is no price and does not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

from chains import abi
from chains.actions import AnyAction
from chains.decoding import Encoder, malformed, topics
from chains.events import AnyEvent, PricePublished
from chains.networks.network import Network
from chains.types import Address, Log, Read

NAME = "chainlink"
ANSWER_UPDATED = "AnswerUpdated(int256,uint256,uint256)"
TOPICS = topics(ANSWER_UPDATED)
ENCODERS: dict[type[AnyAction], Encoder] = {}


def _proxies(network: Network) -> dict[Address, Address]:
    return {f.aggregator: f.proxy for f in network.feeds.values() if f.aggregator is not None}


def watched(network: Network) -> frozenset[Address]:
    """The aggregators behind the listed feeds."""
    return frozenset(_proxies(network))


def decode(network: Network, logs: Sequence[Log]) -> tuple[AnyEvent, ...]:
    """PricePublished for every answer. Raises MalformedLog."""
    proxies = _proxies(network)
    found: list[AnyEvent] = []
    for log in logs:
        proxy = proxies.get(log.address)
        if proxy is None or not log.topics or log.topics[0] not in TOPICS:
            continue
        if len(log.topics) != 3 or len(log.data) != abi.WORD:
            raise malformed(log, f"{len(log.topics) - 1} indexed arguments and {len(log.data)} bytes, want 2 and 32")
        answer = int.from_bytes(log.topics[1], "big", signed=True)
        if answer < 0:
            raise malformed(log, f"answer {answer} is below zero")
        round_id = int.from_bytes(log.topics[2], "big")
        found.append(PricePublished(log.ref, proxy, answer, round_id, abi.uint_at(log.data, 0)))
    return tuple(found)


def reads(network: Network, safe: Address) -> tuple[Read, ...]:
    """Nothing: a feed holds no account's quantity."""
    return ()
