"""The journal of one machine: SQLite in one file, with one owner, one connection and one thread."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec
import structlog

from zlotick.config import JournalConfig
from zlotick.errors import EpochChanged, JournalError
from zlotick.journal import entries, readers, retention
from zlotick.journal.base import Journal, JournalStats, Lease, LocalLease, Role
from zlotick.journal.sqlite_errors import translated
from zlotick.journal.sqlite_file import JournalFile
from zlotick.model import DeadLetter, Entry, Position, RejectedQuote, StockUpdate, UpdateBatch, utc_text
from zlotick.sqlite.thread import Ended, OneThread

log = structlog.stdlib.get_logger("zlotick.journal")

P = ParamSpec("P")
T = TypeVar("T")
DAY = 86_400.0


class SqliteJournal(Journal):
    """A journal in one SQLite file, which only one process at a time may open.

    ``clock`` tells seconds since 1970, for the age of entries. A call that waits longer than ``call_timeout``
    seconds for the disk raises JournalError; what it asked for may still happen.
    """

    def __init__(
        self,
        path: Path,
        config: JournalConfig | None = None,
        *,
        clock: Callable[[], float] = time.time,
        # Timeouts
        call_timeout: float = 10.0,
        open_timeout: float = 120.0,  # after a crash the whole file is checked
    ) -> None:
        self.path = path
        self.config = config or JournalConfig()
        self._clock = clock
        self._open_timeout = open_timeout
        self._file = JournalFile(path)
        self._thread = OneThread("zlotick-journal", timeout=call_timeout)
        self._grown = asyncio.Event()  # set, and replaced, when the journal has grown or closed
        self._opened = self._closed = False
        self._damaged: set[int] = set()  # offsets of entries that cannot be read
        self._leases: dict[Role, Lease] = {role: LocalLease(role) for role in ("ingest", "deliver")}

    @property
    def position(self) -> Position:
        """The place of the last entry (offset 0 when there is none yet)."""
        if self._file.position is None:
            raise JournalError(f"journal {self.path} was never opened")
        return self._file.position

    async def open(self) -> None:
        """Take ownership; a missing or empty file becomes a new journal with a new epoch."""
        if self._opened:
            raise JournalError(f"journal {self.path} was opened before: make a new object to open it again")
        self._opened = True
        try:
            await self._call(self._file.open, timeout=self._open_timeout)
        except BaseException:
            # Also when cancelled: an opening that still runs in the thread is followed by this closing.
            self._closed = True
            self._thread.end(self._file.close)
            raise
        log.info("Journal opened", mark="✅", path=str(self.path), offset=self.position.offset)
        if self._file.lost_from is not None:
            log.error(
                "Journal lost its newest entries: a new epoch begins",
                mark="❌",
                last=self.position.offset,
                had=self._file.lost_from,
                remedy="its -wal file belongs to it: copy or restore both, or use a stopped service",
            )

    async def close(self) -> None:
        """Give ownership back; followers end. Safe to call twice."""
        self._closed = True
        self._wake()
        self._thread.end(self._file.close)
        with translated(self.path):
            await self._thread.ended()

    def lease(self, role: Role) -> Lease:
        """Always held: the lock file keeps other processes out."""
        return self._leases[role]

    async def append(self, batch: UpdateBatch) -> Entry:
        """Make a batch durable and give it its position."""
        return await self._call(partial(self._file.append, batch, self._time()), self._wake)

    async def read(self, after: int, limit: int = 64) -> list[Entry]:
        """At most ``limit`` entries after an offset, oldest first."""
        limit, after = _positive(limit), max(after, 0)
        while after < self.position.offset:
            found = await self._run(entries.read, after, limit)
            self._note_damage(found.damaged)
            if found.entries or not found.damaged:
                return found.entries
            after = found.damaged[-1]
        return []

    def _note_damage(self, offsets: Sequence[int]) -> None:
        """Say each unreadable entry once."""
        new = [offset for offset in offsets if offset not in self._damaged]
        if not new:
            return
        self._damaged.update(new)
        log.error(
            "Journal entries are damaged and were passed over",
            mark="❌",
            path=str(self.path),
            entries=len(new),
            first=new[0],
            last=new[-1],
            remedy="check the disk; restore the journal from a backup if these quotes matter",
        )

    async def follow(self, after: int, limit: int = 64) -> AsyncIterator[list[Entry]]:
        """Chunks of entries after an offset, stored ones first; ends when the journal closes."""
        if after > self.position.offset:
            raise EpochChanged(f"cannot follow from {after}: the journal ends at {self.position.offset}")
        while not self._closed:
            grown = self._grown  # taken before the look, so whatever is appended after the look sets it
            chunk = await self._look(after, limit)
            if chunk:
                after = chunk[-1].position.offset
                yield chunk
            else:
                await grown.wait()

    async def cursor(self, reader: str) -> int:
        """A reader's cursor, registered at 0 if it is new."""
        return await self._run(readers.cursor, reader)

    async def move_cursor(self, reader: str, offset: int, dead: Sequence[DeadLetter] = ()) -> None:
        """The reader is done up to ``offset``; ``dead`` is put aside in the same transaction."""
        given_up = await self._run(readers.move_cursor, reader, offset, dead)
        if given_up:
            log.error("Too many dead letters, the oldest are gone", mark="❌", reader=reader, lost=given_up)

    async def rewind(self, reader: str, offset: int) -> None:
        """The reader gets what follows ``offset`` once more."""
        await self._run(readers.rewind, reader, offset)

    async def forget_reader(self, reader: str) -> None:
        """Remove a reader's cursor, so that retention no longer waits for it."""
        await self._run(readers.forget_reader, reader)

    async def last_values(self) -> dict[str, StockUpdate]:
        """The last recorded quote of each symbol, whatever retention has dropped."""
        return await self._run(entries.last_values)

    async def keep_rejected(self, rejected: Sequence[RejectedQuote]) -> None:
        """Keep quotes that validation refused, the newest 10,000."""
        if rejected:
            await self._run(readers.keep_rejected, rejected, self._time())

    async def rejected(self, limit: int = 100) -> list[RejectedQuote]:
        """Kept rejected quotes, newest first."""
        return await self._run(readers.kept_rejected, _positive(limit))

    async def dead_letters(self, reader: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Rows put aside, oldest first."""
        return await self._run(readers.dead_letters, reader, _positive(limit))

    async def remove_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """They were re-sent, or given up."""
        await self._run(readers.remove_dead_letters, letters)

    async def retain(self) -> int:
        """Drop what age and size allow and shrink the file; returns how many entries went."""
        lost: Counter[str] = Counter()
        total = 0
        cutoff = self._time(ago=self.config.keep_days * DAY)
        while (dropped := await self._run(retention.drop, self.config, cutoff)).entries:
            total += dropped.entries
            lost.update(dropped.lost)
        if lost:
            self._say_lost(lost)
        if total:
            await self._shrink()
            log.info("Journal entries dropped", mark="📊", entries=total)
        return total

    async def stats(self) -> JournalStats:
        """The journal at a glance."""
        stats = await self._call(self._file.stats)
        return msgspec.structs.replace(stats, damaged=len(self._damaged))

    async def _look(self, after: int, limit: int) -> list[Entry]:
        """What there is after an offset; the newest entry is shared without reading it back."""
        newest = self._file.newest
        if newest and newest.position.offset == after + 1:
            return [newest]
        try:
            return await self.read(after, limit)
        except JournalError:
            if self._closed:
                return []
            raise

    async def _shrink(self) -> None:
        while await self._run(retention.shrink):
            pass
        await self._call(self._file.checkpoint)

    def _say_lost(self, lost: Counter[str]) -> None:
        log.error(
            "Journal over its disk budget: entries dropped that readers still needed",
            mark="❌",
            budget_mb=self.config.budget_mb,
            lost=dict(lost),
            remedy="see why these readers are behind, or raise journal.budget_mb",
        )

    async def _run(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``function(connection, ...)`` in the thread, in one transaction."""
        return await self._call(partial(self._file.run, function, *args, **kwargs))

    async def _call(
        self,
        function: Callable[[], T],
        then: Callable[[], None] = lambda: None,
        timeout: float | None = None,  # noqa: ASYNC109  one call has a deadline of its own
    ) -> T:
        if not self._opened or self._closed:
            raise JournalError(f"journal {self.path} is not open")
        with translated(self.path):
            try:
                return await self._thread.call(function, then, timeout)
            except Ended:
                raise JournalError(f"journal {self.path} is closed") from None

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    def _time(self, ago: float = 0.0) -> str:
        return utc_text(datetime.fromtimestamp(max(0.0, self._clock() - ago), UTC))


def _positive(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit {limit} must be at least 1")
    return min(limit, 2**31)
