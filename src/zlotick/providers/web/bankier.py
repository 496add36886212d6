"""A portal's listing page of all shares, some 15 minutes behind the exchange: the fallback.

One GET gives a table (``m-quotes-data-table``) of the main market, as several public projects read it in 2026. It
names a stock by GPW's short name (``PKNORLEN``) in a link, has no share volume, and its close can differ from the
official one by 0.1 to 0.4 % (measured by radoslawjjd-design/puls-gpw, 2026-07-27).

``gpw_short_names.csv``: 398 short names on 2026-04-27. From github.com/radoslawjjd-design/puls-gpw
(data/company_list.json, file commit a3f3c93, as of e4b2066), there read off bankier.pl and corrected by hand.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from functools import partial
from importlib.resources import files
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from zlotick.market.calendar import WARSAW
from zlotick.market.universe import Universe
from zlotick.providers.base import Capabilities, Quotes
from zlotick.providers.web.cells import RowError, Unreadable, clock_time, count, if_readable, number
from zlotick.providers.web.client import charset_of, require_ok
from zlotick.providers.web.html_reader import RawRow
from zlotick.providers.web.html_table import Table, Texts, find_table
from zlotick.providers.web.provider import WebProvider
from zlotick.providers.web.rows import PageRows, SkippedRow, StockRow, stock_row

PATH = "/gielda/notowania/akcje"
DELAY = 900  # what public feeds of GPW lag by; the page itself does not say

# Our name for a column, and its header in lower case without spaces.
_COLUMNS = {
    "name": "spółka|nazwa|walor",
    "price": r"kurs(\(zł\))?",
    "change": r"(zm\.|zmiana)(\(zł\)|kwotowa)?",
    "open": r"otwarcie|otw\.",
    "high": r"ma(x|ks)\.?",
    "low": r"min\.?",
    "time": "czas|data|aktualizacja",
}
# Only to check a row: whether it was traded, and whether it contradicts itself.
_OPTIONAL = {
    "percent": r"(zm\.|zmiana)(\(%\)|%|procentowa)|%",
    "trades": r"(liczbatransakcji|transakcje|l\.trans\.|transakcji)",
}
_DATED = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T](.*)")


def _short_names() -> Mapping[str, str]:
    """The packaged short names by ticker."""
    packaged = files("zlotick.providers.web") / "gpw_short_names.csv"
    rows = csv.DictReader(packaged.read_text(encoding="utf-8").splitlines())
    return {row["symbol"]: row["gpw_short_name"] for row in rows}


# As much a part of this module as its code: read with it, never in the event loop.
_SHORT_NAMES = _short_names()


class BankierProvider(WebProvider):
    """Asks for the whole listing, and takes the stocks of the universe from it."""

    name = "bankier"
    kind = "delayed"
    delay_seconds = DELAY
    capabilities: ClassVar[Capabilities] = Capabilities(
        fields=frozenset({"price", "change", "change_percent", "high", "low", "open"})
        | {"previous_close", "exchange_time"},
        session_only=True,
        floor_seconds=30.0,
    )

    async def fetch_data(self) -> Quotes:
        """The quotes of the universe. Raises Refusal."""
        answer = await self.web.get(PATH)
        by_name = tickers(self.universe)
        read = partial(parse, require_ok(answer), charset_of(answer), by_name)
        return await self.page_quotes(answer, read, set(by_name.values()))


def tickers(universe: Universe) -> dict[str, str]:
    """The universe's tickers by short name. The universe's own names win over the packaged ones: they are newer."""
    packaged = {name: symbol for symbol, name in _SHORT_NAMES.items() if symbol in universe.symbols}
    return packaged | {name.upper(): symbol for symbol, name in universe.names.items()}


def parse(body: bytes, charset: str, by_name: Mapping[str, str]) -> PageRows:
    """The rows of the stocks in ``by_name`` (ticker by short name). Pure.

    Raises Refusal: challenge, format_changed (names the column).
    """
    table = find_table(body, charset, _COLUMNS, _OPTIONAL, of_class="m-quotes-data-table")
    rows: list[StockRow | SkippedRow] = []
    times: list[time] = []
    for raw in table.rows("name", "time"):
        name = _short_name(table, raw)
        if name in by_name and (texts := table.texts(raw)):
            try:
                rows.append(_row(by_name[name], texts))
            except RowError as error:
                rows.append(SkippedRow.of(by_name[name], error))
        times += _time_of_day(table.text(raw, "time"))
    return PageRows(rows, times)


def _short_name(table: Table, row: RawRow) -> str:
    """The short name that the row's link asks for, empty when it has none."""
    try:
        query = urlsplit(table.link(row, "name")).query
    except ValueError:
        return ""
    return parse_qs(query).get("symbol", [""])[0].upper()


def _time_of_day(text: str) -> list[time]:
    """The time of day of a trade, where the page leaves the day to us."""
    try:
        traded_at = _traded_at(text)
    except Unreadable:
        return []  # reported with its row
    return [traded_at] if isinstance(traded_at, time) else []


def _traded_at(text: str) -> time | datetime | None:
    """A time of day, or the moment when the cell has the day too; None for no value. Raises Unreadable."""
    dated = _DATED.fullmatch(text)
    clock = clock_time(dated[2] if dated else text)
    if dated is None or clock is None:
        return clock
    try:
        return datetime.combine(date.fromisoformat(dated[1]), clock, WARSAW)
    except ValueError:
        raise Unreadable(f"{text[:40]!a} is not a day and a time such as 2026-06-26 17:04") from None


def _row(symbol: str, texts: Texts) -> StockRow:
    """Raises RowError."""
    price, change, opened, high, low = (
        number(texts[word].removesuffix("zł").rstrip()) for word in ("price", "change", "open", "high", "low")
    )
    return stock_row(
        symbol,
        price=price,
        previous_close=None if change is None or price is None else price - change,
        open=opened,
        high=high,
        low=low,
        at=_traded_at(texts["time"]),
        trades=if_readable(count, texts.get("trades")),
        percent=if_readable(number, texts.get("percent")),
    )
