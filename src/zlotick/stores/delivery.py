"""A delivery: the reader that moves batches from the journal into a store, and waits while the store is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import cast

import msgspec
import structlog

from zlotick.connections.backoff import backoff
from zlotick.errors import Fatal, JournalError
from zlotick.journal import Journal
from zlotick.model import ConnectionStatus, DeadLetter, Entry, Position, StockUpdate, UpdateBatch, now_text
from zlotick.stores.news import DeliveryNews
from zlotick.stores.sink import Sink

log = structlog.stdlib.get_logger("zlotick.stores")

MAX_RESENT = 10_000  # dead letters in one call


class DeliveryStats(msgspec.Struct, frozen=True):
    """A delivery at a glance."""

    entries: int  # delivered since the start
    rows: int  # quotes in them, without the dead letters
    dead_letters: int  # put aside since the start
    skipped: int  # entries that retention dropped before they were delivered
    lag: int  # entries yet to be delivered
    retries: int
    last_success: str | None  # when the store last took something, or last proved to be there
    last_success_at: float | None  # the same, on the monotonic clock
    last_error: str | None  # None while all is well


class Delivery:
    """Follows the journal from the sink's cursor. An outage is a longer lag, nothing else.

    The cursor moves only after ``deliver()`` has returned, together with the dead letters; whatever happens in
    between is delivered again. All writes go through one lock, so an older one never lands on a newer one.

    The cursor alone does not tell whether the store still has what it was given. An empty history is filled again
    from what the journal keeps; the last values are compared every ``check_interval`` seconds.
    """

    def __init__(
        self,
        journal: Journal,
        sink: Sink,
        *,
        # Timeouts
        connect_timeout: float = 30.0,
        deliver_timeout: float = 60.0,
        probe_interval: float = 15.0,
        check_interval: float = 60.0,
        # Waiting: Transient from first_delay up to max_delay, Fatal always fatal_delay
        first_delay: float = 0.2,
        max_delay: float = 30.0,
        fatal_delay: float = 60.0,
        healthy_after: float = 10.0,
    ) -> None:
        self.sink = sink
        self._journal = journal
        self._connect_timeout = connect_timeout
        self._deliver_timeout = deliver_timeout
        self._probe_interval = probe_interval
        self._check_interval = check_interval
        self._check_at = 0.0  # on the monotonic clock
        self._first_delay = first_delay
        self._max_delay = max_delay
        self._fatal_delay = fatal_delay
        self._healthy_after = healthy_after
        self._lock = asyncio.Lock()
        self._cursor: int | None = None
        self._news = DeliveryNews(sink.name)
        self._entries = self._rows = self._dead = self._skipped = self._retries = 0
        self._last_success: tuple[str, float] | None = None

    @property
    def lag(self) -> int:
        """Entries of the journal that the store has yet to get."""
        return self._journal.position.offset - (self._cursor or 0)

    @property
    def stats(self) -> DeliveryStats:
        """What it did so far, and how it is."""
        text, at = self._last_success or (None, None)
        return DeliveryStats(
            entries=self._entries,
            rows=self._rows,
            dead_letters=self._dead,
            skipped=self._skipped,
            lag=self.lag,
            retries=self._retries,
            last_success=text,
            last_success_at=at,
            last_error=self._news.trouble,
        )

    async def run(self) -> None:
        """Deliver until cancelled. No error ends it: each is told, waited for and tried again."""
        delays = self._ramp()
        while True:
            connected_at = None
            try:
                await self._connect()
                connected_at = time.monotonic()
                await self._deliver_for_ever()
            except Exception as error:  # noqa: BLE001  a bug in a sink must not end the delivery unseen
                if connected_at and time.monotonic() - connected_at >= self._healthy_after:
                    delays = self._ramp()
                self._news.down(error, self.lag)
                delay = self._fatal_delay if isinstance(error, Fatal) else next(delays)
            self._retries += 1
            await asyncio.sleep(delay)

    async def flush(self, timeout: float) -> bool:  # noqa: ASYNC109  the deadline of a step of stop()
        """Deliver what is left, for at most ``timeout`` seconds. True when nothing is.

        Does not wait for a store that is away: what it has not got stays in the journal.
        """
        if self._cursor is not None and self.sink.monitor.status is ConnectionStatus.CONNECTED:
            try:
                async with asyncio.timeout(timeout):
                    await self._deliver_rest()
            except Exception as error:  # noqa: BLE001  stopping goes on whatever a sink does
                self._news.down(error, self.lag)
        if self.lag:
            log.warning("Delivery stops before the end", sink=self.sink.name, lag=self.lag)
        return not self.lag

    async def resend_dead_letters(self) -> tuple[int, int]:
        """Deliver what the store refused once more, oldest first; how many went and how many it still refuses.

        Raises what the sink raises when it is away: the letters stay.
        """
        letters = await self._journal.dead_letters(self.sink.reader, limit=MAX_RESENT)
        resent = 0
        for start in range(0, len(letters), self.sink.max_entries):
            resent += await self._resend(letters[start : start + self.sink.max_entries])
        if resent:  # the cause was mended: the next refusal is news
            self._news.mended()
        if letters:
            refused = len(letters) - resent
            log.info("Dead letters sent again", sink=self.sink.name, resent=resent, refused=refused)
        return resent, len(letters) - resent

    async def redeliver(self, first: int = 1) -> range:
        """Deliver what the journal still has from an offset on once more. Returns the offsets; soon they are on the way.

        Raises JournalError when there is no such entry yet.
        """
        last = self._journal.position.offset
        if first > last:
            raise JournalError(f"cannot deliver from entry {first}: the journal ends at {last}")
        async with self._lock:
            first = max(first, (await self._journal.stats()).first_offset)
            await self._journal.rewind(self.sink.reader, first - 1)
            if self._cursor is not None:
                self._cursor = min(self._cursor, first - 1)
        return range(first, last + 1)

    async def _connect(self) -> None:
        async with self._lock:
            self._check_at = 0.0
            self._cursor = await self._journal.cursor(self.sink.reader)
            async with asyncio.timeout(self._connect_timeout):
                await self.sink.connect()

    async def _deliver_for_ever(self) -> None:
        await self._refill_history()
        await self._deliver_rest()
        while True:
            await self._refill_values()
            await self._hand_over(*await self._next_entries())

    async def _deliver_rest(self) -> None:
        """Up to the journal's end; at least one look at the store."""
        entries: list[Entry] | None = None
        while entries is None or entries:
            after = self._cursor or 0
            entries = await self._journal.read(after, self.sink.max_entries)
            await self._hand_over(after, entries)

    async def _next_entries(self) -> tuple[int, list[Entry]]:
        """The cursor and the next chunk after it, or nothing when there was none for ``probe_interval`` seconds."""
        after = self._cursor or 0
        follow = self._journal.follow(after, self.sink.max_entries)
        try:
            async with (
                aclosing(cast("AsyncGenerator[list[Entry], None]", follow)) as chunks,
                asyncio.timeout(self._probe_interval),
            ):
                async for entries in chunks:
                    return after, entries
        except TimeoutError:
            return after, []
        raise JournalError("the journal was closed")

    async def _refill_history(self) -> None:
        """A store whose data is gone gets what the journal still has, and the last values of all stocks."""
        if not self._cursor:
            return
        async with asyncio.timeout(self._deliver_timeout):
            if not await self.sink.lost_history():
                return
        again = await self.redeliver()
        self._news.emptied(again)
        async with self._lock:
            await self._deliver([await self._present_values(self._journal.position)])

    async def _refill_values(self) -> None:
        """What the store lost of the last values, as by a truncated collection or an older backup, is written again."""
        if time.monotonic() < self._check_at:
            return
        async with self._lock:
            values = await self._journal.last_values()
            if self.lag:  # they are on their way
                return
            async with asyncio.timeout(self._deliver_timeout):
                lost = await self.sink.lost_values(values)
            if lost:
                await self._write_again(lost)
        self._check_at = time.monotonic() + self._check_interval

    async def _write_again(self, lost: Sequence[StockUpdate]) -> None:
        refused = [one.quote for one in await self._journal.dead_letters(self.sink.reader, limit=MAX_RESENT)]
        quotes = [quote for quote in lost if quote not in refused]
        if not quotes:
            return
        # Without a market status: it is not news of the market.
        dead = await self._deliver([Entry(self._journal.position, UpdateBatch(now_text(), "", quotes))])
        await self._journal.move_cursor(self.sink.reader, self._cursor or 0, dead)
        self._news.written_again(len(quotes))
        self._news.refused(dead)

    async def _hand_over(self, after: int, entries: Sequence[Entry]) -> None:
        """Deliver what was read after a cursor."""
        async with self._lock:
            cursor = self._cursor or 0
            if cursor < after:  # rewound since they were read: those before them come first
                return
            # flush() may have been here since they were read.
            entries = [entry for entry in entries if entry.position.offset > cursor]
            missing = entries[0].position.offset - cursor - 1 if entries else 0
            bridge = [await self._present_values(entries[0].position)] if missing else []
            dead = await self._deliver([*bridge, *entries])
            if entries:
                last = entries[-1].position.offset
                await self._journal.move_cursor(self.sink.reader, last, dead)
                self._cursor = last
        self._count(entries, dead)
        self._skipped += missing
        self._news.refused(dead)
        self._news.gap(missing)
        self._news.up(self.lag)

    async def _deliver(self, entries: Sequence[Entry]) -> list[DeadLetter]:
        async with asyncio.timeout(self._deliver_timeout):
            dead = await self.sink.deliver(entries)
        self._last_success = (now_text(), time.monotonic())
        return dead

    async def _present_values(self, position: Position) -> Entry:
        """The last value of each symbol: what makes good the entries that retention dropped before a position."""
        values = list((await self._journal.last_values()).values())
        return Entry(Position(position.epoch, position.offset - 1), UpdateBatch(now_text(), "", values))

    async def _resend(self, letters: Sequence[DeadLetter]) -> int:
        """The quotes as they were, then the present value of each of their symbols: last value wins, as ever.

        Their batches carry no market status: they are not news of the market.
        """
        symbols = {letter.symbol for letter in letters}
        async with self._lock:
            newest = {s: q for s, q in (await self._journal.last_values()).items() if s in symbols}
            epoch, last = self._journal.position.epoch, letters[-1].offset
            entries = [
                Entry(Position(epoch, one.offset), UpdateBatch(one.quote.timestamp, "", [one.quote]))
                for one in letters
            ]
            entries.append(Entry(Position(epoch, last), UpdateBatch(now_text(), "", list(newest.values()))))
            refused = [one.quote for one in await self._deliver(entries)]
            # A store of latest values answers for the newest only.
            gone = [
                one for one in letters if one.quote not in refused and newest.get(one.symbol) not in refused
            ]
            await self._journal.remove_dead_letters(gone)
        return len(gone)

    def _ramp(self) -> Iterator[float]:
        return backoff(first=self._first_delay, cap=self._max_delay)

    def _count(self, entries: Sequence[Entry], dead: Sequence[DeadLetter]) -> None:
        self._entries += len(entries)
        self._dead += len(dead)
        self._rows += sum(len(entry.batch.quotes) for entry in entries) - len(dead)
