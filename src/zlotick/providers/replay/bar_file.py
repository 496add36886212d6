"""Reading a file of 60-minute bars: checked line by line, nothing half-loaded, and lean in memory.

The format is ``symbol,date,time_end,open,high,low,close,volume`` (``.csv``, or ``.csv.gz``), its fields are those of
an import (:mod:`zlotick.market.bar_text`): ``time_end`` is the end of the bar, prices are PLN. Bars of one symbol ascend in time; symbols may
follow each other or mix. Prices are kept as whole numbers of 1e-8 PLN, so that arithmetic on them is exact.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from functools import lru_cache
from importlib.resources.abc import Traversable
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple

from zlotick.errors import ReplayError
from zlotick.market.bar_text import HOURLY, NUMBER, BadField, columns_of, interval_of, symbol_of, volume_of

SCALE = 10**8
"""Units in one PLN."""
BAR_SECONDS = 3600

_MOST_UNITS = 10**17


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
    days: set[date] = set()
    line = 1
    try:
        with _opened(source) as text:
            reader = csv.reader(text)
            _check_header(next(reader, []))
            for cells in reader:
                line = reader.line_num
                if cells:  # skip empty lines
                    days.add(_add(bars, cells))
        if not bars:
            raise _Problem("has no bars")  # noqa: TRY301  gets its place below, like the others
    except (_Problem, BadField) as problem:
        raise ReplayError(f"{source}, line {line}: {problem}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReplayError(f"{source}, after line {line}: the gzip file is damaged ({error})") from error
    except csv.Error as error:
        raise ReplayError(f"{source}, after line {line}: is not CSV ({error})") from error
    except OSError as error:
        raise ReplayError(f"{source}: cannot be read: {error.strerror or error}") from error
    return BarFile(str(source), bars, sorted(days))


class _Problem(Exception):
    """What is wrong with a line, beyond its fields."""


@contextmanager
def _opened(source: Path | Traversable) -> Iterator[TextIOWrapper]:
    with source.open("rb") as raw:
        plain = gzip.GzipFile(fileobj=raw) if source.name.lower().endswith(".gz") else raw
        # What is no text is replaced, so that the checks of the fields name the very line.
        with TextIOWrapper(plain, encoding="utf-8-sig", errors="replace", newline="") as text:
            yield text


def _check_header(cells: list[str]) -> None:
    if columns_of(cells) != HOURLY:
        raise _Problem(f"the header must be '{','.join(HOURLY)}', was '{','.join(cells)[:100]}'")


def _add(bars: dict[str, SymbolBars], cells: list[str]) -> date:
    """Check one line and add its bar; returns its day."""
    if len(cells) != len(HOURLY):
        raise _Problem(f"must have {len(HOURLY)} columns, has {len(cells)}")
    symbol, day_text, time_end, opened, high, low, close, volume = cells
    day, start, _ = interval_of(day_text, time_end, BAR_SECONDS)
    prices = _price("open", opened), _price("high", high), _price("low", low), _price("close", close)
    bar = Bar(start, *prices, volume_of(volume))
    if not (bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high):
        raise _Problem(f"low {low} <= open {opened}, close {close} <= high {high} does not hold")
    of_symbol = bars.get(symbol)
    if of_symbol is None:
        of_symbol = bars[symbol_of(symbol)] = SymbolBars()
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


def _price(field: str, text: str) -> int:
    """Price text in units. Raises BadField."""
    units = _units(text)
    if not units:
        raise BadField(field, text, "must be a price above 0, with at most 8 decimals")
    return units


# A file repeats few different prices very often.
@lru_cache(maxsize=65536)
def _units(text: str) -> int:
    """0 when it is not a price."""
    units = Decimal(text) * SCALE if NUMBER.fullmatch(text) else Decimal()
    return int(units) if units <= _MOST_UNITS and units == int(units) else 0
