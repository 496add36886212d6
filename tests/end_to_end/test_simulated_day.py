"""A whole day of the service under a fake clock, with its real parts and its real sources, served by stubs.

The exchange trades three stocks: one each minute, one every seven minutes, one not before noon; for an hour nothing
trades at all. The table of gpw shows it 15 minutes later, the listing of bankier 20. gpw is down from 10:30 to
11:30; at 14:30 it is down again, and bankier has begun to let browsers in only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs
from tests.providers.web import gpw_page
from tests.providers.web import stub as play
from tests.providers.web.stub import Reply, Seen, StubSite

from zlotick.config import BankierConfig, GpwConfig, WebProviderConfig
from zlotick.events import DATA_PROVIDER_STATUS, MARKET_STATUS, EventBus
from zlotick.journal.sqlite import SqliteJournal
from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.schedule import Schedule
from zlotick.market.universe import Universe
from zlotick.market.validation import Validator
from zlotick.model import CycleReport, StockUpdate, utc_time
from zlotick.providers.chain import ProviderChain
from zlotick.providers.web.bankier import BankierProvider
from zlotick.providers.web.client import HttpWeb
from zlotick.providers.web.gpw import GpwProvider
from zlotick.service.cycle import Cycle
from zlotick.service.ticker import Ticker

pytestmark = pytest.mark.slow

TODAY, YESTERDAY = date(2026, 11, 24), date(2026, 11, 23)
LIQUID, SLOW, QUIET = "11B", "BIO", "1AT"
SHORT_NAMES = {LIQUID: "11BIT", SLOW: "BIOTON", QUIET: "ATAL"}
BEFORE = {LIQUID: 200.0, SLOW: 4.0, QUIET: 60.0}
INTERVAL, TURN = 30.0, 60.0  # of the cycles; of each source


def warsaw(clock: str, day: date = TODAY) -> datetime:
    return datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=WARSAW).astimezone(UTC)


class Trade(NamedTuple):
    at: datetime
    price: float


def _trades() -> dict[str, list[Trade]]:
    """What the exchange does today."""
    minutes = [warsaw("09:00:00") + timedelta(minutes=n) for n in range(470)]
    traded = [m for m in minutes if not warsaw("13:00:00") <= m < warsaw("14:00:00")]
    moments = {
        LIQUID: [traded[0], *(minute + timedelta(seconds=10) for minute in traded)],
        SLOW: traded[::7],
        QUIET: [minute for minute in traded if minute >= warsaw("12:00:00")][::30],
    }
    return {
        symbol: [
            Trade(moment, round(BEFORE[symbol] * (1 + n % 50 / 1000), 2))
            for n, moment in enumerate([*found, warsaw("17:00:20")])
        ]
        for symbol, found in moments.items()
    }


TRADES = _trades()


class World:
    """The clock, the exchange and the two sources' pages."""

    def __init__(self) -> None:
        self.now = warsaw("03:00:00")
        self.down_until = self.now
        self.asked: dict[str, list[datetime]] = {"gpw": [], "bankier": []}
        self._limit = self.now
        self._paused, self._go_on = asyncio.Event(), asyncio.Event()

    def clock(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Time passes only here, and never beyond what :meth:`until` allows."""
        wake = self.now + timedelta(seconds=seconds)
        while wake > self._limit:
            self.now = self._limit
            self._paused.set()
            self._go_on.clear()
            await self._go_on.wait()
        self.now = wake
        await asyncio.sleep(0)

    async def until(self, clock: str, day: date = TODAY) -> None:
        self._limit = warsaw(clock, day)
        self._paused.clear()
        self._go_on.set()
        async with asyncio.timeout(60):
            await self._paused.wait()

    def shown(self, symbol: str, delay: float) -> list[Trade]:
        """The trades that a source shows now which is so many minutes behind."""
        return [trade for trade in TRADES[symbol] if trade.at <= self.now - timedelta(minutes=delay)]

    def between(self, start: str, end: str) -> bool:
        return warsaw(start) <= self.now < warsaw(end)

    def gpw(self, _: Seen) -> Reply:
        self.asked["gpw"].append(self.now)
        if (
            self.now < self.down_until
            or self.between("10:30:00", "11:30:00")
            or self.between("14:30:00", "14:40:00")
        ):
            return play.BROKEN
        return play.page(gpw_page.page([self._gpw_row(symbol) for symbol in TRADES]))

    def _gpw_row(self, symbol: str) -> dict[str, str]:
        if self.now < warsaw("09:15:00"):  # still the table of yesterday
            last = Trade(warsaw("17:00:12", YESTERDAY), BEFORE[symbol])
            return self._row(symbol, [last])
        shown = self.shown(symbol, 15)
        return self._row(symbol, shown) if shown else gpw_page.without_a_trade(symbol)

    def _row(self, symbol: str, shown: list[Trade]) -> dict[str, str]:
        prices = [trade.price for trade in shown]
        cells = {"price": prices[-1], "open": prices[0], "low": min(prices), "high": max(prices)}
        told = {name: polish(value) for name, value in (cells | {"before": BEFORE[symbol]}).items()}
        at = shown[-1].at.astimezone(WARSAW).strftime("%H:%M:%S")
        return gpw_page.stock(symbol, time=at, volume=str(100 * len(shown)), **told)

    def bankier(self, _: Seen) -> Reply:
        self.asked["bankier"].append(self.now)
        if self.now >= warsaw("14:30:00"):
            return play.CHALLENGE
        head = ["Spółka", "Kurs", "Zm.", "Otwarcie", "Max", "Min", "Czas"]
        rows = [self._bankier_row(symbol) for symbol in TRADES if self.shown(symbol, 20)]
        titles = "".join(f"<th>{title}</th>" for title in head)
        table = f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody>"
        return play.page(f'<table class="m-quotes-data-table">{table}</table>')

    def _bankier_row(self, symbol: str) -> str:
        shown = self.shown(symbol, 20)
        prices = [trade.price for trade in shown]
        change = round(prices[-1] - BEFORE[symbol], 2)
        told = map(polish, (prices[-1], change, prices[0], max(prices), min(prices)))
        cells = "".join(f"<td>{text}</td>" for text in (*told, f"{shown[-1].at.astimezone(WARSAW):%H:%M}"))
        name = SHORT_NAMES[symbol]
        return f'<tr><td><a href="/x.html?symbol={name}">{name}</a></td>{cells}</tr>'


def polish(number: float) -> str:
    return f"{number:.4f}".replace(".", ",")


class House:
    """The service without its gateway and its stores."""

    def __init__(self, world: World, folder: Path, gpw: StubSite, bankier: StubSite) -> None:
        universe = Universe(frozenset(TRADES), {}, {}, as_of=YESTERDAY)
        calendar = Calendar()
        self.bus = EventBus()
        self.journal = SqliteJournal(folder / "journal.sqlite")
        self.reports: list[CycleReport] = []
        self.events: dict[str, list[dict[str, Any]]] = {MARKET_STATUS: [], DATA_PROVIDER_STATUS: []}
        gpw_config, bankier_config = GpwConfig(base_url=gpw.url), BankierConfig(base_url=bankier.url)

        def web(config: WebProviderConfig) -> HttpWeb:
            return HttpWeb(config, user_agent="zlotick tests", clock=world.clock)

        self.chain = ProviderChain(
            [
                GpwProvider(gpw_config, universe, web(gpw_config), clock=world.clock),
                BankierProvider(bankier_config, universe, web(bankier_config), clock=world.clock),
            ],
            timeout=20,
            schedule=Schedule(calendar),
            bus=self.bus,
            clock=world.clock,
            has_quotes=lambda: bool(self.cycle.last_values),
        )
        symbols = set(universe.symbols)
        self.cycle = Cycle(
            self.chain,
            Validator(symbols, 50),
            self.journal,
            self.bus,
            calendar=calendar,
            symbols=symbols,
            interval=lambda: INTERVAL,
            clock=world.clock,
        )
        self.cycle.listen(self.reports.append)
        self.ticker = Ticker(
            lambda: INTERVAL,
            Schedule(calendar),
            self.chain.session_only,
            first_request=self.chain.first_request,
            clock=world.clock,
            sleep=world.sleep,
        )

    async def listen(self) -> None:
        for kind, seen in self.events.items():
            await self.bus.subscribe(kind, seen.append)

    def states(self) -> list[str]:
        return [row.status.value for row in self.chain.rows()]

    def in_force(self, symbol: str) -> StockUpdate:
        return self.cycle.last_values[symbol]

    def traded(self, symbol: str) -> datetime:
        return utc_time(self.in_force(symbol).exchange_time or "")


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def house(world: World, tmp_path: Path) -> AsyncIterator[House]:
    async with StubSite() as gpw, StubSite() as bankier:
        gpw.answer, bankier.answer = world.gpw, world.bankier
        house = House(world, tmp_path, gpw, bankier)
        await house.listen()
        async with house.journal:
            await house.cycle.restore()
            yield house
        await house.chain.close()
        await house.bus.close()


def of(moments: list[datetime], start: str, end: str, day: date = TODAY) -> list[datetime]:
    return [moment for moment in moments if warsaw(start, day) <= moment < warsaw(end, day)]


def gaps(moments: list[datetime]) -> Iterator[float]:
    return ((later - earlier).total_seconds() for earlier, later in pairwise(moments))


async def test_a_day(world: World, house: House) -> None:
    with capture_logs() as logs:
        running = asyncio.create_task(house.cycle.run(house.ticker))
        await _night_and_opening(world, house)
        await _outage_of_the_primary(world, house)
        await _suspension(world, house)
        await _outage_of_both(world, house)
        await _close_and_night(world, house)
        running.cancel()
        await asyncio.wait([running])
    await house.bus.close()
    _judge_requests(world)
    _judge_quotes(house)
    _judge_what_was_told(house, logs)


async def test_a_first_start_in_the_evening(world: World, house: House) -> None:
    """The board stayed empty until the next morning, and nothing said why.

    Now the closing prices of the day are asked for at once. Here the network is down at first: gpw is asked again
    after its waits, and once it has answered the service sleeps until the morning.
    """
    world.now = warsaw("22:31:00")
    world.down_until = warsaw("22:33:00")
    with capture_logs() as logs:
        running = asyncio.create_task(house.cycle.run(house.ticker))
        await world.until("22:31:30")
        assert house.reports[-1].error is not None
        await world.until("08:29:59", date(2026, 11, 25))
        running.cancel()
        await asyncio.wait([running])
    assert [f"{moment.astimezone(WARSAW):%H:%M}" for moment in world.asked["gpw"]] == [
        "22:31",
        "22:32",
        "22:34",
    ]
    assert house.traded(LIQUID) == warsaw("17:00:20")
    assert house.cycle.stale() == frozenset()
    told = [entry["event"] for entry in logs if "due" in entry]
    assert told[0] == "No quote is known yet. Next try: Tue 24 Nov, 22:32 (Warsaw)"
    assert told[-1] == "The market is closed. Next quotes: Wed 25 Nov, 8:30 (Warsaw)"


async def _night_and_opening(world: World, house: House) -> None:
    await world.until("08:29:59")
    # Nothing was known: one question at the start, for the last closing prices, and then silence.
    assert world.asked == {"gpw": [warsaw("03:00:00")], "bankier": []}
    assert house.traded(LIQUID) == warsaw("17:00:12", YESTERDAY)
    assert house.cycle.stale() == frozenset()
    assert len(house.reports) == 1
    assert house.ticker.due is not None
    assert warsaw("08:30:00") <= house.ticker.due < warsaw("08:30:30")
    await world.until("08:59:59")
    assert len(world.asked["gpw"]) == 2
    assert warsaw("08:30:00") <= world.asked["gpw"][1] < warsaw("08:30:30")
    assert house.states() == ["connected", "disconnected"]
    assert house.traded(LIQUID) == warsaw("17:00:12", YESTERDAY)
    assert house.cycle.stale() == frozenset()
    await world.until("09:20:00")
    assert house.traded(LIQUID) > warsaw("09:00:00")
    assert house.traded(QUIET) == warsaw("17:00:12", YESTERDAY)
    await world.until("10:29:59")
    assert house.cycle.stale() == frozenset()
    assert world.asked["bankier"] == []  # gpw lists the one that has not traded yet: that is an answer
    assert {quote.data_source for quote in house.cycle.last_values.values()} == {"gpw"}


async def _outage_of_the_primary(world: World, house: House) -> None:
    before, cycles = house.in_force(LIQUID), len(house.reports)
    await world.until("10:31:30")
    assert house.states() == ["reconnecting", "connected"]
    assert [row.name for row in house.chain.rows() if row.symbols] == ["bankier"]
    assert house.in_force(LIQUID) == before  # bankier is five minutes behind: nothing goes back
    await world.until("10:33:50")
    assert LIQUID in house.cycle.stale()  # gpw is silent, and bankier has not caught up
    await world.until("11:00:00")
    assert house.in_force(LIQUID).data_source == "bankier"
    assert LIQUID not in house.cycle.stale()
    await world.until("11:29:59")
    [gpw, _] = house.chain.rows()
    assert gpw.refusal_reason == "unreachable"
    assert gpw.next_attempt is not None
    assert utc_time(gpw.next_attempt) > world.now
    assert [report.error for report in house.reports[cycles:]] == [None] * 120  # no cycle went without quotes
    await world.until("11:50:00")
    assert house.states() == ["connected", "connected"]
    assert house.in_force(LIQUID).data_source == "gpw"
    assert house.cycle.stale() == frozenset()


async def _suspension(world: World, house: House) -> None:
    await world.until("13:20:00")
    offset = house.journal.position.offset
    await world.until("14:14:00")
    assert house.journal.position.offset == offset  # nothing traded
    assert house.cycle.stale() == frozenset()  # and nothing is stale for that


async def _outage_of_both(world: World, house: House) -> None:
    await world.until("14:29:59")
    last = dict(house.cycle.last_values)
    await world.until("14:36:00")
    assert house.states() == ["reconnecting", "error"]
    error = house.reports[-1].error
    assert error is not None
    assert "gpw: unreachable: HTTP 502" in error
    assert "bankier: challenge:" in error
    assert house.cycle.last_values == last
    assert house.cycle.stale() == set(TRADES)
    await world.until("15:00:00")
    assert house.states() == ["connected", "error"]
    assert house.cycle.stale() == frozenset()


async def _close_and_night(world: World, house: House) -> None:
    await world.until("17:26:00")
    for symbol, trades in TRADES.items():
        assert house.in_force(symbol).price == trades[-1].price
        assert house.traded(symbol) == trades[-1].at
    cycles = len(house.reports)
    await world.until("23:00:00")
    assert house.cycle.stale() == frozenset()
    assert house.ticker.due is not None
    assert house.ticker.due >= warsaw("08:30:00", date(2026, 11, 25))
    await world.until("08:29:59", date(2026, 11, 25))
    assert len(house.reports) == cycles
    assert house.cycle.stale() == frozenset()
    await world.until("08:40:00", date(2026, 11, 25))
    assert len(house.reports) == cycles + 1


def _judge_requests(world: World) -> None:
    gpw, bankier = world.asked["gpw"], world.asked["bankier"]
    for asked in (gpw, bankier):
        assert min(gaps(asked)) >= TURN * 0.98
    day = [
        moment.astimezone(WARSAW).time().strftime("%H:%M") for moment in gpw[1:]
    ]  # the first was the start
    assert min(day) == "08:30"
    assert max(day) == "17:24"
    assert len(of(gpw, "08:30:00", "09:00:00")) == 1
    assert len(of(gpw, "09:00:00", "10:30:00")) >= 89
    down = of(gpw, "10:30:00", "11:45:00")
    for wait, minutes in zip(list(gaps(down))[:6], (1, 2, 4, 8, 15, 15), strict=True):
        assert minutes * 60 <= wait <= minutes * 60 * 1.1 + INTERVAL
    refused = of(bankier, "14:30:00", "17:25:00")
    for wait, hours in zip(gaps(refused), (1, 2), strict=False):
        assert hours * 3600 <= wait <= hours * 3600 + 300 + INTERVAL
    assert len(refused) in (1, 2)


def _judge_quotes(house: House) -> None:
    """Nothing was invented, nothing went back in time, nothing was rejected."""
    truth = {
        symbol: {(trade.at.replace(second=0), trade.price) for trade in trades}
        | {(warsaw("17:00:00", YESTERDAY), BEFORE[symbol])}
        for symbol, trades in TRADES.items()
    }
    newest: dict[str, str] = {}
    for report in house.reports:
        assert report.rejected == 0
        for quote in report.entry.batch.quotes if report.entry else ():
            assert quote.exchange_time is not None
            moment = utc_time(quote.exchange_time).replace(second=0)
            assert (moment, quote.price) in truth[quote.symbol]
            assert quote.exchange_time >= newest.get(quote.symbol, "")
            newest[quote.symbol] = quote.exchange_time
            assert quote.received_at is not None
            behind = (utc_time(quote.received_at) - utc_time(quote.exchange_time)).total_seconds()
            assert behind >= {"gpw": 15, "bankier": 20}[quote.data_source] * 60


def _judge_what_was_told(house: House, logs: list[Any]) -> None:
    waits = [entry["due"] for entry in logs if entry["event"].startswith("The market is closed")]
    wakes = ["24T07:30", "24T08:00", "25T07:30", "25T08:00"]  # UTC: the probe and the opening of each day
    assert [wait[8:16] for wait in waits] == wakes
    statuses = [(event["status"], event["timestamp"][8:16]) for event in house.events[MARKET_STATUS]]
    assert statuses == [
        ("closed", "24T02:00"),
        ("pre_market", "24T07:00"),
        ("open", "24T08:00"),
        ("after_hours", "24T16:00"),
        ("closed", "24T17:00"),
        ("pre_market", "25T07:00"),
    ]
    told = [
        (event["provider"], event["status"], event["refusal_reason"])
        for event in house.events[DATA_PROVIDER_STATUS]
    ]
    assert [state for state in told if state[0] == "gpw"] == [
        ("gpw", "connecting", None),
        ("gpw", "connected", None),
        ("gpw", "reconnecting", "unreachable"),
        ("gpw", "connected", None),
        ("gpw", "reconnecting", "unreachable"),
        ("gpw", "connected", None),
    ]
    assert told[-1] != ("bankier", "connected", None)
    assert ("bankier", "error", "challenge") in told
    refusals = [entry for entry in logs if entry["event"] == "Data provider refused"]
    assert all(entry["next_attempt"] and entry["reason"] for entry in refusals)
