"""Live candles: computed only while a session subscribes to them.

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
from zlotick.gateway.protocol.messages import CandleMessage
from zlotick.market.candles import Candle, Candles, latest_time
from zlotick.model import Entry, Origin, Position

LOOK_BACK = 20_000
"""Entries of one day with a cycle every four seconds. With more, today's candles start later in the day."""

KEPT = 600.0
"""Seconds for which unused candles are kept, so that a reconnecting client does not cause another read of the journal."""

_BEFORE_ALL = datetime.fromtimestamp(0, UTC)  # a time that closes no candle

CandleMessages = list[tuple[tuple[str, str, str], SharedMessage]]
"""Messages with their key: interval, symbol and provider."""


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
        self._epochs = 0  # that began while this process runs

    async def start(self, now: Callable[[], Position | None]) -> None:
        """Load today's candles; from now on :meth:`update` must get each entry. Raises JournalError.

        There is no wait between the last entry that was read and that moment.
        """
        async with self._starting:
            self.keep()
            while self._candles is None:
                epochs, candles = self._epochs, await self._load(now)
                if epochs == self._epochs:  # else another history began while this one was read
                    self._candles = candles
            self.keep()

    async def _load(self, now: Callable[[], Position | None]) -> Candles:
        place = now()
        after = 0 if place is None else await self._before_the_day(place.offset)
        candles = self._fresh()
        try:
            async with aclosing(missed(after, now, self._replay_buffer, self._read)) as entries:
                async for entry in entries:
                    candles.update(entry.batch.quotes, _BEFORE_ALL)
                    await asyncio.sleep(0)
        except CannotResume:
            return self._fresh()  # retention dropped entries while we read: candles start now
        return candles

    def begin_epoch(self) -> bool:
        """Forget the candles of the former history. Returns whether they were in use, or being loaded."""
        in_use = self._candles is not None or self._starting.locked()
        self._epochs += 1
        self._candles = None
        return in_use

    def keep(self) -> None:
        """Postpone the expiry: they are in use, or will be soon."""
        self._wanted_at = self._clock()

    def update(self, entry: Entry | None, market_time: datetime, *, wanted: bool = True) -> CandleMessages:
        """The candles that a cycle or the market's clock changed."""
        if wanted:
            self.keep()
        elif self._clock() > self._wanted_at + KEPT:
            self._candles = None
        if self._candles is None:
            return []
        quotes = entry.batch.quotes if entry else []
        return _told(self._candles.update(quotes, market_time))

    def newest(self) -> CandleMessages:
        """The current candle of each series."""
        return [] if self._candles is None else _told(self._candles.newest())

    async def _before_the_day(self, end: int) -> int:
        """The offset before the first entry of the newest day, or of the current round of a replay."""
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
            if end > start:  # retention dropped the earlier ones
                break
        return end

    def _fresh(self) -> Candles:
        return Candles(replayed=self._origin() == Origin.REPLAYED)


def _told(candles: Iterable[Candle]) -> CandleMessages:
    return [
        (
            (candle.interval, candle.symbol, candle.data_source),
            SharedMessage(CandleMessage(**msgspec.structs.asdict(candle)).encode()),
        )
        for candle in candles
    ]
