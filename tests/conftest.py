"""What all tests share: marks by folder, no sockets in unit tests, no skips under CI where it counts, real services.

Each worker of pytest-xdist has its own PostgreSQL, Valkey and supervisor, made when the first test asks for them.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from aggregator.local.anvil import AnvilNode
    from aggregator.local.processes import Supervisor

TESTS = Path(__file__).parent
GUARDED = frozenset({"chain", "api", "browser"})
SOCKETLESS = frozenset({"unit", "properties", "golden", "architecture"})
SERVICE_FIXTURES = frozenset({"postgres_url", "database_url", "valkey_url"})
UNDER_CI = os.environ.get("CI", "").lower() in {"1", "true"}

StartAnvil = Callable[..., "AnvilNode"]


def room(path: Path) -> str:
    """The folder below tests/ that a file lies in."""
    parts = path.relative_to(TESTS).parts if path.is_relative_to(TESTS) else ()
    return parts[0] if len(parts) > 1 else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if room(item.path) in GUARDED:
            item.add_marker(room(item.path))
        if SERVICE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("services")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if UNDER_CI and report.skipped and not hasattr(report, "wasxfail") and any(map(item.get_closest_marker, GUARDED)):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI, where this test has to run: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    if UNDER_CI and report.skipped and room(collector.path) in GUARDED:
        report.outcome = "failed"
        report.longrepr = f"skipped under CI, where these tests have to run: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def _no_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if room(request.path) not in SOCKETLESS:
        return

    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError(f"tests/{room(request.path)} may not open sockets; move the test or pass the answer in")

    for name in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    """Supervisor of this worker's services; its run folder goes with the session."""
    from aggregator.local.processes import Supervisor

    with Supervisor() as own:
        yield own


@pytest.fixture(scope="session")
def postgres_url(supervisor: Supervisor) -> str:
    """SQLAlchemy URL of this worker's PostgreSQL; its database is shared by all tests of the worker."""
    from aggregator.local.postgres import database

    return database(supervisor, durable=False)


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """SQLAlchemy URL of a new, empty database for this test."""
    import psycopg
    from sqlalchemy.engine import make_url

    url, name = make_url(postgres_url), f"test_{secrets.token_hex(8)}"
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} STRATEGY WAL_LOG")
        yield url.set(database=name).render_as_string(hide_password=False)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def valkey_url(supervisor: Supervisor) -> str:
    """redis:// URL of this worker's Valkey."""
    from aggregator.local.valkey import broker

    return broker(supervisor)


@contextmanager
def _anvils(supervisor: Supervisor) -> Iterator[StartAnvil]:
    from aggregator.local.anvil import AnvilSpec, start_node

    nodes: list[AnvilNode] = []

    def start(chain_id: int = 31337, block_time_s: float | None = None, slots_in_epoch: int = 1, **more: Any) -> AnvilNode:
        node = start_node(supervisor, AnvilSpec(chain_id, block_time_s, slots_in_epoch, **more))
        nodes.append(node)
        return node

    try:
        yield start
    finally:
        for node in nodes:
            node.child.kill()


@pytest.fixture
def start_anvil(supervisor: Supervisor) -> Iterator[StartAnvil]:
    """start_anvil(chain_id, block_time_s, slots_in_epoch, **AnvilSpec fields) -> AnvilNode; nodes end with the test."""
    with _anvils(supervisor) as start:
        yield start


@pytest.fixture(scope="module")
def start_anvil_for_module(supervisor: Supervisor) -> Iterator[StartAnvil]:
    """The same for nodes that live as long as the module's tests."""
    with _anvils(supervisor) as start:
        yield start
