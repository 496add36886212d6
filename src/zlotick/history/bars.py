"""Bars of many files together, lean in memory, given back day by day."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from zlotick.market.calendar import WARSAW


class Period(StrEnum):
    """How long a bar is, in the words of the candle views."""

    DAY = "1d"
    HOUR = "1h"
    FIVE_MINUTES = "5m"


class Bar(NamedTuple):
    """What was traded of a symbol in ``[start, end)``, in Unix seconds; ``day`` is Warsaw's."""

    symbol: str
    day: date
    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: int


class Bars:
    """The bars of one period, of all files, in 64 bytes each."""

    def __init__(self, period: Period) -> None:
        self.period = period
        self.incomplete: set[tuple[str, date]] = set()
        """Sessions of which a bar was rejected: their volume, high and low so far are not known."""
        self._symbols: dict[str, int] = {}
        self._times = array("q")  # start, end
        self._values = array("d")  # open, high, low, close, volume
        self._places = array("L")  # symbol, file, line

    def __len__(self) -> int:
        return len(self._times) // 2

    @property
    def symbols(self) -> list[str]:
        """The symbols that have bars."""
        return list(self._symbols)

    def append(self, bar: Bar, file: int, line: int) -> None:
        """Add a bar, in any order."""
        symbol = self._symbols.setdefault(bar.symbol, len(self._symbols))
        self._times.extend((bar.start, bar.end))
        self._values.extend(bar[4:])
        self._places.extend((symbol, file, line))

    def days(self, overlaps: Callable[[Bar, int, int], None]) -> Iterator[tuple[date, list[Bar]]]:
        """Each day with its bars: by symbol, and by time. A bar that overlaps the one before is told and left out.

        A day of which every bar was rejected comes without bars.
        """
        names = list(self._symbols)
        order = sorted(
            range(len(self)),
            key=lambda at: (day_of(self._times[2 * at]), self._places[3 * at], self._times[2 * at]),
        )
        known = ((day_of(self._times[2 * at]), at) for at in order)
        told = ((day, -1) for day in sorted({day for _, day in self.incomplete}))
        for day, places in groupby(merge(known, told, key=itemgetter(0)), key=itemgetter(0)):
            yield day, self._of_day([at for _, at in places if at >= 0], names, overlaps)

    def _of_day(
        self, places: list[int], names: list[str], overlaps: Callable[[Bar, int, int], None]
    ) -> list[Bar]:
        bars: list[Bar] = []
        for at in places:
            bar = self._bar(at, names)
            if bars and bars[-1].symbol == bar.symbol and bars[-1].end > bar.start:
                if bar != bars[-1]:
                    self.incomplete.add((bar.symbol, bar.day))
                overlaps(bar, *self._places[3 * at + 1 : 3 * at + 3])
            else:
                bars.append(bar)
        return bars

    def _bar(self, at: int, names: list[str]) -> Bar:
        start, end = self._times[2 * at : 2 * at + 2]
        opened, high, low, close, volume = self._values[5 * at : 5 * at + 5]
        return Bar(
            names[self._places[3 * at]], day_of(start), start, end, opened, high, low, close, int(volume)
        )


@lru_cache(maxsize=65_536)
def day_of(second: int) -> date:
    """The Warsaw day of a Unix time."""
    return datetime.fromtimestamp(second, WARSAW).date()
