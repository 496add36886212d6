"""Whether and when to reconnect (exponential backoff with jitter). Pure; times are seconds."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from zlotick.connections.backoff import backoff

FIRST = 0.5
"""The first wait, at most; each further one is at most twice as long."""
CAP = 30.0
HEALTHY = 10.0
"""After a connection that lasted this long, the backoff starts again."""

BROKEN = 1006
_GOING_AWAY = 1001
_LONGEST_HINT = 300.0
_HTTP_REFUSALS = (401, 403)


class Closed(NamedTuple):
    """A connection is over: the server's close code and reason, or HTTP's; 1006 if it was lost."""

    code: int
    reason: str


class Reconnect:
    """Counts failures. After ``attempts`` of them in a row it gives up; None: never."""

    def __init__(
        self,
        *,
        attempts: int | None = None,
        first: float = FIRST,
        cap: float = CAP,
        healthy: float = HEALTHY,
        rng: random.Random | None = None,
    ) -> None:
        self.failures = 0
        self._attempts = attempts
        self._first, self._cap, self._healthy, self._rng = first, cap, healthy, rng
        self._delays = self._new_delays()
        self._opened_at: float | None = None
        self._hint: float | None = None

    def opened(self, now: float) -> None:
        """A connection was made."""
        self._opened_at = now

    def server_stops(self, milliseconds: float) -> None:
        """The server announced a shutdown, and when to reconnect."""
        if milliseconds >= 0:
            self._hint = min(milliseconds / 1000, _LONGEST_HINT)

    def closed(self, code: int, now: float) -> float | None:
        """How long to wait after a connection ended with this close code. None: do not reconnect."""
        if self._opened_at is not None and now - self._opened_at >= self._healthy:
            self.failures = 0
            self._delays = self._new_delays()
        hint = self._hint if code == _GOING_AWAY else None
        self._opened_at = self._hint = None
        self.failures += 1
        if is_final(code) or (self._attempts is not None and self.failures >= self._attempts):
            return None
        delay = next(self._delays)
        return delay if hint is None else hint

    def delay(self) -> float:
        """The wait before a rejected request is sent again."""
        return next(self._new_delays())

    def _new_delays(self) -> Iterator[float]:
        return backoff(first=self._first, cap=self._cap, rng=self._rng)


def is_final(code: int) -> bool:
    """Whether a reconnect would end the same way: close codes from 4500 on, and HTTP's 401 and 403."""
    return 4500 <= code <= 4999 or code in _HTTP_REFUSALS
