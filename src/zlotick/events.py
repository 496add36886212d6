"""The event bus: publishers and subscribers are decoupled, and a failing or slow handler affects no other.

Every subscription has its own bounded queue and its own task, so events reach a handler in order while
a stuck handler only loses its own oldest events (counted in ``dropped``).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import structlog

log = structlog.stdlib.get_logger("zlotick.events")

STOCK_UPDATE = "stock_update"
CONNECTION_STATUS = "connection_status"
MARKET_STATUS = "market_status"
DATA_PROVIDER_STATUS = "data_provider_status"

Handler = Callable[[Any], Any]
"""Takes the event's data; may be a coroutine function."""


class EventSubscription:
    """One handler's queue and the task that feeds it. ``cancel()`` ends it."""

    def __init__(self, event_type: str, handler: Handler, *, max_queue: int, handler_timeout: float) -> None:
        self.event_type = event_type
        self.handler = handler
        self.dropped = 0
        self.failed = 0
        self._timeout = handler_timeout
        self._queue: asyncio.Queue[Any] = asyncio.Queue(max_queue)
        self._task = asyncio.create_task(self._run(), name=f"event handler of {event_type}")

    def put(self, data: Any) -> None:
        """Queue one event; drops the oldest when the queue is full (slow consumer)."""
        if self._queue.full():
            self._queue.get_nowait()
            self._queue.task_done()
            self.dropped += 1
        self._queue.put_nowait(data)

    async def drained(self) -> None:
        """Wait until every queued event is handled."""
        await self._queue.join()

    async def cancel(self) -> None:
        """Stop at once; queued events are dropped."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            data = await self._queue.get()
            try:
                await self._handle(data)
            finally:
                self._queue.task_done()

    async def _handle(self, data: Any) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                result = self.handler(data)
                if inspect.isawaitable(result):
                    await result
        except Exception as error:  # noqa: BLE001  a subscriber's bug must not reach the publisher
            self.failed += 1
            log.error("Event handler failed", mark="❌", event_type=self.event_type, error=repr(error))


class EventBus:
    """Publish and subscribe inside one process."""

    def __init__(
        self,
        *,
        # Timeouts
        handler_timeout: float = 5.0,
        publish_timeout: float = 1.0,
        # Limits
        max_queue: int = 1024,
    ) -> None:
        self._handler_timeout = handler_timeout
        self._publish_timeout = publish_timeout
        self._max_queue = max_queue
        self._subscriptions: dict[str, list[EventSubscription]] = {}

    async def subscribe(self, event_type: str, handler: Handler) -> EventSubscription:
        """Call ``handler(data)`` for every event of the type, in order, until the subscription is cancelled."""
        subscription = EventSubscription(
            event_type, handler, max_queue=self._max_queue, handler_timeout=self._handler_timeout
        )
        self._subscriptions.setdefault(event_type, []).append(subscription)
        return subscription

    async def unsubscribe(self, subscription: EventSubscription) -> None:
        """End one subscription. Safe to call twice, and after a close."""
        subscriptions = self._subscriptions.get(subscription.event_type, [])
        if subscription in subscriptions:
            subscriptions.remove(subscription)
        await subscription.cancel()

    def has_subscribers(self, event_type: str) -> bool:
        """Whether there are subscribers: without any, the cycle builds no events."""
        return bool(self._subscriptions.get(event_type))

    def emit(self, event_type: str, data: Any) -> None:
        """Publish without waiting for any handler."""
        for subscription in self._subscriptions.get(event_type, ()):
            subscription.put(data)

    async def publish(self, event_type: str, data: Any) -> None:
        """Publish and give the handlers a moment (``publish_timeout``) to finish.

        A handler that needs longer goes on in the background. Inside a handler use :meth:`emit`.
        """
        self.emit(event_type, data)
        await self._drained(self._subscriptions.get(event_type, ()), self._publish_timeout)

    async def close(self, timeout: float = 2.0) -> None:  # noqa: ASYNC109  the deadline of a step of stop()
        """Let the handlers finish the queued events, for at most ``timeout`` seconds, then stop them."""
        everyone = [sub for subs in self._subscriptions.values() for sub in subs]
        self._subscriptions.clear()
        await self._drained(everyone, timeout)
        for subscription in everyone:
            await subscription.cancel()

    @staticmethod
    async def _drained(subscriptions: Iterable[EventSubscription], within: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await asyncio.gather(*(subscription.drained() for subscription in subscriptions))
