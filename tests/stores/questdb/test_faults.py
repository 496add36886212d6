"""A server that dies, stops or comes back: with a private, real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.factories import quote
from tests.servers import QuestDBServer, Start
from tests.stores.questdb.samples import applied, counted, viewed

from zlotick.connections.backoff import backoff
from zlotick.errors import Fatal, Transient
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import ConnectionStatus, StockUpdate, UpdateBatch, utc_text, utc_time
from zlotick.stores.delivery import Delivery
from zlotick.stores.questdb import QuestDBConnector


@pytest.fixture
async def server(tmp_path: Path, start_questdb: Start[QuestDBServer]) -> QuestDBServer:
    return await start_questdb(tmp_path)


@pytest.fixture
async def connector(server: QuestDBServer) -> AsyncIterator[QuestDBConnector]:
    connector = QuestDBConnector(server.config)
    yield connector
    await connector.close()


def batch(number: int) -> list[StockUpdate]:
    moment = utc_text(utc_time("2025-04-30T09:00:00Z") + timedelta(seconds=number))
    return [quote(f"S{symbol:02}", timestamp=moment) for symbol in range(80)]


async def deliver_at_last(connector: QuestDBConnector, quotes: list[StockUpdate]) -> int:
    """Insert with retries; returns how many failed."""
    deadline = time.monotonic() + 60
    for failures, delay in enumerate(backoff(cap=0.5)):
        try:
            await connector.insert_batch(quotes)
        except Transient:
            assert time.monotonic() < deadline
            await asyncio.sleep(delay)
        else:
            return failures
    raise AssertionError


async def rows(connector: QuestDBConnector) -> int:
    await applied(connector)
    [row] = await connector.execute_query("SELECT count() AS n FROM stock_data")
    count: int = row["n"]
    return count


async def silent(connector: QuestDBConnector) -> None:
    """A stopped process may still answer for a moment, until the last of its threads has noticed."""
    with pytest.raises(Transient, match="does not answer"):  # noqa: PT012  the same call until it raises
        for _ in range(100):
            await connector.health()


async def test_killed_in_the_middle_every_row_is_there_once(
    server: QuestDBServer, connector: QuestDBConnector
) -> None:
    halfway = asyncio.Event()

    async def write() -> int:
        failures = 0
        for number in range(400):
            failures += await deliver_at_last(connector, batch(number))
            if number == 100:
                halfway.set()
        return failures

    writing = asyncio.create_task(write())
    await halfway.wait()
    await server.kill()
    await server.restart()
    assert await writing > 0
    assert await rows(connector) == 400 * 80
    assert (await connector.health()).healthy


@pytest.mark.parametrize("name", ["stock_data", "candles_5m"])
async def test_killed_while_it_made_a_table_it_gets_another_one(
    server: QuestDBServer, connector: QuestDBConnector, name: str
) -> None:
    """Its log was a file of no bytes, and every write failed for ever: "cannot read version at offset 0"."""
    await connector.connect()
    await server.stop()
    [txnlog] = server.home.rglob(f"{name}~*/txn_seq/_txnlog")
    txnlog.write_bytes(b"")
    await server.restart()
    with capture_logs() as logs:
        await deliver_at_last(connector, batch(0))
        await connector.deliver([])  # a look behind the port
    assert name in [one.get("table") for one in logs if "while it made a table" in one["event"]]
    assert await rows(connector) == 80
    async with asyncio.timeout(30):
        while (await connector.execute_query("SELECT sum(ticks) AS n FROM candles_5m"))[0]["n"] != 80:
            await asyncio.sleep(0.05)
    health = await connector.health()
    assert (health.healthy, health.lag["candles_5m"]) == (True, 0)


async def test_a_table_with_rows_whose_log_is_damaged_is_not_dropped(
    server: QuestDBServer, connector: QuestDBConnector
) -> None:
    await connector.insert_batch(batch(0))
    assert await rows(connector) == 80
    await server.stop()
    [txnlog] = server.home.rglob("stock_data~*/txn_seq/_txnlog")
    txnlog.write_bytes(b"")
    await server.restart()
    with pytest.raises(Fatal, match="transaction log of stock_data, which has rows: restore"):
        await connector.connect()
    [row] = await connector.execute_query("SELECT count() AS n FROM stock_data")
    assert row["n"] == 80


async def test_down_is_transient_and_the_restart_heals(
    server: QuestDBServer, connector: QuestDBConnector
) -> None:
    await connector.insert_batch(batch(0))
    assert await rows(connector) == 80
    await server.stop()
    with pytest.raises(Transient):
        await connector.insert_batch(batch(1))
    assert connector.monitor.status is ConnectionStatus.RECONNECTING
    with pytest.raises(Transient):
        await connector.execute_query("SELECT 1")
    with pytest.raises(Transient):
        await connector.health()
    with pytest.raises(Transient):
        await connector.deliver([])  # nothing to write is no proof of health
    await server.restart()
    await connector.insert_batch(batch(1))
    assert connector.monitor.status is ConnectionStatus.CONNECTED
    assert await rows(connector) == 160


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        yield journal


@pytest.fixture
async def delivery(journal: SqliteJournal, connector: QuestDBConnector) -> AsyncIterator[Delivery]:
    """Runs until the end of the test."""
    delivery = Delivery(journal, connector, first_delay=0.05, max_delay=0.2, probe_interval=0.2)
    task = asyncio.create_task(delivery.run())
    yield delivery
    task.cancel()
    await asyncio.wait([task])


async def append(journal: SqliteJournal, numbers: range) -> None:
    for number in numbers:
        quotes = batch(number)
        await journal.append(UpdateBatch(quotes[0].timestamp, "open", quotes))


async def until_rows(connector: QuestDBConnector, wanted: int) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(Transient, Fatal):  # no table just now
                if await rows(connector) == wanted:
                    return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("traded", [0, 3], ids=["while nothing is traded", "while stocks are traded"])
async def test_a_dropped_table_is_filled_again_from_the_journal(
    journal: SqliteJournal, connector: QuestDBConnector, delivery: Delivery, traded: int
) -> None:
    """It was made again and held the new rows only, although the journal still had all of them; no line said so."""
    await append(journal, range(30))
    await until_rows(connector, 30 * 80)
    with capture_logs() as logs:
        await connector.execute_query("DROP TABLE stock_data")
        await append(journal, range(30, 30 + traded))
        await until_rows(connector, (30 + traded) * 80)
    assert [one["sink"] for one in logs if one["event"].startswith("The store is empty")] == ["QuestDB"]
    assert (delivery.stats.skipped, delivery.stats.dead_letters) == (0, 0)
    await viewed(connector)
    [row] = await connector.execute_query("SELECT sum(ticks) AS n FROM candles_1m")
    assert row["n"] == (30 + traded) * 80


async def test_a_table_restored_from_a_backup_gets_what_it_lacks_when_asked(
    journal: SqliteJournal, connector: QuestDBConnector, delivery: Delivery
) -> None:
    """There was no way to deliver again what an older backup lacks."""
    await append(journal, range(20))
    await until_rows(connector, 20 * 80)
    await connector.execute_query("TRUNCATE TABLE stock_data")
    await connector.insert_batch([quote for number in range(10) for quote in batch(number)])
    await until_rows(connector, 10 * 80)
    assert await delivery.redeliver(11) == range(11, 21)
    await until_rows(connector, 20 * 80)


async def test_a_stopped_server_costs_the_time_out_and_no_more(server: QuestDBServer) -> None:
    connector = QuestDBConnector(server.config, timeout=1.5, max_rows=400)
    bodies = counted(connector)
    many = [quote for number in range(5) for quote in batch(number)]
    await connector.insert_batch(batch(0))
    assert await rows(connector) == 80
    server.pause()
    try:
        await silent(connector)
        for call in (
            connector.insert_batch(many),
            connector.execute_query("SELECT 1"),
            connector.connect(),
        ):
            began = time.monotonic()
            with pytest.raises(Transient, match="does not answer"):
                await call
            assert time.monotonic() - began < 15
    finally:
        server.resume()
    bodies.clear()
    await deliver_at_last(connector, many)
    assert await rows(connector) == 400
    assert bodies[-2:] == [200, 200]  # what was too much at once is sent in smaller requests
    await connector.insert_batch(many)
    assert bodies[-1] == 400
    server.pause()
    try:
        began = time.monotonic()
        await connector.close()
        assert time.monotonic() - began < 15
    finally:
        server.resume()
