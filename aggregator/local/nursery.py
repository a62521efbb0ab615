"""A process that has imported everything once and forks the deployment's processes from itself, so that they start at once.

Run as `python -m aggregator.local.nursery SOCKET` under a supervisor; orders and answers are those of the supervisor's reaper:
spawn, poll, signal, one JSON object per line. Each fork leads a session of its own with its own log and environment, and is in all
else what `python -m aggregator run ...` would be. SIGTERM is handed on; whatever is left then belongs to the reaper, which ends it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO, NoReturn

from aggregator.local.processes import Child, NotReady, Supervisor, SupervisorLost

MODULES = (
    "aggregator.cli.run",
    "aggregator.daemons.index",
    "aggregator.daemons.assess",
    "aggregator.tasks.worker",
    "aggregator.tasks.reconcile",
    "aggregator.api.app",
    "aggregator.local.actors",
)
READY_S = 60.0
GRACE_S = 2.5


class Nursery:
    """The supervisor's side: starts the process, then asks it for children."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Starts importing in the background; `spawn` waits until that is done."""
        self._path = supervisor.folder / "nursery.sock"
        self._logs = supervisor.folder / "logs"
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._answers: BinaryIO | None = None
        self.process = supervisor.spawn("nursery", [sys.executable, "-m", "aggregator.local.nursery", str(self._path)])

    def spawn(self, name: str, target: str, argv: Sequence[str], env: Mapping[str, str]) -> Child:
        """A child that runs `target` ('module:function') with `argv`. Raises NotReady, SupervisorLost."""
        log = self._logs / f"{name}.log"
        answer = self.ask({"do": "spawn", "target": target, "argv": list(argv), "env": dict(env), "log": str(log)})
        return Child(name, int(answer["pid"]), tuple(argv), log, signal.SIGTERM, self)

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        """One order and its answer. Raises NotReady when it does not come up, SupervisorLost when it is gone."""
        with self._lock:
            channel, answers = self._connected()
            try:
                channel.sendall(json.dumps(order).encode() + b"\n")
                line = answers.readline()
            except OSError as error:
                raise SupervisorLost(f"the nursery is gone: {error}{self.process.last_words()}") from error
            if not line:
                raise SupervisorLost(f"the nursery is gone{self.process.last_words()}")
            answer: dict[str, Any] = json.loads(line)
            return answer

    def close(self) -> None:
        """Hang up; the nursery then ends its forks and itself."""
        with self._lock:
            if self._channel is not None and self._answers is not None:
                self.process.dismissed = True
                self._answers.close()
                self._channel.close()
                self._channel = self._answers = None

    def _connected(self) -> tuple[socket.socket, BinaryIO]:
        if self._channel is None or self._answers is None:
            self._channel = self._connect()
            self._answers = self._channel.makefile("rb")
        return self._channel, self._answers

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            channel = socket.socket(socket.AF_UNIX)
            try:
                channel.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                channel.close()
                if self.process.poll() is not None:
                    raise self.process.death() from None
                time.sleep(0.02)
                continue
            return channel
        raise NotReady(f"the nursery did not come up within {READY_S:g} s{self.process.last_words()}")


class Forks:
    """The nursery's side: forks, and knows how each fork ended."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.codes: dict[int, int] = {}

    def answer(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one order."""
        self.collect()
        if order["do"] == "spawn":
            return {"pid": self.fork(order)}
        if order["do"] == "signal" and order["pid"] in self.running:
            with contextlib.suppress(ProcessLookupError):
                whole = order["signal"] == signal.SIGKILL
                (os.killpg if whole else os.kill)(order["pid"], order["signal"])
        return {"code": self.codes.get(order["pid"])}

    def collect(self) -> None:
        """Notice every fork that ended."""
        for pid in list(self.running):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self.running.discard(pid)
                self.codes[pid] = os.waitstatus_to_exitcode(status)

    def fork(self, order: Mapping[str, Any]) -> int:
        """A child of this process; in the child this never returns."""
        pid = os.fork()
        if pid == 0:
            live(order)
        self.running.add(pid)
        return pid

    def end(self) -> None:
        """Hand SIGTERM on and wait a moment; the reaper ends what is left."""
        for pid in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while self.running and time.monotonic() < deadline:
            self.collect()
            time.sleep(0.01)


def live(order: Mapping[str, Any]) -> NoReturn:
    """A fork's own life: session, log, environment, then the command."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 256)
    os.environ.update(order["env"])
    module, _, function = order["target"].partition(":")
    code = 1
    try:
        sys.argv = ["isthmus", *order["argv"]]
        code = int(getattr(importlib.import_module(module), function)(order["argv"]) or 0)
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 1
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Import, listen, obey."""
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()
    keeper = Forks()

    def ended(number: int, frame: FrameType | None) -> None:
        keeper.end()
        os._exit(0)

    signal.signal(signal.SIGTERM, ended)
    path = Path(sys.argv[1])
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(1)
        channel, _ = listening.accept()
        for line in channel.makefile("rb"):
            channel.sendall(json.dumps(keeper.answer(json.loads(line))).encode() + b"\n")
    keeper.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
