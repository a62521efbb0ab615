"""Chromium against the real server: the server runs on a thread with its own loop, the page is driven from the test."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from aggregator.api.app import create_app, serve
from aggregator.settings import Settings
from aggregator.store import keys
from aggregator.store.db import Store
from tests.api.book import Book
from tests.api.conftest import DEPLOYMENT, new_database

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@dataclass
class Site:
    """The server, its book, and keys."""

    url: str
    book: Book
    tokens: dict[str, str]


@dataclass
class Watch:
    """What a page did that it should not: console errors, refused resources, requests to other hosts."""

    site: Site
    troubles: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.site.url, "data:")):
            self.troubles.append(f"other host: {request.url}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium of this machine."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: install chromium to look at the pages")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site(postgres_url: str) -> Iterator[Site]:
    """A server with the whole book, for the tests of one module."""
    for url in new_database(postgres_url):
        store = Store.connect(url, DEPLOYMENT)
        try:
            book = Book(store)
            book.write()
            with _Served(book) as address:
                owners = {"desk": "", "tern": "tern"}
                yield Site(address, book, {name: keys.create(store, owner, ("read",)) for name, owner in owners.items()})
        finally:
            store.close()


class _Served:
    """Runs the server on a thread until the block ends."""

    def __init__(self, book: Book) -> None:
        self._book, self._loop, self._stop = book, asyncio.new_event_loop(), asyncio.Event()
        self._ready, self._address = threading.Event(), ""
        self._thread = threading.Thread(target=self._run, name="api-server")

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = create_app(self._book.store, Settings(), self._book.networks, {})
        runner, self._address = await serve(app, "127.0.0.1", 0)
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def __enter__(self) -> str:
        self._thread.start()
        assert self._ready.wait(20)
        return self._address

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)


@pytest.fixture
def watch(site: Site) -> Iterator[Watch]:
    """Collects troubles of the pages that `opened` makes; there must be none at the end."""
    found = Watch(site)
    yield found
    assert not found.troubles, found.troubles


def opened(browser: Browser, watch: Watch, path: str = "/", width: int = 1280, scheme: str = "light", key: str = "desk") -> Page:
    """A signed-in page on `path`."""
    dark = scheme == "dark"
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.goto(f"{watch.site.url}/enter?key={watch.site.tokens[key]}")
    watch.follow(page)
    page.goto(watch.site.url + path)
    return page
