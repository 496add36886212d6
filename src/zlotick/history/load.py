"""Bars into QuestDB: in order of time, each row at its key, so that the same import again changes nothing.

After each portion a small file remembers how far the import came. When it is run again after a crash with the same
files, it goes on there, provided that the database still has the rows; when it ends, the file is removed.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time as clock
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path

import msgspec
import structlog

from zlotick.connections.backoff import backoff
from zlotick.errors import Transient
from zlotick.history.bars import Bars
from zlotick.history.reader import Reader
from zlotick.history.rows import rows_of_day
from zlotick.market.sessions import WARSAW
from zlotick.model import StockUpdate
from zlotick.stores.questdb import QuestDBConnector

log = structlog.stdlib.get_logger("zlotick.history")

PORTION = 10_000
"""Rows that are written together, or a little more: whole days."""

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


class Checkpoint(msgspec.Struct, frozen=True):
    """How far an import came."""

    through: date
    rows: int


class CheckpointFile:
    """Remembers it; ``key`` tells one import from another. Every method blocks, and may raise OSError."""

    def __init__(self, folder: Path, key: str) -> None:
        self._path = folder / f"{key[:32]}.json"

    def read(self) -> Checkpoint | None:
        """How far the import came; None when it did not begin or came to its end."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Checkpoint)
        except (FileNotFoundError, msgspec.MsgspecError):  # half a file is no promise
            return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Whole or not at all."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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

    rows: list[StockUpdate]
    bars: int
    through: date


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
        loaded = Loaded(source, symbols=len(bars.symbols), bars=len(bars))
        before = await self._came_to(source)
        written = before.rows if before else 0
        portions = self._portions(bars, source, before.through if before else date.min, loaded)
        while portion := await asyncio.to_thread(next, portions, None):
            loaded.rows += await self._insert(portion)
            written += len(portion.rows)
            await asyncio.to_thread(self._checkpoint.write, Checkpoint(portion.through, written))
            self._advance(portion.bars)
        await self._settled()
        await asyncio.to_thread(self._checkpoint.remove)
        return loaded

    def _portions(self, bars: Bars, source: str, skip_through: date, loaded: Loaded) -> Iterator[_Portion]:
        rows: list[StockUpdate] = []
        done = 0
        day = date.min
        for day, of_day in bars.days(self._reader.overlaps):
            self._count(day, loaded)
            if day <= skip_through:
                loaded.skipped_days += 1
                self._advance(len(of_day))
                continue
            rows += rows_of_day(of_day, source, bars.incomplete)
            done += len(of_day)
            if len(rows) >= PORTION:
                yield _Portion(rows, done, day)
                rows, done = [], 0
        if rows:
            yield _Portion(rows, done, day)

    def _count(self, day: date, loaded: Loaded) -> None:
        loaded.days += 1
        loaded.first_day = loaded.first_day or day
        loaded.last_day = day

    async def _came_to(self, source: str) -> Checkpoint | None:
        """Where to go on, if the database still has what was written until there."""
        checkpoint = await asyncio.to_thread(self._checkpoint.read)
        if checkpoint is None:
            return None
        await self._settled()
        midnight = datetime.combine(checkpoint.through + timedelta(days=1), time(), WARSAW)
        found = await self._connector.count(source, midnight)
        if found < checkpoint.rows:
            log.warning(
                "The database has not what was imported before: the import begins again",
                source=source,
                expected=checkpoint.rows,
                found=found,
            )
            return None
        return checkpoint

    async def _insert(self, portion: _Portion) -> int:
        """Write a portion, again and again while the database does not answer; how many rows were taken."""
        delays = backoff(first=0.2, cap=5.0)
        deadline = clock.monotonic() + self._patience
        while True:
            try:
                refused = await self._connector.insert_batch(portion.rows)
                break
            except Transient as error:
                if clock.monotonic() > deadline:
                    raise
                log.warning("QuestDB did not take a portion, trying again", mark="🔄", error=str(error))
                await asyncio.sleep(next(delays))
        for bad in refused:
            quote = bad.quote
            self._reader.rejected.add("database", f"{quote.symbol} {quote.timestamp}: {bad.reason}")
        return len(portion.rows) - len(refused)

    async def _settled(self) -> None:
        """Wait until what was acknowledged is readable, in the table and in its candles."""
        deadline = clock.monotonic() + self._settle_timeout
        calm = 0
        # Twice: a view that had looked at everything at the first time has applied it at the second.
        while calm < 2:
            health = await self._connector.health()
            calm = 0 if any(health.lag.values()) or not health.healthy else calm + 1
            if clock.monotonic() > deadline:
                raise Transient(
                    f"QuestDB has not applied everything within {self._settle_timeout:g} s (waiting: {health.lag}, "
                    f"suspended: {health.suspended}, invalid: {health.invalid}); check the space on its disk"
                )
            if not health.healthy:
                await self._connector.mend()
            await asyncio.sleep(0.05)
