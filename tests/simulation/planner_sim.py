"""A seeded world around the planner: prices walk, transactions succeed, fail, come late, come twice, are taken back, rows are lost.

The module's rules are those of the contract: an action id is done once, a need's sequence must be the next one. Everything is drawn
from the seed, so that a failing seed fails again.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from decimal import Decimal

from aggregator.ledger.accounts import LedgerAccount
from aggregator.ledger.balances import deltas
from aggregator.ledger.transfers import Group, Origin
from aggregator.plan.planner import plan
from aggregator.plan.steps import Step, action_id
from aggregator.portfolio.portfolio import View
from tests.unit.plan.world import USDC, WETH, A, B, C, World, financed, owed, supplied, travelling, wallet

DEPLOYMENT = "simulation"
TICK_S = 60


@dataclass
class Module:
    """What the contract keeps, and the balances that stand on the networks. `undo` restores the world before an action."""

    balances: dict[LedgerAccount, int]
    done: set[str] = field(default_factory=set)
    served: Counter[str] = field(default_factory=Counter)

    def execute(self, name: str, step: Step) -> bool:
        """As MarginModule: False is a revert, which changes nothing."""
        if name in self.done or step.sequence != self.served[step.need_key] + 1:
            return False
        self.done.add(name)
        self.served[step.need_key] += 1
        self.apply(step, 1)
        return True

    def undo(self, name: str, step: Step) -> None:
        """A reorganisation took the block back."""
        self.done.discard(name)
        self.served[step.need_key] -= 1
        self.apply(step, -1)

    def apply(self, step: Step, sign: int) -> None:
        for account, atoms in deltas(Group("x", Origin.ACTION, step.chain_id, -1, "", "", 0, step.effects)).items():
            if account.client:
                self.balances[account] = self.balances.get(account, 0) + sign * atoms


@dataclass
class Simulation:
    """One seed. `live`: rows of live actions by id; `ghosts`: signed actions whose rows were lost, which may still be mined."""

    seed: int
    live: dict[str, Step] = field(default_factory=dict)
    ghosts: dict[str, Step] = field(default_factory=dict)
    failures: dict[str, tuple[int, int]] = field(default_factory=dict)
    planned: Counter[str] = field(default_factory=Counter)
    unfinal: list[tuple[int, str, Step]] = field(default_factory=list)
    tick: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(f"planner:{self.seed}")
        self.eth = Decimal(2000)
        self.module = Module({
            supplied(A, "weth"): 100 * WETH, owed(A, "usdc"): -self.draw.randint(110_000, 145_000) * USDC,
            supplied(B, "weth"): 60 * WETH, owed(B, "usdc"): -self.draw.randint(40_000, 85_000) * USDC,
            wallet(C, "usdc"): self.draw.choice([0, 40_000, 120_000]) * USDC,
        })  # fmt: skip

    def world(self) -> World:
        """What the planner sees: rows that live count as done in the projected view."""
        head = dict(self.module.balances)
        projected = dict(head)
        for name, step in self.live.items():
            if name not in self.module.done:
                for account, atoms in deltas(Group("x", Origin.ACTION, step.chain_id, -1, "", "", 0, step.effects)).items():
                    projected[account] = projected.get(account, 0) + atoms
        return World(
            head, eth=self.eth, own_views={View.PROJECTED: projected}, number=100 + self.tick, elapsed=TICK_S * self.tick,
            live_needs=frozenset(s.need_key for s in self.live.values()),
            sequences={need: n + 1 for need, n in self.module.served.items()}, failures=self.failures,
        )  # fmt: skip

    def run(self, ticks: int = 40, calm: int = 25) -> None:
        """A wild stretch, then one without faults in which everything has to come to rest."""
        for self.tick in range(ticks + calm):
            wild = self.tick < ticks
            if wild:
                self.eth = max(Decimal(1200), min(Decimal(2600), self.eth + self.draw.choice([-60, -20, 0, 10, 40])))
            self._plan()
            self._network(wild)
            self._deliver()
            if wild and self.draw.random() < 0.05:
                self._lose_rows()
            if wild and self.draw.random() < 0.15:
                self._reorganise()

    def _plan(self) -> None:
        for step in plan(self.world().situation()).steps:
            name = action_id(DEPLOYMENT, step)
            assert step.need_key not in {s.need_key for s in self.live.values()}, "one live action per need"
            if name not in self.module.done and name not in self.planned:
                self.planned[name] += 1
                self.live[name] = step

    def _network(self, wild: bool) -> None:
        """Every live action meets its fate; some are sent twice, some wait, lost ones surface."""
        for name, step in [*self.live.items(), *self.ghosts.items()]:
            fate = self.draw.random() if wild else 0.5
            if fate < 0.25:
                continue
            ok = fate < 0.85 and self.module.execute(name, step)
            if ok:
                assert not self.module.execute(name, step), "a second copy of the same bytes reverts"
                self.unfinal.append((self.tick, name, step))
            known, ghost = self.live.pop(name, None), self.ghosts.pop(name, None)
            assert known is not None or ghost is not None
            if ok or known is None:
                self.failures.pop(step.need_key, None) if ok else None
            else:
                count, _ = self.failures.get(step.need_key, (0, 0))
                self.failures[step.need_key] = (count + 1, step.as_of_s)

    def _deliver(self) -> None:
        """What is in a bridge arrives: as synthetic USDC where it is owed most."""
        for account in [a for a in self.module.balances if a.place.startswith("hyperlane:") and self.module.balances[a] > 0]:
            atoms = self.module.balances.pop(account)
            to = account.place.rsplit("-", 1)[-1] if account != travelling() else str(A)
            there = wallet(int(to), "hyp_usdc")
            self.module.balances[there] = self.module.balances.get(there, 0) + atoms
            self.unfinal = [u for u in self.unfinal if u[2].kind != "rebalance"]

    def _lose_rows(self) -> None:
        """A restored backup: live rows are gone, their signed bytes are not."""
        self.ghosts |= self.live
        self.live = {}

    def _reorganise(self) -> None:
        """The newest executed actions are taken back, newest first; their bytes come again as ghosts."""
        recent = [u for u in self.unfinal if u[0] == self.tick]
        for _, name, step in reversed(recent):
            self.module.undo(name, step)
            self.ghosts[name] = step
        self.unfinal = [u for u in self.unfinal if u[0] != self.tick]

    def owed_to_lines(self) -> int:
        return -sum(self.module.balances.get(financed(c), 0) for c in (A, B))


def final_world(simulation: Simulation) -> World:
    """The world when everything has settled."""
    return replace(simulation.world(), failures={}, live_needs=frozenset())
