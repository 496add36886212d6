"""The exchange's own quotation table, about 15 minutes behind it: the live primary.

One anonymous GET gives every share of the main market's continuous trading. Measured by a public project on
2026-07-27 (radoslawjjd-design/puls-gpw, research of its PUL-98): 483 kB, one table, a header of two rows, 26
cells a row, decimal comma, ``-`` for what a stock without a trade has not; last trades 15 minutes behind the wall
clock. Outside session hours it shows the last completed session.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from collections.abc import Set as AbstractSet
from datetime import datetime, time
from functools import partial
from typing import ClassVar, NamedTuple

from zlotick.config import WebProviderConfig
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import StaleReason, utc_now
from zlotick.providers.base import Capabilities, Quotes, Web
from zlotick.providers.web.cells import NO_VALUE, RowError, Unreadable, clock_time, count, if_readable, number
from zlotick.providers.web.client import charset_of, require_ok
from zlotick.providers.web.html_table import Texts, find_table
from zlotick.providers.web.provider import WebProvider
from zlotick.providers.web.rows import Foreign, PageRows, SkippedRow, StockRow, stock_row

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

# Our name for a column, and its header in lower case without spaces.
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
# Only to check a row: whether it was traded, and whether it contradicts itself.
_OPTIONAL = {"percent": r"zm\.dok\.?odn\.(\(%\))?", "trades": "liczbatransakcji"}


class ListedInstrument(NamedTuple):
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

    def __init__(
        self,
        config: WebProviderConfig,
        universe: Universe,
        web: Web,
        *,
        clock: Callable[[], datetime] = utc_now,
        calendar: Calendar = GPW,
    ) -> None:
        super().__init__(config, universe, web, clock=clock, calendar=calendar)
        self._isins = dict(universe.isin)  # and of the others the first one seen: a ticker may change hands

    async def fetch_data(self) -> Quotes:
        """The quotes of the universe. Raises Refusal."""
        answer = await self.web.get(PATH, PARAMS)
        body, symbols = require_ok(answer), self.universe.symbols
        read = partial(parse, body, charset_of(answer), symbols, self._isins)
        return await self.page_quotes(answer, read, symbols)

    async def listing(self) -> list[ListedInstrument]:
        """Every instrument that the exchange lists now: what a universe is checked against. Raises Refusal."""
        answer = await self.web.get(PATH, PARAMS)
        return await self.in_thread(partial(listing, require_ok(answer), charset_of(answer)))


def parse(body: bytes, charset: str, symbols: AbstractSet[str], isins: MutableMapping[str, str]) -> PageRows:
    """The rows of the symbols, and the times of every trade on the page.

    ``isins`` has those that are known, and learns the others: a row with another one is of another company that took
    over the ticker. Raises Refusal: challenge, format_changed (names the column).
    """
    table = find_table(body, charset, _COLUMNS, _OPTIONAL)
    rows: list[StockRow | SkippedRow] = []
    times: list[time] = []
    for raw in table.rows("symbol", "time"):
        symbol = table.text(raw, "symbol")
        if symbol in symbols and (texts := table.texts(raw)):
            try:
                rows.append(_row(symbol, texts, isins))
            except RowError as error:
                rows.append(SkippedRow.of(symbol, error))
        try:
            traded_at = clock_time(table.text(raw, "time"))
        except Unreadable:
            continue  # reported with its row, if the row is ours
        times += [traded_at] if traded_at else []
    return PageRows(rows, times)


def _row(symbol: str, texts: Texts, isins: MutableMapping[str, str]) -> StockRow:
    """Raises RowError."""
    isin, currency = texts["isin"], texts["currency"]
    if currency != "PLN":
        raise Foreign(f"it is quoted in {currency[:20]!a}, not in PLN", StaleReason.MISSING)
    if isin not in NO_VALUE and isin != isins.setdefault(symbol, isin):
        raise Foreign(f"its ISIN is {isin[:20]!a}, ours is {isins[symbol]}: the ticker was renamed or reused")
    return stock_row(
        symbol,
        price=number(texts["price"]),
        previous_close=number(texts["previous_close"]),
        open=number(texts["open"]),
        high=number(texts["high"]),
        low=number(texts["low"]),
        at=clock_time(texts["time"]),
        volume=count(texts["volume"]),
        trades=if_readable(count, texts.get("trades")),
        percent=if_readable(number, texts.get("percent")),
    )


def listing(body: bytes, charset: str) -> list[ListedInstrument]:
    """Every instrument of the page. Pure. Raises Refusal."""
    table = find_table(body, charset, _COLUMNS)
    words = ("symbol", "name", "isin")
    return [ListedInstrument(*(table.text(row, word) for word in words)) for row in table.rows(*words)]
