"""What a resuming client missed: recent batches from memory, older ones from the journal, without a gap."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Literal

from zlotick.errors import JournalError, ZlotickError
from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.quote_cache import Envelope, quote_writer
from zlotick.gateway.protocol.subscription import Selection
from zlotick.model import FRESH, Entry, Position, Standing

# Timeouts
READ_TIMEOUT = 5.0
"""Seconds for one read of the journal."""

# Limits
CHUNK = 64
"""Entries of one read of the journal."""
BUFFER_ENTRIES = 512
BUFFER_QUOTES = 20_000
"""Limits of the replay buffer: about 15 MB."""
WARM_ENTRIES = 128
"""Entries read at a start: an hour of cycles of 30 seconds."""
BUFFER_MESSAGES = 256
"""Encoded batches that are kept: a thousand clients that reconnect together need the same ones."""

ReadJournal = Callable[[int, int], Awaitable[list[Entry]]]
"""Reads at most so many entries after an offset, oldest first, all with the journal's epoch of now. Raises JournalError."""

Reason = Literal["retention", "epoch_changed", "damaged"]


class CannotResume(ZlotickError):
    """The batches after a position are not available."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class ReplayBuffer:
    """The newest entries of the journal in memory, with contiguous offsets."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._quotes = 0
        self._messages: dict[tuple[int, Selection], SharedMessage | None] = {}

    def append(self, entry: Entry) -> None:
        """Add the next entry; drop the oldest ones above the limits."""
        entries = self._entries
        if entries and entry.position.offset != entries[-1].position.offset + 1:
            self.clear()
        entries.append(entry)
        self._quotes += len(entry.batch.quotes)
        while len(entries) > 1 and (len(entries) > BUFFER_ENTRIES or self._quotes > BUFFER_QUOTES):
            self._quotes -= len(entries.popleft().batch.quotes)

    def clear(self) -> None:
        """Drop everything, as after a restart."""
        self._entries.clear()
        self._quotes = 0
        self._messages.clear()

    def after(self, offset: int) -> Entry | None:
        """The entry that follows an offset, or None if it is not in the buffer."""
        if not self._entries:
            return None
        place = offset + 1 - self._entries[0].position.offset
        return self._entries[place] if 0 <= place < len(self._entries) else None

    def message(
        self, entry: Entry, selection: Selection, standings: Mapping[str, Standing]
    ) -> SharedMessage | None:
        """A batch filtered by a selection; None if nothing remains.

        A cached message has the standings of its time: later changes are sent after the last batch.
        """
        key = (entry.position.offset, selection)
        if key not in self._messages:
            if len(self._messages) >= BUFFER_MESSAGES:
                del self._messages[next(iter(self._messages))]
            self._messages[key] = _message(entry, selection, standings)
        return self._messages[key]


def _message(entry: Entry, selection: Selection, standings: Mapping[str, Standing]) -> SharedMessage | None:
    quotes = {quote.symbol: quote for quote in entry.batch.quotes}
    names = selection.accepted(selection.among(dict.fromkeys(quotes)), quotes)
    if not names:
        return None
    write = quote_writer(selection.fields)
    fragments = [write(quotes[name], standings.get(name, FRESH)) for name in names]
    return Envelope(position=entry.position, market_status=entry.batch.market_status).around(fragments)


def check(since: Position, now: Position | None) -> None:
    """Raise :class:`CannotResume` for a position that this journal has not reached.

    An offset past the end belongs to another history, too: offsets are sent only once they are durable. (For one that is
    slightly ahead :class:`zlotick.gateway.fanout.ahead.Ahead` has waited before.)
    """
    if now is None or since.epoch != now.epoch or not 0 <= since.offset <= now.offset:
        raise CannotResume("epoch_changed")


async def missed(
    after: int, now: Callable[[], Position | None], replay_buffer: ReplayBuffer, read: ReadJournal
) -> AsyncGenerator[Entry, None]:
    """The entries after an offset, oldest first, up to the newest one published, while more are published.

    It ends in the same turn of the event loop in which nothing is left. A caller that joins without awaiting
    misses nothing and gets nothing twice. Raises :class:`CannotResume` at a hole or when a new epoch begins, and JournalError.
    """
    epoch = begin.epoch if (begin := now()) is not None else None
    while (place := _same_history(now(), epoch)) is not None and after < place.offset:
        entry = replay_buffer.after(after)
        found = [entry] if entry is not None else await chunk(read, after)
        _same_history(now(), epoch)
        _same_history(found[0].position if found else None, epoch)  # the journal hears of a new epoch first
        if not found or found[0].position.offset != after + 1:
            raise CannotResume("retention")
        for entry in found:
            if entry.position.offset > place.offset:
                break  # recorded but not published yet: it follows live, or in the next round
            if entry.position.offset != after + 1:
                raise CannotResume("damaged")
            yield entry
            after = entry.position.offset


def _same_history(place: Position | None, epoch: str | None) -> Position | None:
    if place is not None and place.epoch != epoch:
        raise CannotResume("epoch_changed")
    return place


async def warm(replay_buffer: ReplayBuffer, read: ReadJournal, now: Position) -> None:
    """Load the newest entries at a start, when all clients resume at once. Raises JournalError."""
    after = max(0, now.offset - WARM_ENTRIES)
    while after < now.offset:
        found = await chunk(read, after)
        if not found:
            return
        for entry in found:
            if entry.position.offset <= now.offset:
                replay_buffer.append(entry)
        after = found[-1].position.offset


async def chunk(read: ReadJournal, after: int) -> list[Entry]:
    """One read with a deadline. Raises JournalError."""
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            return await read(after, CHUNK)
    except TimeoutError:
        raise JournalError(f"the journal did not answer within {READ_TIMEOUT:g} s") from None
