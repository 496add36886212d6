from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import quote
from tests.stores.questdb.samples import drop_schema, viewed

from zlotick.config import QuestDBConfig, ReplayConfig
from zlotick.market.candles import INTERVALS, Candle, Candles
from zlotick.market.ohlc import Ohlc
from zlotick.model import StockUpdate, utc_text, utc_time
from zlotick.providers.replay.provider import ReplayProvider
from zlotick.stores.questdb import QuestDBConnector

DAY = utc_time("2025-04-30T00:00:00Z")
NEVER = DAY - timedelta(days=1000)


def at(clock: str) -> datetime:
    return utc_time(f"2025-04-30T{clock}Z")


def trade(clock: str, price: float, volume: int | None = None, **changes: Any) -> StockUpdate:
    known = {"timestamp": utc_text(at(clock)), "volume": volume, "open": None, "high": None, "low": None}
    return quote("ABS", price, **{**known, **changes})


def of(candles: Iterable[Candle], interval: str = "1m") -> list[Candle]:
    return [candle for candle in candles if candle.interval == interval]


def test_a_candle_runs_then_closes_and_a_late_trade_corrects_it() -> None:
    candles = Candles()
    [first] = of(candles.update([trade("09:00:01", 10.0, 5)], at("09:00:02")))
    assert (first.closed, first.correction, first.ticks, first.volume) == (False, False, 1, 5)
    assert first.start == "2025-04-30T09:00:00.000Z"
    [second] = of(candles.update([trade("09:00:30", 12.0, 9)], at("09:00:31")))
    assert (second.open, second.high, second.low, second.close) == (10.0, 12.0, 10.0, 12.0)
    assert of(candles.update([], at("09:00:59"))) == []
    [closed] = of(candles.update([], at("09:01:00")))
    assert (closed.closed, closed.correction, closed.close) == (True, False, 12.0)
    assert of(candles.update([], at("09:30:00"))) == []  # no trade, no candle; told once
    [late] = of(candles.update([trade("09:00:45", 9.0, 11)], at("09:30:00")))
    assert (late.closed, late.correction, late.low, late.close, late.volume) == (True, True, 9.0, 9.0, 11)


def test_volume_is_what_was_traded_in_the_bucket() -> None:
    candles = Candles()
    candles.update([trade("09:00:01", 10.0, 100)], at("09:00:01"))
    [closed, running] = of(candles.update([trade("09:02:01", 10.0, 130)], at("09:02:01")))
    assert (closed.closed, closed.volume, running.volume) == (True, 100, 30)
    [five] = of(candles.newest(), "5m")
    assert five.volume == 130
    [_, unknown] = of(candles.update([trade("09:03:01", 10.0, None)], at("09:03:01")))
    assert unknown.volume is None


def test_a_trade_before_the_newest_minute_moves_the_volume_of_the_next_candle() -> None:
    candles = Candles()
    candles.update([trade("09:00:01", 10.0, 100)], at("09:00:01"))
    candles.update([trade("09:01:01", 10.0, 200)], at("09:01:01"))
    first, second = of(candles.update([trade("09:00:59", 11.0, 150)], at("09:01:02")))
    assert (first.volume, first.correction) == (150, True)
    assert (second.volume, second.correction) == (50, False)


def test_a_delayed_source_closes_its_candles_by_its_own_clock() -> None:
    candles = Candles()
    seen = trade("09:00:01", 10.0, delay_seconds=900)
    [running] = of(candles.update([seen], at("09:15:01")))
    assert not running.closed
    [closed] = of(candles.update([], at("09:16:00")))
    assert closed.closed


def test_the_same_tick_again_changes_nothing_and_the_same_stamp_replaces() -> None:
    candles = Candles()
    candles.update([trade("09:00:01", 10.0, 5)], at("09:00:01"))
    assert candles.update([trade("09:00:01", 10.0, 5)], at("09:00:01")) == []
    [replaced] = of(candles.update([trade("09:00:01", 8.0, 6)], at("09:00:02")))
    assert (replaced.open, replaced.high, replaced.ticks, replaced.volume) == (8.0, 8.0, 1, 6)


def test_a_day_has_the_open_high_and_low_that_its_quotes_tell() -> None:
    """A day had two highs, one in its quotes and one in its candle, which was of the polled prices only."""
    candles = Candles()
    candles.update([trade("09:00:01", 62.75, open=62.42, high=63.0, low=62.0)], at("09:00:02"))
    [day], [hour] = of(candles.newest(), "1d"), of(candles.newest(), "1h")
    assert (day.open, day.high, day.low, day.close) == (62.42, 63.0, 62.0, 62.75)
    assert (hour.open, hour.high, hour.low, hour.close) == (62.75, 62.75, 62.75, 62.75)
    [unknown] = of(candles.update([trade("09:01:01", 61.9)], at("09:01:02")), "1d")
    assert (unknown.open, unknown.high, unknown.low) == (62.42, 63.0, 61.9)


def test_a_told_high_that_is_taken_back_is_taken_back_in_the_candle() -> None:
    candles = Candles()
    candles.update([trade("09:00:01", 10.0, open=10.0, high=99.0, low=1.0)], at("09:00:02"))
    [day] = of(candles.update([trade("09:00:02", 10.5, open=10.1, high=11.0, low=9.0)], at("09:00:03")), "1d")
    assert (day.open, day.high, day.low) == (10.1, 11.0, 9.0)


def test_what_was_told_of_another_day_is_not_in_a_candle() -> None:
    candles = Candles()
    candles.update([trade("09:00:01", 10.0, open=10.0, high=99.0, low=1.0)], at("09:00:02"))
    tomorrow = trade("09:00:00", 12.0, timestamp="2025-05-01T09:00:00.000Z")
    [_, day] = of(candles.update([tomorrow], DAY + timedelta(hours=33)), "1d")
    assert (day.open, day.high, day.low) == (12.0, 12.0, 12.0)


def test_a_source_that_begins_again_on_an_earlier_day_begins_new_candles() -> None:
    candles = Candles()
    candles.update([trade("09:00:01", 10.0, 5)], at("09:00:02"))
    earlier = DAY - timedelta(hours=10)
    [again] = of(candles.update([quote("ABS", 7.0, timestamp=utc_text(earlier))], earlier))
    assert (again.open, again.closed) == (7.0, False)


def reference(quotes: list[StockUpdate], interval: str) -> list[tuple[Any, ...]]:
    """The candles of one series of one day, from all of its ticks at once."""
    ticks = sorted({seen.timestamp: seen for seen in quotes}.items())
    buckets: dict[datetime, list[StockUpdate]] = {}
    for stamp, seen in ticks:
        moment = utc_time(stamp)
        start = moment - (moment - DAY) % timedelta(seconds=INTERVALS[interval])
        buckets.setdefault(start, []).append(seen)
    rows, before = [], 0
    for start, inside in buckets.items():
        prices = [seen.price for seen in inside]
        volumes = [seen.volume for seen in inside if seen.volume is not None]
        volume = max(0, volumes[-1] - before) if volumes else None
        opened, highs, lows = prices[0], list(prices), list(prices)
        if interval == "1d":
            opened = next((seen.open for seen in reversed(inside) if seen.open is not None), opened)
            highs += [opened, *[seen.high for seen in inside if seen.high is not None][-1:]]
            lows += [opened, *[seen.low for seen in inside if seen.low is not None][-1:]]
        rows.append((utc_text(start), opened, max(highs), min(lows), prices[-1], volume, len(inside)))
        before = volumes[-1] if volumes else before
    return rows


def row(candle: Candle) -> tuple[Any, ...]:
    return (candle.start, candle.open, candle.high, candle.low, candle.close, candle.volume, candle.ticks)


told = st.none() | st.integers(1, 12).map(float)
ticks = st.tuples(
    st.integers(0, 14 * 60), st.integers(1, 9), st.none() | st.integers(0, 99), st.tuples(told, told, told)
)
Made = tuple[int, int, int | None, tuple[float | None, float | None, float | None]]


@given(st.lists(ticks, min_size=1, max_size=60), st.lists(st.booleans(), min_size=60, max_size=60))
def test_what_was_told_last_is_what_a_recomputation_gives(made: list[Made], clocks: list[bool]) -> None:
    """Trades in any order, the same stamp again, told opens, highs and lows, a clock that runs ahead or stands still."""
    candles = Candles()
    told: dict[tuple[str, str], Candle] = {}
    quotes: list[StockUpdate] = []
    newest = 0
    for (second, price, volume, (opened, high, low)), ahead in zip(made, clocks, strict=False):
        moment = utc_text(at("08:55:00") + timedelta(seconds=second))
        fields = {"timestamp": moment, "volume": volume, "open": opened, "high": high, "low": low}
        quotes.append(quote("ABS", float(price), **fields))
        newest = max(newest, second)
        clock = at("08:55:00") + timedelta(seconds=newest) if ahead else NEVER
        for candle in candles.update([quotes[-1]], clock):
            before = told.get((candle.interval, candle.start))
            assert candle.closed or not (before and before.closed), "a closed candle stays closed"
            assert not candle.correction or candle.closed
            told[candle.interval, candle.start] = candle
    for interval in INTERVALS:
        mine = sorted(row(candle) for candle in told.values() if candle.interval == interval)
        assert mine == reference(quotes, interval)
    assert {candle.interval for candle in candles.newest()} == set(INTERVALS)


def test_a_tick_costs_the_same_at_the_end_of_a_busy_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten ticks a second of eighty stocks: every tick joined its whole minute anew, and a cycle took a second."""
    joins = 0
    then = Ohlc.then

    def counted(bar: Ohlc, later: Ohlc) -> Ohlc:
        nonlocal joins
        joins += 1
        return then(bar, later)

    monkeypatch.setattr(Ohlc, "then", counted)
    candles = Candles()
    for tick in range(600):
        candles.update([trade(f"09:00:{tick / 10:06.3f}", 10.0 + tick % 7)], NEVER)
    assert joins <= 600 * 5  # one in the minute, at most one for each interval


def test_a_long_day_keeps_its_minutes_but_not_all_its_ticks() -> None:
    candles = Candles()
    seconds = range(0, 3600 * 2, 20)
    start = at("07:00:00")
    quotes = [
        quote("ABS", 1.0 + gone * 7919 % 97, volume=gone, timestamp=utc_text(start + timedelta(seconds=gone)))
        for gone in seconds
    ]
    for seen in quotes:
        candles.update([seen], utc_time(seen.timestamp))
    [series] = candles._series.values()
    assert sum(len(minute._ticks) for minute in series._minutes.values()) <= 15 * 3
    [day] = of(candles.newest(), "1d")
    assert row(day) == reference(quotes, "1d")[0]
    [hour] = of(candles.newest(), "1h")
    assert row(hour) == reference(quotes, "1h")[-1]


async def changed_quotes(provider: ReplayProvider, known: dict[str, StockUpdate]) -> list[StockUpdate]:
    """What a cycle records of a fetch."""
    fetched = await provider.fetch_data()
    changed = [
        one for one in fetched if one.symbol not in known or one.traded() != known[one.symbol].traded()
    ]
    known.update({one.symbol: one for one in changed})
    return changed


async def test_the_second_round_of_a_loop_has_the_candles_of_the_first() -> None:
    """From the second round on, ticks were counted twice, and the running hour was told as closed, with later prices."""
    provider = ReplayProvider(ReplayConfig(loop=True), step_seconds=600)
    candles = Candles(replayed=True)
    known: dict[str, StockUpdate] = {}
    rounds: dict[int, dict[tuple[str, str, str], Candle]] = {}
    of_abs: list[StockUpdate] = []
    while provider.run < 3:
        changed = await changed_quotes(provider, known)
        if provider.run not in rounds:
            of_abs.clear()
        told = rounds.setdefault(provider.run, {})
        of_abs += [one for one in changed if one.symbol == "ABS"]
        for candle in candles.update(changed, provider.market_time()):
            told[candle.interval, candle.symbol, candle.start] = candle
            end = utc_time(candle.start).timestamp() + INTERVALS[candle.interval]
            assert candle.closed == (end <= provider.market_time().timestamp())
        running = [row(candle) for candle in of(candles.newest(), "1h") if candle.symbol == "ABS"]
        assert running == reference(of_abs, "1h")[-1:]
    assert len(rounds[1]) > 5000
    assert rounds[2] == rounds[1]


# Beside the views of a real QuestDB


@pytest.fixture
async def connector(questdb_server: QuestDBConfig) -> AsyncIterator[QuestDBConnector]:
    connector = QuestDBConnector(questdb_server)
    await drop_schema(connector)
    await connector.connect()
    yield connector
    await drop_schema(connector)
    await connector.close()


VOLUMES = """
    SELECT timestamp, symbol, open, high, low, close, cum_vol_close - coalesce(before, 0) AS volume, ticks
    FROM (SELECT *, lag(cum_vol_close) OVER (PARTITION BY symbol, day ORDER BY timestamp) AS before
          FROM (SELECT *, timestamp_floor('d', timestamp) AS day FROM candles_%s))
"""


async def test_a_replayed_session_gives_the_candles_of_questdb(connector: QuestDBConnector) -> None:
    provider = ReplayProvider(ReplayConfig(), step_seconds=45)
    candles = Candles()
    told: dict[tuple[str, str, str], Candle] = {}
    known: dict[str, StockUpdate] = {}
    while not provider.finished:
        changed = await changed_quotes(provider, known)
        for candle in candles.update(changed, provider.market_time()):
            told[candle.interval, candle.symbol, candle.start] = candle
        if changed:
            await connector.insert_batch(changed)
    await viewed(connector)
    for interval in INTERVALS:
        mine = {(symbol, *row(candle)) for (kind, symbol, _), candle in told.items() if kind == interval}
        theirs = {
            (
                found["symbol"],
                utc_text(found["timestamp"]),
                *(found[name] for name in ("open", "high", "low", "close", "volume", "ticks")),
            )
            for found in await connector.execute_query(VOLUMES % interval)
        }
        assert len(mine) > 70
        assert mine == theirs
