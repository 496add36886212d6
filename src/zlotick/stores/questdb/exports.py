"""Stored rows as a Parquet file, written by QuestDB itself (``/exp``): the rows that the gateway tells, typed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, time

import aiohttp

from zlotick.config import QuestDBConfig
from zlotick.errors import Fatal, Transient
from zlotick.market.queries import HistoryQuery, Interval, Replay
from zlotick.model import StockUpdate, utc_text
from zlotick.stores.questdb.ilp import PRICED, TABLE
from zlotick.stores.questdb.schema import view_query

_CONNECT_TIMEOUT = 3.0
_SILENCE = 60.0
"""Seconds between two pieces of an answer: the server writes the file before it sends the first."""


async def parquet(
    config: QuestDBConfig, query: HistoryQuery, interval: Interval | None = None
) -> AsyncGenerator[bytes, None]:
    """The file, piece by piece: of quotes, or of candles. Raises Transient or Fatal.

    ``query.symbol`` must be a ticker: ``/exp`` takes no parameters, so it becomes part of the question.
    """
    scheme = "https" if config.tls_enabled else "http"
    place = f"{config.host}:{config.http_port}"
    login = aiohttp.encode_basic_auth(config.user, config.password.reveal())
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=_SILENCE)
    sql = candles_sql(query, interval) if interval else quotes_sql(query)
    try:
        async with (
            aiohttp.ClientSession(headers={"Authorization": login}, timeout=timeout) as session,
            session.get(f"{scheme}://{place}/exp", params={"query": sql, "fmt": "parquet"}) as response,
        ):
            if response.status != 200:
                raise _refusal(config, response.status, await response.text(errors="replace"))
            async for piece in response.content.iter_any():
                yield piece
    except TimeoutError as error:
        raise Transient(f"QuestDB at {place} does not answer") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Transient(f"QuestDB at {place} is unreachable or broke off: {error}") from error


def quotes_sql(query: HistoryQuery) -> str:
    """The question for quotes. ``-n`` is QuestDB's limit from the end."""
    columns = ", ".join(StockUpdate.__struct_fields__)
    where = f"{_where(query)} AND {PRICED}"
    if query.replay:
        where += f" AND {_past(query.replay)}"
    return f"SELECT {columns} FROM {TABLE} WHERE {where} ORDER BY timestamp LIMIT {_limit(query)}"  # noqa: S608  a ticker, times and numbers only


def candles_sql(query: HistoryQuery, interval: Interval) -> str:
    """The question for candles: the views keep the day's volume so far, a candle has what was added to it."""
    midnight = None if query.begin is None else datetime.combine(query.begin.astimezone(UTC), time(), UTC)
    view = f"candles_{interval}"
    candles = f"({view_query(view, _past(query.replay))})" if query.replay else view
    first = "" if query.begin is None else f"WHERE timestamp >= '{utc_text(query.begin)}' "
    return (
        "SELECT timestamp AS start, symbol, data_source, open, high, low, close, "  # noqa: S608  likewise
        "CASE WHEN total IS NULL OR before IS NULL THEN total "
        "WHEN total < before THEN 0 ELSE total - before END AS volume, ticks FROM ("
        "SELECT timestamp, symbol, data_source, open, high, low, close, ticks, cum_vol_close AS total, "
        "lag(cum_vol_close) IGNORE NULLS OVER "
        "(PARTITION BY data_source, timestamp_floor('d', timestamp) ORDER BY timestamp) AS before "
        f"FROM {candles} WHERE {_where(query, midnight)}) "
        f"{first}ORDER BY timestamp LIMIT {_limit(query)}"
    )


def _where(query: HistoryQuery, begin: datetime | None = None) -> str:
    begin = begin or query.begin
    bounds = [f"symbol = '{query.symbol}'"]
    if begin is not None:
        bounds.append(f"timestamp >= '{utc_text(begin)}'")
    if query.end is not None:
        bounds.append(f"timestamp < '{utc_text(query.end)}'")
    return " AND ".join(bounds)


def _past(replay: Replay) -> str:
    """What is no future of the replay."""
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in replay.providers)
    return f"(timestamp <= '{utc_text(replay.moment)}' OR data_source NOT IN ({names}))"


def _limit(query: HistoryQuery) -> int:
    return query.limit if query.begin is not None else -query.limit


def _refusal(config: QuestDBConfig, status: int, body: str) -> Transient | Fatal:
    if status in (401, 403):
        return Fatal(
            f"QuestDB at {config.host}:{config.http_port} refused user '{config.user}' (HTTP {status}): "
            "check questdb.user and questdb.password"
        )
    kind = Transient if status >= 500 else Fatal
    return kind(f"QuestDB refused the export (HTTP {status}): {' '.join(body.split())[:300]}")
