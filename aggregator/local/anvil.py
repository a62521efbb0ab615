"""Local networks as supervised anvil nodes.

A node counts as started when our own child listens on the port and answers with the chain id that was asked for: on a
taken port anvil ends, and whoever holds the port would answer in its place.
"""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from aggregator.clock import ticks_ms
from aggregator.local.processes import Child, ChildDied, ForeignChain, NotReady, PortTaken, Supervisor
from aggregator.local.servers import listening_ports

BOOT_S = 20.0
# States are kept in memory, and with a number reorganisations of long chains work; the bare flag would break them.
KEPT_STATES = 100_000


@dataclass(frozen=True)
class AnvilSpec:
    """What a node is to be. Without `block_time_s` it mines a block per transaction; port 0 takes a free one.

    `load_state` is a file to start from. With `keep_state` the chain is written there every second, and a restarted node
    goes on from there.
    """

    chain_id: int
    block_time_s: float | None
    slots_in_epoch: int
    port: int = 0
    load_state: Path | None = None
    keep_state: Path | None = None
    extra: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnvilNode:
    """A running node: its specification, HTTP endpoint, port and process."""

    spec: AnvilSpec
    url: str
    port: int
    child: Child


def command(spec: AnvilSpec, binary: Path, port: int, cache: Path) -> list[str]:
    """Command line of a node on `port`."""
    line = [str(binary), "--silent", "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(spec.chain_id)]
    line += ["--slots-in-an-epoch", str(spec.slots_in_epoch), "--prune-history", str(KEPT_STATES)]
    line += ["--no-request-size-limit", "--cache-path", str(cache)]
    if spec.block_time_s is not None:
        line += ["--block-time", f"{spec.block_time_s:g}"]
    if spec.keep_state is not None:
        line += ["--state", str(spec.keep_state), "--state-interval", "1"]
    elif spec.load_state is not None:
        line += ["--load-state", str(spec.load_state)]
    return [*line, *spec.extra]


def start_node(supervisor: Supervisor, spec: AnvilSpec, binary: Path | None = None) -> AnvilNode:
    """Starts a node and returns it once it answers.

    Raises PortTaken, ChildDied with its last log lines, ForeignChain, or NotReady.
    """
    if spec.keep_state is not None and spec.load_state is not None and not spec.keep_state.exists():
        shutil.copyfile(spec.load_state, spec.keep_state)
    return _launch(supervisor, spec, binary or _locked_binary(), spec.port)


def restart_node(supervisor: Supervisor, node: AnvilNode) -> AnvilNode:
    """Starts a node again on its port, from its kept state or its first one; ends the process if it still runs."""
    node.child.kill()
    node.child.wait(BOOT_S)
    return _launch(supervisor, node.spec, Path(node.child.argv[0]), node.port)


def chain_id_of(url: str, timeout_s: float = 2.0) -> int:
    """Chain id that the endpoint tells. Raises OSError or ValueError when it gives no proper answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:
        answer = json.load(reply)
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), str):
        raise ValueError(f"{url} gives no chain id: {answer!r:.200}")
    return int(answer["result"], 16)


def check_chain(url: str, chain_id: int) -> None:
    """Raises ForeignChain if another network than `chain_id` answers behind the URL."""
    found = chain_id_of(url)
    if found != chain_id:
        raise ForeignChain(
            f"{url} answers for chain {found}, want {chain_id}; correct rpc_url in that network's file or "
            f"ISTHMUS_RPC_{chain_id}, or end the node that holds the port"
        )


def _locked_binary() -> Path:
    from chains.devnet import artifacts

    return artifacts.anvil_path()


def _launch(supervisor: Supervisor, spec: AnvilSpec, binary: Path, port: int) -> AnvilNode:
    name = f"anvil-{spec.chain_id}"
    line = command(spec, binary, port, supervisor.folder / "anvil")
    child = supervisor.spawn(name, line, foundation=True)
    deadline = ticks_ms() + BOOT_S * 1000
    while True:
        listening = listening_ports(child.pid)
        if listening:
            url = f"http://127.0.0.1:{min(listening)}"
            try:
                check_chain(url, spec.chain_id)
            except (urllib.error.URLError, OSError, ValueError):
                listening = set()
            else:
                return AnvilNode(spec, url, min(listening), child)
        if child.poll() is not None:
            raise _death(child, spec, port)
        if ticks_ms() > deadline:
            raise NotReady(f"{name} gives no answer after {BOOT_S:g} s{child.last_words()}")
        sleep(0.005)


def _death(child: Child, spec: AnvilSpec, port: int) -> PortTaken | ChildDied:
    death = child.death()
    if "in use" not in child.last_words():
        return death
    try:
        holder = f"a node of chain {chain_id_of(f'http://127.0.0.1:{port}')}"
    except (OSError, ValueError):
        holder = "another program"
    return PortTaken(
        f"port {port} for the local network {spec.chain_id} is held by {holder}; end it, or take port 0 for a free one"
    )
