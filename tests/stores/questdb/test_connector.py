"""The connector as its users see it, with the real server."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.factories import entry, quote
from tests.stores.questdb.samples import applied, counted

from zlotick.config import QuestDBConfig
from zlotick.errors import Fatal, Transient
from zlotick.events import CONNECTION_STATUS, EventBus
from zlotick.model import ConnectionStatus, StockUpdate, utc_text, utc_time
from zlotick.stores.questdb import QuestDBConnector

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = ("timestamp", "exchange_time", "received_at")


async def stored(connector: QuestDBConnector, where: str = "1 = $1", bind: object = 1) -> list[StockUpdate]:
    """The rows as quotes again."""
    await applied(connector)
    rows = await connector.execute_query(f"SELECT * FROM stock_data WHERE {where}", bind)
    for row in rows:
        row |= {name: utc_text(row[name]) for name in TIMES if row[name] is not None}
    return [StockUpdate(**row) for row in rows]


async def test_the_guides_fragment(questdb_server: QuestDBConfig, connector: QuestDBConnector) -> None:
    await connector.connect()
    await connector.insert_stock_data(
        StockUpdate(
            timestamp="2025-11-06T20:23:56.000Z",
            symbol="PKN",
            price=101.5,
            change=1.5,
            change_percent=1.5,
            volume=1000,
            high=102.0,
            low=99.5,
            open=100.0,
            market_status="open",
            data_source="guide",
        )
    )
    await applied(connector)
    assert await connector.execute_query("SELECT symbol, price, volume, exchange_time FROM stock_data") == [
        {"symbol": "PKN", "price": 101.5, "volume": 1000, "exchange_time": None}
    ]
    assert await connector.execute_query("SELECT count(), count_distinct(symbol) FROM stock_data")
    await connector.close()
    await connector.close()


def test_the_defaults_are_the_guides() -> None:
    assert QuestDBConnector().config == QuestDBConfig()
    assert (QuestDBConnector.name, QuestDBConnector.reader) == ("QuestDB", "questdb")


async def test_sent_again_is_stored_once(connector: QuestDBConnector) -> None:
    quotes = [quote(f"S{number:02}") for number in range(80)]
    corrected = msgspec.structs.replace(quotes[5], price=99.0, volume=None)
    await connector.insert_batch(quotes)
    await connector.insert_batch(quotes)
    await connector.insert_batch([*quotes[:10], corrected])
    found = {quote.symbol: quote for quote in await stored(connector)}
    assert found == {quote.symbol: quote for quote in quotes} | {corrected.symbol: corrected}


async def test_deliver_puts_aside_what_no_line_can_carry(connector: QuestDBConnector) -> None:
    bad = [
        quote(""),
        quote("NAN", price=float("nan")),
        quote("T", timestamp=""),
    ]
    good = [quote("A"), quote("B"), quote("C")]
    entries = [entry(7, good[0], bad[0]), entry(8, bad[1]), entry(9, good[1], bad[2], good[2])]
    letters = await connector.deliver(entries)
    assert [(letter.offset, letter.symbol, letter.quote.timestamp) for letter in letters] == [
        (7, "", bad[0].timestamp),
        (8, "NAN", bad[1].timestamp),
        (9, "T", ""),
    ]
    assert {letter.reader for letter in letters} == {"questdb"}
    assert "price" in letters[1].reason
    assert await stored(connector) == good
    assert connector.monitor.status is ConnectionStatus.CONNECTED


async def test_a_quote_that_cannot_be_stored_is_an_error_for_who_inserts_it(
    connector: QuestDBConnector,
) -> None:
    with pytest.raises(Fatal, match=r"'ABS': volume 1\.5"):
        await connector.insert_stock_data(quote(volume=1.5))


async def test_nothing_to_deliver(connector: QuestDBConnector) -> None:
    assert await connector.deliver([]) == []


async def test_a_lagging_delivery_sends_few_large_bodies(connector: QuestDBConnector) -> None:
    bodies = counted(connector)
    start = utc_time("2025-04-30T09:00:00Z")
    entries = [
        entry(number, *(quote(f"S{symbol:02}", timestamp=utc_text(start + timedelta(seconds=number))) for symbol in range(80)))
        for number in range(connector.max_entries)
    ]  # fmt: skip
    await connector.deliver(entries)
    assert bodies == [10_000, 240]
    await applied(connector)
    [row] = await connector.execute_query("SELECT count() AS n FROM stock_data")
    assert row["n"] == 10_240


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(datetime(1970, 1, 2), datetime(9998, 1, 1)).map(  # noqa: DTZ001
    lambda moment: utc_text(moment.replace(tzinfo=UTC))
)
quotes_of_any_kind = st.builds(
    StockUpdate,
    timestamp=st.sampled_from(["2025-04-30T09:00:00.123Z", "2025-04-30T09:00:00.124Z"]),
    symbol=texts,
    price=st.floats(allow_nan=False, allow_infinity=False),
    change=numbers,
    change_percent=numbers,
    volume=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    high=numbers,
    low=numbers,
    open=numbers,
    market_status=texts,
    data_source=texts,
    previous_close=numbers,
    exchange_time=st.none() | moments,
    received_at=st.none() | moments,
    delay_seconds=st.none() | st.integers(-(2**31) + 1, 2**31 - 1),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(quotes=st.lists(quotes_of_any_kind, min_size=1, max_size=40))
async def test_every_quote_comes_back_as_it_went_in(
    connector: QuestDBConnector, quotes: list[StockUpdate]
) -> None:
    await connector.http.execute("DROP TABLE IF EXISTS stock_data")
    await connector.connect()
    assert await connector.insert_batch(quotes) == []
    expected = {(quote.timestamp, quote.symbol, quote.data_source): quote for quote in quotes}
    found = {(quote.timestamp, quote.symbol, quote.data_source): quote for quote in await stored(connector)}
    assert found == expected


async def test_a_wrong_password_is_fatal(questdb_server: QuestDBConfig) -> None:
    bus = EventBus()
    events: list[dict[str, str]] = []
    await bus.subscribe(CONNECTION_STATUS, events.append)
    connector = QuestDBConnector(msgspec.structs.replace(questdb_server, password="not-this-one"), bus=bus)
    with pytest.raises(Fatal, match=r"questdb\.user and questdb\.password") as caught:
        await connector.connect()
    assert "not-this-one" not in str(caught.value)
    assert connector.monitor.status is ConnectionStatus.ERROR
    connector.config.password = questdb_server.password  # the user mends it
    await connector.close()
    await connector.connect()
    assert connector.monitor.status is ConnectionStatus.CONNECTED
    await connector.close()
    await bus.close()
    assert [event["status"] for event in events] == [
        "connecting", "error", "disconnected", "connecting", "connected", "disconnected",
    ]  # fmt: skip
    assert "not-this-one" not in str(events)


async def test_nobody_there_is_transient() -> None:
    connector = QuestDBConnector(QuestDBConfig(host="127.0.0.1", port=1, http_port=1))
    with pytest.raises(Transient, match=r"http://127\.0\.0\.1:1"):
        await connector.connect()
    assert connector.monitor.status is ConnectionStatus.RECONNECTING
    await connector.close()
    assert connector.monitor.status is ConnectionStatus.DISCONNECTED


async def test_a_type_changed_under_the_writer_blames_the_table_not_the_rows(
    connector: QuestDBConnector,
) -> None:
    await connector.connect()
    await connector.http.execute("ALTER TABLE stock_data DROP COLUMN delay_seconds")
    await connector.http.execute("ALTER TABLE stock_data ADD COLUMN delay_seconds BOOLEAN")
    await applied(connector)
    with pytest.raises(Fatal, match="column delay_seconds: type BOOLEAN, needed INT"):
        await connector.deliver([entry(1, *(quote(f"S{number}", delay_seconds=900) for number in range(20)))])
    assert connector.monitor.status is ConnectionStatus.ERROR


async def test_a_table_dropped_under_the_writer_is_made_anew(connector: QuestDBConnector) -> None:
    await connector.connect()
    await connector.http.execute("DROP TABLE stock_data")
    with pytest.raises(Transient, match="table does not exist"):
        await connector.insert_batch([quote()])
    await connector.insert_batch([quote()])
    assert await stored(connector) == [quote()]
    # Dropped while idle: nothing may go to the dropped table over the kept connection.
    await connector.http.execute("DROP TABLE stock_data")
    await connector.connect()
    await connector.insert_batch([quote()])
    assert await stored(connector) == [quote()]


async def test_healthy(connector: QuestDBConnector) -> None:
    await connector.insert_batch([quote()])
    await applied(connector)
    health = await connector.health()
    assert health.healthy
    assert set(health.lag) == {"stock_data", "candles_1m", "candles_5m", "candles_1h", "candles_1d"}


async def views_follow(connector: QuestDBConnector) -> None:
    query = "SELECT count() AS n FROM materialized_views() WHERE refresh_base_table_txn < base_table_txn OR view_status <> 'valid'"
    deadline = time.monotonic() + 60
    while (await connector.execute_query(query))[0]["n"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def candles_of(quotes: list[StockUpdate], width: timedelta) -> dict[tuple[datetime, str], dict[str, Any]]:
    """What the view should hold, computed here: UTC buckets, each key's last version."""
    last = {(utc_time(quote.timestamp), quote.symbol): quote for quote in quotes}
    buckets: dict[tuple[datetime, str], list[StockUpdate]] = defaultdict(list)
    for (moment, symbol), one in sorted(last.items()):
        buckets[moment - (moment - _EPOCH) % width, symbol].append(one)
    built = {}
    for key, ticks in buckets.items():
        volumes = [quote.volume for quote in ticks if quote.volume is not None] or [None]
        prices = [quote.price for quote in ticks]
        built[key] = {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "cum_vol_open": volumes[0],
            "cum_vol_close": volumes[-1],
            "ticks": len(ticks),
        }
    return built


async def test_candles_equal_a_recomputation(connector: QuestDBConnector) -> None:
    dice = random.Random(80)
    start = utc_time("2025-04-28T07:00:00Z")
    quotes = [
        quote(
            symbol=dice.choice(["ABS", "ABE", "ŻÓŁW"]),
            timestamp=utc_text(start + timedelta(days=dice.randrange(3), seconds=dice.randrange(7200))),
            price=float(dice.randrange(100, 200)),
            volume=dice.choice([None, dice.randrange(10_000)]),
            open=None,  # what a quote tells of its session is in the day's candle: not in this recomputation
            high=None,
            low=None,
        )
        for _ in range(1500)
    ]
    quotes += [msgspec.structs.replace(quote, price=150.0) for quote in dice.sample(quotes, 200)]  # corrected
    for first in range(0, len(quotes), 100):
        await connector.insert_batch(quotes[first : first + 100])
    await connector.insert_batch(quotes[-200:])  # delivered again
    await applied(connector)
    await views_follow(connector)
    for period, width in {
        "1m": timedelta(minutes=1),
        "5m": timedelta(minutes=5),
        "1h": timedelta(hours=1),
        "1d": timedelta(days=1),
    }.items():
        rows = await connector.execute_query(f"SELECT * FROM candles_{period}")
        for row in rows:
            assert row.pop("data_source") == "replay"
        assert {(row.pop("timestamp"), row.pop("symbol")): row for row in rows} == candles_of(quotes, width)
