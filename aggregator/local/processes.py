"""Supervises child processes so that nothing of them stays behind, whether this process returns, is stopped or killed.

All children belong to a reaper process (see reaper.py). The run folder is made by the reaper and goes with it, unless
it is to be kept. A child that ends without having been told to is found by `Supervisor.check`.

ServiceError
├── SupervisorLost    the reaper is gone, and all children with it
├── ChildDied         a child ended by itself; the message ends with its last log lines
├── NotReady          a child runs and does not answer in time
├── PortTaken         something else holds the port
├── ForeignChain      another network answers behind the URL (a ForeignNetwork as well)
├── ServiceMissing    no server of the kind is configured or installed
├── ServiceUnreachable  the configured server does not answer
└── AccountMissing    root has no unprivileged account to run a server as
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import Any, Protocol

from aggregator.clock import ticks_ms
from aggregator.errors import ForeignNetwork, ServiceError

REAPER = Path(__file__).with_name("reaper.py")
LOG_LINES = 12
# A socket's path has room for 107 bytes; "/postgres/.s.PGSQL.5432" and the folder's own name have to fit as well.
LONGEST_BASE = 60


class SupervisorLost(ServiceError):
    """The reaper process is gone."""


class ChildDied(ServiceError):
    """A child process ended by itself."""


class NotReady(ServiceError):
    """A child process does not answer in time."""


class PortTaken(ServiceError):
    """Something else holds the port."""


class ForeignChain(ServiceError, ForeignNetwork):
    """Another network answers behind the URL."""


class ServiceMissing(ServiceError):
    """No server of the kind is configured or installed."""


class ServiceUnreachable(ServiceError):
    """The configured server does not answer."""


class AccountMissing(ServiceError):
    """Root has no unprivileged account at hand."""


@dataclass(frozen=True)
class Account:
    """A user that a child runs as."""

    uid: int
    gid: int


def unprivileged() -> Account | None:
    """The account for servers that refuse to run as root; None for an ordinary user, who runs them himself."""
    if os.getuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise AccountMissing(
            "PostgreSQL does not run as root and there is no user `nobody`; run as an ordinary user, "
            "or set ISTHMUS_DATABASE_URL"
        ) from error
    return Account(entry.pw_uid, entry.pw_gid)


def passable(path: Path) -> bool:
    """True when any user can reach and read `path`."""
    try:
        return bool(path.stat().st_mode & 0o004) and all(p.stat().st_mode & 0o001 for p in path.resolve().parents)
    except OSError:
        return False


def base_folder() -> Path:
    """Where run folders are made: the folder of temporary files, or /var/tmp where that one is private or deep."""
    for base in (Path(tempfile.gettempdir()), Path("/var/tmp"), Path("/tmp")):
        fits = len(str(base)) <= LONGEST_BASE and os.access(base, os.W_OK | os.X_OK)
        if fits and (os.getuid() != 0 or passable(base)):
            return base
    raise ServiceError("no folder for temporary files can be written; set TMPDIR to a short path of your own")


class Keeper(Protocol):
    """Whoever started a child and can tell of it: the supervisor, or a nursery that forked it."""

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order ({"do": "poll" | "signal", "pid": ...}) and its answer."""
        ...


@dataclass
class Child:
    """A process under supervision; its output is what its log holds from byte `log_start` on.

    `dismissed` is true once it was told to end, or its end was told: that end is no failure any more.
    """

    name: str
    pid: int
    argv: tuple[str, ...]
    log: Path | None
    stop_signal: int
    supervisor: Keeper = field(repr=False)
    log_start: int = 0
    dismissed: bool = False

    def poll(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        code: int | None = self.supervisor.ask({"do": "poll", "pid": self.pid})["code"]
        return code

    def wait(self, timeout_s: float) -> int:
        """Exit code once it has ended. Raises NotReady after timeout_s seconds."""
        deadline = ticks_ms() + timeout_s * 1000
        while (code := self.poll()) is None:
            if ticks_ms() > deadline:
                raise NotReady(f"{self.name} (pid {self.pid}) still runs after {timeout_s:g} s{self.last_words()}")
            sleep(0.005)
        return code

    def send(self, number: int) -> None:
        """Sends a signal, unless it has ended; its end is still unexpected afterwards."""
        self.supervisor.ask({"do": "signal", "pid": self.pid, "signal": int(number)})

    def terminate(self) -> None:
        """Asks it to end, by the signal it was spawned with."""
        self.dismissed = True
        self.send(self.stop_signal)

    def kill(self) -> None:
        """Ends it, and the process group it leads, at once."""
        self.dismissed = True
        self.send(signal.SIGKILL)

    def last_words(self) -> str:
        """The last lines of its log, indented under a line break; empty when there are none."""
        if self.log is None or not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(self.log_start, self.log.stat().st_size - 8192))
            lines = log.read().decode(errors="replace").strip().splitlines()[-LOG_LINES:]
        return "".join(f"\n    {line}" for line in lines)

    def death(self) -> ChildDied:
        """The error that tells of its end; `Supervisor.check` does not tell it again."""
        self.dismissed = True
        return ChildDied(f"{self.name} (pid {self.pid}) ended with code {self.poll()}{self.last_words()}")


class Supervisor:
    """Context manager around children that share a run folder."""

    def __init__(self, folder: Path | None = None, *, keep: bool = False) -> None:
        """Makes a new run folder, or uses the given one; it is removed at the end unless `keep`."""
        self._lock = threading.Lock()
        self._keep = keep
        self.children: list[Child] = []
        self._channel, theirs = socket.socketpair()
        with theirs:
            given = str(folder.absolute()) if folder else ""
            arguments = [str(theirs.fileno()), str(os.getpid()), "keep" if keep else "remove", str(base_folder()), given]
            self._reaper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(REAPER), *arguments],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        self._answers = self._channel.makefile("rb")
        self.folder = Path(self._answer()["folder"])
        (self.folder / "logs").mkdir(exist_ok=True)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def spawn(
        self,
        name: str,
        argv: Sequence[str | os.PathLike[str]],
        env: Mapping[str, str] | None = None,
        *,
        account: Account | None = None,
        cwd: Path | None = None,
        log: bool = True,
        stop_signal: int = signal.SIGTERM,
        foundation: bool = False,
    ) -> Child:
        """Starts a child; `env` is added to this environment. Its output goes to logs/<name>.log in the run folder.

        A `foundation` is stopped after the children that are none. Raises ChildDied where it cannot be started.
        """
        words = tuple(os.fspath(word) for word in argv)
        path = self.folder / "logs" / f"{name}.log" if log else None
        order = {
            "do": "spawn", "argv": words, "env": dict(env or {}), "log": str(path) if path else None,
            "account": [account.uid, account.gid] if account else None, "cwd": str(cwd or Path.cwd()),
            "stop_signal": int(stop_signal), "foundation": foundation,
        }  # fmt: skip
        start = path.stat().st_size if path and path.exists() else 0
        answer = self.ask(order)
        if "error" in answer:
            raise ChildDied(f"{name} does not start: {answer['error']}")
        child = Child(name, answer["pid"], words, path, int(stop_signal), self, start)
        self.children.append(child)
        return child

    def check(self) -> None:
        """Raises ChildDied for the first child that ended without having been told to; once for each."""
        for child in self.children:
            if not child.dismissed and child.poll() is not None:
                raise child.death()

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order to the reaper and its answer. Raises SupervisorLost when it is gone."""
        with self._lock:
            try:
                self._channel.sendall(json.dumps(order).encode() + b"\n")
            except OSError as error:
                raise self._lost() from error
            return self._answer()

    def stop(self) -> None:
        """Stops every child and removes the run folder; returns when that is done. Further calls do nothing."""
        for child in self.children:
            child.dismissed = True
        with self._lock:
            # Closing the channel is the order to clean up; it is the same that this process' death would give.
            self._answers.close()
            self._channel.close()
            self._reaper.wait()
        if not self._keep:
            # A reaper that was killed has left it.
            shutil.rmtree(self.folder, ignore_errors=True)

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line:
            raise self._lost()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _lost(self) -> SupervisorLost:
        return SupervisorLost("the process that owns the local services is gone, and they with it; start again")
