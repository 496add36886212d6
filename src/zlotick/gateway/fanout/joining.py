"""How a session comes to be live: a snapshot, or what it missed, then the hub, with no seam in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from zlotick.errors import JournalError
from zlotick.gateway.fanout.groups import Subscriber
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.recovery import CannotResume, ReadJournal, check, missed
from zlotick.gateway.protocol.messages import BadMessage, ErrorCode, Gap, SnapshotEnd
from zlotick.gateway.protocol.subscription import Selection, Subscription
from zlotick.model import Position, now_text

Drain = Callable[[], Awaitable[None]]
"""Waits until the subscriber's transport may take more."""


class Joining:
    """Lets subscribers in. One at a time for each subscriber: its session sees to that."""

    def __init__(self, hub: Hub, read: ReadJournal) -> None:
        self._hub = hub
        self._read = read

    async def prepare(self, subscription: Subscription) -> None:
        """Before anything is promised: the candles' day so far. Raises :class:`BadMessage` (503)."""
        candles = self._hub.candles
        if not subscription.intervals:
            return
        if candles is None:
            raise BadMessage(ErrorCode.UNAVAILABLE, "candles: not kept by this server")
        try:
            await candles.start(lambda: self._hub.position)
        except JournalError as error:
            raise BadMessage(ErrorCode.UNAVAILABLE, f"candles: {error}; try again") from error

    async def join(
        self, subscriber: Subscriber, subscription: Subscription, since: Position | None, drain: Drain
    ) -> None:
        """Send what the subscriber has to know, then join it. Raises :class:`BadMessage` (503), not joined.

        Without ``since`` nothing in here waits. One that is dismissed meanwhile is not joined.
        """
        hub = self._hub
        selection, moved = subscription.selection, None
        if since is None or selection is None:
            self._snapshot(subscriber, subscription)
        elif await self._resume(subscriber, subscription, selection, since, drain):
            moved = hub.moved(selection, since)
        if _is_gone(subscriber):
            return
        hub.send(subscriber, SnapshotEnd(timestamp=now_text(), position=hub.position))
        if moved is not None:  # no batch, but of the last one's position: so it is told as something live
            hub.send(subscriber, moved)
        hub.join(subscriber, subscription)

    def _snapshot(self, subscriber: Subscriber, subscription: Subscription) -> None:
        for message in self._hub.snapshot(subscription):
            self._hub.send(subscriber, message)

    async def _resume(
        self,
        subscriber: Subscriber,
        subscription: Subscription,
        selection: Selection,
        since: Position,
        drain: Drain,
    ) -> bool:
        """What was missed, or a gap and a snapshot: False. Raises :class:`BadMessage` (503)."""
        hub = self._hub
        try:
            await self._replay(subscriber, selection, since, drain)
        except CannotResume as failure:
            gap = Gap(timestamp=now_text(), from_=since, to=hub.position, reason=failure.reason)
            hub.send(subscriber, gap)
            self._snapshot(subscriber, subscription)
            return False
        except JournalError as error:
            raise BadMessage(ErrorCode.UNAVAILABLE, f"since: {error}; try again") from error
        for message in hub.candle_snapshot(subscription):
            hub.send(subscriber, message)
        return True

    async def _replay(
        self, subscriber: Subscriber, selection: Selection, since: Position, drain: Drain
    ) -> None:
        """The missed batches, oldest first; whoever is gone meanwhile is sent nothing more."""
        hub = self._hub
        check(since, hub.position)
        async with aclosing(
            missed(since.offset, lambda: hub.position, hub.replay_buffer, self._read)
        ) as entries:
            async for entry in entries:
                if hub.candles is not None:
                    hub.candles.keep()  # they are not forgotten while it reads
                message = hub.missed(entry, selection)
                if _is_gone(subscriber):
                    return
                if message is not None:
                    hub.send(subscriber, message)
                    await drain()


def _is_gone(subscriber: Subscriber) -> bool:
    return subscriber.gone or subscriber.transport.is_closing()
