"""The exchange's own quotation table, about 15 minutes behind it: the live primary.

One anonymous GET gives every share of the main market's continuous trading. Measured by a public project on
2026-07-27 (radoslawjjd-design/puls-gpw, research of its PUL-98): 483 kB, one table, a header of two rows, 26
cells a row, decimal comma, ``-`` for what a stock without a trade has not; last trades 15 minutes behind the wall
clock. Outside session hours it shows the last completed session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from datetime import datetime, time
from functools import partial
from typing import ClassVar, NamedTuple

from zlotick.config import WebProviderConfig
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.dating import AnswerTiming
from zlotick.market.universe import Universe
from zlotick.model import StaleReason, StockUpdate, utc_now
from zlotick.providers.base import Capabilities, Quotes, Web
from zlotick.providers.web import html_table
from zlotick.providers.web.client import charset_of, evidence, require_ok
from zlotick.providers.web.html_table import (
    FirstSeen,
    Foreign,
    Reading,
    Source,
    Table,
    Texts,
    Told,
    Unreadable,
)
from zlotick.providers.web.provider import WebProvider

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
# They only say more of a row: whether it was traded, and whether it contradicts itself.
_OPTIONAL = {"percent": r"zm\.dok\.?odn\.(\(%\))?", "trades": "liczbatransakcji"}


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
        answer = await self._web.get(PATH, PARAMS)
        found = await self._off_the_loop(
            partial(
                read,
                require_ok(answer),
                charset_of(answer),
                self._universe.symbols,
                evidence(answer),
                isin=self._isins,
                calendar=self._calendar,
                recorded=self.recorded,
                first_seen=self._first_seen,
            )
        )
        self._report.tell(found.skipped)
        return found.quotes

    async def listing(self) -> list[Listed]:
        """Every instrument that the exchange lists now: what a universe is checked against. Raises Refusal."""
        answer = await self._web.get(PATH, PARAMS)
        return await self._off_the_loop(partial(listing, require_ok(answer), charset_of(answer)))


def parse(
    body: bytes,
    charset: str,
    symbols: AbstractSet[str],
    observed: datetime,
    *,
    isin: MutableMapping[str, str] | None = None,
    calendar: Calendar = GPW,
) -> list[StockUpdate]:
    """The quotes of :func:`read`, without what it passed over, of a page that came at that moment."""
    return read(body, charset, symbols, AnswerTiming(observed), isin=isin, calendar=calendar).quotes


def read(
    body: bytes,
    charset: str,
    symbols: AbstractSet[str],
    answer: AnswerTiming,
    *,
    isin: MutableMapping[str, str] | None = None,
    calendar: Calendar = GPW,
    recorded: Mapping[str, StockUpdate] | None = None,
    first_seen: FirstSeen | None = None,
) -> Reading:
    """What the page says of the symbols.

    ``isin`` has those that are known, and learns the others: a row with another one is of another company that took
    over the ticker. ``recorded``: the last recorded quotes.
    Raises Refusal: challenge, format_changed (names the column), no_data, stale.
    """
    table = html_table.find_table(body, charset, _COLUMNS, _OPTIONAL)
    rows, times = _ours(table, symbols)
    known = {} if isin is None else isin
    source = Source(GpwProvider.name, answer, calendar, recorded or {}, DELAY, first_seen)
    return html_table.reading(
        rows, lambda symbol, texts: _told(symbol, texts, known), source, symbols=symbols, times=times
    )


def _ours(table: Table, symbols: AbstractSet[str]) -> tuple[list[tuple[str, Texts]], list[time]]:
    """The rows of the symbols, and the times of every trade on the page, of whatever stock."""
    rows: list[tuple[str, Texts]] = []
    times: list[time] = []
    for row in table.rows("symbol", "time"):
        symbol = table.text(row, "symbol")
        if symbol in symbols and (texts := table.texts(row)):
            rows.append((symbol, texts))
        try:
            traded_at = html_table.clock_time(table.text(row, "time"))
        except Unreadable:
            continue  # it is told when the row is ours
        times += [traded_at] if traded_at else []
    return rows, times


def _told(symbol: str, texts: Texts, isins: MutableMapping[str, str]) -> Told:
    """What the row says. Raises Untraded, Unreadable or Foreign."""
    isin, currency = texts["isin"], texts["currency"]
    if currency != "PLN":
        raise Foreign(f"it is quoted in {currency[:20]!a}, not in PLN", StaleReason.MISSING)
    if isin not in html_table.NO_VALUE and isin != isins.setdefault(symbol, isin):
        raise Foreign(f"its ISIN is {isin[:20]!a}, ours is {isins[symbol]}: the ticker was renamed or reused")
    price, before, opened, high, low = (
        html_table.number(texts[word]) for word in ("price", "previous_close", "open", "high", "low")
    )
    return html_table.told(
        symbol,
        html_table.clock_time(texts["time"]),
        price,
        previous_close=before,
        open=opened,
        high=high,
        low=low,
        volume=html_table.count(texts["volume"]),
        trades=html_table.if_readable(html_table.count, texts.get("trades")),
        percent=html_table.if_readable(html_table.number, texts.get("percent")),
    )


def listing(body: bytes, charset: str) -> list[Listed]:
    """Every instrument of the page. Pure. Raises Refusal."""
    table = html_table.find_table(body, charset, _COLUMNS)
    words = ("symbol", "name", "isin")
    return [Listed(*(table.text(row, word) for word in words)) for row in table.rows(*words)]
