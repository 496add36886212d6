"""Writing to very many sessions without holding the event loop: a stride now, the others in its next turns."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from zlotick.gateway.fanout.frames import Encoding, SharedMessage
from zlotick.gateway.fanout.groups import Group, Listed, Members, Newest, Subscriber, Traffic

STRIDE = 250
"""Writes between two turns of the event loop: 1 to 3 ms. A longer stride is no faster."""

EVERYBODY = sys.maxsize


class Parcel(msgspec.Struct, frozen=True, eq=False):
    """What one group gets at once, and what of it a member needs to remember that cannot take it now."""

    messages: Sequence[SharedMessage]
    fence: int = EVERYBODY  # members that joined in this cycle or later have it already
    quotes: bool = False
    names: Collection[str] = ()
    newest: Newest = {}
    alert: SharedMessage | None = None

    def encoded(self, encoding: Encoding) -> bytes:
        """The bytes to write: one message is the very object that all groups share."""
        if len(self.messages) == 1:
            return self.messages[0].encoded(encoding)
        return b"".join(message.encoded(encoding) for message in self.messages)


class Strides:
    """Writes parcels in the order in which they came. ``slow`` is told of each member that could not take one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        traffic: Traffic,
        slow: Callable[[Subscriber, Parcel], None],
        *,
        buffer_bytes: int,
    ) -> None:
        self._loop = loop
        self._traffic = traffic
        self._slow = slow
        self._buffer_bytes = buffer_bytes
        self._writing: deque[Iterator[None]] = deque()  # what is being written, oldest first
        self._next_stride: asyncio.Handle | None = None

    @property
    def busy(self) -> bool:
        """Whether something is still being written."""
        return bool(self._writing)

    def write(self, parcels: Iterable[tuple[Group, Parcel]], *, at_once: bool = True) -> None:
        """Begin now, or behind what is being written; go on in the next turns of the loop."""
        self._writing.append(self._portions(parcels))
        if self._next_stride is None:
            if at_once:
                self._write_stride()
            else:
                self._next_stride = self._loop.call_soon(self._write_stride)

    def _write_stride(self) -> None:
        self._next_stride = None
        if self._writing and next(self._writing[0], self) is self:
            self._writing.popleft()
        if self._writing:
            self._next_stride = self._loop.call_soon(self._write_stride)

    def finish(self) -> None:
        """A cycle overtakes no other: what is left of the last one goes out first."""
        if self._next_stride is not None:
            self._next_stride.cancel()
            self._next_stride = None
        while self._writing:
            if next(self._writing[0], self) is self:
                self._writing.popleft()

    def _portions(self, parcels: Iterable[tuple[Group, Parcel]]) -> Iterator[None]:
        """Write parcels; yield whenever it is the event loop's turn."""
        written, yielded, now = 0, False, self._loop.time()
        for group, parcel in parcels:
            group.sent = now
            some_have_it = yielded or group.pace is not None  # who joined since this cycle began
            for encoding, members in list(group.members.items()):
                listed = members.listed(STRIDE)
                data = parcel.encoded(encoding) if listed else b""
                for stride in listed:
                    if some_have_it or not members.are(listed):
                        stride = _still_without(stride, members, parcel.fence)
                    self._write_one(stride, data, parcel)
                    written += len(stride.transports)
                    if written >= STRIDE:
                        written, yielded = 0, True
                        yield
                        some_have_it, now = True, self._loop.time()

    def _write_one(self, stride: Listed, data: bytes, parcel: Parcel) -> None:
        """The hot loop: for each session one size check and one write, nothing else."""
        limit, ready, gone = self._buffer_bytes, stride.transports, 0
        if any([one.get_write_buffer_size() > limit for one in ready]):  # noqa: C419  a generator is slower
            ready = self._set_slow_aside(stride, parcel)
        for transport in ready:
            try:
                transport.write(data)
            except RuntimeError:
                # uvloop, of a transport that closed in this turn: its session ends in the next.
                gone += 1
        sent, traffic = len(ready) - gone, self._traffic
        traffic.messages += sent * len(parcel.messages)
        traffic.bytes += sent * len(data)

    def _set_slow_aside(self, stride: Listed, parcel: Parcel) -> list[asyncio.WriteTransport]:
        """Those that can take it; the others are told of."""
        ready = []
        for subscriber, transport in zip(*stride, strict=True):
            if transport.get_write_buffer_size() > self._buffer_bytes:
                self._slow(subscriber, parcel)
            else:
                ready.append(transport)
        return ready


def _still_without(stride: Listed, members: Members, fence: int) -> Listed:
    """Those that neither left nor joined with these values."""
    subscribers = [one for one in stride.subscribers if one in members and one.joined < fence]
    return Listed(subscribers, [one.transport for one in subscribers])
