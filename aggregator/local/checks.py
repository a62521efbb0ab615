"""The three gates of the house, the same here and in CI: ruff, mypy --strict, pytest.

The first that fails ends the run with an error that names it. pytest comes last and nothing is printed after its own
summary, so whoever reads the last line reads how many tests passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from aggregator.clock import ticks_ms
from aggregator.errors import ServiceError
from aggregator.local.install import ROOT, cache_folder

MOST_WORKERS = 8
# With one of these the caller has decided how the tests are spread, or pytest's own process has to run them.
SPREAD_OPTIONS = ("-n", "--numprocesses", "--dist")
ALONE_OPTIONS = frozenset({"--pdb", "--trace", "--collect-only", "--co"})


class CheckFailed(ServiceError):
    """ruff or mypy found faults; they are listed above the error."""


class NoCheckout(ServiceError):
    """The tests are not part of the installed package."""


def run(argv: Sequence[str]) -> int:
    """Runs the three gates; argv goes to pytest. Returns pytest's exit code. Raises CheckFailed, NoCheckout."""
    if not (ROOT / "tests").is_dir():
        raise NoCheckout("the tests come with the source: clone the repository and run `python3 -m aggregator test` there")
    writable = os.access(ROOT, os.W_OK)
    caches = str(cache_folder() / "checks")
    _gate("ruff", ["check", *([] if writable else ["--no-cache"]), "."])
    _gate("mypy", ["--strict", *([] if writable else ["--cache-dir", caches])])
    options = [*spread(argv), *([] if writable else ["-p", "no:cacheprovider"])]
    return subprocess.run([sys.executable, "-m", "pytest", *options, *argv], cwd=ROOT).returncode


def spread(argv: Sequence[str]) -> list[str]:
    """Options that spread the tests over the processors, file by file, unless argv already says how they are to run."""
    if any(w.startswith(SPREAD_OPTIONS) or w in ALONE_OPTIONS or w.endswith("no:xdist") for w in argv):
        return []
    workers = min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    return ["-n", str(workers), "--dist", "loadfile"] if workers > 1 else []


def _gate(tool: str, arguments: Sequence[str]) -> None:
    started = ticks_ms()
    if subprocess.run([sys.executable, "-m", tool, *arguments], cwd=ROOT).returncode != 0:
        sys.stdout.flush()
        command = " ".join([tool, *arguments])
        raise CheckFailed(f"`{command}` found faults, listed above; correct them and run the tests again")
    print(f"{tool}: clean in {(ticks_ms() - started) / 1000:.1f} s", file=sys.stderr, flush=True)
