"""When to ask a provider again after a refusal: a circuit breaker. Pure: no sleeping, no clock of its own.

A circuit is *closed* until a refusal opens it. Until ``next_attempt`` the provider is not asked; then the circuit is
half-open: the next request is a probe, whose success closes it and whose failure opens it for a longer wait.
A wait depends on the reason, and grows with each failure until the provider was healthy for a while.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, time, timedelta

from zlotick.errors import RefusalReason
from zlotick.market.calendar import WARSAW

Waits = tuple[float, ...]
"""Seconds, one for each failure in a row; the last one holds for all further ones."""

_MINUTE, _HOUR = 60.0, 3600.0
_UNREACHABLE: Waits = tuple(minutes * _MINUTE for minutes in (1, 2, 4, 8, 15))
WAITS: dict[RefusalReason, Waits] = {
    RefusalReason.CHALLENGE: (_HOUR, 2 * _HOUR, 4 * _HOUR, 6 * _HOUR),
    RefusalReason.API_KEY: (6 * _HOUR,),  # another key comes with a restart
    RefusalReason.DAILY_LIMIT: (_HOUR,),  # and at least until midnight in Warsaw
    RefusalReason.RATE_LIMITED: (15 * _MINUTE,),  # unless the provider names a time
    RefusalReason.UNREACHABLE: _UNREACHABLE,
    RefusalReason.TIMEOUT: _UNREACHABLE,
    RefusalReason.NOT_FOUND: (_HOUR,),
    # A broken page is often repaired within minutes; a new layout stays.
    RefusalReason.FORMAT_CHANGED: (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR),
    RefusalReason.NO_DATA: (0.0,),  # no fault: asked again at its interval
    RefusalReason.STALE: (0.0,),
}
OFF_THE_WEB: Waits = (1, 2, 4, 8, 16, 32, 64, 128, 300)
"""In place of 1 to 15 minutes for a provider off the web: a user's own one, a replay."""

HEALTHY_AFTER = timedelta(minutes=5)
"""A provider must be healthy for so long before its next failure begins with the first wait again."""

MAX_RETRY_AFTER = 24 * _HOUR
"""A provider's own Retry-After counts up to here: an error of its clock must not lose it for good."""

_JITTER, _LONGEST_JITTER = 0.1, 5 * _MINUTE


class Circuit:
    """The circuit breaker of one provider. ``web=False``: it is not a web site, so asking again soon does no harm."""

    def __init__(self, *, web: bool, dice: random.Random | None = None) -> None:
        self.next_attempt: datetime | None = None  # None while it is closed
        self._web = web
        self._dice = dice or random.SystemRandom()
        self._opened_at: datetime | None = None
        self._healthy_since: datetime | None = None
        self._failures: Counter[Waits] = Counter()  # reasons with the same waits count together

    def is_open(self, now: datetime) -> bool:
        """Whether to leave the provider alone. Not after the clock was set back: that wait would never end."""
        if self.next_attempt is None or self._opened_at is None:
            return False
        return self._opened_at <= now < self.next_attempt

    def succeeded(self, now: datetime) -> None:
        """Note an answer."""
        self.next_attempt = None
        self._healthy_since = self._healthy_since or now
        if now - self._healthy_since >= HEALTHY_AFTER:
            self._failures.clear()

    def refused(self, reason: RefusalReason | None, now: datetime, retry_after: float | None = None) -> None:
        """Note a refusal, or a bug (no reason). ``retry_after``: the provider's own word, in seconds; a lower limit."""
        waits = self._waits(reason)
        step = self._failures[waits]
        self._failures[waits] += 1
        wait = waits[min(step, len(waits) - 1)]
        asked = min(retry_after or 0.0, MAX_RETRY_AFTER)
        wait = asked if reason is RefusalReason.RATE_LIMITED and asked > 0 else max(wait, asked)
        if reason is RefusalReason.DAILY_LIMIT:
            wait = max(asked, (_next_midnight(now) - now).total_seconds())
        self._opened_at, self._healthy_since = now, None
        self.next_attempt = now + timedelta(seconds=wait + self._jitter(wait))

    def take_over(self, reason: RefusalReason, until: datetime, now: datetime) -> None:
        """Go on with the wait that another node began. Its clock may be wrong, so the wait has a limit."""
        self._failures[self._waits(reason)] += 1
        self._opened_at, self._healthy_since = now, None
        self.next_attempt = min(until, now + timedelta(seconds=MAX_RETRY_AFTER))

    def _waits(self, reason: RefusalReason | None) -> Waits:
        waits = _UNREACHABLE if reason is None else WAITS[reason]
        return OFF_THE_WEB if waits is _UNREACHABLE and not self._web else waits

    def _jitter(self, wait: float) -> float:
        """Only ever later, so that many services that lost the same provider do not return in step (thundering herd)."""
        return self._dice.random() * min(wait * _JITTER, _LONGEST_JITTER)


def _next_midnight(now: datetime) -> datetime:
    """The end of the Warsaw day, in UTC."""
    tomorrow = now.astimezone(WARSAW).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(0), WARSAW).astimezone(UTC)
