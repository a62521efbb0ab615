"""The process that owns the children of one supervisor and outlives it just long enough to clean up after it.

Run as a script by `aggregator.local.processes`, with the standard library alone and without site-packages.

Invariants:
- It has one thread, so that code may run between fork and exec of a child.
- Whatever a child starts and leaves behind becomes a child of this process (PR_SET_CHILD_SUBREAPER) and ends with it.
- The supervisor's death, however it dies, closes the channel. Then every child is stopped, then killed, and the run
  folder is removed. Should this process be killed instead, the kernel ends each child.
- A pid is signalled only while its process has not been waited for, so never a stranger's.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SUPERVISOR_CHECK_S = 0.5
GRACE_S = 3.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Reaper:
    """State of the process: the children in the order of their start, and how those ended that have ended."""

    def __init__(self, channel: socket.socket, folder: Path, keep: bool) -> None:
        self._channel = channel
        self._folder = folder
        self._keep = keep
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._orders: dict[int, dict[str, Any]] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def serve(self, supervisor: int) -> None:
        """Answers the supervisor until it closes the channel or is gone, then cleans up."""
        pending = b""
        self._say({"folder": str(self._folder)})
        while True:
            self.collect()
            readable, _, _ = select.select([self._channel], [], [], SUPERVISOR_CHECK_S)
            # A process that the supervisor forked may hold the channel open after the supervisor's death.
            if os.getppid() != supervisor:
                return self.clean_up()
            if not readable:
                continue
            received = self._received()
            if not received:
                return self.clean_up()
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                self._say(self.obey(json.loads(line)))

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carries out one order of the supervisor."""
        if order["do"] == "spawn":
            return self.spawn(order)
        self.collect()
        child = self._children[order["pid"]]
        if order["do"] == "signal" and child.returncode is None:
            os.kill(child.pid, order["signal"])
        return {"code": child.returncode}

    def spawn(self, order: dict[str, Any]) -> dict[str, Any]:
        """Starts a child in a session of its own, so that a terminal's Ctrl-C reaches only the supervisor."""
        own, libc = os.getpid(), self._libc
        # A server that keeps more than memory is asked to end even then; the others just end.
        death_signal = order["stop_signal"] if order["foundation"] else signal.SIGKILL

        def tie() -> None:
            libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != own:
                os._exit(1)

        account = order["account"]
        identity: dict[str, Any] = {}
        if account is not None:
            identity = {"user": account[0], "group": account[1], "extra_groups": []}
        try:
            with open(order["log"] or os.devnull, "ab") as log:
                child = subprocess.Popen(
                    order["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=order["cwd"],
                    env={**os.environ, **order["env"]}, start_new_session=True, preexec_fn=tie, **identity,
                )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            return {"error": str(error)}
        self._children[child.pid] = child
        self._orders[child.pid] = order
        return {"pid": child.pid}

    def collect(self) -> None:
        """Waits for what has ended. A child's process group ends with it, while its pid still names the group."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            child = self._children.get(ended.si_pid)
            if child is not None:
                kill_group(child.pid)
            _, status = os.waitpid(ended.si_pid, 0)
            if child is not None:
                child.returncode = os.waitstatus_to_exitcode(status)

    def clean_up(self) -> None:
        """Stops every child, those that others lean on last; kills what is left; removes the run folder."""
        for foundation in (False, True):
            group = [c for c in self._children.values() if self._orders[c.pid]["foundation"] is foundation]
            for child in reversed(group):
                if child.returncode is None:
                    os.kill(child.pid, self._orders[child.pid]["stop_signal"])
            deadline = time.monotonic() + GRACE_S
            while any(child.returncode is None for child in group) and time.monotonic() < deadline:
                self.collect()
                time.sleep(0.005)
        while left := own_children():
            for pid in left:
                kill_group(pid)
                os.kill(pid, signal.SIGKILL)
            self.collect()
            time.sleep(0.002)
        if not self._keep:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _received(self) -> bytes:
        try:
            return self._channel.recv(65536)
        except ConnectionError:
            return b""

    def _say(self, answer: dict[str, Any]) -> None:
        try:
            self._channel.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            # The supervisor is gone; the next look at the channel tells so and leads to the clean-up.
            return


def kill_group(pid: int) -> None:
    """Kills the process group that `pid` leads; nothing happens where it leads none."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def own_children() -> list[int]:
    """Pids of all children of this process that have not been waited for."""
    own, found = str(os.getpid()), []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                # The name in brackets may hold spaces and brackets itself, so the fields are counted from its end.
                status = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if status[1] == own:
                found.append(int(entry.name))
    return found


def main() -> None:
    """Arguments: descriptor of the channel, supervisor's pid, `keep` or `remove`, base of a new folder, or folder."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    keep, base, given = sys.argv[3] == "keep", sys.argv[4], sys.argv[5]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o022)
    if given:
        folder = Path(given)
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder = Path(tempfile.mkdtemp(prefix="isthmus-", dir=base))
        # Servers that may not run as root pass through to folders of their own inside, which are private to them.
        folder.chmod(0o755 if os.getuid() == 0 else 0o700)
    reaper = Reaper(channel, folder, keep)

    def asked_to_end(_number: int, _frame: object) -> None:
        reaper.clean_up()
        os._exit(0)

    signal.signal(signal.SIGTERM, asked_to_end)
    reaper.serve(int(sys.argv[2]))


if __name__ == "__main__":
    main()
