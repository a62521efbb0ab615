"""The real server on a real database, in the test's own process, on a free port."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import psycopg
import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from aggregator.api.app import create_app, serve
from aggregator.settings import Settings
from aggregator.store import keys
from aggregator.store.db import Store
from aggregator.store.migrate import upgrade
from tests.api.book import Book

DEPLOYMENT = "devnet"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Any
    json: Any

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(self.json["type"]).rpartition(":")[2]


class Api:
    """A server and somebody who calls it with a key."""

    def __init__(self, url: str, session: aiohttp.ClientSession, tokens: dict[str, str], book: Book) -> None:
        self.url, self.session, self.tokens, self.book = url, session, tokens, book

    async def call(
        self, method: str, path: str, body: Any = None, key: str = "desk", headers: dict[str, str] | None = None
    ) -> Answer:
        """One request. key: name of a token, or '' for none."""
        given = {"Authorization": f"Bearer {self.tokens[key]}"} if key else {}
        more = {"data": body} if isinstance(body, bytes) else {"json": body} if body is not None else {}
        async with self.session.request(method, self.url + path, headers={**given, **(headers or {})}, **more) as answer:
            return Answer(answer.status, answer.headers, await answer.json(content_type=None))

    async def get(self, path: str, key: str = "desk") -> Answer:
        return await self.call("GET", path, key=key)


def new_database(postgres_url: str) -> Iterator[str]:
    """A migrated database of its own."""
    url, name = make_url(postgres_url), f"api_{secrets.token_hex(8)}"
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} STRATEGY WAL_LOG")
        made = url.set(database=name).render_as_string(hide_password=False)
        upgrade(made)
        yield made
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def module_url(postgres_url: str) -> Iterator[str]:
    """A migrated database for the tests of one module."""
    yield from new_database(postgres_url)


@pytest.fixture(scope="module")
def book(module_url: str) -> Iterator[Book]:
    """The book of accounts in that database."""
    store = Store.connect(module_url, DEPLOYMENT)
    try:
        made = Book(store)
        made.write()
        yield made
    finally:
        store.close()


@pytest.fixture(scope="module")
def tokens(book: Book) -> dict[str, str]:
    """Keys: the desk with every scope, a reader, clients with their own."""
    everything = ("read", "simulate", "ticket", "admin")
    wanted = {"desk": ("", everything), "reader": ("", ("read",)), "marlow": ("marlow", everything),
              "tern": ("tern", ("read", "ticket"))}
    return {name: keys.create(book.store, client, scopes) for name, (client, scopes) in wanted.items()}


@pytest_asyncio.fixture
async def api(book: Book, tokens: dict[str, str]) -> AsyncIterator[Api]:
    """The server, listening."""
    app = create_app(book.store, Settings(), book.networks, {})
    runner, url = await serve(app, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as session:
        yield Api(url, session, tokens, book)
    await runner.cleanup()
