"""History and candles from a real QuestDB to a real HTTP client."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote as quoted

import msgspec
import pytest
from tests import servers
from tests.gateway.test_rest import Caller, Stored, calling
from tests.stores.questdb.samples import applied, drop_schema, make_quote

from zlotick.config import QuestDBConfig
from zlotick.model import StockUpdate, utc_text
from zlotick.stores.questdb import QuestDBConnector
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


def quote(number: int) -> StockUpdate:
    moment = utc_text(MORNING + timedelta(seconds=number / 100))
    return make_quote(timestamp=moment, symbol="ABS", volume=number, price=1.0 + number / 1000)


async def test_what_was_inserted_is_what_is_served(connector: QuestDBConnector, caller: Caller) -> None:
    quotes = [quote(number * 3000) for number in range(5)]
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
    await connector.insert_batch([quote(0)])
    await applied(connector)
    assert (await caller.get(f"/history/{quoted(evil)}"))[0] == 404
    for path in ("/history/ABS", "/candles/ABS"):
        assert (await caller.get(path, data_source=evil))[1]["count"] == 0
        for name in ("from", "to", "limit"):
            assert (await caller.get(path, **{name: evil}))[0] == 422
    assert (await caller.get("/candles/ABS", interval=evil))[0] == 422
    assert (await caller.get("/history/ABS"))[1]["count"] == 1


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_fifty_thousand_rows_in_bounded_memory(connector: QuestDBConnector, caller: Caller) -> None:
    for first in range(0, ROWS, 10_000):
        assert await connector.insert_batch([quote(number) for number in range(first, first + 10_000)]) == []
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


async def test_questdb_gone_is_503_and_back_is_200(tmp_path: Path, private_servers: None) -> None:
    server = await servers.start_questdb(tmp_path)
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
