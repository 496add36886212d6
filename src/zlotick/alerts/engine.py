"""The alert engine: a reader of the journal with its own cursor that evaluates the rules and stores their alerts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import date, datetime

import structlog

from zlotick.alerts.evaluator import Evaluator, Findings
from zlotick.alerts.reference import Adjustment
from zlotick.alerts.rules import Clock
from zlotick.alerts.sql import Routes
from zlotick.alerts.store import AlertStore
from zlotick.connections.backoff import backoff
from zlotick.errors import AlertError, JournalError
from zlotick.journal import Journal
from zlotick.market.calendar import in_warsaw
from zlotick.model import Alert, AlertRule, Entry, Position, utc_now

log = structlog.stdlib.get_logger("zlotick.alerts")

CHUNK = 64
_RULES_AT_A_TIME = 4  # then yield to the event loop: clients are waiting


class AlertEngine:
    """Evaluates the rules once per entry, in order, and then on the clock.

    ``tell`` takes each alert when it is durable; it is quick and raises nothing. ``clock()`` says what is true of the
    market now; None before the first cycle.
    """

    def __init__(
        self,
        journal: Journal,
        store: AlertStore,
        *,
        routes: Routes,
        clock: Callable[[], Clock | None],
        now: Callable[[], datetime] = utc_now,
        tell: Callable[[Alert], None],
        # Waiting
        look_every: float = 5.0,
        max_delay: float = 30.0,
    ) -> None:
        self.evaluator = Evaluator()
        self.failing = ""  # why alerts cannot be stored; empty if they can
        self._journal = journal
        self._store = store
        self._routes = routes
        self._clock = clock
        self._now = now
        self._tell = tell
        self._look_every = look_every
        self._max_delay = max_delay
        self._cursor = 0
        self._epoch = ""  # of the cursor; that of a shared journal may change while the engine runs
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()  # serialises evaluations and changes of the rules

    async def open(self) -> None:
        """Continue where the last run ended. A new engine starts at the end of the journal."""
        await self._store.open()
        await self._take_up()

    async def _take_up(self) -> None:
        """Reload the stored state: after a failed write, memory may differ from the file."""
        kept, end = await self._store.kept(), self._journal.position
        self._epoch = end.epoch
        if kept.place is None or kept.place.epoch != end.epoch or kept.place.offset > end.offset:
            if kept.place:
                log.warning("Alerts go on at the end of the journal: it is another one", offset=end.offset)
            await self._store.begin_at(end)
            kept = await self._store.kept()
        self.evaluator = Evaluator(kept.standing, kept.memories)
        self._cursor = kept.place.offset if kept.place and kept.standing else end.offset

    @property
    def evaluated(self) -> int:
        """The offset of the last entry that the rules were asked of."""
        return self._cursor

    async def pass_over(self, offset: int) -> None:
        """Another node evaluated up to here, since this one last did: its old news is no alert now."""
        async with self._turn:
            end = self._journal.position
            if self._cursor < offset <= end.offset:
                await self._store.begin_at(Position(end.epoch, offset))
                self._cursor = offset

    async def adopt(self, source: str, rules: Iterable[AlertRule]) -> None:
        """Replace the rules of a source. Raises AlertError if that cannot be stored; then try again."""
        async with self._turn:
            fresh, gone = self.evaluator.adopt(source, rules, self._journal.position.offset)
            if fresh or gone:
                await self._store.adopt(fresh, gone)
                await self._record(self.evaluator.learned(await self._journal.last_values()), None)
                self.evaluator.replace(fresh, gone)
                log.info("Alert rules", mark="✅", source=source, new=len(fresh), gone=len(gone))

    def wake(self) -> None:
        """Evaluate soon: there is a new entry."""
        self._news.set()

    async def run(self) -> None:
        """Evaluate until cancelled. Disk problems are logged and retried."""
        delays = backoff(cap=self._max_delay)
        while True:
            try:
                await self.look()
                delays = backoff(cap=self._max_delay)
                await self._wait(self._look_every)
            except (AlertError, JournalError) as error:
                self._say_failing(str(error))
                await asyncio.sleep(next(delays))

    async def look(self, *, at_clock: bool = True) -> None:
        """Evaluate all new entries, then the clock (not at a stop: the clock of a replay has stopped)."""
        async with self._turn:
            self._news.clear()
            if self.failing or self._epoch != self._journal.position.epoch:
                await self._take_up()
            while entries := await self._journal.read(self._cursor, CHUNK):
                if entries[0].position.offset > self._cursor + 1:
                    await self._skip(entries[0].position)
                    continue
                for entry in entries:
                    await self._look_at(entry)
            if at_clock and (clock := self._clock()):
                await self._record(await _gathered(self.evaluator.of_clock(clock, self._today)), None)
            self.failing = ""

    async def _look_at(self, entry: Entry) -> None:
        found = await _gathered(self.evaluator.of_entry(entry, self._today))
        if self.evaluator.standing:
            await self._record(found, entry.position)
        self._cursor = entry.position.offset

    async def _record(self, found: Findings, to: Position | None) -> None:
        if not (found.alerts or found.memories or to):
            return
        raised = await self._store.record(found, to, self._routes)
        self.evaluator.keep(found)
        for one in found.adjusted:
            log.info(_adjusted(one), mark="🔄", symbol=one.symbol)
        for alert in raised:
            log.info("Alert", mark="⚠", rule=alert.name, message=alert.message)
            self._tell(alert)

    @property
    def _today(self) -> date:
        return in_warsaw(self._now()).date()

    async def _skip(self, first: Position) -> None:
        """Retention dropped entries that were not evaluated: skip to the newest one, old news is not an alert."""
        end = self._journal.position
        log.error(
            "Alerts missed journal entries: gone before they were read",
            mark="❌",
            missed=first.offset - self._cursor - 1,
            skipped=end.offset - first.offset + 1,
        )
        await self._store.begin_at(end)
        self._cursor = end.offset

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def _say_failing(self, why: str) -> None:
        """Log each problem once."""
        if why != self.failing:
            self.failing = why
            log.error("Alerts cannot be recorded", mark="❌", error=why)


async def _gathered(parts: Iterator[Findings]) -> Findings:
    """Merge the findings of all rules, yielding to the event loop in between."""
    found = Findings()
    for number, part in enumerate(parts, 1):
        found.alerts += part.alerts
        found.adjusted += part.adjusted
        found.memories |= part.memories
        if number % _RULES_AT_A_TIME == 0:
            await asyncio.sleep(0)
    return found


def _adjusted(one: Adjustment) -> str:
    return f"Reference price changed from {one.before:.2f} to {one.after:.2f}: rules re-armed"
