"""The slow consumers of a hub: their backlogs, and a timer that checks whether they have caught up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, ItemsView, Iterator

from zlotick.gateway.fanout.groups import Backlog, Subscriber
from zlotick.gateway.fanout.outgoing import Outgoing
from zlotick.model import Position

SWEEP_INTERVAL = 0.05
"""Seconds between two checks of the send buffers."""


class SlowConsumers:
    """Subscribers with a backlog. Each is passed to one function: ``catch_up`` once its buffer is empty, ``give_up``
    after ``timeout`` seconds, or ``leave`` when its connection is closed.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        catch_up: Callable[[Subscriber, Backlog], None],
        give_up: Callable[[Subscriber], None],
        leave: Callable[[Subscriber], None],
        timeout: float,
    ) -> None:
        self._loop = loop
        self._catch_up = catch_up
        self._give_up = give_up
        self._leave = leave
        self.timeout = timeout
        self._backlogs: dict[Subscriber, Backlog] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._backlogs)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(self._backlogs)

    def items(self) -> ItemsView[Subscriber, Backlog]:
        """Subscribers and their backlogs."""
        return self._backlogs.items()

    def add(self, subscriber: Subscriber) -> Backlog:
        """Start a backlog."""
        backlog = subscriber.backlog = self._backlogs[subscriber] = Backlog(self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_INTERVAL, self._sweep_again)
        return backlog

    def discard(self, subscriber: Subscriber) -> None:
        """End its backlog, if it has one."""
        self._backlogs.pop(subscriber, None)
        subscriber.backlog = None

    def begin_epoch(self, former: Position) -> None:
        """Each gets a gap and a snapshot once it has caught up."""
        for backlog in self._backlogs.values():
            backlog.begin_epoch(former)

    def _sweep_again(self) -> None:
        self._timer = None
        self.sweep()
        if self._backlogs:
            self._timer = self._loop.call_later(SWEEP_INTERVAL, self._sweep_again)

    def sweep(self) -> None:
        """Check every send buffer. An empty one means that the client has read everything that was written."""
        for subscriber, backlog in list(self._backlogs.items()):
            if subscriber.transport.is_closing():
                self._leave(subscriber)
            elif subscriber.transport.get_write_buffer_size() == 0:
                self.discard(subscriber)
                self._catch_up(subscriber, backlog)
            elif self._loop.time() - backlog.since > self.timeout:
                self._give_up(subscriber)

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def keep_for_later(backlog: Backlog, outgoing: Outgoing) -> int:
    """Add what a slow consumer misses to its backlog; returns the number of messages that it will not get as such."""
    if outgoing.former is not None:
        backlog.begin_epoch(outgoing.former)
    backlog.quotes |= outgoing.quotes
    backlog.names.update(outgoing.names)
    backlog.newest.update(outgoing.newest)
    missed = outgoing.quotes + len(outgoing.newest)
    if outgoing.alert is not None:
        missed += len(backlog.alerts) == backlog.alerts.maxlen  # the oldest alert is dropped
        backlog.alerts.append(outgoing.alert)
    backlog.missed += missed
    return missed
