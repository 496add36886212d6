"""When to ask providers that have news only around a session, and which quotes are too old. Pure.

The public providers are about 15 minutes behind the exchange: the first trades appear at about 9:15, the closing price
at about 17:15, the last trades at that price (until 17:05) at about 17:20. At 17:25 the day is final. All hours are
Warsaw's.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from zlotick.market.calendar import WARSAW, Calendar, Phase, in_warsaw

PROBE = time(8, 30)
"""One request before the opening, so that a broken provider is noticed in time."""

OPENING = time(9, 0)
TRADES_SHOWN = time(9, 15)
CLOSE_SHOWN = time(17, 15)
LAST_LOOK = time(17, 20)
END = time(17, 25)

PAUSE = timedelta(minutes=1)
"""A longer wait for the next cycle while the market is closed is a pause, which is shown to users."""

_DAY = timedelta(days=1)
_LONGEST_JITTER = 30.0


class Schedule:
    """When cycles are due on the days of a calendar. Moments must be aware; a naive one raises ValueError."""

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar

    def awake(self, moment: datetime) -> bool:
        """Whether such a provider may be asked: on a session day from the probe to the end."""
        local = in_warsaw(moment)
        return PROBE <= local.time() < END and self.calendar.is_session(local.date())

    def awake_from(self, moment: datetime) -> datetime:
        """The moment itself if providers may be asked then, else the next probe."""
        if self.awake(moment):
            return moment
        today = in_warsaw(moment).date()
        probe = _at(today, PROBE)
        return _at(self._session(today, _DAY), PROBE) if moment <= probe else self._next_probe(today)

    def next_start(self, last: datetime, interval: float, jitter: float = 0.0) -> datetime:
        """When the cycle after the one of ``last`` begins: ``interval`` seconds later, or when the providers wake.

        After a pause a share (``jitter``, 0 to 1) of the interval is added, so that not all instances ask at once.
        A long interval does not skip the closing price.
        """
        late = timedelta(seconds=jitter * min(interval, _LONGEST_JITTER))
        if not self.awake(last):
            return self.awake_from(last) + late
        local, after = in_warsaw(last), last + timedelta(seconds=interval)
        today = local.date()
        if local.time() < OPENING:
            after = max(after, _at(today, OPENING) + late)
        if after < _at(today, END):
            return after
        if local.time() < CLOSE_SHOWN:
            return _at(today, LAST_LOOK) + late
        return self._next_probe(today) + late

    def first_start(self, start: datetime, interval: float, jitter: float = 0.0) -> datetime:
        """When a service that starts at that moment begins: at once, or when the providers wake."""
        return start if self.awake(start) else self.next_start(start, interval, jitter)

    def fresh_since(self, now: datetime, silence: timedelta) -> datetime:
        """A quote last seen before this moment is stale now, if a provider may be silent for ``silence``.

        From 9:15 on, a provider must answer regularly; after the closing price (17:15) its quotes are good until
        ``silence`` after 9:15 of the next session. The result never goes back as time passes.
        """
        began = in_warsaw(now - silence)
        session = self._session(began.date() if began.time() >= TRADES_SHOWN else began.date() - _DAY, -_DAY)
        return min(now - silence, _at(session, CLOSE_SHOWN))

    def last_close_due(self, now: datetime) -> date:
        """The session whose close a provider of daily closes must have by now: the one before today, from 9:15 on."""
        local = in_warsaw(now)
        day = local.date() if local.time() >= TRADES_SHOWN else local.date() - _DAY
        return self._session(day - _DAY, -_DAY)

    def _next_probe(self, today: date) -> datetime:
        return _at(self._session(today + _DAY, _DAY), PROBE)

    def _session(self, day: date, step: timedelta) -> date:
        """The first session day from ``day`` on, in steps of plus or minus one day."""
        while not self.calendar.is_session(day):  # terminates: no closure is endless
            day += step
        return day


def moment_text(moment: datetime) -> str:
    """A moment in words: "Tue 1 Dec, 8:30 (Warsaw)"."""
    local = in_warsaw(moment)
    return f"{local:%a} {local.day} {local:%b}, {local.hour}:{local:%M} (Warsaw)"


def closed_until(due: datetime) -> str:
    """The text of a pause."""
    return f"The market is closed. Next quotes: {moment_text(due)}"


def pause_text(phase: str, now: datetime, due: datetime | None) -> str | None:
    """The text of a pause; None if the market is open or the next cycle is due soon."""
    closed = phase in (Phase.CLOSED, Phase.PRE_OPENING)
    return closed_until(due) if due and closed and due - now > PAUSE else None


def _at(day: date, hour: time) -> datetime:
    return datetime.combine(day, hour, WARSAW).astimezone(UTC)
