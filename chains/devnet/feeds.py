"""Price feeds: Chainlink's FluxAggregator (three oracles, median, two submissions make an answer) behind an EACAggregatorProxy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from web3 import Web3

from chains.devnet import layout, roles
from chains.devnet.lib import ZERO, at, checksum, deploy, send

MIN_SUBMISSIONS: Final = 2
ROUND_TIMEOUT_S: Final = 600


@dataclass(frozen=True)
class Feed:
    """Addresses of one feed. Readers use the proxy; oracles submit to, and logs come from, the aggregator."""

    proxy: str
    aggregator: str


def install(w3: Web3, link: str, description: str) -> Feed:
    """Deploy one feed with the three oracle roles; it has no answer yet."""
    unit = 10**layout.FEED_DECIMALS
    aggregator = deploy(w3, "chainlink/FluxAggregator", checksum(link), 0, ROUND_TIMEOUT_S, ZERO, 1, 10**6 * unit,
                        layout.FEED_DECIMALS, description)
    oracles = [roles.address(role) for role in roles.ORACLES]
    send(w3, aggregator.functions.changeOracles([], oracles, oracles, MIN_SUBMISSIONS, len(oracles), 0))
    proxy = deploy(w3, "chainlink/EACAggregatorProxy", aggregator.address, ZERO)
    return Feed(str(proxy.address), str(aggregator.address))


def submit(w3: Web3, feed: Feed, answer: int) -> int:
    """Submit one round, the same answer (feed decimals) from all three oracles, and return its number."""
    aggregator = at(w3, feed.aggregator, "chainlink/FluxAggregator")
    number = int(aggregator.functions.latestRound().call()) + 1
    for role in roles.ORACLES:
        send(w3, aggregator.functions.submit(number, answer), role)
    return number
