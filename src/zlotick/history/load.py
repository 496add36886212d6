"""Bars into QuestDB: in order of time, each row at its key, so that the same import again changes nothing.

What the files tell of a symbol's day is all there is of it: the rows of that day that an earlier import of the source
left, and that are not written again, are erased. Days that the files do not tell of stay. Nothing is taken away before
its replacement is written, so an import that ends in the middle is completed by the next one.

After each portion a small file remembers how far the import came. When it is run again after a crash with the same
files, it goes on there, provided that the database still has the rows and that no other files were imported into the
source since; when it ends, the file is removed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time as clock
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from zlotick.config.profile import make_folder
from zlotick.connections.backoff import backoff
from zlotick.errors import Transient
from zlotick.history.bars import Bars
from zlotick.history.reader import Reader
from zlotick.history.replacement import Replacement, Session, replacement
from zlotick.history.rows import rows_of_day
from zlotick.market.calendar import WARSAW
from zlotick.model import StockUpdate
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.ilp import TABLE
from zlotick.stores.questdb.schema import Progress

log = structlog.stdlib.get_logger("zlotick.history")

PORTION = 10_000
"""Rows that are written together, or a little more: whole days."""

Answer = TypeVar("Answer")

Advance = Callable[[int], None]
"""Told how many bars were done just now."""


class Loaded(msgspec.Struct):
    """What became of the bars of one source."""

    source: str
    symbols: int = 0
    bars: int = 0
    rows: int = 0  # written now
    days: int = 0
    first_day: date | None = None
    last_day: date | None = None
    skipped_days: int = 0  # were there already, from an interrupted import of the same files
    replaced: int = 0  # bars of an earlier import that were different
    removed: int = 0  # bars of an earlier import of which there is none now


class Checkpoint(msgspec.Struct, frozen=True):
    """How far an import of certain files came."""

    files: str
    through: date
    rows: int


class CheckpointFile:
    """Remembers it; ``place`` tells one source of one database from another, ``files`` one import of it from another.

    Every method blocks, and may raise OSError.
    """

    def __init__(self, folder: Path, place: str, files: str) -> None:
        self._path = folder / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"
        self.files = files

    def read(self) -> Checkpoint | None:
        """How far the import came; None when it did not begin, came to its end, or other files came between."""
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Checkpoint)
        except (FileNotFoundError, msgspec.MsgspecError):  # half a file is no promise
            return None
        return found if found.files == self.files else None

    def write(self, through: date, rows: int) -> None:
        """Whole or not at all."""
        checkpoint = Checkpoint(self.files, through, rows)
        make_folder(self._path.parent)
        descriptor, fresh = tempfile.mkstemp(prefix=".import-", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(checkpoint))
            Path(fresh).replace(self._path)
        finally:
            Path(fresh).unlink(missing_ok=True)

    def remove(self) -> None:
        """The import came to its end."""
        self._path.unlink(missing_ok=True)


class _Portion(msgspec.Struct):
    """Whole days."""

    rows: list[StockUpdate] = []
    sessions: set[Session] = set()
    bars: int = 0
    first: date = date.max
    through: date = date.min


class Loader:
    """Puts the bars of one source into QuestDB."""

    def __init__(
        self,
        connector: QuestDBConnector,
        reader: Reader,
        checkpoint: CheckpointFile,
        *,
        advance: Advance = lambda bars: None,
        # Timeouts, in seconds
        patience: float = 60.0,
        settle_timeout: float = 300.0,
    ) -> None:
        self._connector = connector
        self._reader = reader
        self._checkpoint = checkpoint
        self._advance = advance
        self._patience = patience
        self._settle_timeout = settle_timeout

    async def load(self, bars: Bars, source: str) -> Loaded:
        """Write all rows of the bars as ``data_source`` and return when they, and their candles, are readable.

        Raises Transient when the database does not answer for ``patience``, Fatal when it never will.
        """
        await self._connector.connect()
        await self._settled()  # what is not applied yet could not be replaced
        loaded = Loaded(source, symbols=len(bars.symbols), bars=len(bars))
        before = await self._came_to(source)
        written = before.rows if before else 0
        if before is None:
            await asyncio.to_thread(self._checkpoint.remove)  # of other files: from here on it is not true
        portions = self._portions(bars, source, before.through if before else date.min, loaded)
        while portion := await asyncio.to_thread(next, portions, None):
            loaded.rows += await self._put(portion, source, loaded)
            written += len(portion.rows)
            await asyncio.to_thread(self._checkpoint.write, portion.through, written)
            self._advance(portion.bars)
        await self._settled()
        await asyncio.to_thread(self._checkpoint.remove)
        return loaded

    def _portions(self, bars: Bars, source: str, skip_through: date, loaded: Loaded) -> Iterator[_Portion]:
        portion = _Portion()
        rejected: dict[date, list[Session]] = {}
        for session in bars.incomplete:
            rejected.setdefault(session[1], []).append(session)
        for day, of_day in bars.days(self._reader.overlaps):
            if of_day:
                self._count(day, loaded)
            if day <= skip_through:
                loaded.skipped_days += 1
                self._advance(len(of_day))
                continue
            portion.rows += rows_of_day(of_day, source, bars.incomplete)
            portion.sessions |= {(bar.symbol, day) for bar in of_day}
            portion.sessions.update(rejected.get(day, ()))
            portion.bars += len(of_day)
            portion.first, portion.through = min(portion.first, day), day
            if len(portion.rows) >= PORTION:
                yield portion
                portion = _Portion()
        if portion.sessions:
            yield portion

    def _count(self, day: date, loaded: Loaded) -> None:
        loaded.days += 1
        loaded.first_day = loaded.first_day or day
        loaded.last_day = day

    async def _came_to(self, source: str) -> Checkpoint | None:
        """Where to go on, if the database still has what was written until there."""
        checkpoint = await asyncio.to_thread(self._checkpoint.read)
        if checkpoint is None:
            return None
        found = await self._connector.count(source, _midnight(checkpoint.through + timedelta(days=1)))
        if found < checkpoint.rows:
            log.warning(
                "The database has not what was imported before: the import begins again",
                source=source,
                expected=checkpoint.rows,
                found=found,
            )
            return None
        return checkpoint

    async def _put(self, portion: _Portion, source: str, loaded: Loaded) -> int:
        """Write a portion in the place of what is stored of its sessions; how many rows were taken."""
        change = await self._patiently(partial(self._change, portion, source))
        refused = await self._patiently(partial(self._connector.replace, portion.rows, change.erased))
        for bad in refused:
            quote = bad.quote
            self._reader.rejected.add("database", f"{quote.symbol} {quote.timestamp}: {bad.reason}")
        loaded.replaced += change.replaced
        loaded.removed += change.removed
        return len(portion.rows) - len(refused)

    async def _change(self, portion: _Portion, source: str) -> Replacement:
        symbols = sorted({symbol for symbol, _ in portion.sessions})
        begin, end = _midnight(portion.first), _midnight(portion.through + timedelta(days=1))
        stored = await self._connector.stored_prices(source, symbols, begin, end)
        return replacement(stored, portion.rows, portion.sessions, source)

    async def _patiently(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask again and again while the database does not answer."""
        delays = backoff(first=0.2, cap=5.0)
        deadline = clock.monotonic() + self._patience
        while True:
            try:
                return await ask()
            except Transient as error:
                if clock.monotonic() > deadline:
                    raise
                log.warning("QuestDB did not take a portion, trying again", mark="🔄", error=str(error))
                await asyncio.sleep(next(delays))

    async def _settled(self) -> None:
        """Wait until what was acknowledged is readable, in the table and in its candles; others may go on writing."""
        deadline = clock.monotonic() + self._settle_timeout
        table = (await self._connector.health()).progress.get(TABLE)
        written = table.written if table else 0
        seen = await self._until(deadline, lambda now: all(one.seen >= written for one in now.values()))
        # A view that has looked at everything has it in its log, and is to apply that.
        await self._until(
            deadline, lambda now: all(now[name].applied >= one.written for name, one in seen.items())
        )

    async def _until(
        self, deadline: float, reached: Callable[[dict[str, Progress]], bool]
    ) -> dict[str, Progress]:
        while True:
            health = await self._connector.health()
            if health.healthy and reached(health.progress):
                return health.progress
            if clock.monotonic() > deadline:
                raise Transient(
                    f"QuestDB has not applied everything within {self._settle_timeout:g} s (waiting: {health.lag}, "
                    f"suspended: {health.suspended}, invalid: {health.invalid}); check the space on its disk"
                )
            if not health.healthy:
                await self._connector.mend()
            await asyncio.sleep(0.05)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), WARSAW)
