"""Queries over the PostgreSQL wire, with the real server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from tests.factories import quote
from tests.stores.questdb.samples import applied

from zlotick.config import QuestDBConfig
from zlotick.errors import Fatal, Transient
from zlotick.model import utc_text
from zlotick.stores.questdb import QuestDBConnector


async def test_times_are_aware_on_the_way_in_and_out(connector: QuestDBConnector) -> None:
    moment = datetime(2025, 4, 30, 9, 0, 0, 123000, tzinfo=UTC)
    await connector.insert_batch([quote(timestamp=utc_text(moment), exchange_time=utc_text(moment))])
    await applied(connector)
    query = (
        "SELECT timestamp, symbol, price, exchange_time FROM stock_data WHERE timestamp = $1 AND symbol = $2"
    )
    warsaw = moment.astimezone(timezone(timedelta(hours=2)))
    assert await connector.execute_query(query, warsaw, "ABS") == [
        {"timestamp": moment, "symbol": "ABS", "price": 10.0, "exchange_time": moment}
    ]
    assert await connector.execute_query(query, moment, "'; DROP TABLE stock_data; --") == []


@pytest.mark.parametrize(
    ("query", "args"),
    [
        ("SELECT bogus FROM nowhere", ()),
        ("SELECT * FROM tables() WHERE table_name = $1", (5,)),
        ("SELECT * FROM tables() WHERE table_name = $1", ()),
    ],
)
async def test_a_bad_query_is_fatal_and_quoted(
    connector: QuestDBConnector, query: str, args: tuple[object, ...]
) -> None:
    with pytest.raises(Fatal, match="SELECT"):
        await connector.execute_query(query, *args)


async def test_more_queries_at_once_than_connections(connector: QuestDBConnector) -> None:
    answers = await asyncio.gather(*(connector.execute_query("SELECT 1 one") for _ in range(20)))
    assert answers == [[{"one": 1}]] * 20


async def test_a_wrong_password_is_fatal_and_stays_secret(questdb_server: QuestDBConfig) -> None:
    connector = QuestDBConnector(msgspec.structs.replace(questdb_server, password="not-this-one"))
    with pytest.raises(Fatal, match=r"questdb\.password") as caught:
        await connector.execute_query("SELECT 1")
    assert "not-this-one" not in str(caught.value)
    await connector.close()


async def test_nobody_there_is_transient() -> None:
    connector = QuestDBConnector(QuestDBConfig(host="127.0.0.1", port=1, http_port=1))
    with pytest.raises(Transient, match=r"127\.0\.0\.1:1"):
        await connector.execute_query("SELECT 1")
    await connector.close()
