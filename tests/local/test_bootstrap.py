"""The bootstrap: what needs nothing installs nothing, and what is installed once is found again, offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import pytest

import aggregator.__main__ as entry
from aggregator import bootstrap
from aggregator.local import install
from aggregator.local.install import NODE, ROOT, RUNTIME, TEST, UV
from aggregator.local.progress import Progress, StepFailed, execute

# The interpreter that the environment was made from: it knows none of the project's packages.
BASE: str = getattr(sys, "_base_executable", sys.executable)
SHIPPED = ("aggregator", "chains", "migrations", "pyproject.toml", RUNTIME, TEST, NODE, UV)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A bare checkout at a path with a space in it."""
    target = tmp_path / "a bare checkout"
    target.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy2(ROOT / name, target / name)
    return target


def start(checkout: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [BASE, "-m", "aggregator", *arguments], cwd=checkout, env={**os.environ, **more}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def pins(name: str) -> dict[str, str]:
    """Package -> pinned version with its markers."""
    lines = [line.rstrip(" \\") for line in (ROOT / name).read_text().splitlines() if re.match(r"[a-z0-9]", line)]
    return {line.split("==")[0]: line.split("==")[1] for line in lines}


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["demo", "--help"], ["test", "-h"], []])
def test_help__bare_checkout__answers_without_any_package(checkout: Path, arguments: list[str]) -> None:
    # Without -S the packages of the interpreter itself could stand in for ours.
    done = subprocess.run([BASE, "-S", "-m", "aggregator", *arguments], cwd=checkout, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "isthmus" in done.stdout
    assert not (checkout / ".venv").exists()


def test_wrong_usage__bare_checkout__refused_before_anything_is_installed(checkout: Path) -> None:
    done = subprocess.run([BASE, "-S", "-m", "aggregator", "demmo"], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 2
    assert "invalid choice: 'demmo'" in done.stderr
    assert not (checkout / ".venv").exists()


def test_no_bootstrap__bare_checkout__says_what_is_missing(checkout: Path) -> None:
    arguments = ["--no-bootstrap", "config", "show"]
    done = subprocess.run([BASE, "-S", "-m", "aggregator", *arguments], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"isthmus: the package \w+ is missing; leave out --no-bootstrap, or install .*\n", done.stderr)
    assert not (checkout / ".venv").exists()


def test_main__old_python__told_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    assert entry.main(["demo"]) == 1
    assert "PythonTooOld" in capsys.readouterr().err


@pytest.mark.slow
def test_bootstrap__bare_checkout__installs_once_serialised_and_runs_offline(checkout: Path) -> None:
    # Two at once: one makes the environment, the other waits for it.
    first, second = start(checkout, "config", "show", "--json"), start(checkout, "config", "show", "--json")
    outputs = [child.communicate(timeout=300) for child in (first, second)]
    skip_where_offline("".join(stderr for _, stderr in outputs))
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert all(json.loads(stdout) for stdout, _ in outputs)
    told = "".join(stderr for _, stderr in outputs)
    count = install.package_count(RUNTIME)
    assert re.search(rf"\[3/3\] installing {count} pinned packages \.\.\. \d+\.\d s\n", told)
    assert told.count("[3/3]") == 1
    assert json.loads((checkout / ".venv" / "isthmus.json").read_text())["state"] == "ready"

    # Again, with every registry out of reach: nothing is installed and nothing is said.
    cut_off = {"PIP_INDEX_URL": "http://127.0.0.1:1", "UV_OFFLINE": "1", "UV_DEFAULT_INDEX": "http://127.0.0.1:1"}
    third = start(checkout, "config", "show", "--json", **cut_off)
    stdout, stderr = third.communicate(timeout=60)
    assert (third.returncode, stderr) == (0, ""), stderr
    assert json.loads(stdout)

    # An install that was cut short is not taken for a good one, whatever lies there: the environment is made anew.
    (checkout / ".venv" / "isthmus.json").write_text(json.dumps({"state": "installing"}))
    package = next((checkout / ".venv" / "lib").glob("python*/site-packages/rich/__init__.py"))
    package.unlink()
    fourth = start(checkout, "config", "show", "--json")
    stdout, stderr = fourth.communicate(timeout=300)
    assert fourth.returncode == 0, stderr
    assert package.exists()

    # The package is found from everywhere by the environment's own interpreter.
    found = subprocess.run(
        [checkout / ".venv/bin/python", "-c", "import aggregator; print(aggregator.__file__)"],
        cwd="/", capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout.strip() == str(checkout / "aggregator" / "__init__.py")


def skip_where_offline(told: str) -> None:
    if "StepFailed" in told and any(word in told for word in ("Connect", "connection", "Could not fetch", "resolve")):
        pytest.skip(f"no package index within reach: {told[-300:]}")


def test_requirements__every_line__pinned_hashed_and_without_address() -> None:
    for name in (RUNTIME, TEST, NODE, UV):
        text = (ROOT / name).read_text()
        assert not re.search(r"://|--(extra-)?index|--find-links|file:", text), name
        entries = re.split(r"\n(?=[a-z0-9])", text)[1:]
        assert entries and all("--hash=sha256:" in entry for entry in entries), name


def test_requirements__test_set__holds_the_runtime_set_unchanged() -> None:
    runtime, test = pins(RUNTIME), pins(TEST)
    assert {name: test.get(name) for name in runtime} == runtime


def test_requirements__direct_dependencies__all_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def names(wanted: list[str]) -> set[str]:
        return {re.split(r"[\[<>=; ]", line)[0] for line in wanted}

    assert names(project["dependencies"] + extras["local"]) <= set(pins(RUNTIME))
    assert names(extras["test"]) <= set(pins(TEST))
    assert names(extras["node"]) == set(pins(NODE))


def test_is_checkout__package_installed__false(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> NoReturn:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "distribution", missing)
    assert bootstrap.is_checkout()
    monkeypatch.setattr(metadata, "distribution", lambda _: object())
    assert not bootstrap.is_checkout()


def test_environment_folder__checkout_not_writable__in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path / "checkout")
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bootstrap, "is_ready", lambda *_: False)
    monkeypatch.setattr(os, "access", lambda path, _: False)
    assert bootstrap.environment_folder(RUNTIME).parent == tmp_path / "cache" / "environments"
    monkeypatch.setattr(os, "access", lambda path, _: True)
    assert bootstrap.environment_folder(RUNTIME) == tmp_path / "checkout" / ".venv"


def test_cache_folder__no_writable_home__beside_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ISTHMUS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert install.cache_folder() == tmp_path / ".cache" / "isthmus"
    monkeypatch.setattr(os, "access", lambda path, _: False)
    assert install.cache_folder().name == f"isthmus-{os.getuid()}"
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "own"))
    assert install.cache_folder() == tmp_path / "own"


def test_install_uv__neither_pip_nor_ensurepip__names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "runs", lambda *_: False)
    with pytest.raises(install.PipMissing, match=r"apt-get install python3-venv, or python3-pip"):
        install.install_uv(tmp_path)


def test_npm_command__none_on_path_and_no_environment__names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "machine_npm", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(install.NpmMissing, match=r"apt-get install npm"):
        install.npm_command(None)


def test_execute__program_fails__error_ends_with_its_last_words(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailed, match=r"(?s)sh -c .* ended with code 3; ask somebody\n    out of paper$"):
        execute(["sh", "-c", "echo out of paper; exit 3"], "ask somebody")
    with pytest.raises(StepFailed, match=r"no-such-program does not start: .*; install it"):
        execute(["no-such-program"], "install it")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (lambda step: None, r"\[1/2\] doing ... \d\.\d s\n"),
        (lambda step: step.detail("half way"), r"\[1/2\] doing ...\n      half way\n      done in \d\.\d s\n"),
    ],
)
def test_progress__step__tells_number_text_and_time(
    capsys: pytest.CaptureFixture[str], body: Callable[[Progress], None], shown: str
) -> None:
    progress = Progress(2)
    with progress.step("doing"):
        body(progress)
    assert re.fullmatch(shown, capsys.readouterr().err)


def test_progress__step_fails__line_is_closed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="x"), Progress(1).step("doing"):
        raise ValueError("x")
    assert re.fullmatch(r"\[1/1\] doing \.\.\. failed after \d\.\d s\n", capsys.readouterr().err)


def test_runs__program_hangs__false_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from aggregator.local import progress

    monkeypatch.setattr(progress, "PROBE_S", 0.1)
    started = time.monotonic()
    assert not progress.runs("sleep", "60")
    assert time.monotonic() - started < 5
    assert progress.runs("true")
    assert not progress.runs("false")
