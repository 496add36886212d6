"""Waits for the next cycle, by the clock and the rules of :mod:`zlotick.market.schedule`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from zlotick.market.schedule import Schedule, closed_until, moment_text
from zlotick.model import utc_now, utc_text

log = structlog.stdlib.get_logger("zlotick.cycle")

LONGEST_SLEEP = 15.0
"""Seconds. A suspended computer must notice soon after it wakes that the market has opened."""


class Ticker:
    """Decides when each cycle begins. The interval runs from start to start; a late cycle delays the next one.

    ``interval()`` is in seconds and may change at any time. While ``session_only()`` (no provider has news outside
    a session) the cycles pause outside of one, but for ``first_request(now)``: a moment before the session at
    which to ask because not a single quote is known.
    """

    def __init__(
        self,
        interval: Callable[[], float],
        schedule: Schedule,
        session_only: Callable[[], bool],
        *,
        first_request: Callable[[datetime], datetime | None] = lambda now: None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        dice: random.Random | None = None,
    ) -> None:
        self.due: datetime | None = None  # when the next cycle begins; None before the first
        self._interval = interval
        self._schedule = schedule
        self._session_only = session_only
        self._first_request = first_request
        self._clock = clock
        self._sleep = sleep
        self._dice = dice or random.SystemRandom()
        self._last: datetime | None = None  # when the last cycle began
        self._pause_logged: datetime | None = None

    def continue_after(self, seconds: float) -> None:
        """The last cycle began so many seconds ago, on another node."""
        self._last = self._clock() - timedelta(seconds=seconds)

    async def next_turn(self, on_idle: Callable[[], None]) -> None:
        """Return when the next cycle is due. Calls ``on_idle`` at least every 15 s while waiting."""
        first, last, jitter = self._last is None, self._last or self._clock(), self._dice.random()
        while True:
            now = self._clock()
            self.due = due = self._next(now, last, first, jitter)
            # Due, or the clock was set back: do not wait for the same time twice.
            if not last <= now < due:
                self._last = now
                return
            on_idle()
            self._log_pause(last, due)
            await self._sleep(min((due - now).total_seconds(), LONGEST_SLEEP))

    def _next(self, now: datetime, last: datetime, first: bool, jitter: float) -> datetime:
        """When the cycle after ``last`` begins; ``first``: there was none yet, ``last`` is our own start."""
        interval = self._interval()
        soonest = last if first else last + timedelta(seconds=interval)
        if not self._session_only():
            return soonest
        next_start = self._schedule.first_start if first else self._schedule.next_start
        due, question = next_start(last, interval, jitter), self._first_request(now)
        return min(due, max(soonest, question)) if question else due

    def _log_pause(self, last: datetime, due: datetime) -> None:
        """Log each pause once."""
        if due - last > timedelta(seconds=self._interval()) and due != self._pause_logged:
            self._pause_logged = due
            in_session = self._schedule.awake(due)  # else it is a first question
            text = closed_until(due) if in_session else f"No quote is known yet. Next try: {moment_text(due)}"
            log.info(text, mark="🔄", due=utc_text(due))
