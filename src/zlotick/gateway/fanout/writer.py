"""Batched writing to very many sessions without blocking the event loop: one chunk now, the rest in its next turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from zlotick.gateway.fanout.groups import Group, MemberChunk, Members, Subscriber, Traffic
from zlotick.gateway.fanout.outgoing import Outgoing

CHUNK = 250
"""Writes between two turns of the event loop: 1 to 3 ms. A longer chunk is not faster."""


class GroupWriter:
    """Writes in the order of the calls; ``slow`` is called for each member whose buffer is full.

    Several iterators of messages may be in progress: a cycle, and events published since it began. The oldest is
    always written first, so that a client never receives an older message after a newer one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        traffic: Traffic,
        slow: Callable[[Subscriber, Outgoing], None],
        *,
        buffer_bytes: int,
    ) -> None:
        self._loop = loop
        self._traffic = traffic
        self._slow = slow
        self._buffer_bytes = buffer_bytes
        self._writing: deque[Iterator[None]] = deque()  # what is being written, oldest first
        self._next_chunk: asyncio.Handle | None = None

    @property
    def busy(self) -> bool:
        """Whether a write is still in progress."""
        return bool(self._writing)

    def write(self, messages: Iterable[tuple[Group, Outgoing]], *, at_once: bool = True) -> None:
        """Start now, or after what is in progress; continue in the next turns of the loop."""
        self._writing.append(self._in_chunks(messages))
        if self._next_chunk is None:
            if at_once:
                self._write_chunk()
            else:
                self._next_chunk = self._loop.call_soon(self._write_chunk)

    def _write_chunk(self) -> None:
        self._next_chunk = None
        if self._writing and next(self._writing[0], self) is self:
            self._writing.popleft()
        if self._writing:
            self._next_chunk = self._loop.call_soon(self._write_chunk)

    def finish(self) -> None:
        """Write everything that is still waiting, without yielding: the next cycle must not overtake this one."""
        if self._next_chunk is not None:
            self._next_chunk.cancel()
            self._next_chunk = None
        while self._writing:
            if next(self._writing[0], self) is self:
                self._writing.popleft()

    def _in_chunks(self, messages: Iterable[tuple[Group, Outgoing]]) -> Iterator[None]:
        """Write chunk by chunk; yield to the event loop between two chunks."""
        written, yielded, now = 0, False, self._loop.time()
        for group, outgoing in messages:
            group.sent = now
            # After a yield sessions may have joined or left: those have the values of this cycle from their snapshot.
            some_have_it = yielded or group.throttle is not None
            for encoding, members in list(group.members.items()):
                chunks = members.chunks(CHUNK)
                data = outgoing.encoded(encoding) if chunks else b""
                for chunk in chunks:
                    if some_have_it or not members.unchanged(chunks):
                        chunk = _still_without(chunk, members, outgoing.fence)
                    self._write_one(chunk, data, outgoing)
                    written += len(chunk.transports)
                    if written >= CHUNK:
                        written, yielded = 0, True
                        yield
                        some_have_it, now = True, self._loop.time()

    def _write_one(self, chunk: MemberChunk, data: bytes, outgoing: Outgoing) -> None:
        """The hot loop: for each session one size check and one write, nothing else."""
        limit, ready, gone = self._buffer_bytes, chunk.transports, 0
        if any([one.get_write_buffer_size() > limit for one in ready]):  # noqa: C419  a generator is slower
            ready = self._set_slow_aside(chunk, outgoing)
        for transport in ready:
            try:
                transport.write(data)
            except RuntimeError:
                # uvloop, of a transport that closed in this turn: its session ends in the next.
                gone += 1
        sent, traffic = len(ready) - gone, self._traffic
        traffic.messages += sent * len(outgoing.messages)
        traffic.bytes += sent * len(data)

    def _set_slow_aside(self, chunk: MemberChunk, outgoing: Outgoing) -> list[asyncio.WriteTransport]:
        """The transports that have room; ``slow`` is called for the others."""
        ready = []
        for subscriber, transport in zip(*chunk, strict=True):
            if transport.get_write_buffer_size() > self._buffer_bytes:
                self._slow(subscriber, outgoing)
            else:
                ready.append(transport)
        return ready


def _still_without(chunk: MemberChunk, members: Members, fence: int) -> MemberChunk:
    """The members that are still here and did not join with these values."""
    subscribers = [one for one in chunk.subscribers if one in members and one.joined < fence]
    return MemberChunk(subscribers, [one.transport for one in subscribers])
