"""The fields of a line in a bar file, parsed and checked: one format for import and replay. Pure.

Cells may be quoted (RFC 4180), numbers may have powers of ten (``1.5E+06``): spreadsheets, R and databases write both.
Times are in Warsaw time and mark the end of the bar.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from datetime import date, datetime, time
from functools import lru_cache

from zlotick.market.calendar import WARSAW
from zlotick.market.universe import TICKER

HOURLY = ("symbol", "date", "time_end", "open", "high", "low", "close", "volume")
EARLIEST = date(1991, 4, 16)
"""GPW's first session."""
MOST_SHARES = 10**15

# Stooq's adjusted history has many decimals, and very small prices in powers of ten.
NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,15})?([eE][-+]?[0-9]{1,2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


class BadField(Exception):
    """A field that breaks a rule; the message names field, value and rule."""

    def __init__(self, field: str, value: str, rule: str) -> None:
        self.field = field
        super().__init__(f"{field} {value[:60]!r} {rule}")


def cells_of(line: str) -> list[str]:
    """The cells of a line. An unterminated quoted cell takes the rest of the line."""
    if '"' not in line:  # the common case, and three times as fast
        return line.split(",")
    try:
        return next(csv.reader([line]))
    except csv.Error:  # an end of line within the line
        return [line]


def columns_of(cells: Iterable[str]) -> tuple[str, ...]:
    """The names in a header, in lower case."""
    return tuple(cell.strip().lower() for cell in cells)


def symbol_of(text: str) -> str:
    """Raises BadField."""
    if not TICKER.fullmatch(text):
        raise BadField("symbol", text, "must be 1 to 16 of A-Z and 0-9")
    return text


def day_of(text: str) -> date:
    """Raises BadField."""
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or day < EARLIEST:
        raise BadField("date", text, f"must be a date such as 2025-04-30, from {EARLIEST} on")
    return day


# A file has few distinct days and times, each repeated very often.
@lru_cache(maxsize=65_536)
def interval_of(day_text: str, end_text: str, seconds: int) -> tuple[date, int, int]:
    """The day, start and end (Unix times) of a bar of so many seconds. Raises BadField."""
    day = day_of(day_text)
    if not _TIME.fullmatch(end_text):
        raise BadField("time", end_text, "must be the time of day at which the bar ends, such as 10:00")
    end = time.fromisoformat(end_text)
    if end.hour * 3600 + end.minute * 60 < seconds:
        raise BadField("time", end_text, "is the end of a bar that began the day before")
    end_at = int(datetime.combine(day, end, WARSAW).timestamp())
    return day, end_at - seconds, end_at


def volume_of(text: str) -> int:
    """Rounded: adjusted history has fractions of shares. Raises BadField."""
    volume = float(text) if NUMBER.fullmatch(text) else -1.0
    if not 0 <= volume <= MOST_SHARES:
        raise BadField("volume", text, "must be a number of shares, 0 or above")
    return round(volume)
