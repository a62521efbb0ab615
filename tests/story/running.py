"""Runs the demo and commands beside it as a user would: as processes, with a state folder of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_S = 120.0


def environment(state: Path, **more: str) -> dict[str, str]:
    """This environment without settings of ours, with a state folder of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ISTHMUS_") or k == "ISTHMUS_CACHE"}
    return {**kept, "XDG_STATE_HOME": str(state), **more}


def isthmus(state: Path, *words: str, timeout_s: float = 120.0, **more: str) -> subprocess.CompletedProcess[str]:
    """One command to its end."""
    argv = [sys.executable, "-m", "aggregator", "--no-bootstrap", *words]
    return subprocess.run(
        argv, cwd=ROOT, env=environment(state, **more), capture_output=True, text=True, timeout=timeout_s, check=False
    )


@contextlib.contextmanager
def demo(state: Path, *words: str, until: str = "everything stays up") -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A demo that stays up; yields once its output holds `until`. Ended with SIGINT, and killed if that does not help."""
    log = state / "demo.log"
    argv = [sys.executable, "-m", "aggregator", "--no-bootstrap", "demo", *words]
    with log.open("w") as out:
        process = subprocess.Popen(argv, cwd=ROOT, env=environment(state), stdout=out, stderr=out, text=True)
    try:
        deadline = time.monotonic() + START_S
        while until not in log.read_text():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.1)
        yield process, log
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def descendants(pid: int) -> dict[int, str]:
    """Command lines of all processes below `pid`, by pid."""
    children: dict[int, list[int]] = {}
    lines: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
                lines[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    found, waiting = {}, [pid]
    while waiting:
        for child in children.get(waiting.pop(), []):
            found[child] = lines.get(child, "")
            waiting.append(child)
    return found
