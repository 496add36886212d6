"""The hub's side of a session, and the groups that sessions form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from zlotick.gateway.subscription import Subscription
from zlotick.model import now_text


class Subscriber:
    """The hub's side of a session: its socket, what it wants, and what waits for it."""

    __slots__ = ("deflate", "evict", "group", "joined", "late", "subscription", "transport")

    def __init__(
        self, transport: asyncio.WriteTransport, *, deflate: bool, evict: Callable[[], None]
    ) -> None:
        self.transport = transport
        self.deflate = deflate
        self.evict = evict  # called when it was a laggard for too long
        self.subscription: Subscription | None = None
        self.group: Group | None = None
        self.joined = 0  # the cycle whose values it already had when it joined its group
        self.late: Late | None = None


Members = dict[Subscriber, asyncio.WriteTransport]


class Late:
    """What waits for a laggard, and since when."""

    __slots__ = ("missed", "names", "since", "since_text")

    def __init__(self, since: float) -> None:
        self.since = since
        self.since_text = now_text()
        self.missed = 0
        self.names: set[str] = set()


class Group:
    """The sessions with one subscription; those with compression apart, for they get other bytes."""

    __slots__ = ("deflated", "plain", "subscription")

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.plain: Members = {}
        self.deflated: Members = {}

    def members(self, *, deflate: bool) -> Members:
        """Those of one kind."""
        return self.deflated if deflate else self.plain


class Traffic:
    """What went out, in plain integers: this is counted where every nanosecond counts."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.conflated = 0
        self.evicted = 0
