"""Quotes of the made-up portal tygiel.example: a page in ISO 8859-2 that names stocks by links and leaves the open out."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from functools import partial
from typing import ClassVar

from zlotick import Capabilities, Quotes, WebProvider
from zlotick.providers.web.cells import RowError, clock_time, count, if_readable, number
from zlotick.providers.web.client import charset_of, require_ok
from zlotick.providers.web.html_table import Texts, find_table
from zlotick.providers.web.rows import PageRows, SkippedRow, StockRow, stock_row

COLUMNS = {
    "name": "spółka",
    "price": r"kurs\(zł\)",
    "previous_close": "odniesienie",
    "high": "maks.",
    "low": "min.",
    "volume": r"wolumen\(szt.\)",
    "time": "godz.",
}
OPTIONAL = {"percent": "zmiana"}


class TygielProvider(WebProvider):
    name = "tygiel"
    kind = "delayed"
    delay_seconds = 900
    base_url = "https://tygiel.example"
    capabilities: ClassVar[Capabilities] = Capabilities(
        fields=frozenset({"price", "change", "change_percent", "previous_close", "high", "low", "volume"})
        | {"exchange_time"},
        session_only=True,
        floor_seconds=45.0,
    )

    async def fetch_data(self) -> Quotes:
        answer = await self.web.get("/notowania/akcje.html")
        symbols = self.universe.symbols
        read = partial(parse, require_ok(answer), charset_of(answer), symbols)
        return await self.page_quotes(answer, read, symbols)


def parse(body: bytes, charset: str, symbols: AbstractSet[str]) -> PageRows:
    """The rows of the symbols. Pure."""
    table = find_table(body, charset, COLUMNS, OPTIONAL, of_class="akcje")
    rows: list[StockRow | SkippedRow] = []
    for raw in table.rows("name"):
        symbol, texts = table.link(raw, "name").rpartition("/")[2].upper(), table.texts(raw)
        if symbol not in symbols or texts is None:
            continue
        try:
            rows.append(row(symbol, texts))
        except RowError as error:
            rows.append(SkippedRow.of(symbol, error))
    return PageRows(rows)


def row(symbol: str, texts: Texts) -> StockRow:
    return stock_row(
        symbol,
        at=clock_time(texts["time"]),
        price=number(texts["price"]),
        previous_close=number(texts["previous_close"]),
        open=None,
        high=number(texts["high"]),
        low=number(texts["low"]),
        volume=count(texts["volume"]),
        percent=if_readable(number, texts.get("percent")),
    )
