"""The hub's side of a session, and the groups that sessions form."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from zlotick.gateway.fanout.frames import Encoding, SharedMessage
from zlotick.gateway.protocol.subscription import Subscription
from zlotick.model import now_text


class Subscriber:
    """The hub's side of a session: its wire, what it wants, and what waits for it.

    The transport may be any that writes without waiting and tells how much of it still waits. What is written to
    it is what ``encoding`` makes of each message, perhaps several messages at once.
    """

    __slots__ = (
        "disconnect_when_slow",
        "encoding",
        "evict",
        "gone",
        "group",
        "heartbeat",
        "joined",
        "late",
        "sent",
        "subscription",
        "transport",
    )

    def __init__(
        self, transport: asyncio.WriteTransport, *, encoding: Encoding, evict: Callable[[], None]
    ) -> None:
        self.transport = transport
        self.encoding = encoding
        self.evict = evict  # called when it was a laggard for too long, or at once if it wants that
        self.disconnect_when_slow = False
        self.heartbeat: float | None = None  # seconds of silence after which it wants a sign of life
        self.sent = 0.0  # the loop's time of the last message to it alone
        self.gone = False  # it will never join again
        self.subscription: Subscription | None = None
        self.group: Group | None = None
        self.joined = 0  # the cycle whose values it already had when it joined its group
        self.late: Late | None = None


class Members:
    """The sessions that get the same bytes, listed anew only when somebody came or went.

    Two lists side by side, for whoever writes to thousands: each transport is touched then, no subscriber.
    """

    __slots__ = ("_listed", "_members")

    def __init__(self) -> None:
        self._members: dict[Subscriber, None] = {}
        self._listed: list[Listed] | None = None

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, subscriber: Subscriber) -> bool:
        return subscriber in self._members

    def add(self, subscriber: Subscriber) -> None:
        """It comes."""
        self._members[subscriber] = None
        self._listed = None

    def remove(self, subscriber: Subscriber) -> None:
        """It goes. Raises KeyError when it is not here."""
        del self._members[subscriber]
        self._listed = None

    def listed(self, most: int) -> list[Listed]:
        """Everybody now, so many at a time. The very same object as long as nobody comes or goes."""
        if self._listed is None:
            everyone = list(self._members)
            parts = (everyone[start : start + most] for start in range(0, len(everyone), most))
            self._listed = [Listed(part, [one.transport for one in part]) for part in parts]
        return self._listed

    def are(self, listed: list[Listed]) -> bool:
        """Whether they are still those of a list."""
        return self._listed is listed


class Listed(NamedTuple):
    """Sessions and their transports, in the same order."""

    subscribers: list[Subscriber]
    transports: list[asyncio.WriteTransport]


Newest = dict[tuple[str, ...], SharedMessage]
"""Messages of which the newest says all, by what they are about: a candle's symbol, an event's service."""


MAX_ALERTS = 100
"""So many alerts wait for a laggard, the newest: none says what another one said."""


class Late:
    """What waits for a laggard, and since when: the names of what changed, never a queue of messages but alerts."""

    __slots__ = ("alerts", "missed", "names", "newest", "quotes", "since", "since_text")

    def __init__(self, since: float) -> None:
        self.since = since
        self.since_text = now_text()
        self.missed = 0
        self.quotes = False  # a message with quotes was missed
        self.names: set[str] = set()
        self.newest: Newest = {}
        self.alerts: deque[SharedMessage] = deque(maxlen=MAX_ALERTS)


class Pace:
    """When a group with ``max_rate`` is written to next, and what changed since it was last."""

    __slots__ = ("due", "interval", "names", "timer", "waiting")

    def __init__(self, max_rate: float) -> None:
        self.interval = 1 / max_rate
        self.due = 0.0  # the loop's time
        self.waiting = False
        self.names: dict[str, None] = {}
        self.timer: asyncio.TimerHandle | None = None

    def take(self) -> dict[str, None]:
        """The names that waited."""
        names, self.names = self.names, {}
        self.waiting = False
        self.stop()
        return names

    def stop(self) -> None:
        """No message is due."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Group:
    """The sessions with one subscription; those with another encoding apart, for they get other bytes."""

    __slots__ = ("fence", "intervals", "members", "pace", "selection", "sent", "subscription")

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.selection = subscription.selection
        self.intervals = subscription.intervals
        self.members: dict[Encoding, Members] = {}
        self.pace = Pace(subscription.max_rate) if subscription.max_rate and self.selection else None
        self.fence = 0  # the last cycle that had something for it: who joined since has that already
        self.sent = 0.0  # the loop's time of the last message


class Traffic:
    """What went out, in plain integers: this is counted where every nanosecond counts."""

    __slots__ = ("bytes", "conflated", "evicted", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.conflated = 0
        self.evicted = 0
