"""Reading quotes off a table of a web page. Pure but for :class:`Report`: text in, values or a refusal out.

Columns are found by the text of their header, never by their place. A cell that cannot be read spoils its row, and
so does a row that contradicts itself (a doubtful quote is worse than none); ``-`` is no value, never 0. Which session
a page shows is decided by :mod:`zlotick.market.dating`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import NamedTuple, TypeVar

import structlog

from zlotick.errors import Refusal, RefusalReason
from zlotick.market import dating
from zlotick.market.arithmetic import change_of
from zlotick.market.calendar import WARSAW, Calendar, in_warsaw
from zlotick.market.dating import AnswerTiming, Trade, Undated
from zlotick.model import StaleReason, StockUpdate, utc_text, utc_time
from zlotick.providers.base import Quotes
from zlotick.providers.web.client import text_of, unexpected
from zlotick.providers.web.html_reader import WIDEST, RawTable, tables_of
from zlotick.providers.web.html_reader import Row as RawRow

log = structlog.stdlib.get_logger("zlotick.providers")

T = TypeVar("T")
V = TypeVar("V", Decimal, int)

NO_VALUE = frozenset({"", "-", "--", "\u2013", "\u2014"})
_DEEPEST = 8  # rows of a header that anybody would read
_PERCENT_ROUNDING = Decimal("0.02")  # the page's percent are rounded to 0.01

# Thousands are parted by a space (made plain before), or not at all.
_NUMBER = re.compile(r"([+-]?)([0-9]{1,9}|[0-9]{1,3}(?: [0-9]{3}){1,2})(?:,([0-9]{1,8}))?")
_COUNT = re.compile(r"[0-9]{1,15}|[0-9]{1,3}(?: [0-9]{3}){1,4}")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?")


class Unreadable(ValueError):
    """A cell is not what its column should hold."""


class Foreign(ValueError):
    """A row is not of the stock that its ticker stands for here, or of none that the source knows."""

    def __init__(self, why: str, reason: StaleReason = StaleReason.RENAMED) -> None:
        super().__init__(why)
        self.reason = reason


class Untraded(Exception):
    """The stock has not traded in the session that the page shows."""


class Skipped(NamedTuple):
    """A stock of ours on the page that gives no quote, and why."""

    symbol: str
    why: str
    reason: StaleReason = StaleReason.UNREADABLE


class Report:
    """Logs each stock that a source passed over, once for each reason, as long as the reason stands."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._told: set[Skipped] = set()

    def tell(self, skipped: Iterable[Skipped]) -> None:
        """What was passed over in one answer."""
        now = set(skipped)
        for symbol, why, _ in sorted(now - self._told):
            log.warning("Stock passed over", mark="❌", provider=self._provider, symbol=symbol, reason=why)
        self._told = now


class Reading(NamedTuple):
    """What a page says: at most one quote a symbol; ``skipped`` are rows that could not be used."""

    quotes: Quotes
    skipped: list[Skipped]


Texts = Mapping[str, str]


class Table(NamedTuple):
    """A table whose columns were found: the place of each wanted one, and the rows."""

    columns: Mapping[str, int]
    width: int
    body: Sequence[RawRow]

    def text(self, row: RawRow, word: str) -> str:
        """The text of a wanted column."""
        return row.texts[self.columns[word]].strip()

    def link(self, row: RawRow, word: str) -> str:
        """Where the first link of a wanted column leads; empty without one."""
        return row.links.get(self.columns[word], "")

    def rows(self, *words: str) -> Iterator[RawRow]:
        """The rows that reach as far as these columns."""
        needed = max(self.columns[word] for word in words) + 1
        return (row for row in self.body if len(row.texts) >= needed)

    def texts(self, row: RawRow) -> Texts | None:
        """The texts of the wanted columns; None for a row that is not as wide as the header: it is no row of data."""
        return {word: self.text(row, word) for word in self.columns} if len(row.texts) == self.width else None


def find_table(
    body: bytes,
    charset: str,
    wanted: Mapping[str, str],
    optional: Mapping[str, str] | None = None,
    *,
    of_class: str = "",
) -> Table:
    """The first table (of that class) that has every wanted column; ``optional`` ones are taken where it has them once.

    Both map our word for a column to a pattern of its header's text, in lower case and without any space.
    Raises Refusal: challenge, or format_changed that names what is missing, also for a page that was cut.
    """
    missing = f"table of the class {of_class}" if of_class else "table"
    text = text_of(body, charset)
    for table in tables_of(text):
        if of_class and of_class not in table.classes:
            continue
        headers = _headers(table)
        columns = {word: _places(headers, pattern) for word, pattern in wanted.items()}
        lacking = [wanted[word] for word, places in columns.items() if len(places) != 1]
        if not lacking:
            _require_end(text)
            extra = {word: _places(headers, pattern) for word, pattern in (optional or {}).items()}
            columns |= {word: places for word, places in extra.items() if len(places) == 1}
            return Table({word: places[0] for word, places in columns.items()}, len(headers), table.body)
        missing = f"single column '{lacking[0]}' (it has: {', '.join(filter(None, headers))[:300]!a})"
    raise unexpected(body, missing)


def _require_end(text: str) -> None:
    """A page that was cut inside a cell has a wrong number there: 18594 becomes 185. Parsers mend that silently."""
    if text.lower().count("</table") < text.lower().count("<table"):
        raise Refusal(RefusalReason.FORMAT_CHANGED, "the page was cut short: its table has no end")


def _places(headers: Sequence[str], pattern: str) -> list[int]:
    return [place for place, text in enumerate(headers) if re.fullmatch(pattern, text)]


def _headers(table: RawTable) -> list[str]:
    """The topmost text over each column, with all spans expanded."""
    texts: dict[int, str] = {}
    taken: set[tuple[int, int]] = set()
    for depth, row in enumerate(_header_rows(table)[:_DEEPEST]):
        column = 0
        for cell, raw in enumerate(row.texts):
            while (depth, column) in taken:
                column += 1
            columns, rows = row.spans.get(cell, (1, 1))
            end = min(column + columns, WIDEST)
            text = "".join(raw.split()).lower()
            for place in range(column, end):
                texts[place] = texts.get(place) or text
                taken.update((below, place) for below in range(depth, depth + rows))
            column = end
    return [texts[place] for place in sorted(texts)]


def _header_rows(table: RawTable) -> Sequence[RawRow]:
    return table.head or [row for row in table.body if row.heads == len(row.texts)]


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


def if_readable(read: Callable[[str], V | None], text: str | None) -> V | None:
    """The value of a cell that only checks others: None where it is missing or cannot be read."""
    try:
        return None if text is None else read(text.removesuffix("%").strip())
    except Unreadable:
        return None


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


class Told(NamedTuple):
    """A row of a page with the time of its last trade: of day, or with the date where the page has it."""

    row: Row
    at: time | datetime


def told(
    symbol: str,
    at: time | datetime | None,
    price: Decimal | None,
    *,
    previous_close: Decimal | None,
    open: Decimal | None,  # noqa: A002  as the field is called
    high: Decimal | None,
    low: Decimal | None,
    volume: int | None = None,
    trades: int | None = None,
    percent: Decimal | None = None,
    shows_trading: bool = True,
) -> Told:
    """What a row says; ``trades`` and ``percent`` (the source's own change) only check it.

    ``shows_trading``: whether the source has a column that would tell a trade of the session from an older one.

    Raises Untraded for a stock without an opening price and volume in the session, whatever its other cells still
    show, and Unreadable for a row that contradicts itself.
    """
    if (shows_trading and open is None and not volume and not trades) or (price is None and at is None):
        raise Untraded
    if price is None or at is None:
        raise Unreadable(
            f"it was traded, but has no {'price' if price is None else 'time of its last trade'}"
        )
    if open is not None and volume == 0:
        raise Unreadable("it has an opening price, but no volume")
    _check_percent(price, previous_close, percent)
    return Told(Row(symbol, price, previous_close, open, high, low, volume), at)


def _check_percent(price: Decimal, previous_close: Decimal | None, percent: Decimal | None) -> None:
    if percent is None or previous_close is None or previous_close <= 0:
        return
    computed = change_of(price, previous_close)[1]
    if abs(computed - percent) > _PERCENT_ROUNDING:
        raise Unreadable(
            f"it contradicts itself: {price} against {previous_close} is {computed} %, the page says {percent} %"
        )


class FirstSeen:
    """Since when a provider's page has had its present content."""

    def __init__(self) -> None:
        self._content: int | None = None
        self._since: datetime | None = None

    def of(self, told: Sequence[Told], now: datetime) -> datetime:
        """When these rows were first seen together."""
        content = hash(tuple(told))
        if self._since is None or content != self._content:
            self._content, self._since = content, now
        return self._since


class Source(NamedTuple):
    """What is needed besides a page's rows to make quotes of them."""

    name: str
    answer: AnswerTiming
    calendar: Calendar
    recorded: Mapping[str, StockUpdate]
    delay: int | None  # seconds
    first_seen: FirstSeen | None = None  # of this provider; None: its answers are not compared


def quote(
    row: Row, moment: datetime, observed: datetime, source: str, delay: int | None, calendar: Calendar
) -> StockUpdate:
    """The quote of a row that was traded at ``moment``. ``change`` is computed: a source's own is rounded."""
    base = row.previous_close
    change, percent = change_of(row.price, base) if base and base > 0 else (None, None)
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


def reading(
    rows: Sequence[tuple[str, T]],
    told_of: Callable[[str, T], Told],
    source: Source,
    *,
    symbols: Collection[str] = (),
    times: Sequence[time] = (),
) -> Reading:
    """The whole of a page: ``rows`` are ours, each with its symbol. Equal rows are one quote.

    ``told_of`` raises Untraded, Unreadable or Foreign. ``symbols``: all that were asked for; ``times``: of the last
    trades of all instruments on the page.
    Raises Refusal when nothing can be had of the page, when it is mostly unreadable, or not certainly of a session.
    """
    if not rows:
        raise Refusal(RefusalReason.NO_DATA, "the page lists none of the stocks that were asked for")
    told, absent, skipped = _told(rows, told_of)
    unreadable = [one for one in skipped if one.reason is StaleReason.UNREADABLE]
    if len(unreadable) * 2 > len(rows):
        such = f"such as {unreadable[0].symbol}: {unreadable[0].why}"
        detail = f"{len(unreadable)} of {len(rows)} rows cannot be read, {such}"
        raise Refusal(RefusalReason.FORMAT_CHANGED, detail)
    if not told and not absent:
        such = f"such as {skipped[0].symbol}: {skipped[0].why}"
        raise Refusal(RefusalReason.NO_DATA, f"no row can be used, {such}")
    try:
        quotes, undated = _dated(told, source, times)
    except Refusal as no:
        raise Refusal(no.reason, no.detail, clock_skew=source.answer.skew) from None
    skipped += undated
    absent |= {one.symbol: one.reason for one in skipped}
    absent |= dict.fromkeys(set(symbols).difference(absent, (row[0] for row in rows)), StaleReason.MISSING)
    return Reading(
        Quotes(
            quotes,
            absent=absent,
            newest_trade=_newest(quotes, times, source),
            clock_skew=source.answer.skew,
        ),
        skipped,
    )


def _told(
    rows: Sequence[tuple[str, T]], told_of: Callable[[str, T], Told]
) -> tuple[list[Told], dict[str, StaleReason], list[Skipped]]:
    """The usable rows, one for each symbol; the stocks without a trade; the rows that cannot be used."""
    found: dict[str, set[Told]] = {}
    untraded: dict[str, StaleReason] = {}
    skipped: dict[str, Skipped] = {}
    for symbol, row in rows:
        try:
            told = told_of(symbol, row)
        except Untraded:
            untraded[symbol] = StaleReason.NOT_TRADED
        except Foreign as no:
            skipped.setdefault(symbol, Skipped(symbol, str(no), no.reason))
        except Unreadable as no:
            skipped[symbol] = Skipped(symbol, str(no))
        else:
            found.setdefault(symbol, set()).add(told)
    for symbol in [symbol for symbol, told in found.items() if len(told) > 1]:
        skipped[symbol] = Skipped(symbol, "the page has two rows of it that contradict each other")
    # A row of another company beside a good one is no fault; any other doubt about a stock spoils all its rows.
    bad = {symbol for symbol, one in skipped.items() if one.reason is StaleReason.UNREADABLE}
    usable = [told for symbol, (told, *_) in found.items() if symbol not in bad]
    known = {told.row.symbol for told in usable} | untraded.keys()
    return usable, untraded, [one for symbol, one in skipped.items() if symbol in bad or symbol not in known]


def _dated(
    told: Sequence[Told], source: Source, times: Sequence[time]
) -> tuple[list[StockUpdate], list[Skipped]]:
    """The quotes, and the rows without a certain date. Raises Refusal ``stale`` when none has one."""
    delay = None if source.delay is None else timedelta(seconds=source.delay)
    trades = [_trade(row, at) for row, at in told]
    answer = source.answer
    if source.first_seen is not None:
        answer = answer._replace(first_seen=source.first_seen.of(told, answer.told_at))
    page = dating.PageEvidence(source.name, answer, trades, times, source.recorded, source.calendar, delay)
    quotes: list[StockUpdate] = []
    undated: list[Skipped] = []
    for (row, _), moment in zip(told, dating.date_trades(page), strict=True):
        if isinstance(moment, Undated):
            undated.append(Skipped(row.symbol, str(moment)))
        else:
            quotes.append(
                quote(row, moment, source.answer.observed, source.name, source.delay, source.calendar)
            )
    if undated and not quotes:
        raise Refusal(
            RefusalReason.STALE, f"no row has a certain date, such as {undated[0].symbol}: {undated[0].why}"
        )
    return quotes, undated


def _trade(row: Row, at: time | datetime) -> Trade:
    numbers = map(_float, (row.open, row.high, row.low))
    return Trade(row.symbol, at, float(row.price), row.volume, *numbers)


def _newest(quotes: Sequence[StockUpdate], times: Sequence[time], source: Source) -> datetime | None:
    """The newest trade of the page; None where it has too few to tell whether it stands still."""
    if max(len(quotes), len(times)) < dating.MANY or not quotes:
        return None
    newest = utc_time(max(quote.timestamp for quote in quotes))
    day = in_warsaw(newest).date()
    late = [moment for at in times if (moment := datetime.combine(day, at, WARSAW)) <= source.answer.observed]
    return max([newest, *late])
