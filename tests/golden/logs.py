"""Recordings of real logs: one file holds a network's file as it was, raw logs by block, and the events they mean.

`python -m tests.golden.record_logs` writes them anew from local networks; look at the difference before you keep it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chains import protocols
from chains.events import AnyEvent
from chains.networks.network import Network
from chains.types import Address, BlockRef, ChainId, EventRef, Hash, Log, LogBatch

FOLDER = Path(__file__).parent / "logs"


@dataclass(frozen=True)
class Recording:
    """What was recorded of one network."""

    network: Network
    batches: tuple[LogBatch, ...]
    events: tuple[str, ...]


def line(event: AnyEvent) -> str:
    """An event as one readable line."""
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__ if name != "ref"}
    told = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{event.ref.block_number}.{event.ref.log_index} {type(event).__name__} {told}"


def lines(network: Network, batches: Sequence[LogBatch]) -> tuple[str, ...]:
    """What the protocols make of the batches."""
    return tuple(line(event) for batch in batches for event in protocols.decode(network, batch.logs))


def save(path: Path, network: Network, batches: Sequence[LogBatch]) -> None:
    """Write a recording; blocks without logs are left out."""
    blocks = [_block(batch) for batch in batches if batch.logs]
    content = {"network": network.model_dump(mode="json"), "blocks": blocks, "events": lines(network, batches)}
    path.write_text(json.dumps(content, indent=0) + "\n")


def _block(batch: LogBatch) -> dict[str, Any]:
    block = batch.block
    logs = []
    for log in batch.logs:
        topics = ["0x" + topic.hex() for topic in log.topics]
        logs.append([log.ref.log_index, log.tx_index, log.ref.tx_hash, log.address, "0x" + log.data.hex(), *topics])
    return {"number": block.number, "hash": block.hash, "parent": block.parent_hash, "timestamp": block.timestamp, "logs": logs}


def load(path: Path) -> Recording:
    """Read a recording."""
    content = json.loads(path.read_text())
    network = Network.model_validate(content["network"])
    batches = tuple(_batch(network.chain_id, raw) for raw in content["blocks"])
    return Recording(network, batches, tuple(content["events"]))


def _batch(chain_id: ChainId, raw: dict[str, Any]) -> LogBatch:
    block = BlockRef(chain_id, raw["number"], Hash(raw["hash"]), Hash(raw["parent"]), raw["timestamp"])
    logs = []
    for index, tx_index, tx_hash, where, data, *topics in raw["logs"]:
        ref = EventRef(chain_id, block.number, block.hash, index, Hash(tx_hash))
        logs.append(Log(ref, Address(where), tuple(bytes.fromhex(t[2:]) for t in topics), bytes.fromhex(data[2:]), tx_index))
    return LogBatch(block, tuple(logs))
