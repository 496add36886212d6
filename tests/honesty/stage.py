"""Plays a case through the real service: HTTP fetch, providers, chain, validation, cycle, SQLite journal, alerts,
gateway (REST and a WebSocket client in mode ``changes``). Only the sources are stubs, and the clock is set by hand.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aiohttp
from tests.gateway.serving import Client, connected
from tests.honesty import exchange, sheets
from tests.honesty.case import Case, Look, Page, Sees
from tests.honesty.exchange import day_of, when
from tests.providers.web import stub as play
from tests.providers.web.stub import Reply, Seen, StubSite

from zlotick.config import (
    AlertRuleConfig,
    AlphaVantageConfig,
    PocketbaseConfig,
    QuestDBConfig,
    Secret,
    Settings,
)
from zlotick.market.calendar import Phase, in_warsaw
from zlotick.model import AlertCondition, StockUpdate, utc_time
from zlotick.providers import StockDataProvider
from zlotick.service.delivering import Delivering
from zlotick.service.manager import RealTimeStreamManager

WITHIN = 5.0
"""Seconds that a client may take to see what everybody else sees."""

_WATCHED = "ABS"
RULES = [
    AlertRuleConfig(name="above", symbols=[_WATCHED], condition=AlertCondition.PRICE_ABOVE, threshold=120),
    AlertRuleConfig(name="below", symbols=[_WATCHED], condition=AlertCondition.PRICE_BELOW, threshold=60),
    AlertRuleConfig(name="stale", symbols=[_WATCHED], condition=AlertCondition.STALE),
]
_TRADED_IN = {Phase.OPENING_AUCTION, Phase.CONTINUOUS, Phase.CLOSING_AUCTION, Phase.TRADE_AT_LAST}
_NOISE = re.compile(r":-0(\.0+)?[,}\]]|\d\.\d{9,}")
_WORDS = {
    "down": play.BROKEN,
    "challenge": play.CHALLENGE,
    "other": play.OTHER_PAGE,
    "blank": play.EMPTY,
    "hang up": play.HANG_UP,
}


class Sources:
    """The stub of each provider, and the look that is being played."""

    def __init__(self) -> None:
        self.look = Look("Thu- 03:00")
        self.stubs: dict[str, StubSite] = {}

    def clock(self) -> datetime:
        return when(self.look.at)

    def true(self) -> datetime:
        return when(self.look.true or self.look.at)

    def answer(self, provider: str, seen: Seen) -> Reply:
        if provider in ("gpw", "bankier"):
            return self._page(provider, getattr(self.look, provider))
        bodies = self.look.bodies
        key = provider if provider in bodies else seen.path.rsplit("/", 1)[-1].removesuffix(".WA")
        return self._headed(bodies[key]) if key in bodies else play.GONE

    def _page(self, provider: str, page: Page) -> Reply:
        if page.reply in _WORDS:
            return _WORDS[page.reply]
        moment = when(page.of) if page.of else self.true()
        return self._headed(page.reply or sheets.build(provider, moment, page.edits))

    def _headed(self, body: str) -> Reply:
        headers = dict(self.look.headers)
        if self.look.date is not None:
            told = when(self.look.date) if self.look.date else self.true()
            headers["Date"] = format_datetime(told, usegmt=True)
        return play.page(body, headers=headers)


class Mine(StockDataProvider):
    """A provider of the user's own."""

    name = "mine"

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def market_time(self) -> datetime:
        return self._sources.clock()

    async def fetch_data(self) -> list[StockUpdate]:
        usual: dict[str, Any] = dict.fromkeys(
            ("change", "change_percent", "volume", "high", "low", "open")
        ) | {"market_status": "open", "data_source": "mine"}
        return [StockUpdate(**(usual | given)) for given in self._sources.look.mine]


class House(RealTimeStreamManager):
    """The service as it is composed in life, but for its clock, and cycles that run when told."""

    def __init__(self, case: Case, folder: Path, sources: Sources, order: tuple[str, ...]) -> None:
        super().__init__(_settings(case, folder, sources, order), clock=sources.clock)
        self._sources = sources
        self._own_provider = "mine" in order

    async def open(self) -> None:
        await self.open_bare()
        await self._start_gateway()
        await self._start_alerts_only()

    async def open_bare(self) -> None:
        """Without gateway and alerts: for what is judged by the last values alone."""
        await self._read_files()
        if self._own_provider:
            self.data_providers.append(Mine(self._sources))
        await self._open_journal()

    async def _start_alerts_only(self) -> None:
        """The engine is asked after each cycle: beside it, it would ask whenever it likes."""
        self._delivering = Delivering(self.parts, self._alert_targets)
        await self._delivering._open_alerts()

    async def stop(self) -> None:
        if self._delivering:
            await self._delivering._let_go()
        await super().stop()

    async def look(self, look: Look) -> None:
        self._sources.look = look
        await self.parts.cycle.run_once()
        if self.parts.alerts:
            await self.parts.alerts.engine.look()


def _settings(case: Case, folder: Path, sources: Sources, order: tuple[str, ...]) -> Settings:
    settings = Settings(questdb=QuestDBConfig(mode="off"), pocketbase=PocketbaseConfig(mode="off"))
    settings.service.data_dir = folder
    settings.gateway.host, settings.gateway.port = "127.0.0.1", 0
    settings.alerts.rules = RULES
    settings.market.extra_closed = list(case.extra_closed)
    settings.providers.order = [name for name in order if name != "mine"]  # type: ignore[misc]  # the case's words
    settings.providers.jump_limit_percent = case.jump_limit
    settings.providers.yahoo.pause = 0.0
    for name, stub in sources.stubs.items():
        getattr(settings.providers, name).base_url = stub.url
    if "alpha_vantage" in order:
        config: AlphaVantageConfig = settings.providers.alpha_vantage
        config.api_key, config.symbols = Secret("key"), ["ABS=ABS.WAR"]
    if case.universe:
        file = folder / "universe.csv"
        isin = sheets.UNIVERSE.isin
        lines = [f"{name.rstrip('?')},,{isin.get(name, '')},2026-04-04" for name in case.universe]
        file.write_text("\n".join(["symbol,name,isin,as_of", *lines]) + "\n", encoding="utf-8")
        settings.universe.file = file
    return settings


class Seat:
    """A WebSocket client in mode ``changes``, and what it knows by its messages alone."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.quotes: dict[str, dict[str, Any]] = {}

    async def take(self) -> None:
        self._learn(await self._client.subscribe(mode="changes"))

    async def sees(self, wanted: Mapping[str, dict[str, Any]]) -> list[str]:
        """What differs from what REST says, when nothing more comes within the deadline."""
        try:
            async with asyncio.timeout(WITHIN):
                while self.quotes != wanted:
                    message = await self._client.hear(WITHIN)
                    self._learn(message["data"] if message["type"] == "stock_updates" else [])
        except TimeoutError:
            symbols = [name for name in wanted if self.quotes.get(name) != wanted[name]]
            return [f"a client in mode changes never heard of {len(symbols)} changes, such as {symbols[0]}"]
        return []

    def _learn(self, quotes: list[dict[str, Any]]) -> None:
        self.quotes.update((quote["symbol"], quote) for quote in quotes)


class Stage:
    """A case under way."""

    def __init__(self, case: Case, folder: Path, sources: Sources) -> None:
        self.case, self.folder, self.sources = case, folder, sources
        self.order = case.order
        self._open = AsyncExitStack()

    async def start(self) -> None:
        self.house = House(self.case, self.folder, self.sources, self.order)
        self._open.push_async_callback(self.house.stop)
        await self.house.open()
        self.http = await self._open.enter_async_context(aiohttp.ClientSession())
        self.seat = Seat(await self._open.enter_async_context(connected(self.house.gateway)))  # type: ignore[arg-type]  # no workers here
        await self.seat.take()

    async def stop(self) -> None:
        stack, self._open = self._open, AsyncExitStack()
        await stack.aclose()

    async def play(self) -> list[str]:
        """Every look; then what is wrong."""
        problems: list[str] = []
        for look in self.case.looks:
            if look.order is not None:
                await self.stop()
                self.order, self.sources.look = look.order, look
                await self.start()
            await self.house.look(look)
            if look.expect:
                _, quotes = await self.quotes()
                problems += [f"at {look.at}: {text}" for text in differences(look.expect, quotes)]
        return problems + await self.problems()

    async def problems(self) -> list[str]:
        body, quotes = await self.quotes()
        case = self.case
        return [
            *differences(case.expect, quotes),
            *_noise(body),
            *self._impossible(quotes),
            *await self._stored(quotes),
            *await self.seat.sees(quotes),
            *await self._refusals(),
            *await self._health(),
            *await self._alerts(),
        ]

    async def quotes(self) -> tuple[str, dict[str, dict[str, Any]]]:
        body = await self._get("/api/v1/quotes")
        return body, {quote["symbol"]: quote for quote in _json(body)["data"]}

    async def _get(self, path: str) -> str:
        async with self.http.get(f"http://127.0.0.1:{self.house.gateway.port}{path}") as response:
            return await response.text()

    def _impossible(self, quotes: Mapping[str, dict[str, Any]]) -> list[str]:
        """Times at which the exchange does not trade, or that are still to come."""
        latest = max(self.sources.true(), self.sources.clock()) + timedelta(seconds=30)
        calendar = self.house.parts.calendar
        wrong = []
        for symbol, quote in quotes.items():
            moment = utc_time(quote["timestamp"])
            if "mine" not in self.order and (calendar.phase(moment) not in _TRADED_IN or moment > latest):
                wrong.append(
                    f"{symbol} traded at {in_warsaw(moment):%Y-%m-%d %H:%M:%S}, when nothing can trade"
                )
        return wrong[:3]

    async def _stored(self, quotes: Mapping[str, dict[str, Any]]) -> list[str]:
        """The journal has what the wire says."""
        kept = {
            symbol: (one.price, one.timestamp)
            for symbol, one in (await self.house.parts.journal.last_values()).items()
        }
        told = {symbol: (one["price"], one["timestamp"]) for symbol, one in quotes.items()}
        return (
            []
            if kept == told
            else [f"the journal and the wire differ: {set(kept.items()) ^ set(told.items())}"]
        )

    async def _refusals(self) -> list[str]:
        rows = _json(await self._get("/api/v1/status"))["providers"]
        told = {row["name"]: row["refusal_reason"] for row in rows if row["refusal_reason"]}
        wanted = self.case.refused
        if wanted is None or told == dict(wanted):
            return []
        details = {row["name"]: row["refusal_detail"] for row in rows}
        return [f"refusals are {told}, not {wanted} ({details})"]

    async def _health(self) -> list[str]:
        report = _json(await self._get("/health"))
        told = [*report["reasons"], *report["warnings"]]
        if self.case.warns is None:
            return []
        if not self.case.warns:
            return [f"health warns: {told}"] if told else []
        return [
            f"health does not tell of {word!r}: {told}"
            for word in self.case.warns
            if not any(word in text for text in told)
        ]

    async def _alerts(self) -> list[str]:
        assert self.house.parts.alerts
        told = sorted(alert.name for alert in (await self.house.parts.alerts.recent(None, 1000)).alerts)
        wanted = self.case.alerts
        return (
            [] if wanted is None or told == sorted(wanted) else [f"alerts are {told}, not {sorted(wanted)}"]
        )


def _json(body: str) -> Any:
    return json.loads(body)


def _noise(body: str) -> list[str]:
    found = _NOISE.search(body)
    return [f"a number on the wire is {found.group()!r}"] if found else []


def differences(expect: Mapping[str, Sees], quotes: Mapping[str, dict[str, Any]]) -> list[str]:
    """What differs from what must be seen: of each kind a few."""
    named = {symbol: sees for symbol, sees in expect.items() if symbol != "*"}
    others = [symbol for symbol in exchange.symbols() if symbol not in named and symbol != exchange.QUIET]
    all_of_them = {**dict.fromkeys(others if "*" in expect else [], expect.get("*")), **named}
    wrong = {
        symbol: text
        for symbol, sees in all_of_them.items()
        if sees is not None and (text := _difference(symbol, sees, quotes.get(symbol)))
    }
    texts = [f"{symbol} {text}" for symbol, text in wrong.items()]
    return texts if len(texts) <= 4 else [*texts[:3], f"... and {len(texts) - 3} more"]


def _difference(symbol: str, sees: Sees, quote: dict[str, Any] | None) -> str:
    """Empty when the quote is as it must be, in one of the ways that are right."""
    if isinstance(sees.price, str):
        ways = [replace(sees, price=price) for price in sees.price.split("|")]
        texts = [_difference_from(symbol, way, quote) for way in ways]
        return "" if "" in texts else texts[0]
    return _difference_from(symbol, sees, quote)


def _difference_from(symbol: str, sees: Sees, quote: dict[str, Any] | None) -> str:
    if sees.price is None:
        return "" if quote is None else f"is {_shown(quote)}, but must have no quote"
    if quote is None:
        if sees.optional:
            return ""
        return f"has no quote, but must be {sees.price}"
    wanted = _fields(symbol, sees, quote)
    told = {word: _told(word, quote) for word in wanted}
    odd = {word: (told[word], wanted[word]) for word in wanted if not _matches(told[word], wanted[word])}
    return f"is {_shown(quote)}: {odd} (told, wanted)" if odd else ""


def _matches(told: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and ("|" in wanted or wanted == "any"):
        return wanted == "any" or str(told) in wanted.split("|")
    return bool(told == wanted)


def _fields(symbol: str, sees: Sees, quote: Mapping[str, Any]) -> dict[str, Any]:
    wanted: dict[str, Any] = {"stale_reason": sees.reason, "review": sees.review, "origin": "delayed"}
    if sees.stale is not None:
        wanted["stale"] = sees.stale
    if sees.price == "any":
        pass
    elif isinstance(sees.price, str):
        moment = when(sees.price)
        row = sheets.shown_then(symbol, moment)
        assert row, f"{symbol} had no trade at {sees.price}"
        wanted |= {"price": float(row.price), "day": str(sheets.session_of(moment))}
        wanted["clock"] = f"{row.at:%H:%M}"
        if quote["volume"] is not None:
            wanted |= {"volume": row.volume, "open": float(row.open), "previous_close": float(row.before)}
            wanted["change_percent"] = float(exchange.percent(row.price, row.before))
    else:
        assert sees.day, "a price needs its day"
        wanted |= {"price": sees.price, "day": str(day_of(sees.day))}
    if sees.source:
        wanted["data_source"] = sees.source
    return wanted | sees.fields


def _told(word: str, quote: Mapping[str, Any]) -> Any:
    local = in_warsaw(utc_time(quote["timestamp"]))
    if word == "day":
        return str(local.date())
    return f"{local:%H:%M}" if word == "clock" else quote.get(word, "(missing)")


def _shown(quote: Mapping[str, Any]) -> str:
    local = in_warsaw(utc_time(quote["timestamp"]))
    return f"{quote['price']} of {local:%Y-%m-%d %H:%M:%S} by {quote['data_source']}"


@asynccontextmanager
async def staged(case: Case, folder: Path) -> AsyncIterator[Stage]:
    """The case's house, open, with a stub for each of its sources."""
    async with _sourced(case) as sources, AsyncExitStack() as stack:
        stage = Stage(case, folder, sources)
        stack.push_async_callback(stage.stop)
        await stage.start()
        yield stage


@asynccontextmanager
async def bare(case: Case, folder: Path) -> AsyncIterator[House]:
    """Its house alone, without gateway and alerts."""
    async with _sourced(case) as sources, AsyncExitStack() as stack:
        house = House(case, folder, sources, case.order)
        stack.push_async_callback(house.stop)
        await house.open_bare()
        yield house


@asynccontextmanager
async def _sourced(case: Case) -> AsyncIterator[Sources]:
    sources = Sources()
    sources.look = case.looks[0]
    orders = {*case.order, *(name for look in case.looks for name in look.order or ())}
    async with AsyncExitStack() as stack:
        for name in sorted(orders - {"mine", "replay", "simulator"}):
            stub = await stack.enter_async_context(StubSite())
            stub.answer = lambda seen, name=name: sources.answer(name, seen)  # type: ignore[misc]  # bound now
            sources.stubs[name] = stub
        yield sources
