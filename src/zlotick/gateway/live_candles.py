"""Candles for those who subscribe to them: nothing is computed until somebody does.

The first subscriber makes the day so far be read from the journal, so that a running candle has its beginning.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec

from zlotick.gateway.frames import SharedMessage
from zlotick.gateway.protocol import CandleTold
from zlotick.gateway.resume import CHUNK, CannotResume, ReadJournal, Tail, chunk, missed
from zlotick.market.candles import Candle, Candles
from zlotick.model import Entry, Position

LOOK_BACK = 20_000
"""Entries: a day has that many when a cycle takes four seconds. A longer day's candles begin within it."""

_BEFORE_ALL = datetime.fromtimestamp(0, UTC)  # a clock that closes nothing

Told = list[tuple[tuple[str, str, str], SharedMessage]]
"""Messages with what each is about: interval, symbol and source."""


class LiveCandles:
    """The candles as of the last published cycle."""

    def __init__(self, tail: Tail, read: ReadJournal, market_time: Callable[[], datetime]) -> None:
        self._tail = tail
        self._read = read
        self._market_time = market_time
        self._candles: Candles | None = None
        self._starting = asyncio.Lock()

    async def start(self, now: Callable[[], Position | None]) -> None:
        """Know the day so far; from then on :meth:`update` has to be told every entry. Raises JournalError.

        There is no wait between the last entry that was read and that moment.
        """
        async with self._starting:
            if self._candles is not None:
                return
            place = now()
            after = 0 if place is None else await self._before_the_day(place.offset)
            candles = Candles()
            try:
                async with aclosing(missed(after, now, self._tail, self._read)) as entries:
                    async for entry in entries:
                        candles.update(entry.batch.quotes, _BEFORE_ALL)
                        await asyncio.sleep(0)
            except CannotResume:
                candles = Candles()  # the journal forgot while we read: candles begin now
            self._candles = candles

    def update(self, entry: Entry | None) -> Told:
        """What a cycle changes, and the market's clock."""
        if self._candles is None:
            return []
        quotes = entry.batch.quotes if entry else []
        return _told(self._candles.update(quotes, self._market_time()))

    def newest(self) -> Told:
        """Every series as it is now."""
        return [] if self._candles is None else _told(self._candles.newest())

    async def _before_the_day(self, end: int) -> int:
        """The offset after which the day of the newest quotes begins."""
        first = max(0, end - LOOK_BACK)
        day = ""
        while end > first:
            start = max(first, end - CHUNK)
            found = [entry for entry in await chunk(self._read, start) if entry.position.offset <= end]
            if not found:
                break
            day = day or max(quote.timestamp[:10] for quote in found[-1].batch.quotes)
            for entry in reversed(found):
                if all(quote.timestamp[:10] < day for quote in entry.batch.quotes):
                    return entry.position.offset
            end = found[0].position.offset - 1
            if end > start:  # retention took what was before
                break
        return end


def _told(candles: Iterable[Candle]) -> Told:
    return [
        (
            (candle.interval, candle.symbol, candle.data_source),
            SharedMessage(CandleTold(**msgspec.structs.asdict(candle)).encode()),
        )
        for candle in candles
    ]
