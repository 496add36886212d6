"""Heartbeats for sessions that asked for them: a message after each interval in which nothing else was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.groups import Subscriber
from zlotick.gateway.protocol.messages import Heartbeat
from zlotick.model import Position, now_text

BEAT_INTERVAL = 0.25
"""Seconds between two checks: a heartbeat may be late by this much."""


class Heartbeats:
    """One timer for all sessions with heartbeats; no timer if there are none."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        position: Callable[[], Position | None],
        send: Callable[[Subscriber, SharedMessage], None],
        *,
        buffer_bytes: int,
    ) -> None:
        self._loop = loop
        self._position = position
        self._send = send
        self._buffer_bytes = buffer_bytes
        self._intervals: dict[Subscriber, float] = {}
        self._next: asyncio.TimerHandle | None = None

    def add(self, subscriber: Subscriber) -> None:
        """Start sending heartbeats if the subscriber wants them."""
        if subscriber.heartbeat is not None:
            self._intervals[subscriber] = subscriber.heartbeat
            self._look_later()

    def discard(self, subscriber: Subscriber) -> None:
        self._intervals.pop(subscriber, None)

    def close(self) -> None:
        self._intervals.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look_later(self) -> None:
        if self._next is None and self._intervals:
            self._next = self._loop.call_later(BEAT_INTERVAL, self._look)

    def _look(self) -> None:
        """Send heartbeats to idle subscribers; slow consumers (without a group) are skipped."""
        self._next = None
        now, position = self._loop.time(), self._position()
        placed, unplaced = _heartbeat(position), _heartbeat(None)
        for subscriber, interval in self._intervals.items():
            group = subscriber.group
            if group is None or now - max(subscriber.sent, group.sent) < interval:
                continue
            if subscriber.transport.get_write_buffer_size() <= self._buffer_bytes:
                # A client resumes after the position it was told, so it must already have everything before it.
                waits = group.throttle is not None and group.throttle.waiting
                self._send(subscriber, unplaced if waits else placed)
        self._look_later()


def _heartbeat(position: Position | None) -> SharedMessage:
    return SharedMessage(Heartbeat(timestamp=now_text(), position=position).encode(), position)
