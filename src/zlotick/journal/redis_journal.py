"""The journal of several nodes: a stream in Redis or Valkey, whose entry ids are our offsets.

One script appends an entry with the last values, and only for the holder of the lease ``ingest``. An append whose
answer was lost is *unknown*: it is read back, never simply repeated.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import structlog

from zlotick.config import JournalConfig
from zlotick.errors import (
    EngineFull,
    EngineRestarted,
    EpochChanged,
    Fatal,
    JournalError,
    Transient,
    Unconfirmed,
)
from zlotick.journal import redis_scripts as scripts
from zlotick.journal.base import Journal, JournalStats, Role
from zlotick.journal.redis_entries import (
    letter_name,
    letter_of,
    letter_texts,
    packed,
    pairs_of,
    quote_texts,
    quotes_of,
    rejected_of,
    rejected_text,
    unpacked,
)
from zlotick.journal.redis_tail import DAMAGE, Tail
from zlotick.model import DeadLetter, Entry, Position, RejectedQuote, StockUpdate, UpdateBatch
from zlotick.redis.engine import Engine, Script, Word
from zlotick.redis.lease import RedisLease

log = structlog.stdlib.get_logger("zlotick.journal")

MAX_REJECTED = 10_000
MAX_DEAD_LETTERS = 100_000
READ_BYTES = 4_000_000
"""Stored bytes of one read; entries are as large as the universe."""
STEP_ENTRIES = 256
MB = 1024 * 1024
DAY = 86_400.0

# Timeouts
RESOLVE_TIMEOUT = 5.0
"""Seconds in which it must be found out whether an entry whose answer was lost is there."""


class RedisJournal(Journal):
    """A journal on an engine, which it opens and closes. ``clock`` tells seconds since 1970, for the age of entries."""

    def __init__(
        self, engine: Engine, config: JournalConfig | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.engine = engine
        self.config = config or JournalConfig()
        self._clock = clock
        self._tail = Tail(engine)
        self._leases: dict[Role, RedisLease] = {
            "ingest": RedisLease(engine, "ingest"),
            "deliver": RedisLease(engine, "deliver"),
        }
        self._appending = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._opened = self._closed = False
        self._entry_bytes = 10_000  # of the largest entry of the last read
        self._damaged: set[int] = set()

    @property
    def position(self) -> Position:
        """The place of the last entry that this node knows of."""
        if not self._tail.position.epoch:
            raise JournalError(f"journal {self.engine.place} was never opened")
        return self._tail.position

    async def open(self) -> None:
        """Check the server and learn where the log ends."""
        if self._opened:
            raise JournalError(
                f"journal {self.engine.place} was opened before: make a new object to open it again"
            )
        self._opened = True
        try:
            with _translated():
                await self.engine.open()
                await self._tail.check()
        except BaseException:
            self._closed = True
            await self.engine.close()
            raise
        self._following = asyncio.create_task(self._tail.run(), name="end of the journal")
        self._say_opened()

    def _say_opened(self) -> None:
        lossless = self._tail.lossless
        log.info("Journal opened", mark="✅", server=self.engine.place, offset=self.position.offset)
        if not lossless:
            log.warning(
                "Redis may lose its last seconds at a power failure: a new epoch begins then",
                server=self.engine.place,
                remedy="set appendonly yes and appendfsync always",
            )

    async def close(self) -> None:
        """Give the leases back; followers end. Safe to call twice."""
        self._closed = True
        self._tail.wake()
        task, self._following = self._following, None
        if task:
            task.cancel()
            await asyncio.wait([task])
            async with self._appending:  # what was begun is finished
                for lease in self._leases.values():
                    await lease.release()
        await self.engine.close()

    async def refresh(self) -> None:
        """Learn the epoch and the end at once."""
        self._check_open()
        with _translated():
            await self._tail.check()

    def lease(self, role: Role) -> RedisLease:
        """The lease of a role."""
        return self._leases[role]

    # Entries

    async def append(self, batch: UpdateBatch) -> Entry:
        """Make a batch durable and give it its position."""
        self._check_open()
        data, quotes = packed(batch), quote_texts(batch)
        async with self._appending:
            self._check_open()
            writing = asyncio.ensure_future(self._append(batch, data, quotes))
            try:
                return await asyncio.shield(writing)
            except asyncio.CancelledError:
                # What is on its way counts: the position must not stay behind it.
                with contextlib.suppress(JournalError):
                    await writing
                raise

    async def _append(self, batch: UpdateBatch, data: bytes, quotes: list[bytes]) -> Entry:
        place = self.position
        token = self._leases["ingest"].token
        entry = Entry(Position(place.epoch, place.offset + 1), batch)
        args: list[Word] = [
            token,
            place.epoch,
            entry.position.offset,
            int(self._clock() * 1000),
            data,
            *quotes,
        ]
        with _translated():
            try:
                await self._append_or_make_room(args)
            except EngineRestarted:
                await self._tail.check()
                if self.position != place:
                    raise EpochChanged(f"journal {self.engine.place} was restarted") from None
                await self._append_or_make_room(args, reload=True)
            except EpochChanged:
                await self._tail.check()
                raise
            except EngineFull:
                raise
            except Transient:
                await self._resolve(entry.position.offset, token)
        self._tail.add(entry)
        return entry

    async def _append_or_make_room(self, args: Sequence[Word], *, reload: bool = False) -> None:
        keys = [self._leases["ingest"].key, scripts.META, scripts.LOG, scripts.LAST]
        try:
            await self.engine.script(scripts.APPEND, keys, args, reload=reload)
        except EngineFull:
            if not await self.retain():
                raise
            await self.engine.script(scripts.APPEND, keys, args, reload=reload)

    async def _resolve(self, offset: int, token: str) -> None:
        """Find out whether our entry is there. Raises JournalError when it is not, Unconfirmed when it is not known."""
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                while True:
                    try:
                        found = await self.engine.command(
                            "XRANGE", self.engine.key(scripts.LOG), f"{offset}-0", f"{offset}-0"
                        )
                        break
                    except Transient:
                        await asyncio.sleep(0.2)
        except TimeoutError:
            raise Unconfirmed(
                f"journal {self.engine.place} did not tell whether entry {offset} is stored"
            ) from None
        if found and found[0][1].get(b"t") == token.encode():
            return
        await self._tail.check()
        raise Unconfirmed(f"entry {offset} was not stored: its answer was lost on the way")

    async def read(self, after: int, limit: int = 64) -> list[Entry]:
        """At most ``limit`` entries after an offset, oldest first."""
        self._check_open()
        limit, after = _positive(limit), max(after, 0)
        while after < self.position.offset:
            found, last = await self._read_on(after, limit)
            if found or last is None:
                return found
            after = last
        return []

    async def _read_on(self, after: int, limit: int) -> tuple[list[Entry], int | None]:
        """Readable entries, and the last offset that was looked at; None at the end."""
        count = max(1, min(limit, READ_BYTES // self._entry_bytes))
        start = f"{after + 1}-0"
        with _translated():
            rows = await self.engine.command(
                "XRANGE", self.engine.key(scripts.LOG), start, "+", "COUNT", count
            )
            if rows and rows[-1][1].get(b"e", b"").decode() != self.position.epoch:
                await self._tail.check()  # they are older than the epoch, or newer than what we know
        epoch, found, last = self.position.epoch, list[Entry](), None
        for number, fields in rows:
            last = int(number.partition(b"-")[0])
            try:
                found.append(unpacked(epoch, last, fields))
            except DAMAGE:
                self._note_damage(last)
        if rows:
            self._entry_bytes = max(1, *(len(fields.get(b"b", b"")) for _, fields in rows))
        return found, last

    def _note_damage(self, offset: int) -> None:
        """Say each unreadable entry once."""
        if offset not in self._damaged:
            self._damaged.add(offset)
            log.error("A journal entry is damaged and was passed over", mark="❌", offset=offset)

    async def follow(self, after: int, limit: int = 64) -> AsyncIterator[list[Entry]]:
        """Chunks of entries after an offset, stored ones first; ends when the journal closes."""
        epoch = self.position.epoch
        if after > self.position.offset:
            raise EpochChanged(f"cannot follow from {after}: the journal ends at {self.position.offset}")
        while not self._closed:
            grown = self._tail.grown  # taken before the look, so whatever comes after the look sets it
            if self.position.epoch != epoch:
                raise EpochChanged(f"journal {self.engine.place} began another epoch")
            if chunk := await self._look(after, limit):
                after = chunk[-1].position.offset
                yield chunk
            else:
                await grown.wait()

    async def _look(self, after: int, limit: int) -> list[Entry]:
        if recent := self._tail.after(after, limit):
            return recent
        try:
            return await self.read(after, limit)
        except JournalError:
            if self._closed:
                return []
            raise

    async def last_values(self) -> dict[str, StockUpdate]:
        """The last recorded quote of each symbol."""
        with _translated():
            return quotes_of(await self._command("HGETALL", self.engine.key(scripts.LAST)))

    # Readers

    async def cursor(self, reader: str) -> int:
        """A reader's cursor, registered at 0 if it is new."""
        return int(await self._led("deliver", scripts.CURSOR, [scripts.CURSORS], [reader]))

    async def move_cursor(self, reader: str, offset: int, dead: Sequence[DeadLetter] = ()) -> None:
        """The reader is done up to ``offset``; ``dead`` is put aside by the same script."""
        keys = [scripts.CURSORS, scripts.META, scripts.DEAD, scripts.DEAD_ORDER, scripts.DEAD_COUNT]
        args: list[Word] = [reader, _storable(offset), MAX_DEAD_LETTERS, *letter_texts(dead)]
        outcome, number = await self._led("deliver", scripts.MOVE, keys, args)
        if outcome == -1:
            raise JournalError(f"cursor of {reader} cannot move to {offset}: the journal ends at {number}")
        if outcome == -2:
            raise JournalError(f"reader {reader} has no cursor to move: ask for its cursor first")
        if number:
            log.error("Too many dead letters, the oldest are gone", mark="❌", reader=reader, lost=number)

    async def rewind(self, reader: str, offset: int) -> None:
        """The reader gets what follows ``offset`` once more."""
        await self._led("deliver", scripts.REWIND, [scripts.CURSORS], [reader, _storable(offset)])

    async def forget_reader(self, reader: str) -> None:
        """Remove a reader's cursor, so that retention no longer waits for it."""
        await self._led("deliver", scripts.FORGET, [scripts.CURSORS, scripts.LOST], [reader])

    async def keep_rejected(self, rejected: Sequence[RejectedQuote]) -> None:
        """Keep quotes that validation refused, the newest 10,000."""
        if rejected:
            texts = map(rejected_text, rejected)
            await self._led("ingest", scripts.REJECT, [scripts.REJECTED], [MAX_REJECTED, *texts])

    async def rejected(self, limit: int = 100) -> list[RejectedQuote]:
        """Kept rejected quotes, newest first."""
        last = _positive(limit) - 1
        return [
            rejected_of(text) for text in await self._command("LRANGE", self._key(scripts.REJECTED), 0, last)
        ]

    async def dead_letters(self, reader: str | None = None, limit: int = 1000) -> list[DeadLetter]:
        """Rows put aside, oldest first."""
        limit, names = _positive(limit), await self._command("ZRANGE", self._key(scripts.DEAD_ORDER), 0, -1)
        texts: list[bytes | None] = []
        for start in range(0, len(names), 1000):
            if names[start : start + 1000]:
                texts += await self._command("HMGET", self._key(scripts.DEAD), *names[start : start + 1000])
        letters = (letter_of(text) for text in texts if text)
        return [letter for letter in letters if reader in (None, letter.reader)][:limit]

    async def remove_dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """They were re-sent, or given up."""
        keys = [scripts.DEAD, scripts.DEAD_ORDER, scripts.DEAD_COUNT]
        await self._led("deliver", scripts.REMOVE, keys, [letter_name(letter) for letter in letters])

    # Upkeep

    async def retain(self) -> int:
        """Drop what age and size allow; returns how many entries went. The size is that in the server's memory."""
        lost: Counter[str] = Counter()
        total = 0
        cutoff = int((self._clock() - self.config.keep_days * DAY) * 1000)
        keep, budget = await self._limits()
        keys = [scripts.LOG, scripts.CURSORS, scripts.LOST]
        while True:
            gone, *pairs = await self._led(
                "ingest", scripts.RETAIN, keys, [cutoff, keep, budget, STEP_ENTRIES]
            )
            if not gone:
                break
            total += gone
            lost.update(pairs_of(pairs))
        if lost:
            self._say_lost(lost)
        if total:
            log.info("Journal entries dropped", mark="📊", entries=total)
        return total

    async def _limits(self) -> tuple[int, int]:
        """Bytes to keep, bytes at most: never more than half of what the server may use, or nothing could be written."""
        with _translated():
            memory = int((await self.engine.info())["maxmemory"])
        half = memory // 2 or 2**53
        return min(self.config.keep_mb * MB, half), min(self.config.budget_mb * MB, half)

    def _say_lost(self, lost: Counter[str]) -> None:
        log.error(
            "Journal over its memory budget: entries dropped that readers still needed",
            mark="❌",
            budget_mb=self.config.budget_mb,
            lost=dict(lost),
            remedy="see why these readers are behind, or raise journal.budget_mb and maxmemory of Redis",
        )

    async def stats(self) -> JournalStats:
        """The journal at a glance."""
        key, end = self._key, self.position
        entries = int(await self._command("XLEN", key(scripts.LOG)))
        oldest = await self._command("XRANGE", key(scripts.LOG), "-", "+", "COUNT", 1)
        first = int(oldest[0][0].partition(b"-")[0]) if oldest else end.offset + 1
        cursors = _numbers(await self._command("HGETALL", key(scripts.CURSORS)))
        dead = _numbers(await self._command("HGETALL", key(scripts.DEAD_COUNT)))
        return JournalStats(
            position=end,
            first_offset=first,
            entries=entries,
            size_bytes=int(await self._command("MEMORY USAGE", key(scripts.LOG)) or 0),
            cursors=cursors,
            lag={reader: max(0, end.offset - max(at, first - 1)) for reader, at in cursors.items()},
            dead_letters={reader: count for reader, count in dead.items() if count},
            rejected=int(await self._command("LLEN", key(scripts.REJECTED))),
            lost=_numbers(await self._command("HGETALL", key(scripts.LOST))),
            lost_dead_letters=int(await self._command("HGET", key(scripts.META), "lost_dead_letters") or 0),
            damaged=len(self._damaged),
        )

    def _key(self, name: str) -> str:
        return self.engine.key(name)

    async def _command(self, *words: Word) -> Any:
        self._check_open()
        with _translated():
            return await self.engine.command(*words)

    async def _led(self, role: Role, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """A script that checks the lease of a role first."""
        self._check_open()
        lease = self._leases[role]
        with _translated():
            return await self.engine.script(script, [lease.key, *keys], [lease.token, *args])

    def _check_open(self) -> None:
        if not self._opened or self._closed:
            raise JournalError(f"journal {self.engine.place} is not open")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """The engine's errors as those of a journal."""
    try:
        yield
    except (Transient, Fatal) as error:
        raise JournalError(f"journal: {error}") from error


def _numbers(found: dict[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(number) for name, number in sorted(found.items())}


def _positive(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit {limit} must be at least 1")
    return min(limit, 2**31)


def _storable(offset: int) -> int:
    """Lua's numbers are exact up to here."""
    return max(0, min(offset, 2**53))
