"""The planner in a hostile world: whatever is lost, doubled or taken back, each number of a need is served once, and it ends."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from aggregator.plan.planner import plan
from aggregator.portfolio.portfolio import View
from tests.simulation.planner_sim import Simulation, final_world

SEEDS = [int(line) for line in (Path(__file__).parent / "seeds.txt").read_text().split("\n") if line and not line.startswith("#")]


@pytest.mark.parametrize("seed", SEEDS)
def test_simulation__seed__needs_served_once_and_the_account_comes_to_rest(seed: int) -> None:
    simulation = Simulation(seed)
    simulation.run()
    assert len(simulation.module.done) == sum(simulation.module.served.values()), "one effect per number of a need"
    world = final_world(simulation)
    rest = plan(world.situation())
    assert not rest.steps, [s.reason for s in rest.steps]
    report = world.situation().books[View.HEAD].report
    for view in report.venues:
        weak = view.health_factor is not None and view.health_factor < Decimal("1.08")
        assert not weak or rest.refusals, "a weak position is cured or the reason is told"


def test_simulation__same_seed__same_history() -> None:
    one, two = Simulation(7), Simulation(7)
    one.run(20, 5)
    two.run(20, 5)
    assert one.module.done == two.module.done and one.module.balances == two.module.balances
