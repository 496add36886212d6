"""Who wants what. One cycle becomes one frame for each distinct subscription, written to every socket of it.

Sessions with the same subscription and the same compression form a *group*. A session whose socket holds
more than its bound leaves its group and becomes a *laggard*: what waits for it is the names of the symbols
that changed, never messages. When its socket is empty again it gets their newest values and rejoins.

Everything here is synchronous on one event loop. That is what makes the seam between a snapshot and the live
messages exact: nothing can happen between taking the one and joining the other. A cycle for very many
sessions yields the loop between strides; ``joined`` then tells who has that cycle already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping

from zlotick.gateway.frames import Book, Envelope, SharedMessage, frame
from zlotick.gateway.protocol import Lost
from zlotick.gateway.subscriber import Group, Late, Members, Subscriber, Traffic
from zlotick.gateway.subscription import Subscription
from zlotick.model import Position, StockUpdate

STRIDE = 1000
"""Writes between two turns of the event loop: about 4 ms."""

SWEEP_INTERVAL = 0.05
"""Seconds between two looks at the laggards' sockets."""


class Hub:
    """Groups, laggards and the newest quotes."""

    def __init__(
        self,
        *,
        market_status: Callable[[], str],
        stale: Callable[[], frozenset[str]],
        loop: asyncio.AbstractEventLoop | None = None,
        # Timeouts
        slow_timeout: float = 30.0,
        # Limits
        buffer_bytes: int = 65_536,
    ) -> None:
        self.book = Book()
        self.position: Position | None = None
        self.traffic = Traffic()
        self.laggards: dict[Subscriber, Late] = {}
        self._loop = loop or asyncio.get_running_loop()
        self._market_status = market_status
        self._stale = stale
        self._slow_timeout = slow_timeout
        self._buffer_bytes = buffer_bytes
        self._groups: dict[Subscription, Group] = {}
        self._cycle = 0
        self._writing: Iterator[None] | None = None
        self._next_stride: asyncio.Handle | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    # Who wants what

    def snapshot(self, subscription: Subscription) -> SharedMessage:
        """Every selected quote that is known, as it is now."""
        self._refresh()
        return self._envelope(snapshot=True).around(self.book.fragments(subscription.symbols))

    def join(self, subscriber: Subscriber, subscription: Subscription) -> None:
        """Send it every cycle after the present one, whose values it has (from :meth:`snapshot`)."""
        self.leave(subscriber)
        subscriber.subscription = subscription
        self._enter_group(subscriber, subscription)

    def leave(self, subscriber: Subscriber) -> None:
        """Send it nothing more. Safe to call twice."""
        self._exit_group(subscriber)
        self.laggards.pop(subscriber, None)
        subscriber.late = subscriber.subscription = None

    def _enter_group(self, subscriber: Subscriber, subscription: Subscription) -> None:
        group = self._groups.get(subscription)
        if group is None:
            group = self._groups[subscription] = Group(subscription)
        group.members(deflate=subscriber.deflate)[subscriber] = subscriber.transport
        subscriber.group = group
        subscriber.joined = self._cycle

    def _exit_group(self, subscriber: Subscriber) -> None:
        group = subscriber.group
        if group is None:
            return
        subscriber.group = None
        del group.members(deflate=subscriber.deflate)[subscriber]
        if not (group.plain or group.deflated):
            del self._groups[group.subscription]

    def current(self, symbols: Collection[str] | None = None) -> list[bytes]:
        """The newest quotes as JSON, stale or not as of now: of all, or of the known ones among the symbols."""
        self._refresh()
        return self.book.fragments(symbols)

    # One cycle to everybody

    def restore(self, quotes: Mapping[str, StockUpdate], position: Position | None) -> None:
        """Know these quotes without sending them: what a start finds in the journal."""
        self.book.update(quotes)
        self.position = position

    def publish(
        self,
        quotes: Mapping[str, StockUpdate],
        changed: Collection[str],
        position: Position,
        market_status: str,
    ) -> None:
        """Write one cycle to every socket: the first stride now, the others in the next turns of the loop."""
        self._finish()
        self._cycle += 1
        self.book.update(quotes)
        self.position = position
        self._refresh()
        names = dict.fromkeys(changed)  # ordered, and quick to ask
        for subscriber, late in self.laggards.items():
            self._note(subscriber, late, names)
        envelope = Envelope(position=position, market_status=market_status)
        self._writing = self._strides(envelope, names)
        self._write_stride()

    def _write_stride(self) -> None:
        self._next_stride = None
        if self._writing is not None and next(self._writing, self) is self:
            self._writing = None
        if self._writing is not None:
            self._next_stride = self._loop.call_soon(self._write_stride)

    def _finish(self) -> None:
        """A cycle overtakes no other: what is left of the last one goes out first."""
        if self._next_stride is not None:
            self._next_stride.cancel()
        while self._writing is not None and next(self._writing, self) is None:
            pass
        self._writing = self._next_stride = None

    def _strides(self, envelope: Envelope, changed: Collection[str]) -> Iterator[None]:
        """Write one cycle; yield whenever it is the event loop's turn."""
        written, yielded = 0, False
        for members, data in self._deliveries(envelope, changed):
            everyone = list(members.items())
            for start in range(0, len(everyone), STRIDE):
                stride = everyone[start : start + STRIDE]
                if yielded:  # since then sessions may have left, or joined with this cycle's values
                    stride = [pair for pair in stride if pair[0] in members and pair[0].joined < self._cycle]
                self._write(stride, data, changed)
                written += len(stride)
                if written >= STRIDE:
                    written, yielded = 0, True
                    yield

    def _deliveries(self, envelope: Envelope, changed: Collection[str]) -> Iterator[tuple[Members, bytes]]:
        """Who gets which bytes. A message is composed once for its group, a frame once for its kind."""
        for group in list(self._groups.values()):
            message = self._cycle_message(group.subscription, envelope, changed)
            if message is not None:
                for members, deflate in ((group.plain, False), (group.deflated, True)):
                    if members:
                        yield members, message.frame(deflate=deflate)

    def _cycle_message(
        self, subscription: Subscription, envelope: Envelope, changed: Collection[str]
    ) -> SharedMessage | None:
        """The message of this cycle for a subscription; none when it wants changes and there were none."""
        if subscription.mode == "full":
            return envelope.around(self.book.fragments(subscription.symbols))
        names = _selected(subscription, changed)
        return envelope.around(self.book.fragments(names)) if names else None

    def _write(
        self,
        stride: list[tuple[Subscriber, asyncio.WriteTransport]],
        data: bytes,
        changed: Collection[str],
    ) -> None:
        """The hot loop: for each session one size check and one write, nothing else."""
        limit = self._buffer_bytes
        slow, gone = [], 0
        for subscriber, transport in stride:
            if transport.get_write_buffer_size() > limit:
                slow.append(subscriber)
            else:
                try:
                    transport.write(data)
                except RuntimeError:
                    # uvloop, of a transport that closed in this turn: its session ends in the next.
                    gone += 1
        sent = len(stride) - len(slow) - gone
        self.traffic.messages += sent
        self.traffic.bytes += sent * len(data)
        for subscriber in slow:
            self._set_aside(subscriber, changed)

    # Laggards

    def _set_aside(self, subscriber: Subscriber, changed: Collection[str]) -> None:
        self._exit_group(subscriber)
        late = subscriber.late = self.laggards[subscriber] = Late(self._loop.time())
        self._note(subscriber, late, changed)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(SWEEP_INTERVAL, self._sweep_again)

    def _note(self, subscriber: Subscriber, late: Late, changed: Collection[str]) -> None:
        """Remember what a laggard missed. A full message needs no names: the newest one says it all."""
        subscription = subscriber.subscription
        if subscription is None:
            return
        names = _selected(subscription, changed) if subscription.mode == "changes" else ()
        if names or subscription.mode == "full":
            late.names.update(names)
            late.missed += 1
            self.traffic.conflated += 1

    def _sweep_again(self) -> None:
        self._sweeping = None
        self.sweep()
        if self.laggards:
            self._sweeping = self._loop.call_later(SWEEP_INTERVAL, self._sweep_again)

    def sweep(self) -> None:
        """Serve the laggards whose sockets are empty again; give up those that were late for too long."""
        for subscriber, late in list(self.laggards.items()):
            if subscriber.transport.is_closing():
                self.leave(subscriber)
            elif subscriber.transport.get_write_buffer_size() == 0:
                self._catch_up(subscriber, late)
            elif self._loop.time() - late.since > self._slow_timeout:
                self.traffic.evicted += 1
                self.leave(subscriber)
                subscriber.evict()

    def _catch_up(self, subscriber: Subscriber, late: Late) -> None:
        del self.laggards[subscriber]
        subscriber.late = None
        subscription = subscriber.subscription
        if subscription is None:
            return
        self._refresh()
        names = subscription.symbols if subscription.mode == "full" else sorted(late.names)
        message = self._envelope().around(self.book.fragments(names))
        lost = Lost(count=late.missed, since=late.since_text)
        self.send(subscriber.transport, message.frame(deflate=subscriber.deflate))
        self.send(subscriber.transport, frame(lost.encode()))
        self._enter_group(subscriber, subscription)

    # Small things

    def send(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write a frame for one session alone. One that is gone already does not get it."""
        with contextlib.suppress(RuntimeError):  # uvloop, of a transport that closed in this turn
            transport.write(data)
            self.traffic.messages += 1
            self.traffic.bytes += len(data)

    def close(self) -> None:
        """Write what is left of the last cycle and stop looking at laggards."""
        self._finish()
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _envelope(self, *, snapshot: bool = False) -> Envelope:
        return Envelope(position=self.position, market_status=self._market_status(), snapshot=snapshot)

    def _refresh(self) -> None:
        self.book.refresh(self._stale())


def _selected(subscription: Subscription, changed: Collection[str]) -> list[str]:
    """The changed symbols that a subscription selects."""
    if subscription.symbols is None:
        return list(changed)
    return [symbol for symbol in subscription.symbols if symbol in changed]
