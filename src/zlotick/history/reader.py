"""Lines of history files become bars, each checked; what is wrong is rejected with its place, field, value and rule.

Three formats, told apart by their header. Stooq's bulk files (``d_pl_txt``, ``h_pl_txt``, ``5_pl_txt``)::

    <TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>
    11B,60,20240411,100000,510,515,510,515,415,0

with PER D, 60 or 5, and our own, hourly and daily::

    symbol,date,time_end,open,high,low,close,volume
    symbol,date,open,high,low,close,volume

Times are Warsaw's and the end of the bar, prices PLN. Adjusted history has fractions of shares: volumes are rounded.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import date, datetime, time
from functools import lru_cache
from typing import NamedTuple

from zlotick.history.bars import Bar, Bars, Period, day_of
from zlotick.market.sessions import WARSAW
from zlotick.market.universe import TICKER

EARLIEST = date(1991, 4, 16)
"""GPW's first session."""

EXAMPLES = 3
"""Of each reason for a rejection so many are kept in words; the rest are counted."""


SECONDS = {Period.HOUR: 3600, Period.FIVE_MINUTES: 300}
SESSION = (time(9, 0), time(17, 5))
"""What a daily bar stands for."""


class Rejected:
    """What was not taken, and why: counted by reason, with the first few in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, text: str) -> None:
        """One more."""
        self.counts[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(text)


class _Wrong(Exception):
    """What is wrong with a line."""

    def __init__(self, field: str, value: str, rule: str) -> None:
        self.field = field
        super().__init__(f"{field} {value[:60]!r} {rule}")


class Texts(NamedTuple):
    """The fields of a line, as texts in one form for all formats."""

    symbol: str
    period: str
    day: str  # 2024-04-11
    end: str  # 10:00, empty for a day
    open: str
    high: str
    low: str
    close: str
    volume: str


_STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
_HOURLY = "symbol,date,time_end,open,high,low,close,volume"
_DAILY = "symbol,date,open,high,low,close,volume"
_STOOQ_PERIODS = {"D": Period.DAY, "60": Period.HOUR, "5": Period.FIVE_MINUTES}


def _stooq(cells: list[str]) -> Texts:
    ticker, period, day, end, *rest = cells
    if period not in _STOOQ_PERIODS:
        raise _Wrong("<PER>", period, "must be D, 60 or 5")
    day, end = f"{day[:4]}-{day[4:6]}-{day[6:]}", f"{end[:2]}:{end[2:4]}" if end[4:] in ("", "00") else end
    return Texts(ticker.upper(), _STOOQ_PERIODS[period], day, "" if period == "D" else end, *rest[:5])


def _hourly(cells: list[str]) -> Texts:
    return Texts(cells[0], Period.HOUR, *cells[1:])


def _daily(cells: list[str]) -> Texts:
    symbol, day, *rest = cells
    return Texts(symbol, Period.DAY, day, "", *rest)


_FORMATS: dict[str, Callable[[list[str]], Texts]] = {_STOOQ: _stooq, _HOURLY: _hourly, _DAILY: _daily}


class Reader:
    """Reads one file after another."""

    def __init__(self, today: date) -> None:
        self.rejected = Rejected()
        self.bars: dict[tuple[str, Period], Bars] = {}
        """By the kind of file (stooq-bulk, import) and the period."""
        self._today = today
        self._files: list[str] = []

    def read(self, name: str, lines: Iterable[str]) -> None:
        """Read a file: its bars are kept, its wrong lines rejected. Raises what ``lines`` raises."""
        self._files.append(name)
        numbered = enumerate(lines, 1)
        header = next((line for _, line in numbered), None)
        if header is None:
            return  # Stooq's archives have empty files
        form = _FORMATS.get(header.strip())
        if form is None:
            formats = " or ".join(f"'{known}'" for known in _FORMATS)
            self.rejected.add("header", f"{name}:1: header {header[:100]!r} must be {formats}")
            return
        width = header.count(",") + 1
        kind = "stooq-bulk" if form is _stooq else "import"
        for number, line in numbered:
            if line:
                self._line(kind, form, width, line, number)

    def overlaps(self, bar: Bar, file: int, line: int) -> None:
        """Reject a bar that is there already, or begins before the one before it has ended."""
        at = datetime.fromtimestamp(bar.end, WARSAW)
        rule = "overlaps another bar of that symbol; keep one"
        self.rejected.add(
            "overlap", f"{self._files[file]}:{line}: {bar.symbol} bar that ends {at:%F %H:%M} {rule}"
        )

    def _line(
        self, kind: str, form: Callable[[list[str]], Texts], width: int, line: str, number: int
    ) -> None:
        cells = line.split(",")
        try:
            if len(cells) != width:
                raise _Wrong("columns", str(len(cells)), f"must be {width}")  # noqa: TRY301  gets its place below
            texts = form(cells)
            bar = self._bar(texts)
        except _Wrong as wrong:
            self.rejected.add(wrong.field, f"{self._files[-1]}:{number}: {wrong}")
            self._note_incomplete(kind, form, [*cells, *[""] * width][:width])
        else:
            self._of(kind, Period(texts.period)).append(bar, len(self._files) - 1, number)

    def _bar(self, texts: Texts) -> Bar:
        if not TICKER.fullmatch(texts.symbol):
            raise _Wrong("symbol", texts.symbol, "must be 1 to 16 of A-Z and 0-9")
        day, start, end = _interval(texts.period, texts.day, texts.end)
        if day > self._today:
            raise _Wrong("date", texts.day, "is in the future")
        prices = [_price(field, getattr(texts, field)) for field in ("open", "high", "low", "close")]
        opened, high, low, close = prices
        if not (low <= opened <= high and low <= close <= high):
            range_ = f"{texts.low} {texts.open} {texts.close} {texts.high}"
            raise _Wrong("range", range_, "(low open close high): low <= open, close <= high does not hold")
        return Bar(texts.symbol, day, start, end, opened, high, low, close, _volume(texts.volume))

    def _of(self, kind: str, period: Period) -> Bars:
        if (kind, period) not in self.bars:
            self.bars[kind, period] = Bars(period)
        return self.bars[kind, period]

    def _note_incomplete(self, kind: str, form: Callable[[list[str]], Texts], cells: list[str]) -> None:
        """Of which session a rejected line tells, as far as that can be read."""
        with suppress(_Wrong):
            texts = form(cells)
            session = texts.symbol, _day(texts.day)
            if TICKER.fullmatch(texts.symbol):
                self._of(kind, Period(texts.period)).incomplete.add(session)


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
# Stooq's adjusted history has many decimals, and very small prices in powers of ten.
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,15})?([eE]-?[0-9]{1,2})?")


def _day(text: str) -> date:
    """Raises _Wrong."""
    try:
        day = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or day < EARLIEST:
        raise _Wrong("date", text, f"must be a date from {EARLIEST} on")
    return day


# A file repeats few different days, times and prices very often.
@lru_cache(maxsize=65_536)
def _interval(period: str, day_text: str, end_text: str) -> tuple[date, int, int]:
    """The day, start and end of a bar. Raises _Wrong."""
    day = _day(day_text)
    if period == Period.DAY:
        start, end = (datetime.combine(day, hour, WARSAW) for hour in SESSION)
        return day, int(start.timestamp()), int(end.timestamp())
    if not _TIME.fullmatch(end_text):
        raise _Wrong("time", end_text, "must be the time of day at which the bar ends, such as 10:00")
    end_at = int(datetime.combine(day, time.fromisoformat(end_text), WARSAW).timestamp())
    start_at = end_at - SECONDS[Period(period)]
    if day_of(start_at) != day:
        raise _Wrong("time", end_text, "is the end of a bar that began the day before")
    return day, start_at, end_at


@lru_cache(maxsize=65_536)
def _price(field: str, text: str) -> float:
    price = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not (price > 0 and math.isfinite(price)):
        raise _Wrong(field, text, "must be a price above 0")
    return price


def _volume(text: str) -> int:
    if not _NUMBER.fullmatch(text) or float(text) > 1e15:
        raise _Wrong("volume", text, "must be a number of shares, 0 or above")
    return round(float(text))
