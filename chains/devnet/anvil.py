"""A private anvil node as a child process: for bakes and tests. It owns its port, checks its own chain id and ends with its block.

Flags that every local network needs stand in `command`, so that whoever supervises nodes starts them the same way. With a number,
`--prune-history` keeps reorgs working on long chains; the bare flag would break them.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chains.devnet import artifacts
from chains.devnet.layout import GENESIS_TIME, LocalNetwork

BOOT_S = 20.0


class AnvilFailed(RuntimeError):
    """The node did not come up, or another one answers on its port."""


def command(network: LocalNetwork, port: int, *, state: Path | None = None, mine: bool = True) -> list[str]:
    """Command line of one local network. Without `mine` it mines a block per transaction, as bakes need."""
    line = [str(artifacts.anvil_path()), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(network.chain_id),
            "--slots-in-an-epoch", str(network.slots), "--silent", "--no-request-size-limit", "--prune-history", "100000"]
    if mine:
        line += ["--block-time", str(network.block_time_ms / 1000)]
    if state is not None:
        line += ["--load-state", str(state)]
    else:
        line += ["--timestamp", str(GENESIS_TIME)]
    return line


def settle(url: str, network: LocalNetwork) -> None:
    """Mine until the finalised block is not older than the loaded head: anvil holds no state of the blocks before that."""
    ask(url, "anvil_mine", hex(network.finalized_depth))


def free_port() -> int:
    """A TCP port that is free on loopback at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, method: str, *params: Any, timeout_s: float = 30.0) -> Any:
    """Result of one JSON-RPC call by the standard library. Raises AnvilFailed with the node's words, OSError when it is away."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout_s) as reply:
        answer = json.load(reply)
    if "error" in answer:
        raise AnvilFailed(f"{url} {method}: {answer['error']}")
    return answer["result"]


def _await(child: subprocess.Popen[bytes], url: str, chain_id: int) -> None:
    deadline = time.monotonic() + BOOT_S
    while True:
        if child.poll() is not None:
            raise AnvilFailed(f"anvil for chain {chain_id} ended with code {child.returncode} before it answered at {url}")
        try:
            found = int(ask(url, "eth_chainId", timeout_s=2), 16)
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise AnvilFailed(f"anvil for chain {chain_id} gave no answer at {url} in {BOOT_S:.0f} s") from error
            time.sleep(0.01)
            continue
        if found != chain_id:
            raise AnvilFailed(f"{url} answers for chain {found}, want {chain_id}: another node holds the port")
        return


@contextmanager
def running(network: LocalNetwork, *, state: Path | None = None, mine: bool = True) -> Iterator[str]:
    """URL of a private node of `network`; the node ends with the block. Raises AnvilFailed when it does not come up."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    child = subprocess.Popen(command(network, port, state=state, mine=mine), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _await(child, url, network.chain_id)
        if state is not None:
            settle(url, network)
        yield url
    finally:
        child.terminate()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
