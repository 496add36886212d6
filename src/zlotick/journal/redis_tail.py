"""Where the log in Redis ends and which epoch it has, as far as this node knows: kept up to date by one blocking read."""

from __future__ import annotations

import asyncio
import secrets
import zlib
from collections import deque
from collections.abc import Mapping
from itertools import islice

import msgspec
import structlog

from zlotick.connections.backoff import backoff
from zlotick.errors import ZlotickError
from zlotick.journal import redis_scripts as scripts
from zlotick.journal.redis_entries import unpacked
from zlotick.model import Entry, Position
from zlotick.redis.engine import Engine

log = structlog.stdlib.get_logger("zlotick.journal")

RECENT = 64
"""Entries that are kept for followers; they need not read them again."""

MAX_DELAY = 1.0
DAMAGE = (msgspec.MsgspecError, zlib.error, KeyError)


class Tail:
    """The end of the log. ``grown`` is set, and replaced, whenever there is news: entries, an epoch, the close."""

    def __init__(self, engine: Engine) -> None:
        self.position = Position("", 0)
        self.grown = asyncio.Event()
        self.lossless = False  # every acknowledged write is on the server's disk
        self._engine = engine
        self._recent: deque[Entry] = deque(maxlen=RECENT)

    def wake(self) -> None:
        """There is news for followers."""
        grown, self.grown = self.grown, asyncio.Event()
        grown.set()

    def add(self, entry: Entry) -> None:
        """An entry that is durable. One that is known already changes nothing."""
        if entry.position.epoch != self.position.epoch or entry.position.offset <= self.position.offset:
            return
        if entry.position.offset != self.position.offset + 1:
            self._recent.clear()
        self._recent.append(entry)
        self.position = entry.position
        self.wake()

    def after(self, offset: int, limit: int) -> list[Entry]:
        """The entries that follow an offset, if they are kept here."""
        place = offset + 1 - self._recent[0].position.offset if self._recent else -1
        return list(islice(self._recent, place, place + limit)) if place >= 0 else []

    async def check(self) -> None:
        """Learn the epoch and the end; begin a new epoch where loss cannot be excluded. Raises ZlotickError."""
        self.lossless = await self._is_lossless()
        before = self.position
        args = (secrets.token_hex(8), int(self.lossless), before.epoch, before.offset)
        epoch, offset, _ = await self._engine.script(scripts.CHECK, [scripts.META], args)
        self._take(Position(epoch.decode(), int(offset)))

    async def run(self) -> None:
        """Follow the log until cancelled. While the server is away it is tried again and again."""
        delays = backoff(cap=MAX_DELAY)
        while True:
            try:
                async with self._engine.reader() as reader:
                    await self.check()
                    delays = backoff(cap=MAX_DELAY)
                    while True:
                        found = await reader.read({scripts.LOG: f"{self.position.offset}-0"})
                        for number, fields in found.get(scripts.LOG, ()):
                            await self._arrived(number, fields)
                        if not found:  # a quiet time: another node may have begun an epoch
                            await self.check()
            except ZlotickError as error:
                log.debug("Journal is away", reason=str(error))
                await asyncio.sleep(next(delays))

    async def _arrived(self, number: str, fields: Mapping[bytes, bytes]) -> None:
        offset = int(number.partition("-")[0])
        if fields.get(b"e", b"").decode() != self.position.epoch:
            await self.check()
        try:
            self.add(unpacked(self.position.epoch, offset, fields))
        except DAMAGE:  # its reader says so
            self._take(Position(self.position.epoch, offset))

    async def _is_lossless(self) -> bool:
        """Whether the server syncs every write before it answers. Not known (a managed server): no."""
        try:
            found = await self._engine.command("CONFIG GET", "append*")
        except ZlotickError:
            return False
        return bool(found.get("appendonly") == "yes" and found.get("appendfsync") == "always")

    def _take(self, now: Position) -> None:
        before = self.position
        if now.epoch == before.epoch and now.offset <= before.offset:
            return  # an answer that an append has overtaken
        self.position = now
        if before.epoch and now.epoch != before.epoch:
            self._recent.clear()
            log.error(
                "A new epoch of the journal begins: its newest entries may be lost",
                mark="❌",
                last=now.offset,
                had=before.offset,
                remedy="set appendfsync always in Redis, and let it keep its append-only file",
            )
        self.wake()
