"""One cycle over the real journal, with a provider whose answers the test writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.factories import bare_quote

from zlotick.errors import JournalError, Refusal, RefusalReason
from zlotick.events import MARKET_STATUS, STOCK_UPDATE, EventBus
from zlotick.journal.sqlite import SqliteJournal
from zlotick.market.calendar import Calendar
from zlotick.market.schedule import Schedule
from zlotick.market.validation import Validator
from zlotick.model import CycleReport, Entry, StockUpdate, UpdateBatch, utc_text
from zlotick.providers import StockDataProvider
from zlotick.providers.chain import ProviderChain
from zlotick.service.cycle import Cycle
from zlotick.service.ticker import LONGEST_SLEEP, Ticker

NINE = datetime(2025, 4, 30, 7, tzinfo=UTC)  # 9:00 in Warsaw


def quote(symbol: str = "TXT", minute: int = 0, price: float = 50.0, volume: int = 100) -> StockUpdate:
    time = utc_text(NINE + timedelta(minutes=minute))
    known = {"volume": volume, "high": price, "low": price, "open": price}
    return bare_quote(
        symbol, price, timestamp=time, change=0.0, change_percent=0.0, data_source="scripted", **known
    )


class Scripted(StockDataProvider):
    """Answers what the test puts into ``answer``."""

    name = "scripted"

    def __init__(self) -> None:
        self.answer: list[StockUpdate] | Exception = []
        self.moment = NINE

    async def fetch_data(self) -> list[StockUpdate]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def market_time(self) -> datetime:
        return self.moment


class House:
    """A cycle and what it needs."""

    def __init__(self, folder: Path, *others: Scripted) -> None:
        self.provider = Scripted()
        self.now = NINE + timedelta(hours=1)
        self.journal = SqliteJournal(folder / "journal.sqlite")
        self.bus = EventBus()
        self.reports: list[CycleReport] = []
        symbols = {"TXT", "11B"}
        self.chain = ProviderChain([self.provider, *others], timeout=1, clock=lambda: self.now)
        self.cycle = Cycle(
            self.chain,
            Validator(symbols, 50),
            self.journal,
            self.bus,
            calendar=Calendar(),
            symbols=symbols,
            interval=lambda: 30.0,
            clock=lambda: self.now,
        )
        self.cycle.listen(self.reports.append)

    async def run(self, *answer: StockUpdate) -> CycleReport:
        self.provider.answer = list(answer)
        return await self.cycle.run_once()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.journal.open()
    yield house
    await house.journal.close()
    await house.bus.close()


async def test_only_what_traded_is_recorded(house: House) -> None:
    first = await house.run(quote("TXT"), quote("11B", price=200))
    same = await house.run(quote("TXT"), quote("11B", price=200))
    moved = await house.run(quote("TXT"), quote("11B", 1, price=201, volume=120))
    assert [report.changed for report in house.reports] == [2, 0, 1]
    assert first.entry is not None
    assert same.entry is None
    assert same.quotes == first.quotes
    assert moved.entry is not None
    assert [q.symbol for q in moved.entry.batch.quotes] == ["11B"]
    assert moved.position.offset == 2
    assert moved.quotes["TXT"] == first.quotes["TXT"]


async def test_what_is_rejected_at_every_cycle_is_told_once(house: House) -> None:
    """A provider's unknown ticker logged a warning at every cycle, for ever."""
    with capture_logs() as logs:
        for _ in range(3):
            await house.run(quote("TXT"), quote("PKN"))
        await house.run(quote("PKN"), quote("11B", price=-1))
        await house.run(quote("TXT"))
        await house.run(quote("PKN"))
    told = [line["first"] for line in logs if line["event"] == "Quotes rejected"]
    assert [text.split()[0] for text in told] == ["symbol", "price", "symbol"]


async def test_a_source_that_is_behind_is_asked_again_at_once(house: House) -> None:
    """Of a replay's long step only the newest quote of each stock was recorded: the candles lacked the others' prices."""
    parts = [quote("TXT", 1, 51, 110), quote("TXT", 2, 52, 120), quote("TXT", 3, 53, 130)]

    class Stepping(Scripted):
        async def fetch_data(self) -> list[StockUpdate]:
            fetched = [parts.pop(0)]
            self.behind = bool(parts)
            return fetched

    turns = 0

    async def sleep(_: float) -> None:
        nonlocal turns
        turns += 1
        raise asyncio.CancelledError

    house.chain.providers[:] = [Stepping()]
    ticker = Ticker(lambda: 30.0, Schedule(Calendar()), lambda: False, clock=lambda: house.now, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await house.cycle.run(ticker)
    recorded = [report.entry.batch.quotes[0].price for report in house.reports if report.entry]
    assert recorded == [51, 52, 53]
    assert turns == 1


async def test_a_quote_that_does_not_say_when_it_was_seen_was_seen_now(house: House) -> None:
    report = await house.run(quote())
    assert report.quotes["TXT"].received_at is not None


async def test_rejected_quotes_are_counted_kept_and_never_published(house: House) -> None:
    report = await house.run(quote("TXT", price=-1), quote("PKN"), quote("11B"))
    assert report.rejected_by == {"price": 1, "unknown_symbol": 1}
    assert set(report.quotes) == {"11B"}
    kept = await house.journal.rejected()
    assert {item.quote.symbol for item in kept} == {"TXT", "PKN"}
    assert any("universe.extra" in item.detail for item in kept)


async def test_a_refusal_is_reported_with_the_old_quotes(house: House) -> None:
    await house.run(quote())
    house.provider.answer = Refusal(RefusalReason.CHALLENGE, "a puzzle for browsers")
    report = await house.cycle.run_once()
    assert report.error is not None
    assert "challenge" in report.error
    assert report.quotes["TXT"].price == 50
    assert report.fetched == 0


async def test_what_could_not_be_journalled_is_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def disk_full(batch: UpdateBatch) -> Entry:
        raise JournalError("no space left")

    append = house.journal.append
    monkeypatch.setattr(house.journal, "append", disk_full)
    failed = await house.run(quote())
    assert failed.error == "no space left"
    assert failed.quotes == {}
    monkeypatch.setattr(house.journal, "append", append)
    again = await house.run(quote())
    assert again.changed == 1
    assert again.position.offset == 1


async def test_a_restart_takes_up_where_the_journal_ends(house: House, tmp_path: Path) -> None:
    await house.run(quote("TXT", 5))
    await house.journal.close()
    second = House(tmp_path)
    async with second.journal:
        await second.cycle.restore()
        assert (await second.run(quote("TXT", 5))).changed == 0
        assert (await second.run(quote("TXT", 4))).rejected_by == {"backwards": 1}
        assert (await second.run(quote("TXT", 6, volume=101))).position.offset == 2


async def test_the_same_quote_in_a_new_run_is_told_again(house: House) -> None:
    """A stock with one trade in a looped session had a stored candle in the second round, and no live one."""
    await house.run(quote("TXT", 0))
    assert (await house.run(quote("TXT", 0))).changed == 0
    house.provider.run += 1
    assert (await house.run(quote("TXT", 0))).changed == 1
    assert (await house.run(quote("TXT", 0))).changed == 0


async def test_a_new_run_of_a_source_may_go_back_in_time(house: House) -> None:
    await house.run(quote("TXT", 300, price=80, volume=9000))
    house.provider.run += 1
    report = await house.run(quote("TXT", 0, price=30, volume=5))
    assert (report.rejected, report.changed) == (0, 1)


async def test_sources_with_symbols_of_their_own_are_accepted(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr(house.provider, "symbols", lambda: frozenset({"S00001"}))
    assert (await house.run(quote("S00001"))).changed == 1


async def test_events_reach_the_bus(house: House) -> None:
    updates: list[dict[str, Any]] = []
    statuses: list[dict[str, Any]] = []
    await house.bus.subscribe(STOCK_UPDATE, updates.append)
    await house.bus.subscribe(MARKET_STATUS, statuses.append)
    await house.run(quote("TXT", price=65.5))
    house.provider.moment = NINE + timedelta(hours=9)
    await house.run(quote("TXT", price=65.5))
    await house.bus.close()
    assert [(event["symbol"], event["price"]) for event in updates] == [("TXT", 65.5)]
    assert [event["status"] for event in statuses] == ["open", "closed"]


class Fallback(Scripted):
    """The second source."""

    name = "fallback"


def told(source: str, minute: int, price: float, volume: int | None = 100) -> StockUpdate:
    """A quote with the exchange's time."""
    plain = quote("TXT", minute, price)
    return msgspec.structs.replace(
        plain,
        data_source=source,
        exchange_time=plain.timestamp,
        volume=volume,
        high=None,
        low=None,
        open=None,
    )


async def test_another_source_takes_over_and_gives_back_and_time_never_goes_back(tmp_path: Path) -> None:
    fallback = Fallback()
    house = House(tmp_path, fallback)
    primary = house.provider
    down = Refusal(RefusalReason.UNREACHABLE, "no connection")

    async def cycle(
        first: StockUpdate | Exception, second: StockUpdate | Exception
    ) -> tuple[str, float, int]:
        primary.answer, fallback.answer = (
            answer if isinstance(answer, Exception) else [answer] for answer in (first, second)
        )
        report = await house.cycle.run_once()
        house.now += timedelta(minutes=10)
        assert report.rejected == 0
        now = report.quotes["TXT"]
        return now.data_source, now.price, report.changed

    async with house.journal:
        assert await cycle(told("scripted", 10, 50), down) == ("scripted", 50, 1)
        assert await cycle(down, told("fallback", 8, 49)) == ("scripted", 50, 0)  # behind
        assert await cycle(down, told("fallback", 10, 50, None)) == (
            "scripted",
            50,
            0,
        )  # the same trade, less of it
        assert await cycle(down, told("fallback", 12, 51, None)) == ("fallback", 51, 1)
        assert await cycle(told("scripted", 11, 50.5), down) == ("fallback", 51, 0)  # back, but behind
        assert await cycle(told("scripted", 12, 51), down) == (
            "scripted",
            51,
            1,
        )  # the same trade, more of it
        assert await cycle(told("scripted", 13, 52), down) == ("scripted", 52, 1)


async def test_stale_is_what_no_source_shows_any_more(house: House) -> None:
    await house.run(quote("TXT"), quote("11B", price=200))
    house.now += timedelta(minutes=2)
    await house.run(quote("TXT"))  # nothing traded, but it was seen
    assert house.cycle.stale() == {"11B"}
    house.now += timedelta(minutes=2)
    assert house.cycle.stale() == {"TXT", "11B"}  # also while there is no cycle at all
    house.provider.answer = Refusal(RefusalReason.CHALLENGE, "a puzzle")
    await house.cycle.run_once()
    assert house.cycle.stale() == {"TXT", "11B"}


async def test_what_could_not_be_journalled_was_not_seen(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def disk_full(batch: UpdateBatch) -> Entry:
        raise JournalError("no space left")

    await house.run(quote("TXT"))
    monkeypatch.setattr(house.journal, "append", disk_full)
    house.now += timedelta(minutes=2)
    await house.run(quote("TXT", 2, volume=101))
    assert house.cycle.stale() == {"TXT"}


async def test_replayed_quotes_are_never_stale_also_after_a_restart(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "kind", "replayed")
    await house.run(quote("TXT"))
    house.now += timedelta(days=2)
    assert house.cycle.stale() == frozenset()
    await house.journal.close()
    second = House(tmp_path)
    second.now = house.now
    async with second.journal:
        await second.cycle.restore()
        assert second.cycle.stale() == frozenset()
        monkeypatch.setattr(Scripted, "kind", "delayed")
        await second.cycle.restore()
        assert second.cycle.stale() == {"TXT"}


async def test_cycles_follow_the_interval_and_never_overlap(house: House) -> None:
    house.provider.answer = [quote()]
    done_before: list[int] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        assert 0 < seconds <= LONGEST_SLEEP
        done_before.append(len(house.reports))
        house.now += timedelta(seconds=seconds)
        if len(done_before) == 6:
            enough.set()
            await asyncio.Event().wait()

    ticker = Ticker(
        lambda: 30.0, Schedule(Calendar()), house.chain.session_only, clock=lambda: house.now, sleep=sleep
    )
    running = asyncio.create_task(house.cycle.run(ticker))
    async with asyncio.timeout(30):
        await enough.wait()
    running.cancel()
    await asyncio.wait([running])
    assert done_before == [1, 1, 2, 2, 3, 3]  # half a minute is two of the longest sleeps


async def test_exhausted_is_set_when_the_last_quotes_are_recorded(house: House) -> None:
    await house.run(quote())
    assert not house.cycle.exhausted.is_set()
    house.provider.finished = True
    await house.run(quote("TXT", 1, volume=101))
    assert house.cycle.exhausted.is_set()
    assert house.journal.position.offset == 2
