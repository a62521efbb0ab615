"""Work that is due by the clock alone is rung once per period, by whichever scanner comes first."""

from __future__ import annotations

from dataclasses import replace

import redis

from aggregator import settings
from aggregator.store.db import Store
from aggregator.tasks import app as tasks
from aggregator.tasks.periodic import Periodic


def test_periodic__two_scanners_one_period__rung_once(store: Store, valkey_url: str) -> None:
    queue = redis.Redis.from_url(valkey_url)
    queue.delete("reconcile")
    tasks.configure(replace(settings.load({}), broker_url=valkey_url))
    first, second = Periodic(store, "one", 0.0), Periodic(store, "two", 0.0)
    first.period_s = second.period_s = 60.0
    assert first.turn() == ("reconcile", "verify")
    assert second.turn() == ()
    assert first.turn() == ()
    assert queue.llen("reconcile") == 1


def test_periodic__before_its_first_period__nothing(store: Store) -> None:
    assert Periodic(store, "one", 60.0).turn() == ()
