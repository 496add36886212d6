"""Two tabs of one reader: what is kept is theirs together, and the gateway has time for both."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, Route, expect
from tests.board.test_board import QUOTES, Board, Changeable
from tests.factories import report
from tests.gateway.serving import serving

from zlotick.gateway.server import RunningGateway
from zlotick.model import ConnectionStatus

KEPT = "JSON.parse(localStorage.getItem('zlotick.watchList'))"


async def opened(context: BrowserContext, gateway: RunningGateway) -> Board:
    board = Board(await context.new_page(), f"http://127.0.0.1:{gateway.port}/")
    await board.open()
    await expect(board.cell("ABS", "last")).to_be_visible()
    return board


async def test_two_tabs_share_the_watch_list(browser: Browser) -> None:
    """A star in the second tab wiped the first one's list: each tab wrote the list that it had read at its start."""
    context = await browser.new_context(locale="en-GB")
    async with serving(Changeable()) as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        one, other = await opened(context, gateway), await opened(context, gateway)
        for tab, symbol in ((one, "ABS"), (one, "ACG"), (other, "AGO")):
            await tab.page.get_by_role("button", name=f"Watch {symbol}").click()
        await expect(one.page.get_by_role("button", name="Stop watching AGO")).to_be_visible()
        assert await one.page.evaluate(KEPT) == ["ABS", "ACG", "AGO"]
        await other.page.get_by_role("button", name="Stop watching ABS").click()
        await expect(one.page.get_by_role("button", name=re.compile("Watch list"))).to_contain_text("2")
        assert one.problems == other.problems == []


async def test_a_change_that_a_tab_has_not_heard_of_is_not_undone(browser: Browser) -> None:
    """A tab that slept hears of nothing; what it adds is added to what is kept."""
    context = await browser.new_context(locale="en-GB")
    async with serving(Changeable()) as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        board = await opened(context, gateway)
        # of its own page there is no event
        await board.page.evaluate("localStorage.setItem('zlotick.watchList', '[\"AMB\"]')")
        await board.page.get_by_role("button", name="Watch ABS").click()
        assert await board.page.evaluate(KEPT) == ["ABS", "AMB"]
        assert await board.page.locator(".star [aria-pressed=true]").count() == 2


async def test_two_tabs_share_language_and_theme(browser: Browser) -> None:
    context = await browser.new_context(locale="en-GB", color_scheme="light")
    async with serving(Changeable()) as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        one, other = await opened(context, gateway), await opened(context, gateway)
        await one.page.get_by_role("button", name="Polski").click()
        await expect(other.page.get_by_role("button", name="Rosnące")).to_be_visible()
        await other.page.get_by_role("button", name="Motyw: systemowy").click()
        await other.page.get_by_role("button", name="Motyw: jasny").click()
        await expect(one.page.locator("html")).to_have_attribute("data-theme", "dark")
        await one.page.evaluate("localStorage.clear()")  # by the browser's own settings
        await expect(other.page.get_by_role("button", name="Advancers")).to_be_visible()


async def test_who_is_told_to_wait_asks_again_when_it_is_time(page: Page) -> None:
    """429 for the second tab's own questions: no line of the day for a minute, and "Try again" in the chart."""
    asked: list[str] = []

    async def busy_once(route: Route) -> None:
        path = route.request.url.partition("/candles/")[2]
        first = path not in asked
        asked.append(path)
        if first:
            await route.fulfill(status=429, headers={"Retry-After": "1"}, json={})
        else:
            await route.fulfill(body=json.dumps({"data": [CANDLE]}), content_type="application/json")

    await page.route("**/api/v1/candles/**", busy_once)
    async with serving(Changeable(questdb=ConnectionStatus.CONNECTED)) as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        board = Board(page, f"http://127.0.0.1:{gateway.port}/")
        await board.open()
        await board.row("ABS").click()
        await expect(page.locator(".plot")).to_have_attribute(
            "aria-label", re.compile(r"1 candles, last 85\.40")
        )
        await expect(page.locator(".chart .notice")).to_have_count(0)
        async with asyncio.timeout(30):
            while not all(asked.count(path) > 1 for path in asked):
                await asyncio.sleep(0.05)


CANDLE: dict[str, Any] = {
    "symbol": "ABS", "interval": "1m", "start": "2025-04-30T07:00:00.000Z", "open": 85.0, "high": 86.0,
    "low": 85.0, "close": 85.4, "volume": 10, "ticks": 2, "data_source": "stooq.pl",
}  # fmt: skip
