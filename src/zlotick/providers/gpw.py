"""The exchange's own quotation table, about 15 minutes behind it: the live primary.

One anonymous GET gives every share of the main market's continuous trading. Measured by a public project on
2026-07-27 (radoslawjjd-design/puls-gpw, research of its PUL-98): 483 kB, one table, a header of two rows, 26
cells a row, decimal comma, ``-`` for what a stock without a trade has not; last trades 15 minutes behind the wall
clock. Outside session hours it shows the last completed session.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, time
from typing import ClassVar, NamedTuple

from zlotick.market.sessions import GPW, Calendar
from zlotick.model import StockUpdate, utc_time
from zlotick.providers import pages
from zlotick.providers.base import Capabilities
from zlotick.providers.pages import Foreign, Reading, Row, Table, Texts, Unreadable
from zlotick.providers.web import charset_of, require_ok
from zlotick.providers.web_provider import WebProvider

DELAY = 900
PATH = "/ajaxindex.php"
PARAMS = {
    "action": "GPWQuotations",
    "start": "showTable",
    "tab": "all",
    "lang": "PL",
    "type": "",
    "full": "1",
    "format": "html",
}

# Our word for a column, and its header in lower case without spaces.
_COLUMNS = {
    "name": "nazwa",
    "isin": "isin",
    "symbol": "skrót",
    "currency": "waluta",
    "time": r"czasost\.trans\.(\(hh:mm:ss\))?",
    "previous_close": r"kursodn\.",
    "open": r"kursotw\.",
    "low": r"kursmin\.",
    "high": r"kursmaks\.",
    "price": r"kursost\.trans\./zamk\.",
    "volume": r"wol\.obr\.-skumul\.",
}


class Listed(NamedTuple):
    """An instrument of the table, as the exchange names it."""

    symbol: str
    name: str
    isin: str


class GpwProvider(WebProvider):
    """Asks for the whole table, and takes the stocks of the universe from it."""

    name = "gpw"
    kind = "delayed"
    delay_seconds = DELAY
    capabilities: ClassVar[Capabilities] = Capabilities(
        fields=frozenset({"price", "change", "change_percent", "volume", "high", "low", "open"})
        | {"previous_close", "exchange_time"},
        session_only=True,
        floor_seconds=30.0,
    )

    async def fetch_data(self) -> list[StockUpdate]:
        """The quotes of the universe. Raises Refusal."""
        answer = await self._web.get(PATH, PARAMS)
        found = read(
            require_ok(answer),
            charset_of(answer),
            self._universe.symbols,
            utc_time(answer.received_at),
            isin=self._universe.isin,
            calendar=self._calendar,
        )
        self._report.tell(found.skipped)
        return found.quotes

    async def listing(self) -> list[Listed]:
        """Every instrument that the exchange lists now: what a universe is checked against. Raises Refusal."""
        answer = await self._web.get(PATH, PARAMS)
        return listing(require_ok(answer), charset_of(answer))


def parse(
    body: bytes,
    charset: str,
    symbols: AbstractSet[str],
    observed: datetime,
    *,
    isin: Mapping[str, str] | None = None,
    calendar: Calendar = GPW,
) -> list[StockUpdate]:
    """The quotes of :func:`read`, without what it passed over."""
    return read(body, charset, symbols, observed, isin=isin, calendar=calendar).quotes


def read(
    body: bytes,
    charset: str,
    symbols: AbstractSet[str],
    observed: datetime,
    *,
    isin: Mapping[str, str] | None = None,
    calendar: Calendar = GPW,
) -> Reading:
    """What the page says of the symbols. Pure.

    ``isin`` has those that are known: a row with another one is of another share that took over the ticker.
    Raises Refusal: challenge, format_changed (names the column), no_data.
    """
    table = pages.find_table(body, charset, "table", _COLUMNS)
    rows, times = _ours(table, symbols)
    shown = pages.Shown(times, observed, calendar)

    def quote_of(symbol: str, texts: Texts) -> StockUpdate | None:
        traded = _traded(symbol, texts, (isin or {}).get(symbol))
        if traded is None:
            return None
        clock, row = traded
        return pages.quote(row, shown.moment(clock), observed, GpwProvider.name, DELAY, calendar)

    return pages.reading(rows, quote_of)


def _ours(table: Table, symbols: AbstractSet[str]) -> tuple[list[tuple[str, Texts]], list[time]]:
    """The rows of the symbols, and the times of every trade on the page, of whatever stock."""
    rows: list[tuple[str, Texts]] = []
    times: list[time] = []
    for row, cells in table.rows("symbol", "time"):
        symbol = table.text(cells, "symbol")
        if symbol in symbols and (texts := table.texts(row)):
            rows.append((symbol, texts))
        try:
            traded_at = pages.clock_time(table.text(cells, "time"))
        except Unreadable:
            continue  # it is told when the row is ours
        times += [traded_at] if traded_at else []
    return rows, times


def _traded(symbol: str, texts: Texts, known_isin: str | None) -> tuple[time, Row] | None:
    """The time of the last trade and what the row says, None where it has no trade. Raises Unreadable or Foreign."""
    isin, currency = texts["isin"], texts["currency"]
    if known_isin and isin not in pages.NO_VALUE and isin != known_isin:
        raise Foreign(f"its ISIN is {isin[:20]!a}, ours is {known_isin}: the ticker was renamed or reused")
    if currency != "PLN":
        raise Foreign(f"it is quoted in {currency[:20]!a}, not in PLN")
    price = pages.number(texts["price"])
    traded_at = pages.clock_time(texts["time"])
    if price is None or traded_at is None:
        return None
    before, opened, high, low = (
        pages.number(texts[word]) for word in ("previous_close", "open", "high", "low")
    )
    volume = pages.count(texts["volume"])
    return traded_at, Row(symbol, price, before, opened, high, low, volume)


def listing(body: bytes, charset: str) -> list[Listed]:
    """Every instrument of the page. Pure. Raises Refusal."""
    table = pages.find_table(body, charset, "table", _COLUMNS)
    words = ("symbol", "name", "isin")
    return [Listed(*(table.text(cells, word) for word in words)) for _, cells in table.rows(*words)]
