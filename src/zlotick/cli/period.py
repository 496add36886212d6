"""``--from`` and ``--to``: dates and times, in Warsaw time unless they have a zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from zlotick.market.calendar import WARSAW


def beginning(text: str) -> datetime:
    """The moment, or the start of the day, in UTC. Raises ValueError with the accepted formats."""
    return _moment(text, timedelta())


def ending(text: str) -> datetime:
    """The moment, or the end of the day, in UTC. Raises ValueError with the accepted formats."""
    return _moment(text, timedelta(days=1))


def _moment(text: str, after_day: timedelta) -> datetime:
    try:
        if len(text) == len("2025-04-30"):
            day = date.fromisoformat(text) + after_day
            return datetime.combine(day, time(), WARSAW).astimezone(UTC)
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=WARSAW)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("write 2025-04-30, 2025-04-30T10:00 (Warsaw time) or 2025-04-30T08:00Z") from None
