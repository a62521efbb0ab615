"""The supervisor: nothing stays behind, and what ends or fails has a name."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.local.install import ROOT
from aggregator.local.processes import Child, ChildDied, NotReady, Supervisor, SupervisorLost

CHAIN_ID = 71099


def mentions(text: str) -> set[int]:
    """Pids of processes with `text` in their command line, environment or working folder."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if text.encode() in content or text in os.readlink(entry / "cwd"):
                    found.add(int(entry.name))
            except OSError:
                continue
    return found


def eventually(condition: object, seconds: float = 15.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    """One of this test alone, so that only its own children are checked."""
    with Supervisor() as own:
        yield own


@pytest.fixture
def victim(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A program that supervises all kinds of children, and its run folder."""
    told = tmp_path / "told.json"
    arguments = [str(CHAIN_ID), str(told), getattr(request, "param", "obeys")]
    child = subprocess.Popen([sys.executable, "-m", "tests.local.victim", *arguments], cwd=ROOT)
    try:
        assert eventually(lambda: child.poll() is not None or (told.exists() and told.stat().st_size > 0), 40)
        assert child.poll() is None, "the victim did not come up"
        yield child, Path(json.loads(told.read_text())["folder"])
    finally:
        child.kill()
        child.wait()


@pytest.mark.services
@pytest.mark.parametrize(
    ("victim", "number"),
    [("obeys", signal.SIGINT), ("obeys", signal.SIGTERM), ("ignores", signal.SIGKILL)],
    indirect=["victim"],
    ids=["SIGINT", "SIGTERM", "SIGKILL"],
)
def test_supervisor__parent_ends_by_signal__no_process_and_no_folder_left(
    victim: tuple[subprocess.Popen[bytes], Path], number: signal.Signals
) -> None:
    parent, folder = victim
    before = mentions(str(folder))
    # Three servers, PostgreSQL's own children, two daemons and what one of them started beside itself.
    assert len(before) >= 8
    assert folder.is_dir()

    parent.send_signal(number)
    parent.wait(10)

    assert eventually(lambda: not mentions(str(folder))), [Path(f"/proc/{p}/cmdline").read_text() for p in mentions(str(folder))]
    assert eventually(lambda: not folder.exists())
    assert not [pid for pid in before if Path(f"/proc/{pid}").exists()]


@pytest.mark.services
def test_supervisor__reaper_killed__children_end_too(victim: tuple[subprocess.Popen[bytes], Path]) -> None:
    _, folder = victim
    before = mentions(str(folder))
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in before}
    reaper = next(p for p in parents if "reaper.py" in Path(f"/proc/{p}/cmdline").read_text())

    names = {pid: Path(f"/proc/{pid}/exe").readlink().name for pid in before}
    os.kill(reaper, signal.SIGKILL)

    # What a child started in a session of its own is out of the kernel's reach here; every child itself is not.
    direct = {"postgres", "valkey-server", "anvil", "sleep"}
    assert eventually(lambda: not [p for p in before if names[p] in direct and Path(f"/proc/{p}").exists()])
    for pid in mentions(str(folder)):
        os.kill(pid, signal.SIGKILL)
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_supervisor__block_left__children_and_folder_gone() -> None:
    with Supervisor() as supervisor:
        child = supervisor.spawn("sleeper", ["sleep", "600"])
        folder = supervisor.folder
        supervisor.check()
        assert child.poll() is None

    assert not Path(f"/proc/{child.pid}").exists()
    assert not folder.exists()


def test_supervisor__kept_folder__stays(tmp_path: Path) -> None:
    with Supervisor(tmp_path / "run", keep=True) as supervisor:
        supervisor.spawn("speaker", ["echo", "kept"]).wait(5)

    assert (tmp_path / "run" / "logs" / "speaker.log").read_text() == "kept\n"


def test_supervisor__fork_holds_channel__parent_death_still_noticed(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from aggregator.local.processes import Supervisor\n"
        "s = Supervisor()\n"
        "s.spawn('sleeper', ['sleep', '600'])\n"
        "if os.fork() == 0: time.sleep(20); os._exit(0)\n"
        "print(s.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    folder = Path(parent.stdout.readline().strip())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert eventually(lambda: not folder.exists(), 5)


def test_check__child_died__error_names_it_and_ends_with_its_log(supervisor: Supervisor) -> None:
    child = supervisor.spawn("worker-b", ["sh", "-c", "echo the queue is gone >&2; exit 7"])
    assert child.wait(5) == 7

    with pytest.raises(ChildDied, match=r"worker-b \(pid \d+\) ended with code 7\n    the queue is gone"):
        supervisor.check()
    supervisor.check()


def test_check__child_killed_from_outside__error_names_signal(supervisor: Supervisor) -> None:
    child = supervisor.spawn("worker-c", ["sleep", "600"])
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(5) == -signal.SIGKILL

    with pytest.raises(ChildDied, match=r"worker-c .* code -9"):
        supervisor.check()
    supervisor.check()


@pytest.mark.parametrize("end", [Child.terminate, Child.kill])
def test_check__child_told_to_end__no_error(supervisor: Supervisor, end: object) -> None:
    assert callable(end)
    child = supervisor.spawn("worker-d", ["sleep", "600"])
    end(child)
    child.wait(5)
    supervisor.check()


def test_kill__child_with_children__all_of_its_group_end(supervisor: Supervisor) -> None:
    child = supervisor.spawn("family", ["sh", "-c", "sleep 601 & echo $!; wait"])
    assert child.log is not None
    log = child.log
    assert eventually(lambda: log.read_text().strip())
    grandchild = int(log.read_text())

    child.kill()
    child.wait(5)

    assert eventually(lambda: not Path(f"/proc/{grandchild}").exists())


def test_spawn__no_such_program__error_names_it(supervisor: Supervisor) -> None:
    with pytest.raises(ChildDied, match=r"nothing does not start: .*no-such-program"):
        supervisor.spawn("nothing", ["/no-such-program"])


def test_wait__child_runs_on__not_ready(supervisor: Supervisor) -> None:
    child = supervisor.spawn("slow", ["sleep", "600"])
    with pytest.raises(NotReady, match=r"slow .* still runs after 0\.05 s"):
        child.wait(0.05)
    child.kill()


def test_ask__reaper_gone__supervisor_lost() -> None:
    supervisor = Supervisor()
    supervisor._reaper.send_signal(signal.SIGTERM)
    supervisor._reaper.wait(10)
    assert not supervisor.folder.exists()
    with pytest.raises(SupervisorLost):
        supervisor.spawn("sleeper", ["sleep", "600"])
    supervisor.stop()


def test_spawn__extra_environment__added_to_ours(supervisor: Supervisor) -> None:
    child = supervisor.spawn("speaker", ["sh", "-c", 'echo "$PATH|$EXTRA"'], {"EXTRA": "with space"})
    child.wait(5)
    assert child.log is not None
    assert child.log.read_text() == f"{os.environ['PATH']}|with space\n"


def test_stop__twice__second_does_nothing() -> None:
    supervisor = Supervisor()
    supervisor.stop()
    supervisor.stop()


def test_supervisor__many_children__stopped_within_a_second() -> None:
    with Supervisor() as supervisor:
        children = [supervisor.spawn(f"sleeper-{i}", ["sleep", "600"]) for i in range(20)]
        started = time.monotonic()
    assert time.monotonic() - started < 5
    assert not [child for child in children if Path(f"/proc/{child.pid}").exists()]


def test_free_port__taken__another_is_found() -> None:
    from aggregator.local.servers import free_port, listening_ports

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port in listening_ports(os.getpid())
        assert free_port() != port
