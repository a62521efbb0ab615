"""Makes the environment of a bare checkout, then hands over to the command line. Standard library alone.

Invariants:
- Nothing is installed for --help, --version or --no-bootstrap, nor in an installed wheel: there the
  environment is the user's.
- The state file inside the environment says `ready` only after everything of the named requirements was
  installed. One that says `installing` marks an interrupted install, and the environment is made anew.
- One run installs at a time; the others wait. A run that finds everything in place uses no network.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aggregator.errors import IsthmusError
from aggregator.local.install import (
    ROOT,
    RUNTIME,
    TEST,
    Delivery,
    bring_artifacts,
    cache_folder,
    install,
    install_uv,
    machine_npm,
    npm_command,
    package_count,
    python_of,
)
from aggregator.local.progress import Progress, execute, runs

STATE = "isthmus.json"
NETWORK_COMMANDS = frozenset({"demo", "test", "up", "devnet"})


def run(argv: Sequence[str]) -> int:
    """Prepares what argv needs, runs it and returns its exit code; may replace this process by one inside .venv.

    Help, version and wrong usage are answered by the parser before anything is made.
    """
    from aggregator import cli
    from aggregator.cli import parser

    asked, _ = parser.build().parse_known_args(argv)
    try:
        if asked.command and not asked.no_bootstrap:
            prepare_for(asked.command, argv)
        return cli.main(argv)
    except IsthmusError as error:
        print(f"isthmus: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if not asked.no_bootstrap or (error.name or "").split(".")[0] in {"aggregator", "chains"}:
            raise
        fix = f"leave out --no-bootstrap, or install {RUNTIME}"
        print(f"isthmus: the package {error.name} is missing; {fix}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def prepare_for(command: str, argv: Sequence[str]) -> None:
    """Returns once this process runs where the command can run; argv is what a replaced process gets."""
    # Where the usual cache cannot be written, whatever runs later has to look where this run put things.
    os.environ["ISTHMUS_CACHE"] = str(cache_folder())
    if is_checkout():
        enter_environment(command, argv)
    if command in NETWORK_COMMANDS:
        bring_artifacts(Path(sys.prefix) if state_of(Path(sys.prefix)) else None)


def is_checkout() -> bool:
    """True in a checkout whose package is not installed in the running Python."""
    if not (ROOT / RUNTIME).is_file() or not (ROOT / "pyproject.toml").is_file():
        return False
    from importlib import metadata

    try:
        metadata.distribution("isthmus")
    except metadata.PackageNotFoundError:
        return True
    return False


def environment_folder(wanted: str) -> Path:
    """The checkout's .venv; a folder in the cache where that one cannot be written and lacks `wanted`."""
    home = ROOT / ".venv"
    if is_ready(home, wanted) or os.access(home if home.exists() else ROOT, os.W_OK):
        return home
    return cache_folder() / "environments" / hashlib.sha256(str(ROOT).encode()).hexdigest()[:16]


def enter_environment(command: str, argv: Sequence[str]) -> None:
    """Returns if this process runs in an environment good for the command; replaces the process otherwise."""
    wanted = TEST if command == "test" else RUNTIME
    home = environment_folder(wanted)
    if not is_ready(home, wanted):
        with one_at_a_time(home):
            if not is_ready(home, wanted):
                make_environment(home, wanted, networks=command in NETWORK_COMMANDS)
    if Path(sys.prefix).resolve() != home.resolve():
        sys.stderr.flush()
        python = str(python_of(home))
        os.execv(python, [python, "-m", "aggregator", *argv])


def state_of(home: Path) -> dict[str, str]:
    """What the environment says of itself; empty when it says nothing."""
    try:
        state = json.loads((home / STATE).read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(home: Path, state: dict[str, str]) -> None:
    """Replaces the state file in one step."""
    fresh = home / f"{STATE}.{os.getpid()}"
    fresh.write_text(json.dumps(state, indent=1))
    fresh.replace(home / STATE)


def digest(requirements: str) -> str:
    """SHA-256 of one requirements file."""
    return hashlib.sha256((ROOT / requirements).read_bytes()).hexdigest()


def is_ready(home: Path, wanted: str) -> bool:
    """True when all that `wanted` lists now was installed and this user can run the interpreter."""
    state = state_of(home)
    complete = state.get("state") == "ready" and state.get(wanted) == digest(wanted)
    return complete and os.access(python_of(home), os.X_OK)


@contextlib.contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Holds the environment's lock: the folder itself, so that no lock file is left behind."""
    home.mkdir(parents=True, exist_ok=True)
    handle = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("isthmus: another run is making the environment; waiting for it", file=sys.stderr)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_environment(home: Path, wanted: str, *, networks: bool) -> None:
    """Installs `wanted` and, for networks, brings the third-party artifacts.

    Raises a ServiceError that names the fix; the state file then still says `installing`.
    """
    progress = Progress(4 if networks else 3)
    before = state_of(home)
    usable = before.get("state") != "installing" and is_recent(python_of(home))
    with ThreadPoolExecutor(1) as pool:
        # npm's downloads and those of the packages overlap, unless npm itself has yet to be installed.
        npm = machine_npm() if networks else None
        early = Delivery(pool, npm) if npm else None
        with progress.step(f"making the environment {home}"):
            if not usable:
                base = getattr(sys, "_base_executable", None) or sys.executable
                arguments = [base, "-m", "venv", "--without-pip", "--clear", str(home)]
                execute(arguments, "install the package python3-venv")
            write_state(home, {"state": "installing"})
        with progress.step("installing the installer uv"):
            install_uv(home)
        with progress.step(f"installing {package_count(wanted)} pinned packages"):
            install(home, wanted)
            site = sysconfig.get_path("purelib", "venv", {"base": str(home), "platbase": str(home)})
            Path(site, "isthmus.pth").write_text(f"{ROOT}\n")
        done = {RUNTIME: digest(RUNTIME), wanted: digest(wanted)}
        if usable and before.get(TEST) == digest(TEST):
            done[TEST] = before[TEST]
        write_state(home, {**done, "state": "ready"})
        if networks:
            with progress.step("bringing anvil and third-party contracts"):
                (early or Delivery(pool, npm_command(home))).wait(progress.detail)


def is_recent(python: Path) -> bool:
    """True for an interpreter that runs and is new enough."""
    return runs(python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))")
