"""The stream: snapshot then delta, resume without loss or repetition, only one's own, heartbeats."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aggregator.api import streams
from aggregator.store import event_log
from aggregator.store.event_log import NewEvent
from tests.api.conftest import Api


class Reader:
    """Frames of a server-sent event stream."""

    def __init__(self, content: Any) -> None:
        self._content = content

    async def frame(self) -> dict[str, str]:
        """The next event, comments skipped."""
        found: dict[str, str] = {}
        async with asyncio.timeout(10):
            while True:
                line = (await self._content.readline()).decode().rstrip("\n")
                if not line and "event" in found:
                    return found
                name, _, value = line.partition(": ")
                if name in ("id", "event", "data"):
                    found[name] = value

    async def comment(self) -> str:
        """The next comment line."""
        async with asyncio.timeout(10):
            while True:
                line: str = (await self._content.readline()).decode().rstrip("\n")
                if line.startswith(":"):
                    return line


@asynccontextmanager
async def opened(api: Api, key: str = "desk", last: int | None = None) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {api.tokens[key]}"} | ({"Last-Event-ID": str(last)} if last is not None else {})
    async with api.session.get(api.url + "/v1/stream", headers=headers) as answer:
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/event-stream")
        yield Reader(answer.content)


def append(api: Api, *rows: tuple[str, str]) -> int:
    """Appends (kind, client) rows; the last number."""
    with api.book.store.transaction() as conn:
        return event_log.append(conn, api.book.store.deployment, [NewEvent(kind, client=client) for kind, client in rows])


async def test_stream__fresh__gives_a_snapshot_then_what_follows(api: Api) -> None:
    async with opened(api) as reader:
        first = await reader.frame()
        assert first["event"] == "snapshot"
        assert {a["account"] for a in json.loads(first["data"])["accounts"]} >= {"marlow", "tern"}
        seq = append(api, ("client.suspended", "marlow"), ("price.published", ""), ("ticket.issued", "tern"))
        seen = [await reader.frame() for _ in range(3)]
        assert [int(f["id"]) for f in seen] == [seq - 2, seq - 1, seq]
        assert [f["event"] for f in seen] == ["client.suspended", "price.published", "ticket.issued"]


async def test_stream__resumed__loses_and_repeats_nothing(api: Api) -> None:
    async with opened(api) as reader:
        await reader.frame()
        seq = append(api, *[("ticket.issued", "marlow")] * 3)
        assert [int((await reader.frame())["id"]) for _ in range(2)] == [seq - 2, seq - 1]
    later = append(api, ("ticket.used", "marlow"))
    async with opened(api, last=seq - 1) as reader:
        assert [int((await reader.frame())["id"]) for _ in range(2)] == [seq, later]


async def test_stream__client_key__gets_its_own_only(api: Api) -> None:
    async with opened(api, "tern") as reader:
        snapshot = json.loads((await reader.frame())["data"])
        assert [a["account"] for a in snapshot["accounts"]] == ["tern"]
        append(api, ("ticket.issued", "marlow"), ("block.adopted", ""), ("ticket.issued", "tern"))
        frame = await reader.frame()
        assert json.loads(frame["data"])["account"] == "tern"


async def test_stream__quiet__sends_heartbeats(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.2)
    async with opened(api) as reader:
        await reader.frame()
        assert await reader.comment() == ": still here"


async def test_stream__odd_last_event_id__is_refused(api: Api) -> None:
    answer = await api.call("GET", "/v1/stream", headers={"Last-Event-ID": "yesterday"})
    assert answer.code == "request-invalid"
