"""The hub's side of a session, and the groups that sessions form."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from zlotick.gateway.fanout.frames import Encoding, SharedMessage
from zlotick.gateway.protocol.subscription import Subscription
from zlotick.model import Position, now_text


class Subscriber:
    """The hub's side of a session: its wire, what it wants, and what waits for it.

    The transport may be any that writes without waiting and tells how much of it still waits. What is written to
    it is what ``encoding`` makes of each message, perhaps several messages at once.
    """

    __slots__ = (
        "backlog",
        "disconnect_when_slow",
        "encoding",
        "evict",
        "gone",
        "group",
        "heartbeat",
        "joined",
        "sent",
        "subscription",
        "transport",
    )

    def __init__(
        self, transport: asyncio.WriteTransport, *, encoding: Encoding, evict: Callable[[], None]
    ) -> None:
        self.transport = transport
        self.encoding = encoding
        self.evict = evict  # called when it was a slow consumer for too long, or at once if it asked for that
        self.disconnect_when_slow = False
        self.heartbeat: float | None = None  # seconds of silence after which it wants a heartbeat
        self.sent = 0.0  # the loop's time of the last message to it alone
        self.gone = False  # its session ended: it must not join again
        self.subscription: Subscription | None = None
        self.group: Group | None = None
        self.joined = 0  # the cycle whose values it already had when it joined its group
        self.backlog: Backlog | None = None


class Members:
    """The sessions of a group that get the same bytes; their chunks are rebuilt only after a change.

    A chunk has two parallel lists, so that the hot loop touches transports only, not subscribers.
    """

    __slots__ = ("_chunks", "_members")

    def __init__(self) -> None:
        self._members: dict[Subscriber, None] = {}
        self._chunks: list[MemberChunk] | None = None

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, subscriber: Subscriber) -> bool:
        return subscriber in self._members

    def add(self, subscriber: Subscriber) -> None:
        self._members[subscriber] = None
        self._chunks = None

    def remove(self, subscriber: Subscriber) -> None:
        """Raises KeyError if it is not a member."""
        del self._members[subscriber]
        self._chunks = None

    def chunks(self, most: int) -> list[MemberChunk]:
        """All members in chunks of at most ``most``. Cached, so identity tells whether the membership changed."""
        if self._chunks is None:
            everyone = list(self._members)
            parts = (everyone[start : start + most] for start in range(0, len(everyone), most))
            self._chunks = [MemberChunk(part, [one.transport for one in part]) for part in parts]
        return self._chunks

    def unchanged(self, chunks: list[MemberChunk]) -> bool:
        """Whether the membership is still that of :meth:`chunks`."""
        return self._chunks is chunks


class MemberChunk(NamedTuple):
    """Sessions and their transports, in the same order."""

    subscribers: list[Subscriber]
    transports: list[asyncio.WriteTransport]


Newest = dict[tuple[str, ...], SharedMessage]
"""Messages of which only the newest matters, by their subject: a candle's symbol, an event's service."""


MAX_ALERTS = 100
"""Alerts that wait for a slow consumer; the oldest are dropped first. Alerts cannot be merged: each is different."""


class Backlog:
    """What a slow consumer has missed: names of changed symbols, not messages (but alerts), so its size is bounded."""

    __slots__ = ("alerts", "former", "missed", "names", "newest", "quotes", "since", "since_text")

    def __init__(self, since: float) -> None:
        self.since = since
        self.since_text = now_text()
        self.missed = 0
        self.quotes = False  # a message with quotes was missed
        self.names: set[str] = set()
        self.newest: Newest = {}
        self.alerts: deque[SharedMessage] = deque(maxlen=MAX_ALERTS)
        self.former: Position | None = None  # a new epoch began: the last position before it

    def begin_epoch(self, former: Position) -> None:
        """A gap and a snapshot will replace the quotes that wait."""
        self.former = self.former or former
        self.quotes = False
        self.names.clear()


class Throttle:
    """When a group with ``max_rate`` may be written to next, and which symbols changed since the last write."""

    __slots__ = ("due", "interval", "names", "timer", "waiting")

    def __init__(self, max_rate: float) -> None:
        self.interval = 1 / max_rate
        self.due = 0.0  # the loop's time
        self.waiting = False
        self.names: dict[str, None] = {}
        self.timer: asyncio.TimerHandle | None = None

    def take(self) -> dict[str, None]:
        """Remove and return the waiting names."""
        names, self.names = self.names, {}
        self.waiting = False
        self.stop()
        return names

    def restart(self, now: float) -> None:
        """Something that replaces the waiting names is sent now."""
        self.take()
        self.due = now + self.interval

    def stop(self) -> None:
        """Cancel the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Group:
    """The sessions with the same subscription, by encoding: each encoding gets other bytes."""

    __slots__ = ("fence", "intervals", "members", "selection", "sent", "subscription", "throttle")

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.selection = subscription.selection
        self.intervals = subscription.intervals
        self.members: dict[Encoding, Members] = {}
        self.throttle = Throttle(subscription.max_rate) if subscription.max_rate and self.selection else None
        self.fence = (
            0  # the last cycle with news for it: members that joined later have that from their snapshot
        )
        self.sent = 0.0  # the loop's time of the last message


class Traffic:
    """What was sent, in plain integers: they are counted in the hot loop."""

    __slots__ = ("bytes", "conflated", "evicted", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.conflated = 0
        self.evicted = 0
