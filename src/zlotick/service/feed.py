"""What this node knows of the service: it follows the news of the other nodes and the journal, for its gateway and alerts."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Mapping, Sequence

import msgspec
import structlog
from msgspec.structs import replace

from zlotick.alerts.rules import Clock
from zlotick.connections.backoff import backoff
from zlotick.errors import ZlotickError
from zlotick.gateway.service import Listening
from zlotick.gateway.workers.ipc import AlertRaised, BusEvent, CycleDone, Now
from zlotick.journal.redis_journal import RedisJournal
from zlotick.model import (
    CycleReport,
    Entry,
    Position,
    ProviderRow,
    StaleReason,
    Standing,
    StockUpdate,
    utc_text,
)
from zlotick.service.news import NEWS, STATE, News, Pulse, StoresNow, unpacked

log = structlog.stdlib.get_logger("zlotick.roles")

# Timeouts
SILENCE = 15.0
"""Seconds without news of ``ingest`` after which every quote counts as stale."""
AWAY = 10.0
"""Seconds without the engine after which load balancers should send clients elsewhere."""

MAX_DELAY = 1.0
FAR_BEHIND = 512
"""Entries. A node that missed more, as after a long freeze, sends its clients the present values instead."""

Listener = Callable[[CycleReport], None]


class Feed:
    """The last values, the position and the state of the service, kept up to date for this node."""

    def __init__(self, journal: RedisJournal) -> None:
        self.quotes: dict[str, StockUpdate] = {}
        self.position = Position("", 0)
        self.now: Now | None = None
        self.stores: StoresNow | None = None
        self.gateway: Listening | None = None
        self.epochs = 0  # begun since the start
        self._journal = journal
        self._engine = journal.engine
        self._listeners: list[Listener] = []
        self._cycle_at: float | None = None  # monotonic: when a cycle was last told of
        self._heard_at = time.monotonic()  # of the holder of ingest
        self._away_since: float | None = None

    def listen(self, listener: Listener) -> None:
        """Call it with every report from now on."""
        self._listeners.append(listener)

    async def open(self) -> None:
        """Learn the last values and the state. Raises JournalError."""
        await self._begin()
        await self._read_state()

    @property
    def silent(self) -> bool:
        """Whether no node has told of the quotes for too long."""
        return time.monotonic() - self._heard_at > SILENCE

    @property
    def away(self) -> float:
        """Seconds for which the engine has not been reached; 0 while it is."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    def standings(self) -> Mapping[str, Standing]:
        """Of the symbols that are not simply fresh."""
        if self.now is None or self.silent:
            return dict.fromkeys(self.quotes, Standing(stale=True, reason=StaleReason.SILENT))
        return self.now.standings

    def clock(self) -> Clock | None:
        """Phase and staleness for the alert rules; None before the first news."""
        if self.now is None or self._cycle_at is None:
            return None
        status = self.now.status
        moment = utc_text(status.market_time)
        return Clock(moment, status.session_phase, status.origin, self.standings(), self.quotes)

    def since_last_cycle(self) -> float | None:
        """Seconds; None when no cycle was told of."""
        return None if self._cycle_at is None else time.monotonic() - self._cycle_at

    def scoreboard(self) -> Sequence[ProviderRow]:
        """The providers, as the holder of ``ingest`` told last."""
        return self.now.status.providers if self.now else ()

    def alerts_evaluated(self) -> int:
        """The offset up to which the holder of ``deliver`` asked the alert rules; 0 when it did not tell."""
        return (self.stores.alerts_evaluated or 0) if self.stores else 0

    async def run(self) -> None:
        """Follow until cancelled. While the engine is away it is tried again and again."""
        delays = backoff(cap=MAX_DELAY)
        while True:
            try:
                await self._follow()
            except ZlotickError as error:
                if self._away_since is None:
                    self._away_since = time.monotonic()
                    log.error("The other nodes cannot be heard", mark="❌", reason=str(error))
                if self.away > MAX_DELAY:
                    await asyncio.sleep(next(delays))
                else:
                    await asyncio.sleep(0.05)

    async def _follow(self) -> None:
        last = await self._last_news()  # before the state is read: nothing falls in between
        await self._read_state()
        async with self._engine.reader() as reader:
            while True:
                found = await reader.read({NEWS: last})
                if self._away_since is not None:
                    log.info("The other nodes are heard again", mark="✅", seconds=round(self.away, 1))
                    self._away_since = None
                for last, fields in found.get(NEWS, ()):  # noqa: B007  it is where the next read begins
                    await self._take(fields.get(b"m", b""))

    async def _last_news(self) -> str:
        found = await self._engine.command("XREVRANGE", self._engine.key(NEWS), "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else "0-0"

    async def _read_state(self) -> None:
        states: dict[bytes, bytes] = await self._engine.command("HGETALL", self._engine.key(STATE))
        for data in states.values():
            await self._take(data)

    async def _take(self, data: bytes) -> None:
        try:
            news = unpacked(data)
        except (msgspec.MsgspecError, zlib.error) as error:  # of a node of another version
            log.warning("News of another node cannot be read", reason=str(error))
            return
        await self._act_on(news)

    async def _act_on(self, news: News) -> None:
        match news:
            case Pulse(now=now, position=position):
                self._hear(now)
                await self._reach(position)
            case CycleDone(report=report, now=now):
                self._hear(now)
                self._cycle_at = time.monotonic()
                await self._cycle(report)
            case StoresNow():
                self.stores = news
            case BusEvent(event_type=event_type, data=data):
                if self.gateway:
                    self.gateway.publish_event(event_type, data)
            case AlertRaised(alert=alert):
                if self.gateway:
                    self.gateway.publish_alert(alert)

    def _hear(self, now: Now) -> None:
        self.now, self._heard_at = now, time.monotonic()

    async def _cycle(self, report: CycleReport) -> None:
        entry = report.entry
        if entry is None:
            await self._reach(report.position)
        else:
            await self._reach(Position(entry.position.epoch, entry.position.offset - 1))
            if not _follows(entry.position, self.position):  # known already, or some before it are missing
                entry = None
        if report.position.epoch == self.position.epoch:
            self._publish(report, entry)

    async def _reach(self, end: Position) -> None:
        """Publish what the journal has up to ``end`` and was not told."""
        if end.epoch != self.position.epoch:
            await self._journal.refresh()
            if self._journal.position.epoch != self.position.epoch:  # else it is old news
                await self._begin()
            return
        if end.offset - self.position.offset > FAR_BEHIND:
            await self._begin()
            return
        while self.position.offset < end.offset:
            entries = await self._journal.read(self.position.offset)
            if not entries:
                return  # our view of the journal is behind: the next news tries again
            if not _follows(entries[0].position, self.position):
                await self._begin()  # retention dropped some in between
                return
            for entry in entries[: end.offset - self.position.offset]:
                self._publish(self._report_of(entry), entry)

    async def _begin(self) -> None:
        """Begin at the journal's end: it has another epoch, or too much was missed."""
        await self._journal.refresh()
        before, position = self.position, self._journal.position
        self.quotes, self.position = await self._journal.last_values(), position
        if not before.epoch:
            return
        self.epochs += before.epoch != position.epoch
        log.warning("Clients get the present values", mark="🔄", before=before.offset, now=position.offset)
        if self.gateway:
            self.gateway.begin_epoch(self.quotes, position)

    def _publish(self, report: CycleReport, entry: Entry | None) -> None:
        if entry:
            self.position = entry.position
            self.quotes.update((quote.symbol, quote) for quote in entry.batch.quotes)
        full = replace(report, entry=entry, position=self.position, quotes=dict(self.quotes))
        if self.gateway:
            self.gateway.publish(full)
        for listener in self._listeners:
            listener(full)

    def _report_of(self, entry: Entry) -> CycleReport:
        """Of a cycle whose own report was lost."""
        assert self.now
        status = self.now.status
        return CycleReport(
            timestamp=entry.batch.timestamp,
            duration_seconds=0.0,
            fetched=len(entry.batch.quotes),
            rejected=0,
            changed=len(entry.batch.quotes),
            market_status=status.market_status,
            market_time=status.market_time,
            entry=entry,
            position=entry.position,
            quotes={},
            standings=self.now.standings,
        )


def _follows(position: Position, before: Position) -> bool:
    return position.epoch == before.epoch and position.offset == before.offset + 1
