"""Stored quotes and candles, asked of the real server."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.factories import quote
from tests.stores.questdb.samples import applied, viewed

from zlotick.config import QuestDBConfig
from zlotick.errors import Transient
from zlotick.market.queries import HistoryQuery, Interval, StoredCandle
from zlotick.model import Review, StockUpdate, utc_text
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.history import PAGE_ROWS, QuestDBHistory

MORNING = datetime(2025, 4, 30, 7, tzinfo=UTC)  # nine o'clock in Warsaw


def at(minutes: float, price: float = 10.0, **changes: Any) -> StockUpdate:
    moment = utc_text(MORNING + timedelta(minutes=minutes))
    return quote(timestamp=moment, exchange_time=moment, price=price, **changes)


@pytest.fixture
async def history(connector: QuestDBConnector) -> QuestDBHistory:
    await connector.connect()
    return QuestDBHistory(connector.execute_query)


async def insert(connector: QuestDBConnector, *quotes: StockUpdate) -> None:
    """Insert, and wait until table and views show it."""
    assert await connector.insert_batch(quotes) == []
    await viewed(connector)


async def told(pages: AsyncIterator[list[Any]]) -> list[Any]:
    return [item async for page in pages for item in page]


async def quotes(history: QuestDBHistory, **asked: Any) -> list[StockUpdate]:
    return await told(history.quotes(HistoryQuery(**{"symbol": "ABS", "limit": 1000, **asked})))


async def candles(history: QuestDBHistory, interval: Interval = "1m", **asked: Any) -> list[StoredCandle]:
    return await told(history.candles(HistoryQuery(**{"symbol": "ABS", "limit": 1000, **asked}), interval))


async def test_what_was_stored_comes_back_equal(connector: QuestDBConnector, history: QuestDBHistory) -> None:
    sparse = at(
        1,
        change=None,
        change_percent=None,
        volume=None,
        high=None,
        low=None,
        open=None,
        previous_close=None,
        delay_seconds=None,
        origin=None,
        review=None,
    )
    unobserved = quote(
        timestamp=utc_text(MORNING + timedelta(minutes=2)), exchange_time=None, received_at=None
    )
    stored = [at(0, delay_seconds=900, review=Review.CONFIRMED), sparse, unobserved]
    await insert(connector, *reversed(stored), at(0, symbol="ABE"))
    assert await quotes(history) == stored
    assert await quotes(history, symbol="XYZ") == []


async def test_from_is_included_to_is_not(connector: QuestDBConnector, history: QuestDBHistory) -> None:
    stored = [at(minute) for minute in range(5)]
    await insert(connector, *stored)
    begin, end = MORNING + timedelta(minutes=1), MORNING + timedelta(minutes=4)
    assert await quotes(history, begin=begin, end=end) == stored[1:4]
    assert await quotes(history, begin=begin, limit=2) == stored[1:3]
    assert await quotes(history, begin=datetime(1900, 1, 1, tzinfo=UTC), limit=1) == stored[:1]


async def test_without_from_it_is_the_newest(connector: QuestDBConnector, history: QuestDBHistory) -> None:
    stored = [at(minute) for minute in range(5)]
    await insert(connector, *stored)
    assert await quotes(history, limit=2) == stored[3:]
    assert await quotes(history, limit=2, end=MORNING + timedelta(minutes=4)) == stored[2:4]
    assert await quotes(history, limit=100) == stored


@pytest.mark.parametrize("limit", range(1, 8))
async def test_quotes_of_one_time_are_neither_lost_nor_doubled(
    connector: QuestDBConnector, history: QuestDBHistory, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr("zlotick.stores.questdb.history.PAGE_ROWS", 2)
    stored = [
        at(minute, data_source=name) for minute, names in enumerate(("abc", "a", "abc")) for name in names
    ]
    await insert(connector, *stored)
    key = lambda one: (one.timestamp, one.data_source)  # noqa: E731
    assert sorted(await quotes(history), key=key) == stored
    first = await quotes(history, begin=MORNING, limit=limit)
    newest = await quotes(history, limit=limit)
    assert len({key(one) for one in first}) == len({key(one) for one in newest}) == limit
    assert [one.timestamp for one in first] == [one.timestamp for one in stored[:limit]]
    assert [one.timestamp for one in newest] == [one.timestamp for one in stored[-limit:]]
    assert await quotes(history, data_source="c") == [stored[2], stored[6]]
    assert await quotes(history, data_source="b", limit=1) == [stored[5]]


@pytest.mark.parametrize(
    "evil",
    ["' OR '1'='1", "11B' OR 1=1 --", "'; DROP TABLE stock_data; --", "$1", "11B\\", "ż" * 64, "%", "11B\n"],
)
async def test_no_word_of_a_client_is_sql(
    connector: QuestDBConnector, history: QuestDBHistory, evil: str
) -> None:
    await insert(connector, at(0))
    assert await quotes(history, symbol=evil) == []
    assert await quotes(history, data_source=evil) == []
    assert await candles(history, symbol=evil) == []
    assert await candles(history, data_source=evil) == []
    assert len(await quotes(history)) == 1


async def test_many_rows_need_the_memory_of_a_page(
    connector: QuestDBConnector, history: QuestDBHistory
) -> None:
    rows = 10_000
    for first in range(0, rows, 5000):
        part = [at(number / 100, volume=number) for number in range(first, first + 5000)]
        assert await connector.insert_batch(part) == []
    await applied(connector)
    query = HistoryQuery(symbol="ABS", limit=rows, begin=MORNING)
    expected = 0
    pages = history.quotes(query)
    tracemalloc.start()
    try:
        async for page in pages:
            assert [one.volume for one in page] == list(range(expected, expected + len(page)))
            assert len(page) <= PAGE_ROWS
            expected += len(page)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert expected == rows
    assert peak < 5_000_000


async def test_candles_are_the_views_with_what_was_added(
    connector: QuestDBConnector, history: QuestDBHistory
) -> None:
    await insert(
        connector,
        at(0.0, 10.0, volume=100),
        at(0.5, 12.0, volume=150),
        at(3.0, 9.0, volume=150),
        at(3.2, 11.0, volume=None),
        at(7.0, 11.0, volume=400),
        at(8.0, 11.0, volume=390),  # corrected down
        at(24 * 60, 20.0, volume=70),
    )
    made = await candles(history)
    assert made[0] == StoredCandle(
        symbol="ABS",
        data_source="replay",
        interval="1m",
        start="2025-04-30T07:00:00.000Z",
        open=10.0,
        high=12.0,
        low=10.0,
        close=12.0,
        volume=150,
        ticks=2,
    )
    assert [one.volume for one in made] == [150, 0, 250, 0, 70]
    assert [one.start[8:16] for one in made] == ["30T07:00", "30T07:03", "30T07:07", "30T07:08", "01T07:00"]
    assert [(one.start[:10], one.volume, one.close) for one in await candles(history, "1d")] == [
        ("2025-04-30", 390, 11.0),
        ("2025-05-01", 70, 20.0),
    ]
    assert [one.volume for one in await candles(history, "5m")] == [150, 240, 70]
    assert [one.volume for one in await candles(history, "1h")] == [390, 70]


async def test_a_candle_in_the_middle_of_the_day_has_its_own_volume(
    connector: QuestDBConnector, history: QuestDBHistory
) -> None:
    await insert(
        connector,
        *(at(minute, volume=100 * minute, data_source=name) for minute in range(1, 6) for name in "ab"),
    )
    whole = await candles(history, begin=MORNING)
    assert [one.volume for one in whole] == [100] * 10
    begin = MORNING + timedelta(minutes=3)
    assert await candles(history, begin=begin) == whole[4:]
    assert [one.volume for one in await candles(history, limit=3)] == [100] * 3
    assert [one.volume for one in await candles(history, begin=begin, data_source="b", limit=2)] == [100, 100]


async def test_no_volume_known_is_none_known(connector: QuestDBConnector, history: QuestDBHistory) -> None:
    await insert(connector, at(0, volume=None), at(1, volume=50), at(2, volume=None))
    assert [one.volume for one in await candles(history)] == [None, 50, None]


async def test_a_server_that_is_away_is_transient(questdb_server: QuestDBConfig) -> None:
    connector = QuestDBConnector(QuestDBConfig(host="127.0.0.1", port=1), timeout=1)
    with pytest.raises(Transient, match="unreachable"):
        await quotes(QuestDBHistory(connector.execute_query))
    await connector.close()
