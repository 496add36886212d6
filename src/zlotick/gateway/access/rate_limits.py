"""Rate limits: token buckets, and a bounded table of addresses. Pure: the caller passes the time."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv4Address, IPv6Address, ip_network

MAX_ADDRESSES = 65_536
"""Addresses in the table at most. Above it, addresses without a session are dropped, the oldest first."""

FAILURES_PER_SECOND = 1.0
FAILURES_BURST = 20
"""Refused tokens of one address: guessing is hopeless anyway, the limit keeps it cheap for the server."""

Address = IPv4Address | IPv6Address


class TokenBucket:
    """Admits ``rate`` requests a second, and ``burst`` at once after a pause."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, now

    def take(self, now: float) -> bool:
        """Take one token if there is one. ``now``: seconds of a monotonic clock."""
        if not self.holds(now):
            return False
        self._tokens -= 1
        return True

    def holds(self, now: float) -> bool:
        """Whether a token is available."""
        self._fill(now)
        return self._tokens >= 1

    def full(self, now: float) -> bool:
        """Whether the bucket is full, that is, equal to a new one."""
        self._fill(now)
        return self._tokens >= self._burst

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now


class _Seen:
    """The state of one address."""

    __slots__ = ("connections", "failures", "sessions")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.sessions = 0
        self.connections = TokenBucket(rate, burst, now)
        self.failures = TokenBucket(FAILURES_PER_SECOND, FAILURES_BURST, now)

    def idle(self, now: float) -> bool:
        return not self.sessions and self.connections.full(now) and self.failures.full(now)


class Addresses:
    """Sessions, new connections and refused tokens of each address, as one process sees them.

    With ``gateway.workers`` each counts its own: an address may have up to so many times as much.
    Loopback has no limits: behind it is this machine's user, or a proxy or tunnel that stands for many. An IPv6
    client owns a whole /64, so that counts as one address.
    """

    def __init__(self, max_sessions: int, connections_per_second: float) -> None:
        self._max_sessions = max_sessions
        self._rate = connections_per_second
        self._burst = max(1.0, 2 * connections_per_second)
        self._seen: OrderedDict[Address, _Seen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def enter(self, address: Address, now: float) -> str | None:
        """Admit a session (None) or return why not. An admitted session must :meth:`leave`."""
        if address.is_loopback:
            return None
        seen = self._of(address, now)
        if not seen.connections.take(now):
            return (
                f"more than {self._rate:g} new connections a second from your address "
                "(gateway.connections_per_second); wait a moment"
            )
        if seen.sessions >= self._max_sessions:
            return (
                f"all {self._max_sessions} sessions of your address are taken "
                "(gateway.max_sessions_per_address); close one first"
            )
        seen.sessions += 1
        return None

    def leave(self, address: Address) -> None:
        """One session of this address ended."""
        if not address.is_loopback:
            self._seen[owner(address)].sessions -= 1

    def failed(self, address: Address, now: float) -> None:
        """A token of this address was refused."""
        if not address.is_loopback:
            self._of(address, now).failures.take(now)

    def may_try(self, address: Address, now: float) -> bool:
        """Whether tokens of this address are checked: not after too many refused ones."""
        seen = self._seen.get(owner(address))
        return seen is None or seen.failures.holds(now)

    def _of(self, address: Address, now: float) -> _Seen:
        key = owner(address)
        seen = self._seen.get(key)
        if seen is None:
            self._forget(now)
            seen = self._seen[key] = _Seen(self._rate, self._burst, now)
        self._seen.move_to_end(key)
        return seen

    def _forget(self, now: float) -> None:
        """Make room for one more. Only the two oldest are checked, so the work per new address is bounded."""
        for _ in range(min(2, len(self._seen))):
            key, oldest = next(iter(self._seen.items()))
            if oldest.idle(now) or (not oldest.sessions and len(self._seen) >= MAX_ADDRESSES):
                del self._seen[key]
            else:
                self._seen.move_to_end(key)


def owner(address: Address) -> Address:
    """What counts as one address."""
    if isinstance(address, IPv6Address):
        return ip_network((address, 64), strict=False).network_address
    return address
