"""Recorded logs in, events out: what a decoder makes of real logs does not change unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains import events, protocols
from chains.protocols import erc20
from tests.golden import logs

RECORDINGS = sorted(logs.FOLDER.glob("*.json"))
SELDOM = {"TruedUp", "ActionDone", "TicketUsed"}  # no log of their own, or only with engine signatures: tested on chain


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: p.stem)
def test_logs__recorded__decode_to_the_recorded_events(path: Path) -> None:
    found = logs.load(path)
    assert logs.lines(found.network, found.batches) == found.events


def test_logs__all_recordings__tell_every_event_type() -> None:
    told = {line.split()[1] for path in RECORDINGS for line in logs.load(path).events}
    every = {kind.__name__ for kind in events.AnyEvent.__args__}
    assert every - told == SELDOM


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: p.stem)
def test_logs__block_by_block_or_protocol_by_protocol__the_same_events(path: Path) -> None:
    found = logs.load(path)
    for batch in found.batches:
        apart = [e for p in protocols.PROTOCOLS for e in p.decode(found.network, batch.logs)]
        assert sorted(map(logs.line, apart)) == sorted(map(logs.line, protocols.decode(found.network, batch.logs)))


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda p: p.stem)
def test_logs__each_token_movement__is_told_once(path: Path) -> None:
    """One Moved per Transfer of a listed token, none for shares, and two for nobody."""
    found = logs.load(path)
    tokens = erc20.watched(found.network)
    for batch in found.batches:
        moved = [e.ref for e in protocols.decode(found.network, batch.logs) if isinstance(e, events.Moved)]
        assert len(moved) == len(set(moved))
        transfers = [log.ref for log in batch.logs if log.address in tokens and log.topics[0] in erc20.TOPICS]
        assert moved == transfers
