"""Lines of history files become bars, each checked; what is wrong is rejected with its place, field, value and rule.

Three formats, told apart by their header. Stooq's bulk files (``d_pl_txt``, ``h_pl_txt``, ``5_pl_txt``)::

    <TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>
    11B,60,20240411,100000,510,515,510,515,415,0

with PER D, 60 or 5, and our own, hourly and daily::

    symbol,date,time_end,open,high,low,close,volume
    symbol,date,open,high,low,close,volume

A file of one stock has no column for it, such as that of Stooq's download button (``Date,Open,High,Low,Close,Volume``,
or the same in Polish): the reader is told which stock it is. Times are Warsaw's and the end of the bar, prices PLN.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import date, datetime, time
from functools import lru_cache
from typing import NamedTuple

from zlotick.history.bars import Bar, Bars, Period
from zlotick.market.bar_text import (
    HOURLY,
    NUMBER,
    BadField,
    cells_of,
    columns_of,
    day_of,
    interval_of,
    symbol_of,
    volume_of,
)
from zlotick.market.calendar import WARSAW
from zlotick.market.universe import TICKER

EXAMPLES = 3
"""Of each reason for a rejection so many are kept in words; the rest are counted."""


STOOQ_BULK = "stooq-bulk"
"""The kind of Stooq's bulk files."""
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
_HOURLY = ",".join(HOURLY)
_DAILY = "symbol,date,open,high,low,close,volume"
_POLISH = {
    "data": "date",
    "otwarcie": "open",
    "najwyzszy": "high",
    "najnizszy": "low",
    "zamkniecie": "close",
    "wolumen": "volume",
}
_WITHOUT_MARKS = str.maketrans("ęż", "ez")
_STOOQ_PERIODS = {"D": Period.DAY, "60": Period.HOUR, "5": Period.FIVE_MINUTES}


def _stooq(cells: list[str]) -> Texts:
    ticker, period, day, end, *rest = cells
    if period not in _STOOQ_PERIODS:
        raise BadField("<PER>", period, "must be D, 60 or 5")
    day, end = f"{day[:4]}-{day[4:6]}-{day[6:]}", f"{end[:2]}:{end[2:4]}" if end[4:] in ("", "00") else end
    return Texts(ticker.upper(), _STOOQ_PERIODS[period], day, "" if period == "D" else end, *rest[:5])


def _hourly(cells: list[str]) -> Texts:
    return Texts(cells[0], Period.HOUR, *cells[1:])


def _daily(cells: list[str]) -> Texts:
    symbol, day, *rest = cells
    return Texts(symbol, Period.DAY, day, "", *rest)


Form = Callable[[list[str]], Texts]

_FORMATS: dict[str, Form] = {_STOOQ: _stooq, _HOURLY: _hourly, _DAILY: _daily}
_BY_COLUMNS = {columns_of(header.split(",")): form for header, form in _FORMATS.items()}
# Stooq's other tickers: indicators such as 11B_PE, indices such as WIG_BANKI, foreign series.
_NO_STOCK = re.compile(r"(?=.*[A-Z])[A-Z0-9._^&-]{1,32}")


def _form(header: list[str], symbol: str | None) -> Form:
    """How the lines below a header are read. Raises BadField."""
    columns = columns_of(header)
    if form := _BY_COLUMNS.get(columns):
        if symbol:
            raise BadField("header", ",".join(header), "has a column for the symbol; leave --symbol out")
        return form
    columns = tuple(_POLISH.get(name.translate(_WITHOUT_MARKS), name) for name in columns)
    of_one = _BY_COLUMNS.get(("symbol", *columns))
    if of_one is None:
        raise BadField("header", ",".join(header), f"must be {' or '.join(map(repr, _FORMATS))}")
    if symbol is None:
        raise BadField(
            "header",
            ",".join(header),
            "is of one stock, without its symbol; add --symbol, such as --symbol ABS",
        )
    return lambda cells: of_one([symbol, *cells])


class Reader:
    """Reads one file after another."""

    def __init__(self, today: date, symbol: str | None = None) -> None:
        self.symbol = symbol
        """Of the files that have no column for it."""
        self.rejected = Rejected()
        self.no_stocks: set[str] = set()
        """Tickers of Stooq's that are no stocks' prices: passed over."""
        self.bars: dict[tuple[str, Period], Bars] = {}
        """By the kind of file (stooq-bulk, import) and the period."""
        self._today = today
        self._files: list[str] = []

    def read(self, name: str, lines: Iterable[str]) -> None:
        """Read a file: its bars are kept, its wrong lines rejected. Raises what ``lines`` raises."""
        self._files.append(name)
        numbered = enumerate(lines, 1)
        header = next((cells_of(line) for _, line in numbered), None)
        if header is None:
            return  # Stooq's archives have empty files
        try:
            form = _form(header, self.symbol)
        except BadField as wrong:
            self.rejected.add(wrong.field, f"{name}:1: {wrong}")
            return
        kind = STOOQ_BULK if form is _stooq else "import"
        for number, line in numbered:
            if line:
                self._line(kind, form, len(header), line, number)

    def overlaps(self, bar: Bar, file: int, line: int) -> None:
        """Reject a bar that is there already, or begins before the one before it has ended."""
        at = datetime.fromtimestamp(bar.end, WARSAW)
        rule = "overlaps another bar of that symbol; keep one"
        self.rejected.add(
            "overlap", f"{self._files[file]}:{line}: {bar.symbol} bar that ends {at:%F %H:%M} {rule}"
        )

    def _line(self, kind: str, form: Form, width: int, line: str, number: int) -> None:
        cells = cells_of(line)
        try:
            if len(cells) != width:
                raise BadField("columns", str(len(cells)), f"must be {width}")  # noqa: TRY301  gets its place below
            texts = form(cells)
            bar = self._bar(texts)
        except BadField as wrong:
            if kind == STOOQ_BULK and wrong.field == "symbol" and _NO_STOCK.fullmatch(cells[0].upper()):
                self.no_stocks.add(cells[0].upper())
                return
            self.rejected.add(wrong.field, f"{self._files[-1]}:{number}: {wrong}")
            self._note_incomplete(kind, form, [*cells, *[""] * width][:width])
        else:
            self._of(kind, Period(texts.period)).append(bar, len(self._files) - 1, number)

    def _bar(self, texts: Texts) -> Bar:
        symbol = symbol_of(texts.symbol)
        day, start, end = _interval(texts.period, texts.day, texts.end)
        if day > self._today:
            raise BadField("date", texts.day, "is in the future")
        prices = [_price(field, getattr(texts, field)) for field in ("open", "high", "low", "close")]
        opened, high, low, close = prices
        if not (low <= opened <= high and low <= close <= high):
            range_ = f"{texts.low} {texts.open} {texts.close} {texts.high}"
            raise BadField("range", range_, "(low open close high): low <= open, close <= high does not hold")
        return Bar(symbol, day, start, end, opened, high, low, close, volume_of(texts.volume))

    def _of(self, kind: str, period: Period) -> Bars:
        if (kind, period) not in self.bars:
            self.bars[kind, period] = Bars(period)
        return self.bars[kind, period]

    def _note_incomplete(self, kind: str, form: Form, cells: list[str]) -> None:
        """Of which session a rejected line tells, as far as that can be read."""
        with suppress(BadField):
            texts = form(cells)
            session = texts.symbol, day_of(texts.day)
            if TICKER.fullmatch(texts.symbol):
                self._of(kind, Period(texts.period)).incomplete.add(session)


@lru_cache(maxsize=65_536)
def _interval(period: str, day_text: str, end_text: str) -> tuple[date, int, int]:
    """The day, start and end of a bar. Raises BadField."""
    if period != Period.DAY:
        return interval_of(day_text, end_text, SECONDS[Period(period)])
    day = day_of(day_text)
    start, end = (datetime.combine(day, hour, WARSAW) for hour in SESSION)
    return day, int(start.timestamp()), int(end.timestamp())


# A file repeats few different prices very often.
@lru_cache(maxsize=65_536)
def _price(field: str, text: str) -> float:
    price = float(text) if NUMBER.fullmatch(text) else 0.0
    if not price > 0:
        raise BadField(field, text, "must be a price above 0")
    return price
