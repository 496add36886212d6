"""Reading a file of 60-minute bars: checked line by line, nothing half-loaded, and lean in memory.

The format is ``symbol,date,time_end,open,high,low,close,volume`` (``.csv``, or ``.csv.gz``): dates and times are
Warsaw's, ``time_end`` is the end of the bar, prices are PLN. Bars of one symbol ascend in time; symbols may
follow each other or mix. Prices are kept as whole numbers of 1e-8 PLN, so that arithmetic on them is exact.
"""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import lru_cache
from importlib.resources.abc import Traversable
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from zlotick.errors import ReplayError
from zlotick.market.sessions import WARSAW
from zlotick.market.universe import TICKER

COLUMNS = ["symbol", "date", "time_end", "open", "high", "low", "close", "volume"]
SCALE = 10**8
"""Units in one PLN."""
BAR_SECONDS = 3600

_PRICE = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,8}))?")
_VOLUME = re.compile(r"[0-9]{1,15}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME_END = re.compile(r"(0[1-9]|1[0-9]|2[0-3]):[0-5][0-9]")


class Bar(NamedTuple):
    """What was traded of one symbol in ``[start, start + BAR_SECONDS)``. Prices in units, ``start`` in Unix seconds."""

    start: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class SymbolBars:
    """The bars of one symbol, oldest first, in 48 bytes each."""

    def __init__(self) -> None:
        self._columns = tuple(array("q") for _ in Bar._fields)

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, index: int) -> Bar:
        return Bar(*(column[index] for column in self._columns))

    def append(self, bar: Bar) -> None:
        """Add a bar that is later than all before."""
        for column, value in zip(self._columns, bar, strict=True):
            column.append(value)

    def first_from(self, second: int) -> int:
        """The index of the first bar that starts at or after a Unix time."""
        return bisect_left(self._columns[0], second)


class BarFile(NamedTuple):
    """A whole file: bars by symbol, and the days that have any, oldest first."""

    name: str
    bars: dict[str, SymbolBars]
    days: list[date]


def read_bars(source: Path | Traversable) -> BarFile:
    """Read and check a bar file. Raises ReplayError that names the file, the line, the field and the value."""
    bars: dict[str, SymbolBars] = {}
    days: set[str] = set()
    line = 1
    try:
        with _opened(source) as text:
            reader = csv.reader(text)
            _check_header(next(reader, []))
            for cells in reader:
                line = reader.line_num
                if cells:  # an empty line is none
                    days.add(_add(bars, cells))
        if not bars:
            raise _Problem("has no bars")  # noqa: TRY301  gets its place below, like the others
    except _Problem as problem:
        raise ReplayError(f"{source}, line {line}: {problem}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReplayError(f"{source}, after line {line}: the gzip file is damaged ({error})") from error
    except csv.Error as error:
        raise ReplayError(f"{source}, after line {line}: is not CSV ({error})") from error
    except OSError as error:
        raise ReplayError(f"{source}: cannot be read: {error.strerror or error}") from error
    return BarFile(str(source), bars, [date.fromisoformat(day) for day in sorted(days)])


class _Problem(Exception):
    """What is wrong with a line."""


@contextmanager
def _opened(source: Path | Traversable) -> Iterator[TextIOWrapper]:
    with source.open("rb") as raw:
        plain = gzip.GzipFile(fileobj=raw) if source.name.endswith(".gz") else raw
        # What is no text is replaced, so that the checks of the fields name the very line.
        with TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="") as text:
            yield text


def _check_header(cells: list[str]) -> None:
    if cells != COLUMNS:
        raise _Problem(f"the header must be '{','.join(COLUMNS)}', was '{','.join(cells)[:100]}'")


def _add(bars: dict[str, SymbolBars], cells: list[str]) -> str:
    """Check one line and add its bar; returns its day."""
    if len(cells) != len(COLUMNS):
        raise _Problem(f"must have {len(COLUMNS)} columns, has {len(cells)}")
    symbol, day, time_end, opened, high, low, close, volume = cells
    bar = Bar(
        _start(day, time_end),
        _price("open", opened),
        _price("high", high),
        _price("low", low),
        _price("close", close),
        _volume(volume),
    )
    if not (bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high):
        raise _Problem(f"low {low} <= open {opened}, close {close} <= high {high} does not hold")
    of_symbol = bars.get(symbol)
    if of_symbol is None:
        of_symbol = bars[_symbol(symbol)] = SymbolBars()
    else:
        _check_order(of_symbol[-1].start, bar.start, f"{symbol} {day} {time_end}")
    of_symbol.append(bar)
    return day


def _check_order(last: int, start: int, what: str) -> None:
    if start == last:
        raise _Problem(f"duplicate bar {what}; keep one")
    if start < last:
        raise _Problem(f"bar {what} is earlier than the one before of that symbol; sort the file by time")
    if start < last + BAR_SECONDS:
        raise _Problem(f"bar {what} overlaps the one before; bars must be of 60 minutes")


def _symbol(text: str) -> str:
    if not TICKER.fullmatch(text):
        raise _Problem(f"symbol '{text[:40]}' must be 1 to 16 of A-Z and 0-9")
    return text


# A file repeats few different days, hours and prices very often.
@lru_cache(maxsize=8192)
def _start(day: str, time_end: str) -> int:
    if not _TIME_END.fullmatch(time_end):
        raise _Problem(f"time_end '{time_end[:40]}' must be the end of a bar of 60 minutes, 01:00 to 23:59")
    try:
        end = datetime.fromisoformat(f"{day}T{time_end}") if _DATE.fullmatch(day) else None
    except ValueError:
        end = None
    if end is None:
        raise _Problem(f"date '{day[:40]}' must be a date such as 2025-04-30")
    return int(end.replace(tzinfo=WARSAW).timestamp()) - BAR_SECONDS


def _price(field: str, text: str) -> int:
    units = _units(text)
    if not units:
        raise _Problem(f"{field} '{text[:40]}' must be a price above 0, with at most 8 decimals")
    return units


@lru_cache(maxsize=65536)
def _units(text: str) -> int:
    """Price text in units, 0 when it is none."""
    match = _PRICE.fullmatch(text)
    return int(match[1] + (match[2] or "").ljust(8, "0")) if match else 0


def _volume(text: str) -> int:
    if not _VOLUME.fullmatch(text):
        raise _Problem(f"volume '{text[:40]}' must be a whole number, 0 or above")
    return int(text)
