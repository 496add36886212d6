"""Stored quotes and candles, read page by page.

Each page is a query of its own that begins where the last one ended, so between two pages no connection, no
cursor and no memory is held here or in the server, however slowly the asker reads. Rows have one key
(timestamp, symbol, data_source): those of one time differ by their source, and that is what tells which of
them a page has already given.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, date, datetime, time
from typing import Any, Protocol, TypeVar

from zlotick.market.queries import HistoryQuery, Interval, StoredCandle
from zlotick.model import Origin, Review, StockUpdate, utc_text
from zlotick.stores.questdb.ilp import PRICED, TABLE
from zlotick.stores.questdb.schema import view_query

PAGE_ROWS = 250
"""Rows in a page: a few milliseconds of the event loop."""

_QUOTE = ", ".join(StockUpdate.__struct_fields__)
_CANDLE = "timestamp, data_source, open, high, low, close, cum_vol_close, ticks"
_ORIGINS: dict[str | None, Origin] = {one.value: one for one in Origin}
_REVIEWS: dict[str | None, Review] = {one.value: one for one in Review}
_WHERE = "symbol = $1 AND timestamp >= $2 AND timestamp < $3"
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)  # QuestDB stores nothing older
_LAST = datetime(9999, 12, 31, tzinfo=UTC)

Row = dict[str, Any]
Item = TypeVar("Item")


class Fetch(Protocol):
    """Runs a query with its parameters, within a deadline; times are aware."""

    def __call__(self, query: str, *args: object) -> Awaitable[list[Row]]: ...


class QuestDBHistory:
    """Answers questions to the stored quotes. ``fetch`` is the connector's ``execute_query``."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch

    async def quotes(self, query: HistoryQuery) -> AsyncGenerator[list[StockUpdate], None]:
        """Stored quotes, oldest first. Raises Transient or Fatal."""
        begin, skip = await self._beginning(TABLE, query)
        async for page in self._pages(TABLE, _QUOTE, query, begin, skip, _quote):
            yield page

    async def candles(
        self, query: HistoryQuery, interval: Interval
    ) -> AsyncGenerator[list[StoredCandle], None]:
        """Candles, oldest first. Raises Transient or Fatal."""
        view = f"candles_{interval}"
        begin, skip = await self._beginning(view, query)
        candle = _Candles(query.symbol, interval, await self._totals(view, query, begin))
        async for page in self._pages(view, _CANDLE, query, begin, skip, candle):
            yield page

    async def _beginning(self, table: str, query: HistoryQuery) -> tuple[datetime, int]:
        """Where the rows begin, and how many of that very time are one too many."""
        if query.begin is not None:
            return max(query.begin, _FIRST), 0
        rows, args = _chosen(table, query, _FIRST)
        place = f"LIMIT ${len(args) + 1}, ${len(args) + 2}"
        oldest = await self._fetch(
            f"SELECT timestamp FROM {rows} ORDER BY timestamp DESC {place}",  # noqa: S608  fixed names only; values are bound
            *args,
            query.limit - 1,
            query.limit,
        )
        if not oldest:
            return _FIRST, 0
        begin: datetime = oldest[0]["timestamp"]
        rows, args = _chosen(table, query, begin)
        [counted] = await self._fetch(f"SELECT count() AS rows FROM {rows}", *args)  # noqa: S608  likewise
        return begin, max(0, counted["rows"] - query.limit)

    async def _totals(self, view: str, query: HistoryQuery, begin: datetime) -> dict[str, _Total]:
        """What each source's day had come to before the first candle."""
        midnight = datetime.combine(begin.astimezone(UTC), time(), UTC)
        rows = await self._fetch(
            f"SELECT data_source, last_not_null(cum_vol_close) AS total FROM {view} "  # noqa: S608  likewise
            f"WHERE {_WHERE} GROUP BY data_source",
            query.symbol,
            midnight,
            begin,
        )
        return {
            row["data_source"]: (midnight.date(), row["total"]) for row in rows if row["total"] is not None
        }

    async def _pages(
        self,
        table: str,
        columns: str,
        query: HistoryQuery,
        begin: datetime,
        skip: int,
        made_of: Callable[[Row], Item],
    ) -> AsyncGenerator[list[Item], None]:
        left = query.limit
        given: set[str] = set()  # the sources of the rows at ``begin`` that were given already
        while left > 0:
            size = min(PAGE_ROWS, left + skip) + len(given)
            chosen, args = _chosen(table, query, begin)
            rows = await self._fetch(
                f"SELECT {columns} FROM {chosen} ORDER BY timestamp LIMIT ${len(args) + 1}",  # noqa: S608  likewise
                *args,
                size,
            )
            fresh = [row for row in rows if row["timestamp"] != begin or row["data_source"] not in given]
            items = [made_of(row) for row in fresh][skip:]
            skip -= len(fresh) - len(items)
            if items:
                left -= len(items)
                yield items
            if len(rows) < size:
                return
            begin = rows[-1]["timestamp"]
            given = {row["data_source"] for row in rows if row["timestamp"] == begin}


def _chosen(table: str, query: HistoryQuery, begin: datetime) -> tuple[str, list[object]]:
    """Table and condition, and the values of the condition.

    The candle in which a replay is has prices that are yet to come: then candles are made of the quotes up to there.
    """
    args: list[object] = [query.symbol, begin, query.end or _LAST]
    where = f"{_WHERE} AND {PRICED}" if table == TABLE else _WHERE
    if query.data_source is not None:
        where += " AND data_source = $4"
        args.append(query.data_source)
    if query.replay is None:
        return f"{table} WHERE {where}", args
    args += [query.replay.moment, *query.replay.providers]
    moment, *names = [
        f"${number}" for number in range(len(args) - len(query.replay.providers), len(args) + 1)
    ]
    others = " AND ".join(f"data_source <> {name}" for name in names)  # NOT IN takes no parameters
    past = f"(timestamp <= {moment} OR {others})"
    if table == TABLE:
        return f"{TABLE} WHERE {where} AND {past}", args
    return f"({view_query(table, f'symbol = $1 AND timestamp >= $2 AND {past}')}) WHERE {where}", args


def _quote(row: Row) -> StockUpdate:
    known = dict(row)
    for name in ("timestamp", "exchange_time", "received_at"):
        if known[name] is not None:
            known[name] = utc_text(known[name])
    known["market_status"] = known["market_status"] or ""
    known["origin"] = _ORIGINS.get(known["origin"])
    known["review"] = _REVIEWS.get(known["review"])
    return StockUpdate(**known)


_Total = tuple[date, int]
"""A UTC day and the shares traded on it so far."""


class _Candles:
    """Makes candles of a view's rows, in their order: the view keeps the day's total, not what was added."""

    def __init__(self, symbol: str, interval: Interval, totals: dict[str, _Total]) -> None:
        self._symbol = symbol
        self._interval = interval
        self._totals = totals

    def __call__(self, row: Row) -> StoredCandle:
        return StoredCandle(
            symbol=self._symbol,
            data_source=row["data_source"],
            interval=self._interval,
            start=utc_text(row["timestamp"]),
            open=row["open"],
            high=row["high"],
            low=row["low"],
            close=row["close"],
            volume=self._added(row["data_source"], row["timestamp"].date(), row["cum_vol_close"]),
            ticks=row["ticks"],
        )

    def _added(self, source: str, day: date, total: int | None) -> int | None:
        if total is None:
            return None
        known_day, before = self._totals.get(source, (day, 0))
        self._totals[source] = (day, total)
        return max(0, total - before) if known_day == day else total  # a source may correct its total down
