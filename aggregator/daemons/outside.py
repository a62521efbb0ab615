"""What the planner wants to know and no log tells: idle cash and limits of the credit lines, and bridge fees. Asked beside rounds.

The answers only advise: the contracts enforce them. A round takes the last answer and never waits for a node; without an answer
there is no credit and no send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aggregator.plan.situation import LineState
from chains import abi
from chains.errors import ChainError
from chains.networks.network import Network
from chains.protocols import hyperlane
from chains.rpc import Rpc, reads
from chains.types import ZERO_ADDRESS, Address, Call

LOG = logging.getLogger(__name__)
PERIOD_S = 0.5
SAMPLE_ATOMS = 10**6


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """One credit line as of one block, atoms: idle cash, room under the total limit, and (limit, debt) by safe."""

    cash: int
    total_room: int
    accounts: Mapping[str, tuple[int, int]]


@dataclass
class Outside:
    """The latest answers, kept fresh by `run`. `watch` names the safes to ask about, by network."""

    networks: Mapping[int, Network]
    rpcs: Mapping[int, Rpc]
    watch: dict[int, frozenset[str]] = field(default_factory=dict)
    lines: dict[int, LineAnswer] = field(default_factory=dict)
    fees: dict[tuple[int, int], int] = field(default_factory=dict)
    fresh: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Ask every network again and again until cancelled. A network that does not answer keeps its last answer."""
        await asyncio.gather(*(self._follow(chain_id) for chain_id in self.networks))

    async def _follow(self, chain_id: int) -> None:
        while True:
            try:
                await self.refresh(chain_id)
            except (ChainError, ValueError) as error:
                LOG.warning("network %s: credit line and bridge fees are not known anew: %s", chain_id, error)
            await asyncio.sleep(PERIOD_S)

    async def refresh(self, chain_id: int) -> None:
        """Ask one network once. Raises ChainError, ValueError for an answer that does not fit."""
        network, rpc = self.networks[chain_id], self.rpcs[chain_id]
        safes = sorted(self.watch.get(chain_id, frozenset()))
        calls, bridges = _line_calls(network, safes), _fee_calls(network)
        if not calls and not bridges:
            return
        head = await reads.head(rpc)
        found = await reads.multicall_at(rpc, network, head.hash, [*calls, *bridges.values()])
        if calls:
            self.lines[chain_id] = _line_answer(found[: len(calls)], safes)
        for destination, data in zip(bridges, found[len(calls) :], strict=True):
            if data is None:
                self.fees.pop((chain_id, destination), None)
            else:
                self.fees[chain_id, destination] = hyperlane.quoted(data).get(ZERO_ADDRESS, 0)
        self.fresh.set()

    def line_states(self, safes: Collection[tuple[int, str]], drawn: Mapping[tuple[int, str], int]) -> dict[int, LineState]:
        """What each line can still lend to the account with these safes, less what live actions will draw."""
        found: dict[int, LineState] = {}
        for chain_id, safe in safes:
            answer = self.lines.get(chain_id)
            if answer is None or safe not in answer.accounts:
                continue
            limit, debt = answer.accounts[safe]
            by_all = sum(atoms for (c, _), atoms in drawn.items() if c == chain_id)
            room = min(limit - debt - drawn.get((chain_id, safe), 0), answer.total_room - by_all)
            found[chain_id] = LineState(max(0, answer.cash - by_all), max(0, room))
        return found


def _line_calls(network: Network, safes: Collection[str]) -> list[Call]:
    own = network.protocols.isthmus
    if own is None:
        return []
    line = own.credit_line
    calls = [Call(line, abi.call_data(name)) for name in ("cash()", "totalLimit()", "totalDebt()")]
    for safe in safes:
        calls += [Call(line, abi.call_data(name, Address(safe))) for name in ("limitOf(address)", "debtOf(address)")]
    return calls


def _line_answer(found: list[bytes | None], safes: Collection[str]) -> LineAnswer:
    numbers = [abi.uint_at(data, 0) if data else 0 for data in found]
    cash, total_limit, total_debt = numbers[:3]
    accounts = {safe: (numbers[3 + 2 * i], numbers[4 + 2 * i]) for i, safe in enumerate(safes)}
    return LineAnswer(cash, max(0, total_limit - total_debt), accounts)


def _fee_calls(network: Network) -> dict[int, Call]:
    """One quote per destination; fees do not depend on the amount where the hook only meters messages."""
    bridge = network.protocols.hyperlane
    routes = bridge.routes if bridge is not None else ()
    return {
        destination: hyperlane.quote(route.router, destination, Address("0x" + "11" * 20), SAMPLE_ATOMS)
        for route in routes for destination in route.destinations
    }  # fmt: skip
