"""Stooq: the first provider of the guide, and what it answers today.

Until mid-2026 Stooq gave the quotes of several symbols as CSV, about 15 minutes delayed, to everyone who asked a few
times a day. Since then that address is gone (404), and the site answers programs with a puzzle that only a browser
solves. So this provider is complete, but off: put it into ``providers.order`` when you run or know a mirror of it
(``providers.stooq.base_url``), or when Stooq lets programs in again. Its refusals are reported, never bypassed.

Both domains give the same: stooq.pl with Polish names of the columns, stooq.com with English ones. Times are
Warsaw's, prices have a decimal point, and ``B/D`` or ``N/D`` is what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from typing import ClassVar

from zlotick.config import StooqConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.answer_timing import AnswerTiming
from zlotick.market.calendar import GPW, WARSAW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import StaleReason, StockUpdate, utc_now
from zlotick.providers.base import Capabilities, Quotes, RawAnswer, Web
from zlotick.providers.web.batches import Batches
from zlotick.providers.web.cells import RowError, Unreadable
from zlotick.providers.web.client import evidence, is_challenge, require_ok
from zlotick.providers.web.page_quotes import PageContext, PageQuotes, quotes_of
from zlotick.providers.web.provider import WebProvider
from zlotick.providers.web.rows import Foreign, PageRows, SkippedRow, StockRow, stock_row

DELAY = 900
PATH = "/q/l/"

_AT_ONCE = 100  # symbols; Stooq names no limit; this keeps the address below 1000 characters
_PAUSE = 2.0  # seconds between two requests of a round

_ASKED = ("symbol", "date", "time", "open", "high", "low", "close", "volume", "previous_close")
_FIELDS = "sd2t2ohlcvp"  # the same in its codes
_NEEDED = ("symbol", "date", "time", "close")
# The headers of both domains, in lower case.
_COLUMNS = {
    "symbol": "symbol",
    "date": "date",
    "data": "date",
    "time": "time",
    "czas": "time",
    "open": "open",
    "otwarcie": "open",
    "high": "high",
    "najwyzszy": "high",
    "low": "low",
    "najnizszy": "low",
    "close": "close",
    "zamkniecie": "close",
    "volume": "volume",
    "wolumen": "volume",
    "prev": "previous_close",
    "name": "name",
    "nazwa": "name",
}
_UNKNOWN = frozenset({"N/D", "B/D", ""})

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"[0-9]{2}:[0-9]{2}:[0-9]{2}")
_PRICE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_VOLUME = re.compile(r"[0-9]{1,15}")

_PUZZLE = "Stooq answers programs with a puzzle for browsers; zlotick does not solve it"
_GONE = "Stooq has taken away the address at which programs could ask for quotes"
# Its refusals (public reports), up to where Polish letters begin: they come in any charset.
_REFUSALS = {
    "przekroczony dzienny limit wywo": RefusalReason.DAILY_LIMIT,
    "exceeded the daily hits limit": RefusalReason.DAILY_LIMIT,
    "uzyskaj apikey": RefusalReason.API_KEY,
    "get your apikey": RefusalReason.API_KEY,
    "strona nie istnieje": RefusalReason.NOT_FOUND,
    "no data": RefusalReason.NO_DATA,
    "brak danych": RefusalReason.NO_DATA,
}
_MEANINGS = {
    RefusalReason.DAILY_LIMIT: "Stooq gives this network address no more quotes today",
    RefusalReason.API_KEY: "Stooq wants a key, which it gives only to people in a browser; zlotick has none",
    RefusalReason.NOT_FOUND: _GONE,
    RefusalReason.NO_DATA: "Stooq has no data for what was asked",
}
_WITHIN = 65_536  # bytes of a page in which a refusal is looked for


class StooqProvider(WebProvider):
    """The whole universe in a request or two, where it answers at all: see the module.

    Its name is the guide's ``data_source``.
    """

    name = "stooq.pl"
    kind = "delayed"
    delay_seconds = DELAY
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=_AT_ONCE,
        fields=frozenset({"price", "change", "change_percent", "volume", "high", "low", "open"})
        | {"previous_close", "exchange_time"},
        session_only=True,
        floor_seconds=60.0,  # its daily limit is not documented: it is asked rarely
    )

    def __init__(
        self,
        config: StooqConfig,
        universe: Universe,
        web: Web,
        *,
        clock: Callable[[], datetime] = utc_now,
        calendar: Calendar = GPW,
    ) -> None:
        super().__init__(config, universe, web, clock=clock, calendar=calendar)
        self._batches = Batches(_PAUSE)
        self._skipped: list[SkippedRow] = []
        self._absent: dict[str, StaleReason] = {}

    async def fetch_data(self) -> list[StockUpdate]:
        """The quotes of the universe. Raises Refusal."""
        return await self.fetch_symbols(self.universe.symbols)

    async def fetch_symbols(self, wanted: frozenset[str]) -> list[StockUpdate]:
        """The quotes of some symbols. Raises Refusal.

        The universe is always split in the same way and asked in whole batches: the requests stay the same from
        cycle to cycle, so that a recording can answer them.
        """
        symbols = sorted(self.universe.symbols | wanted)
        batches = [symbols[start : start + _AT_ONCE] for start in range(0, len(symbols), _AT_ONCE)]
        self._skipped, self._absent = [], {}
        quotes = await self._batches.ask(filter(wanted.intersection, batches), self._ask)
        self._skipped_log.log(self._skipped)
        return Quotes([quote for quote in quotes if quote.symbol in wanted], absent=self._absent)

    async def _ask(self, symbols: Sequence[str]) -> list[StockUpdate]:
        # A blank is sent as the + that stands between symbols.
        params = {"s": " ".join(symbols).lower(), "f": _FIELDS, "h": "", "e": "csv"}
        answer = await self.web.get(PATH, params)
        found = await self.in_thread(
            partial(read, _body(answer), evidence(answer), calendar=self._calendar, symbols=symbols)
        )
        self._skipped += found.skipped
        self._absent |= found.quotes.absent
        return found.quotes


def _body(answer: RawAnswer) -> bytes:
    """The body of a 200. Raises Refusal, in Stooq's own terms where it has some."""
    if answer.status != 200 and (refusal := _refusal(answer.body)):
        raise refusal
    if answer.status in (404, 410):
        raise Refusal(RefusalReason.NOT_FOUND, f"{_GONE} (HTTP {answer.status})")
    return require_ok(answer)


def read(
    body: bytes, answer: AnswerTiming, *, calendar: Calendar = GPW, symbols: Collection[str] = ()
) -> PageQuotes:
    """The quotes of the symbols; without any, of the whole table. Pure. Raises Refusal."""
    context = PageContext(StooqProvider.name, answer, calendar, {}, DELAY)
    page = parse(body, symbols)
    try:
        return quotes_of(page, context, symbols=symbols)
    except Refusal as refusal:
        if refusal.reason is RefusalReason.NO_DATA:
            detail = "Stooq knows none of the stocks that were asked for"
            raise Refusal(RefusalReason.NO_DATA, detail) from None
        raise


def parse(body: bytes, symbols: Collection[str] = ()) -> PageRows:
    """The rows of the symbols. Pure.

    Raises Refusal for everything else: only a text that begins with the table's header is one.
    """
    text = body.decode("utf-8-sig", "replace")
    if not text.startswith("Symbol,"):
        other = Refusal(RefusalReason.FORMAT_CHANGED, "Stooq answers something else than a table of quotes")
        raise _refusal(body) or other
    header, *lines = text.splitlines()
    columns = _columns(header.split(","))
    place, asked = columns.index("symbol"), frozenset(symbols)
    rows: list[StockRow | SkippedRow] = []
    for line in lines:
        cells = [cell.strip() for cell in line.split(",")]
        symbol = cells[place].upper() if len(cells) > place else ""
        if not (symbol in asked if asked else symbol):
            continue  # whatever else is listed would be logged, line by line
        try:
            rows.append(_row(symbol, columns, cells))
        except RowError as error:
            rows.append(SkippedRow.of(symbol, error))
    return PageRows(rows)


def _refusal(body: bytes) -> Refusal | None:
    """The refusal that a text is, if its words are known."""
    text = body[:_WITHIN].decode("ascii", "ignore").lower().strip()
    for words, reason in _REFUSALS.items():
        if text.startswith(words):
            return Refusal(reason, _MEANINGS[reason])
    if is_challenge(body):
        return Refusal(RefusalReason.CHALLENGE, _PUZZLE)
    for words, reason in _REFUSALS.items():
        if words in text and reason is not RefusalReason.NO_DATA:  # its words stand on any page
            return Refusal(reason, _MEANINGS[reason])
    return None


def _columns(header: Sequence[str]) -> list[str]:
    """Our name for each column, whatever their order. Raises Refusal when a needed one is missing."""
    columns = [_COLUMNS.get(cell.strip().lower(), f"({cell})") for cell in header]
    if columns[:-1] == list(_ASKED[:-1]) and columns[-1].startswith("("):
        # Its Polish header is not known, but its place: they come as they were asked.
        columns[-1] = _ASKED[-1]
    for word in _NEEDED:
        if columns.count(word) != 1:
            found = ascii(",".join(header)[:200])
            raise Refusal(
                RefusalReason.FORMAT_CHANGED, f"Stooq's table has no single column of the {word}: {found}"
            )
    return columns


def _row(symbol: str, columns: Sequence[str], texts: Sequence[str]) -> StockRow:
    """Raises RowError; Foreign for a symbol that Stooq does not know."""
    if len(texts) != len(columns):
        raise Unreadable(f"the row has {len(texts)} cells, its header {len(columns)}")
    cells = dict(zip(columns, texts, strict=True))
    price = _price(cells["close"])
    if price is None or cells["date"] in _UNKNOWN or cells["time"] in _UNKNOWN:
        raise Foreign("Stooq does not know it", StaleReason.MISSING)
    return stock_row(
        symbol,
        at=_moment(cells["date"], cells["time"]),
        price=price,
        previous_close=_price(cells.get("previous_close", "")),
        open=_price(cells.get("open", "")),
        high=_price(cells.get("high", "")),
        low=_price(cells.get("low", "")),
        volume=_volume(cells.get("volume", "")),
        shows_trading="open" in cells or "volume" in cells,
    )


def _moment(day: str, clock: str) -> datetime:
    if _DATE.fullmatch(day) and _TIME.fullmatch(clock):
        try:
            moment = datetime.combine(date.fromisoformat(day), time.fromisoformat(clock), WARSAW)
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise Unreadable(f"{day[:20]!a} {clock[:20]!a} is not a time such as 2026-11-24 16:49:50")


def _price(cell: str) -> Decimal | None:
    if cell in _UNKNOWN:
        return None
    if not _PRICE.fullmatch(cell):
        raise Unreadable(f"{cell[:40]!a} is not a price such as 86.91")
    return Decimal(cell)


def _volume(cell: str) -> int | None:
    if cell in _UNKNOWN:
        return None
    if not _VOLUME.fullmatch(cell):
        raise Unreadable(f"{cell[:40]!a} is not a number of shares")
    return int(cell)
