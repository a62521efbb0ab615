"""Helpers of the action tests: one client whose plan is a top-up, saved through the real store."""

from __future__ import annotations

import pytest

from aggregator.daemons.views import assessed
from aggregator.plan.planner import plan
from aggregator.plan.situation import Situation
from aggregator.plan.steps import Plan, Step
from aggregator.store import leases
from aggregator.store.actions import Decision, save_assessment
from aggregator.store.clients import open_client
from aggregator.store.db import Store
from aggregator.store.leases import Lease
from tests.unit.plan.world import CLIENT, A, World, levered

WEAK = World(levered(A, 100, 155_000, elsewhere=100_000))


@pytest.fixture
def assess_lease(store: Store) -> Lease:
    open_client(store, "default", CLIENT, "Alpha", "desk")
    return leases.acquire(store, "assess", "test", 600)


def decision(situation: Situation, found: Plan, counted: frozenset[str] = frozenset()) -> Decision:
    return Decision(CLIENT, assessed(situation), found, counted, found.refusals)


def save(store: Store, lease: Lease, world: World = WEAK, counted: frozenset[str] = frozenset()) -> tuple[tuple[str, int], ...]:
    situation = world.situation()
    made = [decision(situation, plan(situation), counted)]
    return save_assessment(store, lease, made, situation.market, situation.parameters, None)


def the_step(world: World = WEAK) -> Step:
    return plan(world.situation()).steps[0]
