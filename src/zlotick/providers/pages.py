"""Reading quotes off a table of a web page. Pure but for :class:`Report`: text in, values or a refusal out.

Columns are found by the text of their header, never by their place. A cell that cannot be read spoils its row
(a doubtful quote is worse than none); ``-`` is no value, never 0.

**Which session a page shows.** It tells the time of each last trade, not the day. Outside session hours the
sources show the last completed session, and so they do for some minutes after the opening, because they run
behind. So, as a rule for the page as a whole: on a day without a session, and whenever a tenth or more of the
trades have a time later than the wall clock, the page is of the previous session; else of today. A single later
time on today's page belongs to the previous session too. A stock that has not traded in the session shown has no
time or no price, and so no quote: what was its price yesterday is no news of today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import NamedTuple, TypeVar

import structlog
from selectolax.lexbor import LexborHTMLParser, LexborNode

from zlotick.errors import Refusal, RefusalReason
from zlotick.market.sessions import WARSAW, Calendar
from zlotick.model import MarketStatus, StockUpdate, utc_text
from zlotick.providers.web import text_of, unexpected

log = structlog.stdlib.get_logger("zlotick.providers")

T = TypeVar("T")

NO_VALUE = frozenset({"", "-", "--", "\u2013", "\u2014"})
_LATE_SHARE = 10  # one in so many trades later than now: the page is of the previous session
_WIDEST, _DEEPEST = 200, 8  # columns and rows of a header that anybody would read

# Thousands are parted by a space (made plain before), or not at all.
_NUMBER = re.compile(r"([+-]?)([0-9]{1,9}|[0-9]{1,3}(?: [0-9]{3}){1,2})(?:,([0-9]{1,8}))?")
_COUNT = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?: [0-9]{3}){1,4}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")
_TRADING = (MarketStatus.OPEN, MarketStatus.AFTER_HOURS)


class Unreadable(ValueError):
    """A cell is not what its column should hold."""


class Foreign(ValueError):
    """A row is not of the stock that its ticker stands for here."""


class Skipped(NamedTuple):
    """A stock of ours on the page that gives no quote, and why."""

    symbol: str
    why: str


class Report:
    """Logs each stock that a source passed over, once for each reason, as long as the reason stands."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._told: set[Skipped] = set()

    def tell(self, skipped: Iterable[Skipped]) -> None:
        """What was passed over in one answer."""
        now = set(skipped)
        for symbol, why in sorted(now - self._told):
            log.warning("Stock passed over", mark="❌", provider=self._provider, symbol=symbol, reason=why)
        self._told = now


class Reading(NamedTuple):
    """What a page says: at most one quote a symbol, unless the page itself contradicts itself."""

    quotes: list[StockUpdate]
    skipped: list[Skipped]


Cells = list[LexborNode]
Texts = Mapping[str, str]


class Table(NamedTuple):
    """A table whose columns were found: the place of each wanted one, and the rows."""

    columns: Mapping[str, int]
    width: int
    body: LexborNode

    def text(self, cells: Cells, word: str) -> str:
        """The text of a wanted column."""
        return cells[self.columns[word]].text().strip()

    def rows(self, *words: str) -> Iterator[tuple[LexborNode, Cells]]:
        """Each row with its first cells, as far as these columns: most rows are not ours, and cells cost time."""
        needed = max(self.columns[word] for word in words) + 1
        for row in self.body.css("tbody > tr"):
            cells = list(islice(row.iter(), needed))
            if len(cells) == needed:
                yield row, cells

    def texts(self, row: LexborNode) -> Texts | None:
        """The texts of the wanted columns; None for a row that is not as wide as the header: it is no row of data.

        Hold these, not the cells: nodes by the thousand wake the garbage collector.
        """
        cells = list(row.iter())
        if len(cells) != self.width:
            return None
        return {word: self.text(cells, word) for word in self.columns}


def find_table(body: bytes, charset: str, selector: str, wanted: Mapping[str, str]) -> Table:
    """The first table that has every wanted column.

    ``wanted`` maps our word for a column to a pattern of its header's text, in lower case and without any space.
    Raises Refusal: challenge, or format_changed that names what is missing.
    """
    missing = f"table '{selector}'"
    for table in LexborHTMLParser(text_of(body, charset)).css(selector):
        headers = _headers(table)
        columns = {word: _places(headers, pattern) for word, pattern in wanted.items()}
        lacking = [wanted[word] for word, places in columns.items() if len(places) != 1]
        if not lacking:
            return Table({word: places[0] for word, places in columns.items()}, len(headers), table)
        missing = f"single column '{lacking[0]}' (it has: {', '.join(filter(None, headers))[:300]})"
    raise unexpected(body, missing)


def _places(headers: Sequence[str], pattern: str) -> list[int]:
    return [place for place, text in enumerate(headers) if re.fullmatch(pattern, text)]


def _headers(table: LexborNode) -> list[str]:
    """The topmost text over each column, with all spans expanded."""
    texts: dict[int, str] = {}
    taken: set[tuple[int, int]] = set()
    for depth, row in enumerate(_header_rows(table)[:_DEEPEST]):
        column = 0
        for cell in row.iter():
            while (depth, column) in taken:
                column += 1
            end = min(column + _span(cell, "colspan"), _WIDEST)
            for place in range(column, end):
                texts[place] = texts.get(place) or "".join(cell.text().split()).lower()
                taken.update((below, place) for below in range(depth, depth + _span(cell, "rowspan")))
            column = end
    return [texts[place] for place in sorted(texts)]


def _header_rows(table: LexborNode) -> list[LexborNode]:
    marked = table.css("thead > tr")
    return marked or [row for row in table.css("tr") if all(cell.tag == "th" for cell in row.iter())]


def _span(cell: LexborNode, name: str) -> int:
    text = cell.attributes.get(name) or "1"
    return int(text) if re.fullmatch("[1-9][0-9]?", text) else 1


def number(text: str) -> Decimal | None:
    """``1 234,5600`` as a decimal, None for no value. Raises Unreadable."""
    if text in NO_VALUE:
        return None
    match = _NUMBER.fullmatch(_plain(text))
    if not match:
        raise Unreadable(f"{text[:40]!a} is not a number such as 1 234,56")
    sign, whole, decimals = match.groups("")
    return Decimal(f"{sign}{whole.replace(' ', '')}.{decimals or 0}")


def count(text: str) -> int | None:
    """``1 234 567`` as a whole number, None for no value. Raises Unreadable."""
    if text in NO_VALUE:
        return None
    plain = _plain(text)
    if not _COUNT.fullmatch(plain):
        raise Unreadable(f"{text[:40]!a} is not a whole number such as 1 234")
    return int(plain.replace(" ", ""))


def clock_time(text: str) -> time | None:
    """``HH:MM:SS`` or ``HH:MM``, None for no value. Raises Unreadable."""
    if text in NO_VALUE:
        return None
    if not _TIME.fullmatch(text):
        raise Unreadable(f"{text[:40]!a} is not a time such as 16:49:50")
    return time.fromisoformat(text)


def _plain(text: str) -> str:
    """With ordinary spaces and an ordinary minus, whatever the page likes to write."""
    return " ".join(text.split()).replace("\u2212", "-")


class Row(NamedTuple):
    """What a source says of a stock that was traded, in its own exact numbers."""

    symbol: str
    price: Decimal
    previous_close: Decimal | None
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: int | None


class Shown:
    """The session that a page shows: it gives the trades their day (the rule is told at the top of this file).

    ``times`` are those of all trades on the page, ``observed`` is when the page was answered.
    """

    def __init__(self, times: Collection[time], observed: datetime, calendar: Calendar) -> None:
        now = observed.astimezone(WARSAW)
        self._calendar = calendar
        self._observed = observed
        self._now = now.time()
        self._today = now.date()
        late = sum(moment > self._now for moment in times)
        old = not calendar.is_session(self._today) or (late and late * _LATE_SHARE >= len(times))
        self._day = self._before(self._today) if old else self._today

    def moment(self, traded_at: time | datetime) -> datetime:
        """The moment of a trade, of which the page may tell the day too.

        Raises Unreadable for one that is still to come, or at a time at which Warsaw does not trade.
        """
        moment = traded_at if isinstance(traded_at, datetime) else self._dated(traded_at)
        if moment > self._observed:
            raise Unreadable(f"'{traded_at}' is still to come")
        if self._calendar.market_status(moment) not in _TRADING:
            raise Unreadable(f"'{traded_at}' is no time at which Warsaw trades")
        return moment

    def _dated(self, clock: time) -> datetime:
        later = self._day == self._today and clock > self._now
        return datetime.combine(self._before(self._today) if later else self._day, clock, WARSAW)

    def _before(self, day: date) -> date:
        day -= timedelta(days=1)
        while not self._calendar.is_session(day):  # ends: every closure does
            day -= timedelta(days=1)
        return day


def quote(
    row: Row, moment: datetime, observed: datetime, source: str, delay: int | None, calendar: Calendar
) -> StockUpdate:
    """The quote of a row that was traded at ``moment``. ``change`` is computed: a source's own is rounded."""
    base = row.previous_close
    change = None if base is None else row.price - base
    percent = round(change * 100 / base, 2) if change is not None and base else None
    traded_at = utc_text(moment)
    return StockUpdate(
        timestamp=traded_at,
        symbol=row.symbol,
        price=float(row.price),
        change=_float(change),
        change_percent=_float(percent),
        volume=row.volume,
        high=_float(row.high),
        low=_float(row.low),
        open=_float(row.open),
        market_status=calendar.market_status(moment).value,
        data_source=source,
        previous_close=_float(base),
        exchange_time=traded_at,
        received_at=utc_text(observed),
        delay_seconds=delay,
    )


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def reading(rows: Sequence[tuple[str, T]], quote_of: Callable[[str, T], StockUpdate | None]) -> Reading:
    """The whole of a page: ``rows`` are ours, each with its symbol. Equal rows are one quote; rows of a symbol
    that differ are passed on, for validation to judge.

    ``quote_of`` gives None for a stock without a trade, and raises Unreadable or Foreign.
    Raises Refusal when nothing can be had of the page, or when it is mostly unreadable.
    """
    quotes: list[StockUpdate] = []
    skipped: list[Skipped] = []
    unreadable: list[Skipped] = []
    for symbol, row in rows:
        try:
            quote = quote_of(symbol, row)
        except Foreign as no:
            skipped.append(Skipped(symbol, str(no)))
        except Unreadable as no:
            unreadable.append(Skipped(symbol, str(no)))
        else:
            quotes += [quote] if quote else []
    if not rows:
        raise Refusal(RefusalReason.NO_DATA, "the page lists none of the stocks that were asked for")
    if len(unreadable) * 2 > len(rows):
        such = f"such as {unreadable[0].symbol}: {unreadable[0].why}"
        detail = f"{len(unreadable)} of {len(rows)} rows cannot be read, {such}"
        raise Refusal(RefusalReason.FORMAT_CHANGED, detail)
    if not quotes and skipped:
        such = f"such as {skipped[0].symbol}: {skipped[0].why}"
        raise Refusal(RefusalReason.NO_DATA, f"no row can be used, {such}")
    if not quotes:
        raise Refusal(
            RefusalReason.NO_DATA, "none of the stocks has traded in the session that the page shows"
        )
    return Reading(list(dict.fromkeys(quotes)), skipped + unreadable)
