"""When trades can happen: the trading hours of a session, and spans of trading time. Pure."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from zlotick.market.calendar import WARSAW, Calendar, in_warsaw

OPENING, CLOSING_CALL, CLOSE, LAST_TRADE = time(9), time(16, 50), time(17), time(17, 5)
MINUTE = timedelta(minutes=1)

FINAL_AFTER = time(17, 20)
"""Quotes observed after this time are final for the session, even with 15 minutes of delay."""


def can_trade(clock: time) -> bool:
    """Whether the exchange trades at a time of day, with a minute of tolerance: many times are rounded to minutes."""
    return OPENING <= clock < _minute_after(CLOSING_CALL) or CLOSE <= clock < _minute_after(LAST_TRADE)


def trading_time(start: datetime, end: datetime, calendar: Calendar) -> timedelta:
    """How long the exchange traded between two moments, from 9:00 to 17:05 of each session."""
    total, day = timedelta(), in_warsaw(start).date()
    last = in_warsaw(end).date()
    while day <= last and total <= timedelta(days=2):
        if calendar.is_session(day):
            opened, closed = (datetime.combine(day, clock, WARSAW) for clock in (OPENING, LAST_TRADE))
            total += max(timedelta(), min(end, closed) - max(start, opened))
        day += timedelta(days=1)
    return total


def last_session(day: date, calendar: Calendar) -> date:
    """The last session day before ``day``."""
    day -= timedelta(days=1)
    while not calendar.is_session(day):  # terminates: no closure is endless
        day -= timedelta(days=1)
    return day


def _minute_after(clock: time) -> time:
    return (datetime.combine(date.min, clock) + MINUTE).time()
