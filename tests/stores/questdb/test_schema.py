"""Creation, drift and repair of the schema, with the real server."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.factories import quote
from tests.servers import QuestDBServer, Start
from tests.stores.questdb.samples import applied, viewed

from zlotick.errors import Fatal, TableAbsent
from zlotick.market.queries import HistoryQuery
from zlotick.model import Origin, Review, now_text, utc_text
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.history import QuestDBHistory
from zlotick.stores.questdb.ilp import TABLE, encode
from zlotick.stores.questdb.schema import (
    COLUMNS,
    CREATE_TABLE,
    CREATE_VIEWS,
    KEYS,
    _ensure_views,
    ensure_schema,
    mend,
)

VIEWS = "SELECT view_name, view_status, view_sql FROM materialized_views()"
KEYED = "TIMESTAMP(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, symbol, data_source)"


async def columns(connector: QuestDBConnector) -> dict[str, str]:
    rows = await connector.http.execute("SELECT \"column\", type FROM table_columns('stock_data')")
    return {row["column"]: row["type"] for row in rows}


async def views_settle(connector: QuestDBConnector) -> dict[str, str]:
    """The status of each view, once none is being refreshed."""
    deadline = time.monotonic() + 60
    while True:
        found = {row["view_name"]: row["view_status"] for row in await connector.http.execute(VIEWS)}
        if "refreshing" not in found.values() or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.02)


def test_the_sql_files_are_read_as_the_expected_schema() -> None:
    assert len(COLUMNS) == 17
    assert COLUMNS["delay_seconds"] == "INT"
    assert list(COLUMNS)[-2:] == ["origin", "review"]
    assert KEYS == ["timestamp", "symbol", "data_source"]
    assert set(CREATE_VIEWS) == {"candles_1m", "candles_5m", "candles_1h", "candles_1d"}


async def test_twice_is_once(connector: QuestDBConnector) -> None:
    await connector.ensure_schema()
    assert await columns(connector) == COLUMNS
    assert await views_settle(connector) == dict.fromkeys(CREATE_VIEWS, "valid")
    statements: list[str] = []

    async def recording(sql: str) -> list[dict[str, Any]]:
        statements.append(sql)
        return await connector.http.execute(sql)

    with capture_logs() as logs:
        await ensure_schema(recording)
    assert not logs
    changing = [sql for sql in statements if not sql.startswith("SELECT")]
    assert changing == [CREATE_TABLE]  # it says IF NOT EXISTS


async def test_a_missing_column_is_added_and_filled(connector: QuestDBConnector) -> None:
    await connector.http.execute(
        f"CREATE TABLE stock_data (timestamp TIMESTAMP, symbol SYMBOL, data_source SYMBOL, price DOUBLE) {KEYED}"
    )
    await connector.insert_batch([quote(volume=1204, delay_seconds=900)])
    assert await columns(connector) == COLUMNS
    await applied(connector)
    [row] = await connector.execute_query("SELECT delay_seconds, volume FROM stock_data")
    assert row == {"delay_seconds": 900, "volume": 1204}


async def test_views_wait_for_a_column_that_was_just_added() -> None:
    """QuestDB answers ALTER TABLE before the column is applied: on a busy machine CREATE VIEW did not know it."""
    lags = iter([3, 1, 0])
    statements: list[str] = []

    async def execute(sql: str) -> list[dict[str, Any]]:
        statements.append(sql)
        if "wal_tables" in sql:
            row = {"name": TABLE, "suspended": False, "sequencerTxn": 3, "writerTxn": 0}
            return [{**row, "lag": next(lags), "errorTag": "", "errorMessage": ""}]
        return []

    await _ensure_views(execute)
    assert [sql.split()[0] for sql in statements] == ["SELECT"] * 4 + ["CREATE"] * len(CREATE_VIEWS)


async def test_a_table_of_zlotick_0_1_gets_the_labels_and_keeps_its_rows(
    connector: QuestDBConnector,
) -> None:
    """Rows and candle views of before stay as they are: their labels are unknown, not guessed."""
    await connector.http.execute(CREATE_TABLE.replace(",\n  origin SYMBOL,\n  review SYMBOL", ""))
    for create in CREATE_VIEWS.values():
        await connector.http.execute(create)
    await connector.http.write([encode(quote(price=500.0, origin=None, review=None))])
    await viewed(connector)
    await connector.insert_batch([quote(timestamp="2025-04-30T07:01:00.000Z", review=Review.CONFIRMED)])
    await viewed(connector)
    assert await columns(connector) == COLUMNS
    rows = await connector.execute_query("SELECT price, origin, review FROM stock_data")
    assert [tuple(row.values()) for row in rows] == [
        (500.0, None, None), (10.0, "replayed", "confirmed"),
    ]  # fmt: skip
    assert await views_settle(connector) == dict.fromkeys(CREATE_VIEWS, "valid")
    asked = HistoryQuery(symbol="ABS", limit=9)
    pages = QuestDBHistory(connector.execute_query).quotes(asked)
    stored = [one async for page in pages for one in page]
    assert [(one.origin, one.review) for one in stored] == [(None, None), (Origin.REPLAYED, Review.CONFIRMED)]


async def test_deduplication_is_switched_on(connector: QuestDBConnector) -> None:
    await connector.http.execute(CREATE_TABLE.partition("DEDUP")[0])
    await connector.insert_batch([quote()])
    await connector.insert_batch([quote()])
    await applied(connector)
    [row] = await connector.execute_query("SELECT count() AS n FROM stock_data")
    assert row["n"] == 1


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (CREATE_TABLE.replace("price DOUBLE", "price LONG"), "column price: type LONG, needed DOUBLE"),
        (CREATE_TABLE.replace("KEYS(timestamp, symbol, data_source)", "KEYS(timestamp, symbol)"), "upsert keys are"),
        (CREATE_TABLE.partition("WAL")[0] + "BYPASS WAL", "no WAL"),
        (CREATE_TABLE.replace("TIMESTAMP(timestamp)", "TIMESTAMP(received_at)").replace("KEYS(timestamp", "KEYS(received_at"), "designated timestamp"),
    ],
    ids=["type", "keys", "wal", "designated"],
)  # fmt: skip
async def test_what_only_the_owner_may_mend_is_fatal(
    connector: QuestDBConnector, table: str, words: str
) -> None:
    await connector.http.execute(table)
    with pytest.raises(Fatal, match=f"table stock_data.*{words}.*(rename|run)"):
        await connector.connect()


async def test_a_table_in_the_place_of_a_view_is_fatal(connector: QuestDBConnector) -> None:
    await connector.http.execute("CREATE TABLE candles_1h (timestamp TIMESTAMP) TIMESTAMP(timestamp)")
    try:
        with pytest.raises(Fatal, match="if a table has the name candles_1h, rename it"):
            await connector.connect()
    finally:
        await connector.http.execute("DROP TABLE candles_1h")


async def test_a_view_with_another_text_is_rebuilt(connector: QuestDBConnector) -> None:
    await connector.ensure_schema()
    await connector.http.execute("DROP MATERIALIZED VIEW candles_1h")
    other = CREATE_VIEWS["candles_1h"].replace("max(price) AS high", "min(price) AS high")
    await connector.http.execute(other)
    await connector.ensure_schema()
    texts = {row["view_name"]: row["view_sql"] for row in await connector.http.execute(VIEWS)}
    assert "max(price) AS high" in texts["candles_1h"]


OLD_DAY_VIEW = """CREATE MATERIALIZED VIEW candles_1d WITH BASE stock_data REFRESH IMMEDIATE AS (
  SELECT timestamp, symbol, data_source,
         first(price) AS open, max(price) AS high, min(price) AS low, last(price) AS close,
         first_not_null(volume) AS cum_vol_open, last_not_null(volume) AS cum_vol_close, count() AS ticks
  FROM stock_data WHERE price IS NOT NULL SAMPLE BY 1d
) PARTITION BY YEAR"""


async def with_the_old_day_view(connector: QuestDBConnector) -> None:
    """An installation as the first versions made it, with a quote of a day of its own."""
    await connector.insert_batch([quote(price=512.5, open=510.0, high=515.0, low=508.0)])
    await connector.http.execute("DROP MATERIALIZED VIEW candles_1d")
    await connector.http.execute(OLD_DAY_VIEW)
    await viewed(connector)


async def test_the_day_view_of_the_first_versions_is_rebuilt_from_all_quotes(
    connector: QuestDBConnector,
) -> None:
    """It had the extremes of the observed prices only: a day had two highs, one in its quotes and one in its candle."""
    await with_the_old_day_view(connector)
    day = "SELECT open, high, low, close FROM candles_1d"
    assert await connector.execute_query(day) == [dict.fromkeys(("open", "high", "low", "close"), 512.5)]
    assert await connector.mend() == ["candles_1d"]
    await viewed(connector)
    assert await connector.execute_query(day) == [
        {"open": 510.0, "high": 515.0, "low": 508.0, "close": 512.5}
    ]
    assert await connector.mend() == []


async def test_candles_whose_quotes_a_ttl_dropped_are_copied_before_a_rebuild(
    connector: QuestDBConnector,
) -> None:
    await with_the_old_day_view(connector)
    execute = connector.http.execute
    await execute("ALTER TABLE stock_data SET TTL 1 DAY")
    await connector.insert_batch([quote(timestamp=now_text())])
    await viewed(connector)
    assert [row["n"] for row in await connector.execute_query("SELECT count() AS n FROM stock_data")] == [1]
    try:
        await connector.mend()
        kept = await connector.execute_query("SELECT timestamp, close FROM candles_1d_kept")
        assert [(utc_text(row["timestamp"]), row["close"]) for row in kept] == [
            ("2025-04-30T00:00:00.000Z", 512.5)
        ]
    finally:
        await execute("DROP TABLE IF EXISTS candles_1d_kept")


async def test_a_view_that_is_gone_comes_back_with_the_next_look(connector: QuestDBConnector) -> None:
    """Candles answered 503 for ever after a view was dropped: absent views were created at a connect only."""
    await connector.insert_batch([quote()])
    await connector.http.execute("DROP MATERIALIZED VIEW candles_1m")
    await connector.deliver([])  # a delivery with nothing to do looks behind the port
    await viewed(connector)
    assert len(await connector.execute_query("SELECT * FROM candles_1m")) == 1


async def test_a_table_that_stands_still_is_told_again_of_what_it_has_not_applied(
    connector: QuestDBConnector,
) -> None:
    """A row was once not there after a clean restart, with no suspended table: only suspended ones were resumed."""
    await connector.insert_batch([quote()])
    asked: list[str] = []

    async def behind(sql: str) -> list[dict[str, Any]]:
        asked.append(sql)
        rows = await connector.http.execute(sql)
        return [row | {"lag": 1} if row.get("name") == "stock_data" else row for row in rows]

    await applied(connector)
    with capture_logs() as logs:
        assert await mend(behind) == []
    assert "ALTER TABLE stock_data RESUME WAL" in asked
    assert logs == []
    assert (await connector.health()).healthy


async def test_a_table_that_is_gone_is_noticed_by_the_next_look(connector: QuestDBConnector) -> None:
    """A dropped table stayed away until the next write, and what it had held until for ever."""
    await connector.insert_batch([quote()])
    await connector.http.execute("DROP TABLE stock_data")
    with pytest.raises(TableAbsent, match="QuestDB has no stock_data any more"):
        await connector.deliver([])
    await connector.connect()
    await connector.deliver([])


@pytest.mark.parametrize(
    "harm", ["ALTER TABLE stock_data DROP PARTITION LIST '2025-04-29'", "DROP TABLE stock_data"]
)
async def test_an_invalid_view_is_refreshed(connector: QuestDBConnector, harm: str) -> None:
    old = quote(timestamp="2025-04-29T09:00:00.000Z")
    await connector.insert_batch([old, quote()])
    await applied(connector)
    await connector.http.execute(harm)
    deadline = time.monotonic() + 60
    while set((await views_settle(connector)).values()) != {"invalid"}:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert not (await connector.health()).healthy
    await connector.connect()
    await connector.insert_batch([quote(timestamp="2025-04-30T10:00:00.000Z")])
    await applied(connector)
    # A busy QuestDB may find a view invalid only after its refresh: the look of each minute mends that.
    deadline = time.monotonic() + 60
    while await views_settle(connector) != dict.fromkeys(CREATE_VIEWS, "valid"):
        assert time.monotonic() < deadline
        await connector.mend()
        await asyncio.sleep(0.02)
    assert (await connector.health()).invalid == []


async def test_a_ttl_is_set_only_when_asked_for(connector: QuestDBConnector) -> None:
    kept = "SELECT ttlValue, ttlUnit FROM tables() WHERE table_name = 'stock_data'"
    await connector.ensure_schema()
    assert (await connector.http.execute(kept))[0]["ttlValue"] == 0
    limited = QuestDBConnector(msgspec.structs.replace(connector.config, ttl="200 YEARS"))
    await limited.ensure_schema()
    await applied(limited)
    assert await limited.http.execute(kept) == [{"ttlValue": 200, "ttlUnit": "YEAR"}]
    await limited.close()
    with capture_logs() as logs:
        await connector.ensure_schema()
    assert await connector.http.execute(kept) == [{"ttlValue": 200, "ttlUnit": "YEAR"}]
    assert [(entry["log_level"], entry["ttl"]) for entry in logs] == [("warning", "200 YEAR")]


async def test_what_a_full_disk_suspended_is_seen_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_questdb: Start[QuestDBServer]
) -> None:
    """The suspension itself is done by the server's own developer command, not by filling this disk."""
    monkeypatch.setenv("QDB_DEV_MODE_ENABLED", "true")
    server = await start_questdb(tmp_path)
    connector = QuestDBConnector(server.config)
    await connector.insert_batch([quote()])
    await applied(connector)
    await connector.http.execute("ALTER TABLE stock_data SUSPEND WAL WITH 28, 'No space left'")
    await connector.insert_batch([quote("ABE")])  # acknowledged, but not applied
    health = await connector.health()
    assert not health.healthy
    assert health.suspended[0].startswith("stock_data: No space left")
    assert health.lag["stock_data"] > 0
    with capture_logs() as logs:
        await connector.deliver([])  # a delivery with nothing to do looks behind the port
    assert [(entry["log_level"], entry["table"]) for entry in logs] == [("warning", "stock_data")]
    await applied(connector)
    health = await connector.health()
    assert (health.healthy, health.lag["stock_data"]) == (True, 0)
    [row] = await connector.execute_query("SELECT count() AS n FROM stock_data")
    assert row["n"] == 2
    assert await connector.mend() == []
    await connector.close()
