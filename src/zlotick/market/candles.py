"""Candles of one minute, five, an hour and a day, from quotes as they come. Pure.

They equal what ``SAMPLE BY`` over the recorded quotes gives: buckets of UTC, one row for each symbol, source and
time stamp (the same stamp again replaces it), the volume from the session's cumulative one. A minute holds its
ticks; everything longer is folded from minutes.

The day's first candle has all that was traded until its end, also before we looked: nobody knows when, and so the
volumes of a day's candles add up to the day's.

Candles of a minute, five and an hour are of the observed prices. A day's has the open, high and low that its newest
quote tells of the session, too: what was traded between two looks is in them (``candles_1d.sql`` has the same rule).
A UTC day is one session: Warsaw trades from 9 to 17 o'clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from zlotick.model import StockUpdate, utc_text, utc_time

INTERVALS = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86400}
"""Seconds."""

TICKS_KEPT = 15
"""Minutes with ticks for which a series still holds them. In an older one a late trade counts as one more tick even
if it replaces one: that is the price of a bound on what a day keeps."""

_MINUTE, _DAY = INTERVALS["1m"], INTERVALS["1d"]


class Candle(msgspec.Struct, frozen=True, kw_only=True):
    """What was traded in one bucket. Prices in PLN, volume in shares (``None`` when no quote told it)."""

    symbol: str
    interval: str
    start: str
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    ticks: int
    closed: bool  # the bucket's end has passed
    correction: bool  # told again, because a trade came after it was closed
    data_source: str


class SessionFigures(NamedTuple):
    """What quotes tell of the session so far: of each, the newest that was told."""

    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None  # cumulative

    def then(self, later: SessionFigures) -> SessionFigures:
        """Both, the later one first."""
        return SessionFigures(
            self.open if later.open is None else later.open,
            self.high if later.high is None else later.high,
            self.low if later.low is None else later.low,
            self.volume if later.volume is None else later.volume,
        )


class Ohlc(NamedTuple):
    """What happened in a span of time."""

    open: float
    high: float
    low: float
    close: float
    told: SessionFigures
    ticks: int = 1

    def then(self, later: Ohlc) -> Ohlc:
        """Both spans as one."""
        return Ohlc(
            self.open,
            max(self.high, later.high),
            min(self.low, later.low),
            later.close,
            self.told.then(later.told),
            self.ticks + later.ticks,
        )

    def of_session(self) -> Ohlc:
        """A day's bar with what its quotes tell: a newer told value replaces an older one, an observed price stays."""
        told = self.told
        opened = self.open if told.open is None else told.open
        return self._replace(
            open=opened,
            high=max(self.high, opened, self.high if told.high is None else told.high),
            low=min(self.low, opened, self.low if told.low is None else told.low),
        )


class Candles:
    """All series: one for each symbol and source, since one symbol's sources never mix in a candle.

    ``replayed``: when the newest of some quotes is older than the newest before, the material begins again. Then
    everything is forgotten: a running candle must not have the prices of the round before, which are yet to come.
    """

    def __init__(self, *, replayed: bool = False) -> None:
        self._series: dict[tuple[str, str], _Series] = {}
        self._replayed = replayed
        self._newest = ""

    def update(self, quotes: Sequence[StockUpdate], clock: datetime) -> list[Candle]:
        """The candles that these quotes and the time change, each once. ``clock`` is the market's time."""
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
        """The newest candle of each series and interval, as it is now."""
        return [candle for series in self._series.values() for candle in series.newest()]


class _Minute:
    """The ticks of one minute by time stamp, until it is old: then only what they came to.

    What they come to is kept beside them: a minute of a busy stock would else be joined anew for each of its ticks.
    """

    __slots__ = ("_bar", "_sealed", "_ticks")

    def __init__(self) -> None:
        self._ticks: dict[str, Ohlc] = {}
        self._bar: Ohlc | None = None
        self._sealed = False

    def add(self, timestamp: str, tick: Ohlc) -> bool:
        """Take a tick; False when it changes nothing."""
        if self._sealed:
            whole = self.bar()
            self._bar = whole.then(tick)._replace(close=whole.close, told=whole.told)
            return True
        if self._ticks.get(timestamp) == tick:
            return False
        if not self._ticks or timestamp > next(reversed(self._ticks)):
            self._ticks[timestamp] = tick
            self._bar = tick if self._bar is None else self._bar.then(tick)
        else:
            self._ticks = dict(sorted({**self._ticks, timestamp: tick}.items()))
            self._bar = _joined(self._ticks.values())
        return True

    def bar(self) -> Ohlc:
        assert self._bar is not None, "a minute is made for its first tick"
        return self._bar

    def seal(self) -> None:
        self._sealed, self._ticks = True, {}


class _Bucket:
    """The newest bucket of one interval, with what came before its newest minute."""

    __slots__ = ("before", "earlier", "start")

    def __init__(self, start: int, before: int, earlier: Ohlc | None = None) -> None:
        self.start = start
        self.before = before  # the day's cumulative volume when it began
        self.earlier = earlier


class _Series:
    """The minutes of one symbol's newest UTC day, by one source."""

    def __init__(self, symbol: str, source: str) -> None:
        self.delay = 0  # seconds that the source runs behind the exchange
        self._symbol = symbol
        self._source = source
        self._restart(0)

    def take(self, quote: StockUpdate) -> Iterator[Candle]:
        """The candles that a quote changes, after those that it ends."""
        second = int(utc_time(quote.timestamp).timestamp())
        minute, day = second - second % _MINUTE, second - second % _DAY
        self.delay = quote.delay_seconds or 0
        told = SessionFigures(quote.open, quote.high, quote.low, quote.volume)
        tick = Ohlc(quote.price, quote.price, quote.price, quote.price, told)
        if day > self._day:
            yield from self.close(minute)
        if day != self._day:  # an earlier one: its source began again, as a replay does
            self._restart(day)
        if minute > self._last:
            yield from self.close(minute)
            self._begin(minute)
        changed = self._late if minute < self._last else self._in_order
        for candle in changed(minute, quote.timestamp, tick):
            yield msgspec.structs.replace(candle, correction=True) if candle.closed else candle

    def close(self, clock: float) -> Iterator[Candle]:
        """The newest buckets whose end has passed, unless that was told."""
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
        self._closed = dict.fromkeys(INTERVALS, 0)  # until when buckets were told as closed

    def _begin(self, minute: int) -> None:
        """A newer minute, and with it perhaps newer buckets."""
        earlier = self._minutes[self._last].bar() if self._minutes else None
        volume = self._whole("1d").told.volume if self._minutes else None
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
        """A trade before the newest minute changes its own candles, and the volume of those that follow."""
        before = set(self._since(minute))
        if minute not in self._minutes:
            self._minutes[minute] = _Minute()
            self._minutes = dict(sorted(self._minutes.items()))
        self._minutes[minute].add(timestamp, tick)
        for bucket in self._buckets.values():
            bucket.before = self._volume_before(bucket.start)
            bucket.earlier = _joined(self._bars(bucket.start, self._last))
        yield from (candle for candle in self._since(minute) if candle not in before)

    def _since(self, minute: int) -> Iterator[Candle]:
        """Every candle of the day from the one with this minute on."""
        for interval, width in INTERVALS.items():
            first = minute - minute % width
            starts = {start - start % width for start in self._minutes if start >= first}
            for start in sorted(starts):
                bar = _joined(self._bars(start, start + width))
                if bar is not None:
                    yield self._candle(interval, start, bar, self._volume_before(start))

    def _bars(self, start: int, end: int) -> Iterator[Ohlc]:
        return (minute.bar() for at, minute in self._minutes.items() if start <= at < end)

    def _volume_before(self, start: int) -> int:
        """The day's cumulative volume at a moment."""
        day = _joined(self._bars(self._day, start))
        return (day.told.volume or 0) if day else 0

    def _of_newest(self, interval: str) -> Candle:
        bucket = self._buckets[interval]
        return self._candle(interval, bucket.start, self._whole(interval), bucket.before)

    def _whole(self, interval: str) -> Ohlc:
        bar, earlier = self._minutes[self._last].bar(), self._buckets[interval].earlier
        return bar if earlier is None else earlier.then(bar)

    def _candle(self, interval: str, start: int, bar: Ohlc, before: int) -> Candle:
        volume = bar.told.volume
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
            data_source=self._source,
        )


def latest_time(quotes: Iterable[StockUpdate]) -> str:
    """The latest time stamp of some quotes."""
    return max(quote.timestamp for quote in quotes)


def _joined(bars: Iterable[Ohlc]) -> Ohlc | None:
    whole: Ohlc | None = None
    for bar in bars:
        whole = bar if whole is None else whole.then(bar)
    return whole
