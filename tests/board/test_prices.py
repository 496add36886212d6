"""Very small and very large prices, on the widest screen and on a phone's; and the labels of the chart's axes."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect
from tests.board.test_board import QUOTES, Board, Changeable, board
from tests.factories import quote

from zlotick.model import ConnectionStatus, StockUpdate, utc_text

OPENED = datetime(2025, 4, 30, 7, tzinfo=UTC)

RECORD_TEXTS = """(() => {
    window.texts = [];
    const draw = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...more) {
        texts.push({text, at: document.timeline.currentTime, from: this.getTransform().transformPoint({x: x - this.measureText(text).width / 2, y}).x,
                    to: this.getTransform().transformPoint({x: x + this.measureText(text).width / 2, y}).x,
                    centred: this.textAlign === 'center', width: this.canvas.width});
        return draw.call(this, text, x, y, ...more);
    };
})()"""


def candles(price: float, step: float, count: int = 400) -> list[dict[str, Any]]:
    """Of one minute each."""
    found = []
    for index in range(count):
        close = round(price + step * (index % 5), 4)
        found.append({
            "symbol": "ABS", "interval": "1m", "start": utc_text(OPENED + timedelta(minutes=index)), "open": close,
            "high": close, "low": close, "close": close, "volume": 10, "ticks": 2, "data_source": "stooq.pl",
        })  # fmt: skip
    return found


def of(price: float) -> dict[str, StockUpdate]:
    small = quote("ABS", price, previous_close=price, change=0.0, low=price, high=price)
    return {**QUOTES, "ABS": small}


async def stored(page: Page, price: float, step: float) -> None:
    """These candles are what the store has; what the chart writes is recorded."""

    async def answer(route: Route) -> None:
        found = candles(price, step) if "interval=1m" in route.request.url else []
        await route.fulfill(json={"data": found})

    await page.route("**/api/v1/candles/**", answer)
    await page.add_init_script(RECORD_TEXTS)


async def chart(page: Page, shown: Board, view: str) -> None:
    await shown.row("ABS").click()
    await page.get_by_role("button", name=view, exact=True).click()
    await expect(page.locator(".plot")).to_have_attribute("aria-label", re.compile("400 candles"))


async def until(page: Page, condition: str) -> None:
    """Not `wait_for_function`: the page's content policy allows no eval."""
    async with asyncio.timeout(30):
        while not await page.evaluate(condition):
            await drawn(page)


async def drawn(page: Page, frames: int = 3) -> None:
    turn = "const turn = () => (left-- ? requestAnimationFrame(turn) : go()); turn();"
    await page.evaluate(f"new Promise((go) => {{ let left = {frames}; {turn} }})")


def served() -> Changeable:
    return Changeable(questdb=ConnectionStatus.CONNECTED, market_time=OPENED + timedelta(hours=7))


@pytest.mark.parametrize("view", ["Day", "1 min"])
async def test_a_share_of_two_grosze_has_an_axis_with_labels(page: Page, view: str) -> None:
    """The step of the axis was a grosz: at 0.0215 no label but the last price."""
    await stored(page, 0.021, 0.0005)
    async with board(page, served(), quotes=of(0.0215)) as (shown, _):
        await chart(page, shown, view)
        await until(
            page, r"new Set(texts.map(({text}) => text).filter((text) => /^0\.02\d\d$/.test(text))).size > 3"
        )


@pytest.mark.parametrize("view", ["Day", "1 min"])
async def test_no_label_of_the_time_axis_is_cut(page: Page, view: str) -> None:
    """ ":05" at the left end, "11:4" at the right one."""
    await stored(page, 85.0, 0.1)
    times = r"texts.filter(({text, centred}) => centred && /^\d\d:\d\d$/.test(text))"
    async with board(page, served()) as (shown, _):
        await chart(page, shown, view)
        await until(page, f"{times}.length > 2")
        await page.locator(".plot").hover()
        for _ in range(7):  # wherever it is scrolled to
            await page.mouse.wheel(17, 0)
            await drawn(page)
            labels = await page.evaluate(times)
            last = [one for one in labels if one["at"] == labels[-1]["at"]]
            # Half a pixel is not seen; where the labels are depends on the time of day.
            cut = [one for one in last if one["from"] < -0.5 or one["to"] > one["width"] + 0.5]
            assert cut == []


async def test_a_chart_at_rest_draws_nothing(page: Page) -> None:
    """The labels are written again when the axis moves, not without end."""
    await stored(page, 85.0, 0.1)
    async with board(page, served()) as (shown, _):
        await chart(page, shown, "1 min")
        await until(page, "texts.length > 0")
        async with asyncio.timeout(30):
            while await page.evaluate("texts.splice(0).length"):
                await drawn(page, frames=30)


@pytest.mark.parametrize("locale", ["en-GB", "pl-PL"])
@pytest.mark.parametrize("width", [1920, 1440, 1200, 390, 360])
async def test_a_large_price_fits_its_column(browser: Browser, width: int, locale: str) -> None:
    """123,254.21 ran out of its column to the edge of the next one."""
    page = await browser.new_page(locale=locale, viewport={"width": width, "height": 800})
    large = quote("ABS", 123_254.21, change=-2_345.5, change_percent=-1.87, low=121_000.01, high=124_000.02)
    async with board(page, quotes={**QUOTES, "ABS": large}) as (shown, _):
        await expect(shown.cell("ABS", "last")).to_be_visible()
        wide = await shown.row("ABS").evaluate(
            """(row) => [...row.querySelectorAll('.number, small')].filter((cell) => {
                const text = document.createRange(); text.selectNodeContents(cell);
                const [inner, outer] = [text.getBoundingClientRect(), cell.getBoundingClientRect()];
                return outer.width && (inner.left < outer.left - 0.5 || inner.right > outer.right + 0.5);
            }).map((cell) => cell.className + cell.textContent)"""
        )
        assert wide == []


@pytest.mark.parametrize(
    ("locale", "empty", "hint"),
    [
        ("en-GB", "The watch list is empty. Add a stock with its star ☆.", "Symbol or name"),
        ("pl-PL", "Lista obserwowanych jest pusta. Dodaj spółkę jej gwiazdką ☆.", "Symbol lub nazwa"),
    ],
)
async def test_a_phone_has_stars_and_speaks_of_no_keys(
    browser: Browser, locale: str, empty: str, hint: str
) -> None:
    """ "Press w on a stock, or its star": a phone has no keys, and its table had no stars."""
    page = await browser.new_page(
        locale=locale, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    async with board(page) as (shown, _):
        await page.locator(".segments button").nth(1).tap()
        await expect(page.locator(".quotes .quiet")).to_have_text(empty)
        await expect(page.locator("#search")).to_have_attribute("placeholder", hint)
        await page.locator(".segments button").first.tap()
        await shown.row("ABS").locator(".star button").tap()
        await page.locator(".segments button").nth(1).tap()
        await shown.until_shown("ABS")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
