"""History and candles from a real QuestDB to a real HTTP client."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote as quoted

import msgspec
import polars
import pytest
from tests.factories import quote
from tests.gateway.api.test_resources import Caller, Stored, calling
from tests.market.test_candles import DAY, reference
from tests.servers import QuestDBServer, Start
from tests.stores.questdb.samples import applied, drop_schema, viewed

from zlotick.config import QuestDBConfig
from zlotick.market.queries import HistoryQuery, Interval, Replay
from zlotick.model import ConnectionStatus, ProviderRow, StockUpdate, utc_text, utc_time
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.exports import parquet
from zlotick.stores.questdb.history import QuestDBHistory

MORNING = datetime(2025, 4, 30, 7, tzinfo=UTC)
ROWS = 50_000


@pytest.fixture
async def connector(questdb_server: QuestDBConfig) -> AsyncIterator[QuestDBConnector]:
    connector = QuestDBConnector(questdb_server)
    await drop_schema(connector)
    await connector.connect()
    yield connector
    await drop_schema(connector)
    await connector.close()


@pytest.fixture
async def caller(connector: QuestDBConnector) -> AsyncIterator[Caller]:
    async with calling(Stored(shelf=QuestDBHistory(connector.execute_query))) as caller:
        yield caller


def numbered(number: int) -> StockUpdate:
    moment = utc_text(MORNING + timedelta(seconds=number / 100))
    return quote(timestamp=moment, symbol="ABS", volume=number, price=1.0 + number / 1000)


async def test_what_was_inserted_is_what_is_served(connector: QuestDBConnector, caller: Caller) -> None:
    quotes = [numbered(number * 3000) for number in range(5)]
    await connector.insert_batch(quotes)
    await applied(connector)
    _, answer = await caller.get("/history/ABS")
    assert msgspec.convert(answer["data"], list[StockUpdate]) == quotes
    params = {"from": quotes[1].timestamp, "to": quotes[4].timestamp, "limit": "2"}
    _, answer = await caller.get("/history/ABS", **params)
    assert msgspec.convert(answer["data"], list[StockUpdate]) == quotes[1:3]
    async with caller.answer("/history/ABS?format=csv") as response:
        rows = list(csv.DictReader(io.StringIO(await response.text())))
    assert [float(row["price"]) for row in rows] == [one.price for one in quotes]
    day = {"from": "2025-04-30", "to": "2025-04-30"}
    assert (await caller.get("/history/ABS", **day))[1]["count"] == 5
    assert (await caller.get("/history/ABS", to="2025-04-29"))[1]["count"] == 0


@pytest.mark.parametrize("evil", ["' OR '1'='1", "ABS'; DROP TABLE stock_data; --", "x' UNION SELECT 1 --"])
async def test_no_word_of_a_client_is_sql(connector: QuestDBConnector, caller: Caller, evil: str) -> None:
    await connector.insert_batch([numbered(0)])
    await applied(connector)
    assert (await caller.get(f"/history/{quoted(evil)}"))[0] == 404
    for path in ("/history/ABS", "/candles/ABS"):
        assert (await caller.get(path, data_source=evil))[1]["count"] == 0
        for name in ("from", "to", "limit"):
            assert (await caller.get(path, **{name: evil}))[0] == 422
    assert (await caller.get("/candles/ABS", interval=evil))[0] == 422
    assert (await caller.get("/history/ABS"))[1]["count"] == 1


def rounds_of_quotes() -> list[StockUpdate]:
    """A session of a looped replay, stored whole in its first round; another source's rows of the same hours beside it."""
    return [
        quote(
            timestamp=utc_text(MORNING + timedelta(minutes=7 * number)),
            symbol="ABS",
            data_source=source,
            price=10.0 + number * 37 % 11,
            volume=100 * number,
            open=10.0,
            high=10.0 + max(one * 37 % 11 for one in range(number + 1)),
            low=10.0,
        )
        for source in ("replay", "gpw")
        for number in range(60)
    ]


@pytest.mark.parametrize("minute", [0, 31, 200, 419])
async def test_a_running_replay_shows_nothing_that_is_yet_to_come(
    connector: QuestDBConnector, minute: int
) -> None:
    """In the second round of a loop, REST, CLI and the board showed prices of hours that the replay had not reached."""
    quotes, moment = rounds_of_quotes(), MORNING + timedelta(minutes=minute)
    await connector.insert_batch(quotes)
    await viewed(connector)
    service = Stored(shelf=QuestDBHistory(connector.execute_query), market_time=moment)
    service.providers = [ProviderRow("replay", ConnectionStatus.CONNECTED, kind="replayed")]
    past = [one for one in quotes if one.data_source == "gpw" or utc_time(one.timestamp) <= moment]
    past.sort(key=lambda one: one.timestamp)
    query = HistoryQuery(symbol="ABS", limit=10_000, begin=MORNING, replay=Replay(("replay",), moment))
    async with calling(service) as caller:
        for newest in ({}, {"from": "2025-04-30"}):
            _, answer = await caller.get("/history/ABS", **newest)
            told = msgspec.convert(answer["data"], list[StockUpdate])
            assert sorted(told, key=lambda one: (one.timestamp, one.data_source != "replay")) == past
        assert (await parquet_rows(connector, query)).height == len(past)
        for interval in ("1m", "5m", "1h", "1d"):
            for newest in ({}, {"from": "2025-04-30"}):
                _, answer = await caller.get("/candles/ABS", interval=interval, **newest)
                told = {(one["data_source"], one["start"]): candle_row(one) for one in answer["data"]}
                assert told == {
                    (source, one[0]): one
                    for source in ("replay", "gpw")
                    for one in reference([quote for quote in past if quote.data_source == source], interval)
                }
            frame = await parquet_rows(connector, msgspec.structs.replace(query, begin=DAY), interval)
            assert frame["ticks"].sum() == len(past)
            # Candles of two providers that start at one time come in either order.
            assert sorted(frame["close"].to_list()) == sorted(one["close"] for one in answer["data"])


async def parquet_rows(
    connector: QuestDBConnector, query: HistoryQuery, interval: Interval | None = None
) -> polars.DataFrame:
    pieces = [piece async for piece in parquet(connector.config, query, interval)]
    return polars.read_parquet(io.BytesIO(b"".join(pieces)))


def candle_row(candle: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(candle[name] for name in ("start", "open", "high", "low", "close", "volume", "ticks"))


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_fifty_thousand_rows_in_bounded_memory(connector: QuestDBConnector, caller: Caller) -> None:
    for first in range(0, ROWS, 10_000):
        assert (
            await connector.insert_batch([numbered(number) for number in range(first, first + 10_000)]) == []
        )
    await applied(connector)
    seen, size, tail = 0, 0, b""
    tracemalloc.start()
    try:
        async with caller.answer(f"/history/ABS?from=2025-04-30&limit={ROWS}&format=ndjson") as response:
            async for chunk in response.content.iter_any():
                seen += chunk.count(b"\n")
                size += len(chunk)
                tail = (tail + chunk)[-1000:]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == ROWS
    assert json.loads(tail.splitlines()[-1])["volume"] == ROWS - 1
    assert peak < size / 4  # the client's buffers included


async def test_a_dropped_view_is_503_with_the_reason_until_the_next_look(
    connector: QuestDBConnector, caller: Caller
) -> None:
    """A dropped view stayed away for ever, and its candles were 503 "try again in a moment", whatever the moment."""
    await connector.insert_batch([numbered(0)])
    await viewed(connector)
    await connector.http.execute("DROP MATERIALIZED VIEW candles_1m")
    code, said = await caller.refusal("/candles/ABS?interval=1m")
    assert (code, said) == (503, "QuestDB has no candles_1m just now: zlotick makes it again within a minute")
    assert (await caller.get("/candles/ABS", interval="5m"))[1]["count"] == 1
    await connector.deliver([])
    await viewed(connector)
    assert (await caller.get("/candles/ABS", interval="1m"))[1]["count"] == 1


async def test_questdb_gone_is_503_and_back_is_200(
    tmp_path: Path, start_questdb: Start[QuestDBServer]
) -> None:
    server = await start_questdb(tmp_path)
    connector = QuestDBConnector(server.config)
    await connector.connect()
    async with calling(Stored(shelf=QuestDBHistory(connector.execute_query))) as caller:
        assert (await caller.get("/history/ABS"))[0] == 200
        await server.kill()
        for path in ("/history/ABS", "/candles/ABS"):
            async with caller.answer(path) as response:
                assert (response.status, response.headers["Retry-After"]) == (503, "5")
        await server.restart()
        assert (await caller.get("/history/ABS"))[0] == 200
    await connector.close()
