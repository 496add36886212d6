"""When to ask a source again after its "no". Pure: times come in, nothing sleeps and nothing is read here.

A circuit is *closed* (ask) until a refusal opens it. Until ``next_attempt`` nobody asks; then it is half-open:
the next question is a probe, whose success closes it, and whose failure opens it for the next, longer wait.
A wait depends on the reason, and grows with each failure until the source was well for a while.
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
    RefusalReason.RATE_LIMITED: (15 * _MINUTE,),  # unless the source names a time
    RefusalReason.UNREACHABLE: _UNREACHABLE,
    RefusalReason.TIMEOUT: _UNREACHABLE,
    RefusalReason.NOT_FOUND: (_HOUR,),
    # A broken page is often mended within minutes; a new layout stays.
    RefusalReason.FORMAT_CHANGED: (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR),
    RefusalReason.NO_DATA: (0.0,),  # no fault: its next turn will do
    RefusalReason.STALE: (0.0,),
}
OFF_THE_WEB: Waits = (1, 2, 4, 8, 16, 32, 64, 128, 300)
"""In place of 1 to 15 minutes for a source that is nobody's web server: a user's own provider, a replay."""

HEALTHY_AFTER = timedelta(minutes=5)
"""So long must a source be well before its next failure begins with the first wait again."""

LONGEST_TOLD = 24 * _HOUR
"""A source's own word on when to come back counts up to here: a slip of its clock must not lose it for ever."""

_JITTER, _LONGEST_JITTER = 0.1, 5 * _MINUTE


class Circuit:
    """One source's. ``web=False``: it is no web server, so that asking again soon harms nobody."""

    def __init__(self, *, web: bool, dice: random.Random | None = None) -> None:
        self.next_attempt: datetime | None = None  # None while it is closed
        self._web = web
        self._dice = dice or random.SystemRandom()
        self._opened_at: datetime | None = None
        self._well_since: datetime | None = None
        self._failures: Counter[Waits] = Counter()  # reasons with the same waits count together

    def is_open(self, now: datetime) -> bool:
        """Whether to leave the source alone. Not after the clock was set back: that wait would never end."""
        if self.next_attempt is None or self._opened_at is None:
            return False
        return self._opened_at <= now < self.next_attempt

    def succeeded(self, now: datetime) -> None:
        """It answered."""
        self.next_attempt = None
        self._well_since = self._well_since or now
        if now - self._well_since >= HEALTHY_AFTER:
            self._failures.clear()

    def refused(self, reason: RefusalReason | None, now: datetime, retry_after: float | None = None) -> None:
        """It said no, or broke (no reason). ``retry_after``: seconds, by its own word; never earlier than that."""
        waits = self._waits(reason)
        step = self._failures[waits]
        self._failures[waits] += 1
        wait = waits[min(step, len(waits) - 1)]
        told = min(retry_after or 0.0, LONGEST_TOLD)
        wait = told if reason is RefusalReason.RATE_LIMITED and told > 0 else max(wait, told)
        if reason is RefusalReason.DAILY_LIMIT:
            wait = max(told, (_next_midnight(now) - now).total_seconds())
        self._opened_at, self._well_since = now, None
        self.next_attempt = now + timedelta(seconds=wait + self._jitter(wait))

    def _waits(self, reason: RefusalReason | None) -> Waits:
        waits = _UNREACHABLE if reason is None else WAITS[reason]
        return OFF_THE_WEB if waits is _UNREACHABLE and not self._web else waits

    def _jitter(self, wait: float) -> float:
        """Only ever later, so that many services that lost the same source do not come back in step."""
        return self._dice.random() * min(wait * _JITTER, _LONGEST_JITTER)


def _next_midnight(now: datetime) -> datetime:
    """The end of the Warsaw day, in UTC."""
    tomorrow = now.astimezone(WARSAW).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(0), WARSAW).astimezone(UTC)
