"""How a session joins: first a snapshot or the batches it missed, then the live messages, without a gap in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import structlog

from zlotick.connections.backoff import backoff
from zlotick.errors import JournalError
from zlotick.gateway.fanout.groups import Subscriber
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.recovery import CannotResume, ReadJournal, check, missed
from zlotick.gateway.protocol.messages import BadMessage, ErrorCode, Gap, SnapshotEnd
from zlotick.gateway.protocol.subscription import Selection, Subscription
from zlotick.model import Position, now_text

log = structlog.stdlib.get_logger("zlotick.gateway")

Drain = Callable[[], Awaitable[None]]
"""Waits until the subscriber's send buffer has room (backpressure)."""


class Joining:
    """Joins subscribers to the hub. Its session makes sure that a subscriber joins only once at a time."""

    def __init__(self, hub: Hub, read: ReadJournal) -> None:
        self._hub = hub
        self._read = read

    async def prepare(self, subscription: Subscription) -> None:
        """Load today's candles if they are wanted, before anything is confirmed. Raises :class:`BadMessage` (503)."""
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
        """Send a snapshot or the missed batches, then join. Raises :class:`BadMessage` (503) without joining.

        Never awaits unless ``since`` is given: the snapshot and the joining are then one step of the event loop, so no
        cycle fits in between. A subscriber that is dismissed while this awaits is not joined.
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
        if moved is not None:  # not a batch of the journal: sent as a live message with the last position
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
        """Send the missed batches. If that is impossible send a gap and a snapshot and return False."""
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

    async def load_candles_again(self) -> None:
        """After a new epoch: read the day from the journal, however long it does not answer, and send the candles."""
        assert self._hub.candles is not None
        for delay in backoff():
            try:
                await self._hub.candles.start(lambda: self._hub.position)
            except JournalError as error:
                log.warning("Candles not loaded again", mark="❌", error=str(error), retry=round(delay, 2))
                await asyncio.sleep(delay)
            else:
                self._hub.send_candles()
                return

    async def _replay(
        self, subscriber: Subscriber, selection: Selection, since: Position, drain: Drain
    ) -> None:
        """Send the missed batches, oldest first; stop if the subscriber has gone."""
        hub = self._hub
        await hub.ahead.wait(subscriber, since, hub.position)
        check(since, hub.position)
        async with aclosing(
            missed(since.offset, lambda: hub.position, hub.replay_buffer, self._read)
        ) as entries:
            async for entry in entries:
                if hub.candles is not None:
                    hub.candles.keep()  # must not expire while a slow client is still resuming
                message = hub.missed(entry, selection)
                if _is_gone(subscriber):
                    return
                if message is not None:
                    hub.send(subscriber, message)
                    await drain()


def _is_gone(subscriber: Subscriber) -> bool:
    return subscriber.gone or subscriber.transport.is_closing()
