"""The pages as a desk sees them: accounts with their numbers, live without reload, explained, readable at every width and theme."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from aggregator.store.views import accounts
from tests.browser.conftest import Site, Watch, opened

LOOKS = [("/", 1280, "light"), ("/", 390, "dark"), ("/accounts/marlow", 1280, "dark"), ("/accounts/kestrel", 390, "light"),
         ("/accounts/tern?explain=initial_margin", 1280, "light"),
         ("/accounts/salt?explain=initial_margin", 390, "dark")]  # fmt: skip
SECONDS = 8_000


def figure(page: Page, name: str) -> Any:
    return page.locator(f'[data-f="{name}"]').first


def test_overview__every_account__stands_with_its_three_numbers(browser: Browser, watch: Watch, site: Site) -> None:
    page = opened(browser, watch)
    rows = page.locator("#p-accounts tbody tr")
    expect(rows).to_have_count(4)
    assert [row.split("\n")[0].split("\t")[0] for row in rows.all_inner_texts()] == [
        "Saltmarsh Trading", "Tern Street Partners", "Kestrel Basis", "Marlow Capital"]  # fmt: skip
    for row in accounts(site.book.store):
        assert row.report is not None
        for name in ("net_liquidation_value", "initial_margin", "maintenance_margin"):
            cell = figure(page, f"{row.client}.{name}")
            assert cell.get_attribute("title") == row.report.body["risk"][name]
            assert re.fullmatch(r"\u2212?[0-9,]+", cell.inner_text()), cell.inner_text()
    assert figure(page, "salt.net_liquidation_value").inner_text() == "\u22121,300"
    assert page.locator("#p-desk li").count() == 4 and "WrongSequence" in page.locator("#p-desk").inner_text()
    assert "pending" in page.locator("#p-actions").inner_text() and "0x" in page.locator("#p-actions").inner_text()


def test_overview__new_report_and_block__appear_without_reload(browser: Browser, watch: Watch, site: Site) -> None:
    page = opened(browser, watch)
    expect(page.locator("#p-cut")).to_contain_text(f"A {site.book.height:,}")
    page.evaluate("window.here = 'the same document'")
    before = figure(page, "marlow.net_liquidation_value").inner_text()
    site.book.step(eth="2100")
    expect(page.locator("#p-cut")).to_contain_text(f"A {site.book.height:,}", timeout=SECONDS)
    expect(figure(page, "marlow.net_liquidation_value")).not_to_have_text(before, timeout=SECONDS)
    expect(figure(page, "marlow.net_liquidation_value")).to_have_class(re.compile("flash-up"))
    site.book.step(eth="2000")
    expect(figure(page, "marlow.net_liquidation_value")).to_have_text(before, timeout=SECONDS)
    expect(figure(page, "marlow.net_liquidation_value")).to_have_class(re.compile("flash-down"))
    assert page.evaluate("window.here") == "the same document"


def test_overview__stopped_network__is_told_at_once(browser: Browser, watch: Watch, site: Site) -> None:
    page = opened(browser, watch)
    site.book.follow(stopped="nodes disagree on block 7012")
    expect(page.locator("#p-desk")).to_contain_text("Stopped: nodes disagree on block 7012", timeout=SECONDS)
    expect(page.locator("#p-networks")).to_contain_text("1 held")
    site.book.follow()
    expect(page.locator("#p-desk")).not_to_contain_text("nodes disagree", timeout=SECONDS)


def test_account__explain__opens_beside_the_page_and_closes(browser: Browser, watch: Watch) -> None:
    page = opened(browser, watch, "/accounts/marlow")
    page.evaluate("window.here = 'the same document'")
    figure(page, "marlow.initial_margin").click()
    drawer = page.locator("#drawer")
    expect(drawer).to_contain_text("What it is made of")
    expect(drawer).to_be_focused()
    assert page.url.endswith("?explain=initial_margin")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(figure(page, "marlow.initial_margin")).to_be_focused()
    page.go_back()
    expect(page.locator("#drawer")).to_contain_text("isthmus explain marlow initial_margin")
    assert page.evaluate("window.here") == "the same document"


def test_account__venue__stands_with_its_health_factor(browser: Browser, watch: Watch) -> None:
    page = opened(browser, watch, "/accounts/kestrel")
    assert "1.00" in page.locator("#p-venues").inner_text()
    assert "Margin call" in page.locator("#p-call").inner_text()
    page = opened(browser, watch, "/accounts/tern", key="tern")
    assert "Close-out: shortfall" in page.locator("#p-call").inner_text()


def test_pages__keyboard__reaches_every_figure(browser: Browser, watch: Watch) -> None:
    page = opened(browser, watch)
    links = page.locator("#p-accounts a.n")
    assert links.count() >= 20
    assert all(link.get_attribute("href") for link in links.all())
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def test_pages__without_script__show_the_same(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}/enter?key={site.tokens['desk']}")
    assert page.locator("#p-accounts tbody tr").count() == 4
    page.goto(f"{site.url}/accounts/marlow?explain=available_margin")
    assert "Net liquidation value less initial margin" in page.locator("#drawer").inner_text()


def test_sign_in__wrong_key__says_what_to_do(browser: Browser, site: Site) -> None:
    page = browser.new_context().new_page()
    page.goto(site.url)
    page.fill("input[name=key]", "isk_000000000000_" + "0" * 48)
    page.click("button[type=submit]")
    assert "isthmus key" in page.locator("#wrong").inner_text()
    page.fill("input[name=key]", site.tokens["desk"])
    page.click("button[type=submit]")
    expect(page.locator("h1")).to_have_text("Overview")


@pytest.mark.parametrize(("path", "width", "scheme"), LOOKS)
def test_pages__axe_and_width__find_no_fault(
    browser: Browser, watch: Watch, tmp_path: Path, path: str, width: int, scheme: str
) -> None:
    page = opened(browser, watch, path, width, scheme)
    page.wait_for_timeout(300)
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    found = Axe().run(page).response["violations"]
    serious = [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:120]}" for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, serious
