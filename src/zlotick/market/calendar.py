"""When Warsaw trades: session days, the guide's market status and the phase of a session, at any moment.

Every interval is half-open: its first instant belongs to it, its end to the next. All hours are Warsaw's.
The exchange opens and closes its auctions some random seconds late; so that a moment has exactly one phase,
``opening_auction`` is by convention the first minute from 9:00 and ``closing_auction`` the first from 17:00.

Hours: GPW's detailed session schedule of the main market. No half days are known. The days were compared with two
calendar packages and, from October 1994 to 2022, with the days on which the index WIG and its stocks were traded. Before
October 1994 GPW met on one to four days of the week: the calendar counts every weekday.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from zlotick.config import MarketConfig
from zlotick.errors import ConfigError
from zlotick.model import MarketStatus

WARSAW = ZoneInfo("Europe/Warsaw")


class Phase(StrEnum):
    """The phase of a session."""

    CLOSED = "closed"
    PRE_OPENING = "pre_opening"  # orders are entered, an indicative price is shown
    OPENING_AUCTION = "opening_auction"
    CONTINUOUS = "continuous"
    CLOSING_CALL = "closing_call"  # no trades, an indicative price is shown
    CLOSING_AUCTION = "closing_auction"
    TRADE_AT_LAST = "trade_at_last"  # trades at the closing price only


class _Row(NamedTuple):
    begins: time
    phase: Phase
    status: MarketStatus


_SCHEDULE = (
    _Row(time(0, 0), Phase.CLOSED, MarketStatus.CLOSED),
    _Row(time(8, 0), Phase.CLOSED, MarketStatus.PRE_MARKET),
    _Row(time(8, 30), Phase.PRE_OPENING, MarketStatus.PRE_MARKET),
    _Row(time(9, 0), Phase.OPENING_AUCTION, MarketStatus.OPEN),
    _Row(time(9, 1), Phase.CONTINUOUS, MarketStatus.OPEN),
    _Row(time(16, 50), Phase.CLOSING_CALL, MarketStatus.OPEN),
    _Row(time(17, 0), Phase.CLOSING_AUCTION, MarketStatus.AFTER_HOURS),
    _Row(time(17, 1), Phase.TRADE_AT_LAST, MarketStatus.AFTER_HOURS),
    _Row(time(17, 5), Phase.CLOSED, MarketStatus.AFTER_HOURS),
    _Row(time(18, 0), Phase.CLOSED, MarketStatus.CLOSED),
)
_BEGINNINGS = [row.begins for row in _SCHEDULE]
_WEEKEND = _Row(time(0, 0), Phase.CLOSED, MarketStatus.WEEKEND)
_HOLIDAY = _Row(time(0, 0), Phase.CLOSED, MarketStatus.HOLIDAY)

_FIXED_HOLIDAYS = frozenset(
    {(1, 1), (1, 6), (5, 1), (5, 3), (8, 15), (11, 1), (11, 11), (12, 24), (12, 25), (12, 26), (12, 31)}
)
_BEGAN = {(1, 6): 2011, (12, 31): 2011}
"""Holidays that were session days before: Epiphany by law, New Year's Eve by the exchange."""


def _dates(text: str) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, text.split()))


# Closed by resolutions of the exchange, mostly between a holiday and a weekend: no rule gives these days.
_CLOSED_ONCE = _dates("""
    1994-10-31 1994-12-30 1995-05-02 1995-05-08 1995-08-14 1996-05-02 1996-12-27 1997-05-02 1997-11-10
    1998-01-02 1998-04-03 1998-06-12 1999-06-04 1999-11-12 1999-12-30 1999-12-31 2000-05-02 2005-04-08
    2007-12-31 2008-05-02 2009-01-02 2013-04-16 2018-01-02 2018-11-12
""")
# Open although the rules say closed: two Good Fridays, two Christmas Eves.
_OPEN_ONCE = _dates("1995-04-14 1996-04-05 1996-12-24 2004-12-24")


@lru_cache(maxsize=512)
def easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar (the anonymous computus, Meeus, Astronomical Algorithms, ch. 8)."""
    century, rest = divmod(year, 100)
    moon = (19 * (year % 19) + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    sunday = (32 + 2 * (century % 4) + 2 * (rest // 4) - moon - rest % 4) % 7
    shift = moon + sunday - 7 * ((year % 19 + 11 * moon + 22 * sunday) // 451) + 114
    return date(year, shift // 31, shift % 31 + 1)


def _is_holiday(day: date) -> bool:
    if day in _CLOSED_ONCE or day in _OPEN_ONCE:
        return day in _CLOSED_ONCE
    fixed = (day.month, day.day)
    if fixed in _FIXED_HOLIDAYS and day.year >= _BEGAN.get(fixed, day.year):
        return True
    after_easter = (day - easter(day.year)).days
    return after_easter in (-2, 1, 60)  # Good Friday, Easter Monday, Corpus Christi


class Calendar:
    """The session days of GPW: a rule, its known exceptions, and the user's own.

    ``extra_closed`` and ``extra_open`` win over every rule, so that a resolution of the exchange needs no new
    release. Raises ValueError when a day is in both.
    """

    def __init__(self, extra_closed: Iterable[date] = (), extra_open: Iterable[date] = ()) -> None:
        self.extra_closed = frozenset(extra_closed)
        self.extra_open = frozenset(extra_open)
        if both := self.extra_closed & self.extra_open:
            raise ValueError(
                f"day {min(both)} is in extra_closed and in extra_open; remove it from one of them"
            )

    def is_session(self, day: date) -> bool:
        """Whether GPW trades on that (Warsaw) day."""
        return self._row_of_day(day) is None

    def closed_days(self, first: date, last: date) -> list[date]:
        """The weekdays without a session."""
        days = (first + timedelta(days=count) for count in range((last - first).days + 1))
        return [day for day in days if self._row_of_day(day) is _HOLIDAY]

    def _row_of_day(self, day: date) -> _Row | None:
        """The row that covers the whole day; None for a session day."""
        if day in self.extra_open:
            return None
        if day.weekday() >= 5:  # the weekend wins over a holiday on it
            return _WEEKEND
        return _HOLIDAY if day in self.extra_closed or _is_holiday(day) else None

    def market_status(self, moment: datetime) -> MarketStatus:
        """The market status, in the guide's words. Raises ValueError for a naive datetime."""
        return self._row(in_warsaw(moment)).status

    def phase(self, moment: datetime) -> Phase:
        """The phase of the session. Raises ValueError for a naive datetime."""
        return self._row(in_warsaw(moment)).phase

    def next_change(self, moment: datetime) -> datetime:
        """The first instant after ``moment`` at which the status or the phase differs, in UTC.

        Raises ValueError for a naive datetime.
        """
        local = in_warsaw(moment)
        now = self._row(local)
        day = local.date()
        while True:  # ends within days: sessions and weekends both have boundaries, and a closure is finite
            for begins in _BEGINNINGS:
                boundary = datetime.combine(day, begins, WARSAW)
                if boundary > local and self._row(boundary)[1:] != now[1:]:
                    return boundary.astimezone(UTC)
            day += timedelta(days=1)

    def next_phase(self, moment: datetime) -> datetime:
        """The first instant at which the phase differs, in UTC. From closed to a holiday the phase stays ``closed``.

        Raises ValueError for a naive datetime.
        """
        phase = self.phase(moment)
        while self.phase(moment) is phase:
            moment = self.next_change(moment)
        return moment

    def _row(self, local: datetime) -> _Row:
        """The row of the schedule in force at a Warsaw wall clock time."""
        return self._row_of_day(local.date()) or _scheduled(local.time())


def calendar_of(config: MarketConfig) -> Calendar:
    """The calendar with the user's own days. Raises ConfigError for a day that does not exist or is in both lists."""
    try:
        return Calendar(
            map(date.fromisoformat, config.extra_closed), map(date.fromisoformat, config.extra_open)
        )
    except ValueError as error:
        raise ConfigError([f"market.extra_closed, market.extra_open: {error}"]) from error


GPW = Calendar()
"""The calendar by rule alone. The service uses :func:`calendar_of`, which adds the days of the settings."""


def status_of_trade(moment: datetime) -> MarketStatus:
    """The market status of a quote that was traded at that moment, by the schedule of a session day.

    A trade proves that there was a session, whatever the calendar says: the status is never ``weekend`` or ``holiday``.
    Raises ValueError for a naive datetime.
    """
    return _scheduled(in_warsaw(moment).time()).status


def _scheduled(clock: time) -> _Row:
    """The row of a session day's schedule in force at a time of day."""
    return _SCHEDULE[bisect_right(_BEGINNINGS, clock) - 1]


def session_date(moment: datetime) -> date:
    """The Warsaw date of a moment: the session it belongs to. Raises ValueError for a naive datetime."""
    return in_warsaw(moment).date()


def in_warsaw(moment: datetime) -> datetime:
    """A moment in Warsaw time. Raises ValueError for a naive datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"time {moment.isoformat()} has no time zone; add one, such as +00:00")
    return moment.astimezone(WARSAW)
