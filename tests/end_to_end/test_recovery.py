"""kill -9 of zlotick, of QuestDB and of PocketBase, each in the middle of a replay: nothing is lost or doubled.

After the restart every journal entry is in QuestDB exactly once, and PocketBase holds the last value of each
symbol. The real servers, the real command, the whole packaged session (78 stocks).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.service_process import ServiceProcess, all_delivered, offset

from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import StockUpdate, utc_text
from zlotick.stores.questdb import QuestDBConnector

pytestmark = [pytest.mark.slow, pytest.mark.questdb, pytest.mark.pocketbase]

Row = dict[str, Any]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess(tmp_path)
    service.share_the_jar()
    service.set("providers.order", '["replay"]')
    service.set("providers.replay.speed", "3600")
    service.set("service.update_interval", "0.1")
    yield service
    service.end()


async def test_zlotick_killed(service: ServiceProcess) -> None:
    service.start()
    await service.until(lambda status: offset(status) >= 20)
    service.kill()
    service.start()  # it also has to end the two servers that were left behind
    await service.until(lambda status: offset(status) >= 60)
    service.kill()
    service.start()
    await service.until(all_delivered)
    await nothing_is_lost_or_doubled(service)


async def test_questdb_killed(service: ServiceProcess) -> None:
    await a_server_killed(service, "questdb")


async def test_pocketbase_killed(service: ServiceProcess) -> None:
    await a_server_killed(service, "pocketbase")


async def a_server_killed(service: ServiceProcess, name: str) -> None:
    service.start()
    dead = None
    for wanted in (10, 60):
        await service.until(
            lambda status, wanted=wanted, dead=dead: (
                offset(status) >= wanted and service.pid_of(name) not in (None, dead)
            )
        )
        dead = service.pid_of(name)
        assert dead
        os.kill(dead, signal.SIGKILL)
    await service.until(all_delivered)
    assert service.pid_of(name) not in (None, dead)
    await nothing_is_lost_or_doubled(service)


async def nothing_is_lost_or_doubled(service: ServiceProcess) -> None:
    stored, latest = await questdb_rows(service), await pocketbase_rows(service)
    service.signal(signal.SIGTERM)
    assert service.wait() == 0
    journalled, last_values = await journal(service)
    assert len(last_values) == 78
    assert len(stored) == len({key(row) for row in stored}), "rows are doubled"
    assert {key(row): value(row) for row in stored} == journalled
    assert latest == {symbol: (quote.timestamp, quote.price) for symbol, quote in last_values.items()}


async def questdb_rows(service: ServiceProcess) -> list[Row]:
    connector = QuestDBConnector(service.questdb_config())
    try:
        await connector.execute_query("SELECT wait_wal_table('stock_data')")
        return await connector.execute_query(
            "SELECT timestamp, symbol, data_source, price, volume, high, low FROM stock_data"
        )
    finally:
        await connector.close()


async def pocketbase_rows(service: ServiceProcess) -> dict[str, tuple[str, float]]:
    url = f"{service.pocketbase_config().url}/api/collections/stock_data/records?perPage=500"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        items = (await response.json())["items"]
    return {item["id"]: (item["timestamp"].replace(" ", "T"), item["price"]) for item in items}


async def journal(
    service: ServiceProcess,
) -> tuple[dict[tuple[str, str, str], tuple[Any, ...]], dict[str, StockUpdate]]:
    """What the journal holds: the last value for each key of QuestDB's table, and for each symbol."""
    rows = {}
    async with SqliteJournal(service.home / "journal.sqlite") as journal:
        after = 0
        while entries := await journal.read(after):
            for entry in entries:
                assert entry.position.offset == after + 1
                after = entry.position.offset
                for q in entry.batch.quotes:
                    rows[q.timestamp, q.symbol, q.data_source] = (q.price, q.volume, q.high, q.low)
        return rows, await journal.last_values()


def key(row: Row) -> tuple[str, str, str]:
    return utc_text(row["timestamp"]), row["symbol"], row["data_source"]


def value(row: Row) -> tuple[Any, ...]:
    return row["price"], row["volume"], row["high"], row["low"]
