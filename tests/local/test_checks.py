"""`test`: the order of the gates, what stops them, and how the tests are spread."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from aggregator.local import checks
from aggregator.local.install import ROOT


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that the gates start, without starting them; the tool named in `failing` ends with 5."""
    commands: list[list[str]] = []

    def run(argv: Sequence[str], **_: object) -> SimpleNamespace:
        commands.append(list(argv[2:]))
        return SimpleNamespace(returncode=5 if argv[2] in failing else 0)

    failing: set[str] = set()
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(checks, "FAILING", failing, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    return commands


def fail(tool: str) -> None:
    vars(checks)["FAILING"].add(tool)


def test_run__all_gates_good__ruff_mypy_then_pytest_with_the_arguments(started: list[list[str]]) -> None:
    assert checks.run(["-k", "close out", "tests/unit"]) == 0
    assert [command[0] for command in started] == ["ruff", "mypy", "pytest"]
    assert "--strict" in started[1]
    assert started[2] == ["pytest", "-n", "2", "--dist", "loadfile", "-k", "close out", "tests/unit"]


@pytest.mark.parametrize(("tool", "reached"), [("ruff", ["ruff"]), ("mypy", ["ruff", "mypy"])])
def test_run__gate_fails__error_names_it_and_nothing_follows(started: list[list[str]], tool: str, reached: list[str]) -> None:
    fail(tool)
    with pytest.raises(checks.CheckFailed, match=f"`{tool} .*` found faults, listed above"):
        checks.run([])
    assert [command[0] for command in started] == reached


def test_run__tests_fail__pytests_exit_code(started: list[list[str]]) -> None:
    fail("pytest")
    assert checks.run([]) == 5


def test_run__installed_package__says_where_the_tests_are(started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ROOT", Path("/no/such/folder"))
    with pytest.raises(checks.NoCheckout, match="clone the repository"):
        checks.run([])
    assert started == []


@pytest.mark.parametrize(
    "argv", [["-n", "4"], ["-n0"], ["--numprocesses=3"], ["-p", "no:xdist"], ["-pno:xdist"], ["--pdb"], ["--co"]]
)
def test_spread__caller_decides__left_alone(argv: list[str]) -> None:
    assert checks.spread(argv) == []


def test_spread__many_processors__as_many_workers_as_are_useful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert checks.spread(["--color=no"])[:2] == ["-n", "8"]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert checks.spread([]) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import pytest\n\ndef test_it():\n    pytest.skip('no node')\n", 1),
        ("import pytest\n\npytest.skip('no browser', allow_module_level=True)\n", 2),
    ],
    ids=["test", "module"],
)
def test_skip__chain_tests_under_ci__fails_the_run(tmp_path: Path, text: str, code: int) -> None:
    room = tmp_path / "tests" / "chain"
    room.mkdir(parents=True)
    (tmp_path / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (room / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    found = {}
    for value in ("", "true"):
        under = {**os.environ, "CI": value, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run([*command, str(room)], cwd=tmp_path, env=under, capture_output=True, text=True)
        found[value] = (done.returncode in (0, 5), "skipped under CI" in done.stdout, done.returncode)
    assert found[""][:2] == (True, False)
    assert found["true"] == (False, True, code)
