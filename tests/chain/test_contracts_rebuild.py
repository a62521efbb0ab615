"""The shipped artifacts are what the sources compile to, byte for byte, with the pinned compiler and library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from aggregator.local.install import npm_command
from chains.contracts import artifacts
from chains.devnet.artifacts import cache_root

pytestmark = [pytest.mark.chain, pytest.mark.slow]

FOLDER = artifacts.FOLDER.parent
ATTACK = Path(__file__).parent / "attack"


def tools() -> tuple[str, list[str]]:
    """node and npm: the machine's, or those of the environment's wheel."""
    npm = npm_command(None)
    node = npm[0] if Path(npm[0]).name == "node" else shutil.which("node")
    assert node, "npm works but node is not on PATH"
    return node, npm


def modules(folder: Path) -> Path:
    """Pinned solc and OpenZeppelin, brought once into the cache of the user."""
    pins = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    name = "-".join(f"{package.strip('@').replace('/', '-')}-{version}" for package, version in sorted(pins.items()))
    ready = folder / name / "node_modules"
    if ready.is_dir():
        return ready
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / f".{name}-{os.getpid()}"
    work.mkdir()
    shutil.copy(FOLDER / "package.json", work)
    node, npm = tools()
    subprocess.run([*npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=work, check=True,
                   env={**os.environ, "PATH": f"{Path(node).parent}{os.pathsep}{os.environ['PATH']}"})
    try:
        work.rename(folder / name)
    except OSError:
        shutil.rmtree(work)
    return ready


def test_artifacts__compiled_again__are_the_same(tmp_path: Path) -> None:
    node, _ = tools()
    environment = {**os.environ, "NODE_MODULES": str(modules(cache_root() / "contracts"))}
    runs = [subprocess.Popen([node, str(FOLDER / "compile.mjs"), str(tmp_path / which), which], env=environment,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for which in ("src", "test")]
    for run in runs:
        _, said = run.communicate(timeout=300)
        assert run.returncode == 0, said.decode()
    for which, shipped in (("src", artifacts.FOLDER), ("test", ATTACK)):
        made = sorted(path.name for path in (tmp_path / which).glob("*.json"))
        assert made == sorted(path.name for path in shipped.glob("*.json"))
        for name in made:
            assert json.loads((tmp_path / which / name).read_text()) == json.loads((shipped / name).read_text()), name


def test_artifacts__sizes__stay_below_the_limit_of_the_networks() -> None:
    for name in artifacts.names():
        assert len(artifacts.load(name).runtime) <= 24_576, name
