"""Real Celery workers: found without a doorbell, killed with signed bytes in hand, run without a broker. One effect each time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from aggregator.local.gate import Gate
from aggregator.store.actions import load
from aggregator.store.db import Store
from aggregator.store.slots import PgSlots
from aggregator.tasks import app as tasks_app
from chains.slots import SlotState
from tests.tasks import kit

pytestmark = [pytest.mark.chain, pytest.mark.services]


@contextmanager
def running(child: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM) if child.poll() is None else None
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class Held:
    """A gate in a loop of its own, usable from plain tests."""

    def __init__(self, target: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.gate = Gate(target)
        self.url = asyncio.run_coroutine_threadsafe(self.gate.start(), self.loop).result(10)

    def turn(self, *, closed: bool) -> None:
        self.loop.call_soon_threadsafe(self.gate.close if closed else self.gate.open)

    def next(self) -> str:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(self.gate.held.get(), 40), self.loop).result(45)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.gate.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()


@pytest.fixture
def held(stage: kit.Stage) -> Iterator[Held]:
    made = Held(stage.url)
    yield made
    made.stop()


def ended(store: Store, name: str) -> str:
    def probe() -> str | None:
        found = load(store, name)
        return None if found.live else found.status

    return kit.until(f"the end of {name}", probe)


def test_worker__killed_between_signing_and_sending__same_bytes_one_effect(
    store: Store, stage: kit.Stage, held: Held, valkey_url: str, tmp_path: Path
) -> None:
    wanted = kit.step(stage)
    held.turn(closed=True)
    settings = kit.settings_for(store, held.url, valkey_url)
    with running(kit.worker(settings, tmp_path / "one.log")) as first:
        name = kit.plan_action(store, wanted)
        tasks_app.configure(settings)
        tasks_app.ring(stage.chain_id, name)
        raw = held.next()
        first.kill()
        first.wait()
    slot = PgSlots(store).of_action(name)
    assert slot is not None and slot.state is SlotState.SIGNED
    tx_hash = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
    assert stage.world.rpc("eth_getTransactionByHash", tx_hash) is None
    held.turn(closed=False)
    with running(kit.worker(settings, tmp_path / "two.log")):
        assert ended(store, name) == "confirmed"
    (attempt,) = PgSlots(store).attempts(slot)
    assert attempt.tx_hash == tx_hash and "0x" + attempt.raw.hex() == raw
    assert stage.served(wanted.need_key) == 1


@pytest.mark.parametrize("pool", ["prefork", "isthmus"])
def test_worker__two_and_never_rung__find_the_action_by_themselves(
    store: Store, stage: kit.Stage, valkey_url: str, tmp_path: Path, pool: str
) -> None:
    wanted = kit.step(stage)
    name = kit.plan_action(store, wanted)
    settings = kit.settings_for(store, stage.url, valkey_url)
    with running(kit.worker(settings, tmp_path / "one.log", pool=pool)), running(
        kit.worker(settings, tmp_path / "twin.log", pool=pool)
    ):
        assert ended(store, name) == "confirmed"
    assert stage.served(wanted.need_key) == 1


def test_worker__broker_away__the_scan_does_the_work_itself(store: Store, stage: kit.Stage, tmp_path: Path) -> None:
    wanted = kit.step(stage)
    name = kit.plan_action(store, wanted)
    settings = kit.settings_for(store, stage.url, "redis://127.0.0.1:1/0")
    with running(kit.worker(settings, tmp_path / "alone.log")):
        assert ended(store, name) == "confirmed"
    assert stage.served(wanted.need_key) == 1
