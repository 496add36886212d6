"""Candles of one minute, five minutes, an hour and a day, built from quotes as they arrive. Pure.

They equal the result of ``SAMPLE BY`` over the recorded quotes: buckets of UTC, one row for each symbol, provider and
time stamp (a repeated stamp replaces the row), the volume as the growth of the session's cumulative volume. A minute
keeps its ticks; longer candles are folded from minutes.

The day's first candle includes everything traded before our first observation: when it was traded is unknown, and
this way the volumes of a day's candles add up to the day's volume.

Intraday candles use observed prices only. The daily candle also uses the session's open, high and low as its newest
quote reports them, which include trades between two observations (``candles_1d.sql`` has the same rule).
A UTC day is one session: Warsaw trades from 9 to 17 o'clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from zlotick.market.ohlc import Ohlc, SessionFigures, joined
from zlotick.model import StockUpdate, utc_text, utc_time

INTERVALS = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86400}
"""Seconds."""

TICKS_KEPT = 15
"""How many of the newest minutes keep their ticks. In an older one a late trade counts as one more tick even if it
replaces one: the price of bounded memory."""

_MINUTE, _DAY = INTERVALS["1m"], INTERVALS["1d"]


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """What was traded in one bucket. Prices in PLN, volume in shares (``None`` when no quote reported it)."""

    symbol: str
    interval: str
    start: str
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    ticks: int
    closed: bool  # the end of the bucket has passed
    correction: bool  # sent again because a trade arrived after it was closed
    data_source: str


class Candles:
    """All series: one for each symbol and provider, since one symbol's providers never mix in a candle.

    ``replayed``: quotes older than the newest seen so far mean that the replay has started over. All series are then
    cleared: a running candle must not contain prices of the previous round, which lie in its future.
    """

    def __init__(self, *, replayed: bool = False) -> None:
        self._series: dict[tuple[str, str], _Series] = {}
        self._replayed = replayed
        self._newest = ""

    def update(self, quotes: Sequence[StockUpdate], clock: datetime) -> list[Candle]:
        """The candles changed by these quotes and by the passing of time, each once. ``clock`` is the market's time."""
        if self._replayed and quotes:
            before, self._newest = self._newest, latest_time(quotes)
            if self._newest < before:
                self._series.clear()
        changed: dict[tuple[str, str, str, str], Candle] = {}
        for quote in quotes:
            key = (quote.symbol, quote.data_source)
            series = self._series.get(key) or self._series.setdefault(key, _Series(*key))
            for candle in series.take(quote):
                changed[*key, candle.interval, candle.start] = candle
        now = clock.timestamp()
        for key, series in self._series.items():
            for candle in series.close(now - series.delay):
                changed[*key, candle.interval, candle.start] = candle
        return list(changed.values())

    def newest(self) -> list[Candle]:
        """The newest candle of each series and interval."""
        return [candle for series in self._series.values() for candle in series.newest()]


class _Minute:
    """The ticks of one minute by time stamp; once the minute is old, only their merged bar.

    The merged bar is kept next to the ticks: else a busy stock's minute would be merged again for each tick.
    """

    __slots__ = ("_bar", "_sealed", "_ticks")

    def __init__(self) -> None:
        self._ticks: dict[str, Ohlc] = {}
        self._bar: Ohlc | None = None
        self._sealed = False

    def add(self, timestamp: str, tick: Ohlc) -> bool:
        """Add a tick; False if it changes nothing."""
        if self._sealed:
            whole = self.bar()
            self._bar = whole.then(tick)._replace(close=whole.close, reported=whole.reported)
            return True
        if self._ticks.get(timestamp) == tick:
            return False
        if not self._ticks or timestamp > next(reversed(self._ticks)):
            self._ticks[timestamp] = tick
            self._bar = tick if self._bar is None else self._bar.then(tick)
        else:
            self._ticks = dict(sorted({**self._ticks, timestamp: tick}.items()))
            self._bar = joined(self._ticks.values())
        return True

    def bar(self) -> Ohlc:
        assert self._bar is not None, "a minute is made for its first tick"
        return self._bar

    def seal(self) -> None:
        self._sealed, self._ticks = True, {}


class _Bucket:
    """The newest bucket of one interval: ``earlier`` is the merged bar of its minutes before the newest one."""

    __slots__ = ("before", "earlier", "start")

    def __init__(self, start: int, before: int, earlier: Ohlc | None = None) -> None:
        self.start = start
        self.before = before  # the day's cumulative volume when it began
        self.earlier = earlier


class _Series:
    """The minutes of one symbol's newest UTC day, by one provider."""

    def __init__(self, symbol: str, provider: str) -> None:
        self.delay = 0  # seconds that the provider runs behind the exchange
        self._symbol = symbol
        self._provider = provider
        self._restart(0)

    def take(self, quote: StockUpdate) -> Iterator[Candle]:
        """The candles that a quote closes, then those that it changes."""
        second = int(utc_time(quote.timestamp).timestamp())
        minute, day = second - second % _MINUTE, second - second % _DAY
        self.delay = quote.delay_seconds or 0
        reported = SessionFigures(quote.open, quote.high, quote.low, quote.volume)
        tick = Ohlc(quote.price, quote.price, quote.price, quote.price, reported)
        if day > self._day:
            yield from self.close(minute)
        if day != self._day:  # an earlier day: the provider started over, as a replay does
            self._restart(day)
        if minute > self._last:
            yield from self.close(minute)
            self._begin(minute)
        changed = self._late if minute < self._last else self._in_order
        for candle in changed(minute, quote.timestamp, tick):
            yield msgspec.structs.replace(candle, correction=True) if candle.closed else candle

    def close(self, clock: float) -> Iterator[Candle]:
        """The newest buckets whose end has passed, each sent as closed once."""
        for interval, bucket in self._buckets.items():
            end = bucket.start + INTERVALS[interval]
            if self._closed[interval] < end <= clock:
                self._closed[interval] = end
                yield self._of_newest(interval)

    def newest(self) -> Iterator[Candle]:
        """The newest candle of each interval."""
        for interval in self._buckets:
            yield self._of_newest(interval)

    def _restart(self, day: int) -> None:
        self._day = day
        self._last = 0  # the newest minute
        self._minutes: dict[int, _Minute] = {}
        self._buckets: dict[str, _Bucket] = {}
        self._closed = dict.fromkeys(INTERVALS, 0)  # up to where buckets were sent as closed

    def _begin(self, minute: int) -> None:
        """Start a newer minute, and newer buckets where it crosses their ends."""
        earlier = self._minutes[self._last].bar() if self._minutes else None
        volume = self._whole("1d").reported.volume if self._minutes else None
        for interval, width in INTERVALS.items():
            start = minute - minute % width
            bucket = self._buckets.get(interval)
            if bucket is None or bucket.start != start:
                self._buckets[interval] = _Bucket(start, volume or 0)
            elif earlier is not None:
                bucket.earlier = earlier if bucket.earlier is None else bucket.earlier.then(earlier)
        self._last = minute
        self._minutes[minute] = _Minute()
        if len(self._minutes) > TICKS_KEPT:
            self._minutes[list(self._minutes)[-TICKS_KEPT - 1]].seal()

    def _in_order(self, minute: int, timestamp: str, tick: Ohlc) -> Iterator[Candle]:
        if self._minutes[minute].add(timestamp, tick):
            yield from self.newest()

    def _late(self, minute: int, timestamp: str, tick: Ohlc) -> Iterator[Candle]:
        """A late trade changes the candles of its own minute and the volume of all candles after it."""
        before = set(self._since(minute))
        if minute not in self._minutes:
            self._minutes[minute] = _Minute()
            self._minutes = dict(sorted(self._minutes.items()))
        self._minutes[minute].add(timestamp, tick)
        for bucket in self._buckets.values():
            bucket.before = self._volume_before(bucket.start)
            bucket.earlier = joined(self._bars(bucket.start, self._last))
        yield from (candle for candle in self._since(minute) if candle not in before)

    def _since(self, minute: int) -> Iterator[Candle]:
        """Every candle of the day, from those that contain this minute on."""
        for interval, width in INTERVALS.items():
            first = minute - minute % width
            starts = {start - start % width for start in self._minutes if start >= first}
            for start in sorted(starts):
                bar = joined(self._bars(start, start + width))
                if bar is not None:
                    yield self._candle(interval, start, bar, self._volume_before(start))

    def _bars(self, start: int, end: int) -> Iterator[Ohlc]:
        return (minute.bar() for at, minute in self._minutes.items() if start <= at < end)

    def _volume_before(self, start: int) -> int:
        """The day's cumulative volume at a moment."""
        day = joined(self._bars(self._day, start))
        return (day.reported.volume or 0) if day else 0

    def _of_newest(self, interval: str) -> Candle:
        bucket = self._buckets[interval]
        return self._candle(interval, bucket.start, self._whole(interval), bucket.before)

    def _whole(self, interval: str) -> Ohlc:
        bar, earlier = self._minutes[self._last].bar(), self._buckets[interval].earlier
        return bar if earlier is None else earlier.then(bar)

    def _candle(self, interval: str, start: int, bar: Ohlc, before: int) -> Candle:
        volume = bar.reported.volume
        if interval == "1d":
            bar = bar.of_session()
        return Candle(
            symbol=self._symbol,
            interval=interval,
            start=utc_text(datetime.fromtimestamp(start, UTC)),
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=None if volume is None else max(0, volume - before),
            ticks=bar.ticks,
            closed=start + INTERVALS[interval] <= self._closed[interval],
            correction=False,
            data_source=self._provider,
        )


def latest_time(quotes: Iterable[StockUpdate]) -> str:
    """The latest time stamp of some quotes."""
    return max(quote.timestamp for quote in quotes)
