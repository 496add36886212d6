"""The board in a real browser: what it shows, how it is used, and what it does when the line breaks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec import structs
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Route, expect
from tests.board.conftest import ROOT
from tests.factories import quote, report
from tests.gateway.serving import SILENT, serving
from tests.gateway.serving import Service as Answers
from tests.service_process import ServiceProcess, replayed

from zlotick.gateway.access.tokens import TokenFile
from zlotick.gateway.server import RunningGateway
from zlotick.market.universe import Member
from zlotick.model import (
    Alert,
    ConnectionStatus,
    Origin,
    ProviderRow,
    Review,
    StaleReason,
    Standing,
    StockUpdate,
)

AXE = ROOT / "board/node_modules/axe-core/axe.min.js"
LABEL = {"price": "last", "change": "change", "change_percent": "percent", "volume": "volume"}


class Board:
    """The page as its reader sees it, and everything that it did besides."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self._address = address
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.text} {message.location.get('url')}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self._address, "data:")):
            self.problems.append(f"a request elsewhere: {request.url}")

    async def open(self) -> None:
        await self.page.goto(self._address)

    def row(self, symbol: str) -> Any:
        return self.page.locator(f'tr[data-symbol="{symbol}"]')

    def cell(self, symbol: str, name: str) -> Any:
        return self.row(symbol).locator(f".{name}")

    async def shown(self) -> list[str]:
        """The symbols, from above."""
        rows = await self.page.locator("tr[data-symbol]").all()
        return [str(await row.get_attribute("data-symbol")) for row in rows]

    async def until_shown(self, *symbols: str) -> None:
        async with asyncio.timeout(30):
            while await self.shown() != list(symbols):
                await asyncio.sleep(0.05)

    async def focused(self) -> str | None:
        symbol: str | None = await self.page.evaluate("document.activeElement.dataset.symbol ?? null")
        return symbol


QUOTES = {
    "ABS": quote("ABS", 85.4, change=1.4, change_percent=1.67, volume=12_345),
    "ACG": quote("ACG", 32.3, change=-0.2, change_percent=-0.62, volume=4_000),
    "AGO": quote("AGO", 9.94, change=0.0, change_percent=0.0),
    "AMB": quote("AMB", 21.3, change=None, change_percent=None, volume=None, high=None, low=None),
}


@dataclass
class Changeable(Answers):
    """The gateway's service, with a delay, names and alerts; nothing is stored."""

    questdb: ConnectionStatus = ConnectionStatus.DISCONNECTED
    members: tuple[Member, ...] = (Member("ABS", "ASSECO", "PLSOFTB00016", date(2025, 4, 30)),)
    alerts: list[Alert] | None = field(default_factory=list)


@asynccontextmanager
async def board(
    page: Page, service: Answers | None = None, quotes: dict[str, StockUpdate] = QUOTES, **settings: Any
) -> AsyncIterator[tuple[Board, RunningGateway]]:
    """A board that was opened on a gateway with these quotes; afterwards nothing may have gone wrong."""
    async with serving(service or Changeable(), **settings) as gateway:
        gateway.publish(report(quotes, quotes))
        shown = Board(page, f"http://127.0.0.1:{gateway.port}/")
        await shown.open()
        yield shown, gateway
        assert shown.problems == []


# What it shows


async def test_every_number_is_the_gateways_and_what_is_unknown_is_a_dash(page: Page) -> None:
    async with board(page) as (shown, _):
        await expect(shown.cell("ABS", "last")).to_have_text("85.40")
        await expect(shown.cell("ABS", "change")).to_have_text("+1.40")
        await expect(shown.cell("ABS", "percent")).to_have_text("+1.67\u00a0%")
        await expect(shown.cell("ABS", "volume")).to_have_text("12,345")
        await expect(shown.row("ABS")).to_contain_text("ASSECO")
        await expect(shown.cell("ACG", "percent")).to_have_text("−0.62\u00a0%")
        for name in ("change", "percent", "volume"):
            await expect(shown.cell("AMB", name)).to_have_text("–")
        counts = page.get_by_role("region", name="Breadth")
        await expect(counts).to_have_text(re.compile("Advancers1Unchanged1Unknown1Decliners1"))


async def test_a_change_changes_its_cells_alone(page: Page) -> None:
    async with board(page) as (shown, gateway):
        await expect(shown.cell("ABS", "last")).to_have_text("85.40")
        await page.evaluate(
            """() => {
                window.touched = new Set();
                const row = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest('tr')?.dataset.symbol;
                new MutationObserver((changes) => changes.forEach(({target}) => touched.add(row(target))))
                    .observe(document.querySelector('tbody'), {subtree: true, childList: true, characterData: true});
            }"""
        )
        news = {**QUOTES, "ABS": quote("ABS", 86.0, timestamp=QUOTES["ABS"].timestamp)}
        gateway.publish(report(news, ["ABS"], offset=2))
        await expect(shown.cell("ABS", "last")).to_have_text("86.00")
        touched = set(await page.evaluate("[...touched]"))
    ages = {symbol for symbol in QUOTES if symbol != "ABS"}
    assert "ABS" in touched
    assert not touched - {"ABS"} - ages  # the ages may have gone on meanwhile


def labelled(origin: str | None, delay: int | None = None, provider: str = "gpw") -> dict[str, StockUpdate]:
    known = None if origin is None else Origin(origin)
    return {
        symbol: structs.replace(one, origin=known, delay_seconds=delay, data_source=provider)
        for symbol, one in QUOTES.items()
    }


@pytest.mark.parametrize(
    ("origin", "delay", "word", "why"),
    [
        ("live", 0, "Live", "Live quotes. Provider: gpw."),
        ("delayed", 900, "Delayed 15 min", "Quotes are 15 min behind the exchange. Provider: gpw."),
        ("end_of_day", None, "End of day", "Closing prices, published"),
        ("simulated", None, "Simulated", "invented"),
        ("replayed", None, "Replayed", "not today's market"),
        (None, None, "Replayed", "not today's market"),  # an old journal: the service's word
    ],
)
async def test_the_pill_says_what_the_quotes_may_be_called(
    page: Page, origin: str | None, delay: int | None, word: str, why: str
) -> None:
    """The pill was the word of the first provider, whatever the quotes were (the service here says: replayed)."""
    async with board(page, quotes=labelled(origin, delay)) as (_, _gateway):
        pill = page.locator(".pill")
        await expect(pill).to_have_text(word)
        await expect(page.locator("#why")).to_be_hidden()
        await pill.click()
        await expect(page.locator("#why")).to_contain_text(why)
        await page.keyboard.press("Escape")
        await expect(page.locator("#why")).to_be_hidden()


async def test_each_quote_says_what_it_is_and_whose(page: Page) -> None:
    """Friday's close of the second provider was called live, because the first provider is."""
    close = labelled("end_of_day", provider="stooq")["ACG"]
    quotes = {
        **labelled("live", 0),
        "ACG": structs.replace(close, review=Review.CORRECTED, exchange_time=close.timestamp),
    }
    async with board(page, quotes=quotes) as (shown, _):
        await expect(shown.cell("ABS", "provider")).to_have_text("Live · gpw")
        await expect(shown.cell("ACG", "provider")).to_have_text("End of day · stooq")
        await expect(page.locator(".pill")).to_have_text("Mixed")
        await page.locator(".pill").click()
        await expect(page.locator("#why")).to_contain_text("Live: 3 (gpw)")
        await expect(page.locator("#why")).to_contain_text("End of day: 1 (stooq)")
        await shown.row("ACG").click()
        details = page.get_by_role("region", name="Details of")
        await expect(details.locator(".headline")).to_contain_text("End of day")
        await expect(details).to_contain_text("Providerstooq")
        await expect(details).to_contain_text("Review: It corrects an earlier value")
        await expect(details).to_contain_text("30 Apr 2025")  # not of this year


async def test_who_never_had_a_quote_claims_no_delay_and_says_when_the_first_are_due(
    browser: Browser,
) -> None:
    """The first evening of a new install: "Delayed 15 min", although no provider had ever answered."""
    page = await browser.new_page(locale="pl-PL")
    night, due = datetime(2026, 11, 30, 21, 31, tzinfo=UTC), "2026-12-01T07:30:09.477Z"
    provider = ProviderRow("gpw", ConnectionStatus.DISCONNECTED, delay_seconds=900)
    service = Changeable(origin="delayed", delay=900, market_time=night, next_cycle=due, providers=[provider])
    async with board(page, service, quotes={}) as (_, _gateway):
        await expect(page.locator(".pill")).to_have_text("Brak notowań")
        await expect(page.locator(".quotes .quiet")).to_have_text(
            re.compile(r"Giełda jest zamknięta. Pierwsze notowania: wt. 1 grudnia( 2026)?, 8:30")
        )
        await expect(page.locator(".providers li", has_text="gpw")).to_contain_text("jeszcze nie odpytany")


async def test_a_phone_shows_the_date_with_its_year(browser: Browser) -> None:
    page = await browser.new_page(locale="en-GB", viewport={"width": 390, "height": 844})
    service = Changeable(market_time=datetime(2025, 4, 30, 8, tzinfo=UTC))
    async with board(page, service) as (shown, _):
        await expect(page.locator(".clock .date")).to_have_text("Wed, 30 Apr 2025")
        await expect(page.locator(".clock .date")).to_be_visible()
        await expect(shown.cell("ABS", "provider")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_the_clock_waits_at_the_end_of_a_phase_for_the_server(page: Page) -> None:
    """At 17:01:58 it showed the closing call, and "closing auction in 0:00"."""
    answer = {
        "phase": "closing_call", "status": "open", "time": "2025-04-30T14:59:30.000Z", "is_session": True,
        "session_day": "2025-04-30", "closed_days": [], "next_phase": "closing_auction", "next_phase_at": "2025-04-30T15:00:00.000Z",
    }  # fmt: skip
    service = Changeable(market_time=datetime(2025, 4, 30, 14, 59, tzinfo=UTC))
    asked = 0

    async def once(route: Route) -> None:
        nonlocal asked
        asked += 1
        await (route.fulfill(json=answer) if asked == 1 else route.abort())

    async with board(page, service) as (shown, _gateway):
        clock = page.locator(".clock time")
        await expect(clock).to_have_text("16:59:00")
        await page.route("**/api/v1/market", once)  # half a minute in five seconds, then no word any more
        await expect(clock).to_have_text("17:00:00")
        async with asyncio.timeout(30):
            while asked < 4:
                await asyncio.sleep(0.05)
        await expect(clock).to_have_text("17:00:00")
        await expect(page.locator(".phase")).to_have_text("Closing call")
        await expect(page.locator(".countdown")).to_have_count(0)
        shown.problems.clear()  # the questions without an answer


@pytest.mark.parametrize(
    ("standing", "short", "sentence"),
    [
        (Standing(stale=True, reason=StaleReason.REJECTED), "odrzucone", "Nowe notowania odrzucone jako nieprawdopodobne."),
        (Standing(stale=False, reason=StaleReason.NOT_TRADED), "bez transakcji", "Ostatni kurs nadal obowiązuje."),
    ],
)  # fmt: skip
async def test_why_there_is_no_newer_quote_is_told_when_it_happens(
    browser: Browser, standing: Standing, short: str, sentence: str
) -> None:
    """In mode ``changes`` no message told it: the page asked for all quotes twice a minute."""
    page = await browser.new_page(locale="pl-PL", viewport={"width": 1440, "height": 900})
    service = Changeable()
    async with board(page, service) as (shown, gateway):
        await expect(shown.cell("ABS", "stock").locator("em")).to_have_text("")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        service.standings = {"ABS": standing}
        gateway.publish(report(QUOTES, [], standings=service.standings))
        await expect(shown.cell("ABS", "stock").locator("em")).to_have_text(short)
        assert not [url for url in asked if url.endswith("/quotes")]
        await expect(shown.row("ABS")).to_have_class("stale" if standing.stale else "")
        await shown.row("ABS").click()
        details = page.get_by_role("region", name="Szczegóły ABS")
        await expect(details.locator(".because")).to_contain_text(sentence)
        await expect(details.get_by_text("Nieaktualne")).to_have_count(int(standing.stale))
        service.standings = {}
        gateway.publish(report(QUOTES, [], standings={}))
        await expect(details.locator(".because")).to_have_count(0)


async def test_a_stale_quote_looks_stale_and_all_of_them_are_the_pills_word(page: Page) -> None:
    service = Changeable(standings={"ABS": SILENT})
    async with board(page, service) as (shown, gateway):
        await expect(shown.cell("ABS", "stock")).to_contain_text("no answer")
        await expect(shown.row("ABS")).to_have_class("stale")
        await expect(shown.row("ACG")).to_have_class("")
        await expect(page.locator(".pill")).to_have_text("Replayed")
        service.standings = dict.fromkeys(QUOTES, SILENT)
        gateway.publish(report(QUOTES, QUOTES, offset=2, standings=service.standings))
        await expect(page.locator(".pill")).to_have_text("Stale")


GREEN = """() => {
    const green = (text) => { const [red, green, blue] = text.match(/[0-9.]+/g).map(Number); return green > red + 20 && green > blue + 20; };
    return [...document.querySelectorAll('body *')].flatMap((one) => ['', '::before', '::after'].flatMap((part) => {
        const style = getComputedStyle(one, part || null);
        const drawn = part === '' || !['none', 'normal'].includes(style.content);
        return drawn && [style.color, style.backgroundColor].some(green) ? [`${one.className} ${part}`] : [];
    }));
}"""


CHART_LOADED = "performance.getEntriesByType('resource').some(({name}) => /chart.*js/.test(name))"


async def test_without_its_server_it_stands_still_and_nothing_stays_green(page: Page) -> None:
    """It counted on: 34 minutes of invented market time, and every provider and store "connected" in green."""
    service = Changeable(market_time=datetime(2025, 4, 30, 8, tzinfo=UTC))
    async with serving(service) as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        shown = Board(page, f"http://127.0.0.1:{gateway.port}/")
        await shown.open()
        await expect(page.locator(".providers")).to_contain_text("connected")
        await expect(page.locator(".countdown")).to_be_visible()
        assert await page.evaluate(GREEN)
        # loaded while there is nothing else to do
        async with asyncio.timeout(30):
            while not await page.evaluate(CHART_LOADED):
                await asyncio.sleep(0.05)
    await expect(page.locator(".pill")).to_contain_text("Reconnecting")
    as_of = re.compile(r"as of \d\d:\d\d:\d\d")
    for part in (".market", ".providers h2", ".alerts h2"):
        await expect(page.locator(part).first).to_contain_text(as_of)
    await expect(page.locator(".countdown")).to_have_count(0)
    assert await page.evaluate(GREEN) == []
    before = await page.locator(".clock time").text_content(), await shown.cell("ABS", "age").text_content()
    wait = await page.locator(".pill").text_content()
    await expect(page.locator(".pill")).not_to_have_text(str(wait))  # the page's own clock goes on
    after = await page.locator(".clock time").text_content(), await shown.cell("ABS", "age").text_content()
    assert after == before
    await shown.row("ABS").click()
    await expect(page.locator(".chart .notice")).to_have_text(
        "Not connected. The candles will load after reconnecting."
    )
    async with serving(service, port=gateway.port) as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        await expect(page.locator(".as-of")).to_have_count(0)
        await expect(page.locator(".countdown")).to_be_visible()
        assert await page.evaluate(GREEN)


async def test_polish_has_its_comma_and_is_kept(browser: Browser) -> None:
    page = await browser.new_page(locale="pl-PL")
    async with board(page) as (shown, _):
        await expect(shown.cell("ABS", "last")).to_have_text("85,40")
        await expect(shown.cell("ABS", "volume")).to_have_text("12\u00a0345")
        await expect(page.get_by_role("button", name="Rosnące")).to_be_visible()
        assert await page.evaluate("document.documentElement.lang") == "pl-PL"
        await page.get_by_role("button", name="English").click()
        await expect(shown.cell("ABS", "last")).to_have_text("85.40")
        await page.reload()
        await expect(page.get_by_role("button", name="Advancers")).to_be_visible()


# How it is used


async def test_the_keyboard_does_everything(page: Page) -> None:
    async with board(page) as (shown, _):
        await shown.until_shown("ABS", "ACG", "AGO", "AMB")
        await page.keyboard.press("/")
        await page.keyboard.type("ag")
        await shown.until_shown("AGO")
        await page.keyboard.press("Escape")
        await shown.until_shown("ABS", "ACG", "AGO", "AMB")
        await page.keyboard.press("/")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        assert await shown.focused() == "ACG"
        await page.keyboard.press("w")
        await page.keyboard.press("2")
        await shown.until_shown("ACG")
        await page.keyboard.press("1")
        await shown.until_shown("ABS", "ACG", "AGO", "AMB")
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_contain_text("watch or stop watching")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.reload()  # the watch list is the browser's
        await page.keyboard.press("2")
        await shown.until_shown("ACG")


async def test_enter_opens_a_stock_arrows_go_on_and_escape_comes_back(page: Page) -> None:
    async with board(page) as (shown, _):
        await shown.until_shown("ABS", "ACG", "AGO", "AMB")
        await page.keyboard.press("ArrowDown")  # on a page where nothing has the keyboard yet
        await page.keyboard.press("Enter")
        details = page.get_by_role("region", name="Details of")
        await expect(details).to_contain_text("ABS ASSECO")
        await expect(details).to_contain_text("Previous close9.50")
        await expect(details).to_contain_text("No history: QuestDB is off")
        await page.keyboard.press("ArrowDown")
        await expect(details).to_contain_text("32.30")
        await page.keyboard.press("Escape")
        await expect(details).to_have_count(0)
        async with asyncio.timeout(30):
            while await shown.focused() != "ACG":
                await asyncio.sleep(0.05)
        # a chart may be left before its own line stood
        shown.problems = [text for text in shown.problems if "closed before the connection" not in text]


async def test_any_column_sorts_and_filters_follow_the_market(page: Page) -> None:
    async with board(page) as (shown, gateway):
        await page.get_by_role("button", name="Last").click()
        await shown.until_shown("ABS", "ACG", "AMB", "AGO")
        await page.get_by_role("button", name="%", exact=True).click()
        await shown.until_shown("ABS", "AGO", "ACG", "AMB")
        await page.get_by_role("button", name="Decliners").click()
        await shown.until_shown("ACG")
        news = {**QUOTES, "AGO": quote("AGO", 9.0, change=-0.94, change_percent=-9.46)}
        gateway.publish(report(news, ["AGO"], offset=2))
        await shown.until_shown("ACG", "AGO")


@pytest.mark.parametrize(
    ("width", "scheme"), [(1440, "dark"), (1440, "light"), (360, "dark"), (360, "light")]
)
async def test_it_is_accessible_and_never_wider_than_the_screen(
    browser: Browser, width: int, scheme: Any
) -> None:
    page = await browser.new_page(
        color_scheme=scheme, viewport={"width": width, "height": 800}, locale="pl-PL", reduced_motion="reduce"
    )
    async with board(page, Changeable(standings={"ABS": SILENT})) as (shown, _):
        await expect(shown.cell("ABS", "last")).to_have_text("85,40")
        await page.locator(".pill").click()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await accessible(page)
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        await accessible(page)


async def accessible(page: Page) -> None:
    await page.evaluate(await asyncio.to_thread(AXE.read_text, "utf-8"))
    found = await page.evaluate("axe.run(document).then(({violations}) => violations)")
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


async def test_a_flash_shows_a_change_unless_motion_is_unwanted(browser: Browser) -> None:
    for motion, flashes in (("no-preference", True), ("reduce", False)):
        page = await browser.new_page(reduced_motion=motion, locale="en-GB")  # type: ignore[arg-type]
        async with board(page) as (shown, gateway):
            await expect(shown.cell("ABS", "last")).to_have_text("85.40")
            await page.evaluate(
                """() => { window.flashes = 0; new MutationObserver(() => flashes++)
                .observe(document.body, {subtree: true, attributeFilter: ['data-flash']}); }"""
            )
            gateway.publish(report({**QUOTES, "ABS": quote("ABS", 86.0)}, ["ABS"], offset=2))
            await expect(shown.cell("ABS", "last")).to_have_text("86.00")
            if flashes:
                await page.wait_for_function("flashes > 0")
            else:
                assert await page.evaluate("flashes") == 0


# Who gets in


async def test_where_a_token_is_asked_for_the_page_asks_its_reader(page: Page, tmp_path: Path) -> None:
    token = await asyncio.to_thread(TokenFile(tmp_path).create, "reader", ("read",), None)
    async with serving(Changeable(home=tmp_path), auth="tokens") as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        shown = Board(page, f"http://127.0.0.1:{gateway.port}/")
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        page.on("websocket", lambda socket: addresses.append(socket.url))
        await shown.open()
        field = page.locator("input[type=password]")
        await field.fill("zt_wrong")
        await page.get_by_role("button", name="Enter").click()
        await expect(page.get_by_text("The server rejected this token.")).to_be_visible()
        await field.fill(token)
        await page.get_by_role("button", name="Enter").click()
        await expect(shown.cell("ABS", "last")).to_have_text("85.40")
        await expect(shown.row("ABS")).to_contain_text("ASSECO")  # of the HTTP half
        await page.reload()
        await expect(shown.cell("ABS", "last")).to_have_text("85.40")
        assert not [address for address in addresses if "zt_" in address or token in address]
        assert token not in str(await page.evaluate("Object.values(localStorage)"))


async def test_the_chart_asks_for_its_candles_when_questdb_comes(page: Page) -> None:
    """Whoever opened a chart before QuestDB was there got none until the line broke."""
    event = {"service": "QuestDB", "status": "connected", "timestamp": "2025-04-30T09:00:00.000Z"}
    async with board(page) as (shown, gateway):
        await shown.row("ABS").click()
        await expect(page.locator(".chart .notice")).to_contain_text("No history: QuestDB is off")
        async with page.expect_response("**/api/v1/candles/ABS*"):
            gateway.publish_event("connection_status", event)
        shown.problems.clear()  # nothing is stored here: 503


# When the line breaks


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path, "serve", "--questdb", "off", "--pocketbase", "off")
    service.set("providers.order", '["replay"]')
    service.set("providers.replay.speed", "3600")
    service.set("service.update_interval", "0.1")
    yield service
    service.end()


@pytest.mark.slow
async def test_it_shows_the_replayed_session_and_survives_a_restart_of_the_server(
    page: Page, service: ServiceProcess
) -> None:
    service.start()
    await service.until(lambda status: bool(status["last_cycle"]))
    shown = Board(page, f"http://localhost:{service.gateway}/")
    await shown.open()
    await expect(shown.cell("ABS", "last")).to_be_visible()
    first = await shown.cell("ABS", "last").text_content()
    await expect(shown.cell("ABS", "last")).not_to_have_text(str(first))
    assert shown.problems == []
    service.kill()
    await expect(page.locator(".pill")).to_contain_text("Reconnecting")
    await page.locator(".pill").click()
    await expect(page.locator("#why")).to_contain_text("Showing the last quotes received.")
    assert "ABS" in await shown.shown()
    service.start()
    await expect(page.locator(".pill")).to_have_text("Replayed")
    await service.until(replayed)
    await agrees(shown, service)


async def agrees(shown: Board, service: ServiceProcess) -> None:
    """Every row says what the gateway says."""
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://localhost:{service.gateway}/api/v1/quotes") as answer,
    ):
        quotes = (await answer.json())["data"]
    assert len(quotes) == 78
    async with asyncio.timeout(30):
        while [one["symbol"] for one in quotes if not await same(shown, one)]:
            await asyncio.sleep(0.1)


async def same(shown: Board, quote: dict[str, Any]) -> bool:
    texts = await shown.row(quote["symbol"]).evaluate(
        "(row, names) => names.map((name) => row.querySelector('.' + name).textContent)", list(LABEL.values())
    )
    return all(
        told(text) == pytest.approx(quote[name], abs=1e-9) for name, text in zip(LABEL, texts, strict=True)
    )


def told(text: str) -> float | None:
    return (
        None
        if text == "–"
        else float(text.translate({ord("−"): "-", ord("+"): "", ord(","): "", 0xA0: "", ord("%"): ""}))
    )


async def test_a_tab_that_slept_through_a_restart_goes_on_without_a_reload(page: Page) -> None:
    async with serving(Changeable()) as gateway:
        gateway.publish(report(QUOTES, QUOTES))
        shown = Board(page, f"http://127.0.0.1:{gateway.port}/")
        await shown.open()
        await expect(shown.cell("ABS", "last")).to_have_text("85.40")
        await page.evaluate("window.before = true")
        devtools = await page.context.new_cdp_session(page)
        await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
        port = gateway.port
    async with serving(Changeable(), port=port) as gateway:
        gateway.publish(report({**QUOTES, "ABS": quote("ABS", 90.0)}, ["ABS"], offset=7))
        await devtools.send("Page.setWebLifecycleState", {"state": "active"})
        await expect(shown.cell("ABS", "last")).to_have_text("90.00")
        await expect(page.locator(".pill")).to_have_text("Replayed")
        assert await page.evaluate("window.before")
