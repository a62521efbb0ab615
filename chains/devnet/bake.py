"""Bake the local networks: deploy everything once, keep each network's state as a file that anvil loads in milliseconds.

A bake is a pure function of the artifact lock, the sources of this package and the own contracts: its folder is named by their
hash. It runs on private nodes that never reorganise, because a state dumped after a reorg may hold orphans. Block times inside a
bake are fixed and lie in the past: prices are stale until the market process has submitted its first round after boot.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chains.devnet import anvil, artifacts
from chains.devnet.layout import NETWORKS

if TYPE_CHECKING:
    from web3 import Web3

    from chains.devnet.parts import Parts

FOLDER = Path(__file__).parent
CONTRACTS = FOLDER.parent / "contracts"
TOML_FOLDER = FOLDER.parent / "networks"
KEPT_BAKES = 3


def key() -> str:
    """Hash of everything a bake depends on; names its cache folder."""
    total = hashlib.sha256()
    own = [*sorted(CONTRACTS.glob("*.py")), *sorted(CONTRACTS.glob("artifacts/*.json"))]
    sources = [artifacts.LOCK, *sorted(FOLDER.glob("*.py")), *own]
    for path in sources:
        total.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def bakes() -> Path:
    """Folder of all bakes in the cache."""
    return artifacts.cache_root() / "states"


def states(report: Callable[[str], None] = lambda line: None) -> dict[int, Path]:
    """State file per local chain id; bakes when the cache holds none. Artifacts must be in the cache (artifacts.ensure)."""
    ready = bakes() / key()
    if not ready.is_dir():
        start = time.monotonic()
        bakes().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=bakes()) as scratch:
            bake(NETWORKS, Path(scratch) / "ready", report)
            try:
                (Path(scratch) / "ready").rename(ready)
            except OSError:
                if not ready.is_dir():
                    raise
        _forget_old(ready)
        report(f"baked {len(NETWORKS)} networks in {time.monotonic() - start:.1f} s")
    return {chain: ready / f"{chain}.json" for chain in NETWORKS}


def tables() -> dict[int, dict[str, Any]]:
    """Network file content per local chain id, from the cached bake (bakes when absent)."""
    ready = states()[next(iter(NETWORKS))].parent
    found = json.loads((ready / "networks.json").read_text())
    return {int(chain): table for chain, table in found.items()}


def _forget_old(newest: Path) -> None:
    """Old bakes are only cache: each edit of the sources makes a new one."""
    others = [p for p in bakes().iterdir() if p.is_dir() and p != newest and not p.name.startswith(".")]
    for old in sorted(others, key=lambda p: p.stat().st_mtime, reverse=True)[KEPT_BAKES - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


def bake(chain_ids: Iterable[int], out: Path, report: Callable[[str], None] = lambda line: None) -> dict[int, dict[str, Any]]:
    """Deploy the networks `chain_ids` (all of layout.NETWORKS belong together) and write states and `networks.json` into `out`.

    Returns the network file content per chain id. Raises DeployFailed or AnvilFailed naming what went wrong.
    """
    from chains.devnet import lib

    wanted = {chain: NETWORKS[chain] for chain in chain_ids}
    out.mkdir(parents=True)
    with ExitStack() as stack:
        nodes: dict[int, Web3] = {}
        for chain, network in wanted.items():
            nodes[chain] = lib.connect(stack.enter_context(anvil.running(network, mine=False)), chain)
            lib.rpc(nodes[chain], "anvil_setBlockTimestampInterval", 1)
        report("deploying protocols")
        made = _deploy(nodes)
        report("deploying own contracts")
        with ThreadPoolExecutor(len(nodes)) as pool:
            found = dict(zip(nodes, pool.map(lambda c: _finish(nodes[c], made[c]), nodes), strict=True))
        for chain, w3 in nodes.items():
            dumped = bytes.fromhex(lib.rpc(w3, "anvil_dumpState")[2:])
            (out / f"{chain}.json").write_bytes(gzip.decompress(dumped))
    (out / "networks.json").write_text(json.dumps(found, indent=1))
    return found


def _deploy(nodes: Mapping[int, Web3]) -> dict[int, Parts]:
    """Each network in its own thread; what crosses networks comes between, one network after the other."""
    from chains.devnet import parts

    with ThreadPoolExecutor(len(nodes)) as pool:
        made = dict(zip(nodes, pool.map(lambda c: parts.install(nodes[c], NETWORKS[c]), nodes), strict=True))
        list(pool.map(lambda c: parts.connect(nodes[c], made[c], made), nodes))
        made = dict(zip(nodes, pool.map(lambda c: parts.stock(nodes[c], made[c]), nodes), strict=True))
        home = next(c for c, p in made.items() if not p.network.trades)
        for chain, part in made.items():
            if chain != home:
                parts.mint_synthetic(nodes[home], made[home], nodes[chain], part)
        return dict(zip(nodes, pool.map(lambda c: parts.open_synthetic_pool(nodes[c], made[c]), nodes), strict=True))


def _finish(w3: Web3, parts: Parts) -> dict[str, Any]:
    from chains.devnet import custody, network_table

    return network_table.table(parts.network, parts, custody.deploy(w3, parts))


def write_tables(found: Mapping[int, Mapping[str, Any]], folder: Path = TOML_FOLDER) -> None:
    """Write the network files of a bake."""
    from chains.devnet import network_table

    for chain, table in found.items():
        (folder / f"{chain}.toml").write_text(network_table.text(table))


def main() -> int:
    """Bake if needed; with --write, write the network files."""
    parser = argparse.ArgumentParser(prog="python3 -m chains.devnet.bake", description="bake the local networks")
    parser.add_argument("--write", action="store_true", help="write chains/networks/<chain id>.toml of the local networks")
    chosen = parser.parse_args()
    for path in states(lambda line: print(line, file=sys.stderr)).values():
        print(path)
    if chosen.write:
        write_tables(tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
