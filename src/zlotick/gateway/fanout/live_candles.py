"""Candles for those who subscribe to them: nothing is computed until somebody does.

The first subscriber makes the day so far be read from the journal, so that a running candle has its beginning. A while
after the last one has left they are forgotten: a day of them is megabytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec

from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.recovery import CHUNK, CannotResume, ReadJournal, ReplayBuffer, chunk, missed
from zlotick.gateway.protocol.messages import CandleTold
from zlotick.market.candles import Candle, Candles, latest_time
from zlotick.model import Entry, Origin, Position

LOOK_BACK = 20_000
"""Entries: a day has that many when a cycle takes four seconds. A longer day's candles begin within it."""

KEPT = 600.0
"""Seconds for which candles are kept that are not wanted: a client comes back, and the journal need not be read again."""

_BEFORE_ALL = datetime.fromtimestamp(0, UTC)  # a clock that closes nothing

CandleMessages = list[tuple[tuple[str, str, str], SharedMessage]]
"""Messages with what each is about: interval, symbol and source."""


class LiveCandles:
    """The candles as of the last published cycle."""

    def __init__(
        self,
        replay_buffer: ReplayBuffer,
        read: ReadJournal,
        origin: Callable[[], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replay_buffer = replay_buffer
        self._read = read
        self._origin = origin
        self._clock = clock
        self._candles: Candles | None = None
        self._wanted_at = 0.0
        self._starting = asyncio.Lock()

    async def start(self, now: Callable[[], Position | None]) -> None:
        """Know the day so far; from then on :meth:`update` has to be told every entry. Raises JournalError.

        There is no wait between the last entry that was read and that moment.
        """
        async with self._starting:
            self.keep()
            if self._candles is not None:
                return
            place = now()
            after = 0 if place is None else await self._before_the_day(place.offset)
            candles = self._fresh()
            try:
                async with aclosing(missed(after, now, self._replay_buffer, self._read)) as entries:
                    async for entry in entries:
                        candles.update(entry.batch.quotes, _BEFORE_ALL)
                        await asyncio.sleep(0)
            except CannotResume:
                candles = self._fresh()  # the journal forgot while we read: candles begin now
            self.keep()
            self._candles = candles

    def keep(self) -> None:
        """They are wanted, or soon will be."""
        self._wanted_at = self._clock()

    def update(self, entry: Entry | None, market_time: datetime, *, wanted: bool = True) -> CandleMessages:
        """What a cycle changes, and the market's clock."""
        if wanted:
            self.keep()
        elif self._clock() > self._wanted_at + KEPT:
            self._candles = None
        if self._candles is None:
            return []
        quotes = entry.batch.quotes if entry else []
        return _told(self._candles.update(quotes, market_time))

    def newest(self) -> CandleMessages:
        """Every series as it is now."""
        return [] if self._candles is None else _told(self._candles.newest())

    async def _before_the_day(self, end: int) -> int:
        """The offset after which the day of the newest quotes begins, or the present round of a replay."""
        first = max(0, end - LOOK_BACK)
        day = following = ""
        replayed = self._origin() == Origin.REPLAYED
        while end > first:
            start = max(first, end - CHUNK)
            found = [entry for entry in await chunk(self._read, start) if entry.position.offset <= end]
            if not found:
                break
            day = day or latest_time(found[-1].batch.quotes)[:10]
            for entry in reversed(found):
                latest = latest_time(entry.batch.quotes)
                if latest[:10] < day or (replayed and following and latest > following):
                    return entry.position.offset
                following = latest
            end = found[0].position.offset - 1
            if end > start:  # retention took what was before
                break
        return end

    def _fresh(self) -> Candles:
        return Candles(replayed=self._origin() == Origin.REPLAYED)


def _told(candles: Iterable[Candle]) -> CandleMessages:
    return [
        (
            (candle.interval, candle.symbol, candle.data_source),
            SharedMessage(CandleTold(**msgspec.structs.asdict(candle)).encode()),
        )
        for candle in candles
    ]
