"""The nursery forks processes that are in all else what a command of their own would be."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aggregator.local.nursery import Nursery
from aggregator.local.processes import Supervisor

COMMAND = "aggregator.cli:main"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Supervisor() as supervisor, contextlib.closing(Nursery(supervisor)) as made:
        yield made


def eventually(holds: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def test_fork__command_ends__its_code_and_output_are_known(nursery: Nursery) -> None:
    child = nursery.spawn("shows", COMMAND, ["config", "show"], {"ISTHMUS_POLL_MS": "77"})
    assert child.wait(20) == 0
    assert child.log is not None and "environment ISTHMUS_POLL_MS" in " ".join(child.log.read_text().split())


def test_fork__command_is_refused__exit_code_and_reason(nursery: Nursery) -> None:
    child = nursery.spawn("refused", COMMAND, ["config", "show"], {"ISTHMUS_POLL_MS": "soon"})
    assert child.wait(20) == 2
    assert "poll_ms" in child.last_words()


def test_fork__killed__named_death(nursery: Nursery) -> None:
    child = nursery.spawn("waits", "signal:sigwait", [signal.SIGUSR2], {})  # type: ignore[list-item]
    assert eventually(lambda: Path(f"/proc/{child.pid}").exists())
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(20) == -signal.SIGKILL
    assert "waits" in str(child.death())


def test_supervisor__ends__forks_end_too() -> None:
    with Supervisor() as supervisor, contextlib.closing(Nursery(supervisor)) as made:
        child = made.spawn("waits", "signal:sigwait", [signal.SIGUSR2], {})  # type: ignore[list-item]
        assert eventually(lambda: Path(f"/proc/{child.pid}").exists())
    assert eventually(lambda: not Path(f"/proc/{child.pid}").exists())
