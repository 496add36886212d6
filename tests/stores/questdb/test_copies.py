"""Two real QuestDBs with the same rows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from tests.factories import batch, quote
from tests.servers import QuestDBServer, Start

from zlotick.config import QuestDBConfig, QuestDBCopy
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import UpdateBatch
from zlotick.stores.delivery import Delivery
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.copies import Reads, make_copies

COUNT = "SELECT count() AS rows FROM stock_data"


def copy_of(server: QuestDBServer) -> QuestDBCopy:
    at = server.config
    return QuestDBCopy(host=at.host, port=at.port, http_port=at.http_port, user=at.user, password=at.password)


def at(minute: int) -> UpdateBatch:
    moment = f"2026-11-30T10:{minute:02}:00.000Z"
    return batch(msgspec.structs.replace(quote(price=minute + 1), timestamp=moment))


async def rows(connector: QuestDBConnector | Reads) -> int:
    fetch = connector.fetch if isinstance(connector, Reads) else connector.execute_query
    [answer] = await fetch(COUNT)
    return int(answer["rows"])


async def until_rows(connector: QuestDBConnector, count: int) -> None:
    async with asyncio.timeout(30):
        while await rows(connector) != count:
            await asyncio.sleep(0.05)


async def delivered(delivery: Delivery) -> None:
    async with asyncio.timeout(60):
        while delivery.lag:
            await asyncio.sleep(0.05)


async def test_a_copy_that_was_away_catches_up(start_questdb: Start[QuestDBServer], tmp_path: Path) -> None:
    first, second = await asyncio.gather(start_questdb(tmp_path / "a"), start_questdb(tmp_path / "b"))
    main = QuestDBConnector(first.config)
    config = QuestDBConfig(copies=[copy_of(second)])
    (copy,) = make_copies(config, None)
    assert copy.reader == f"questdb@127.0.0.1:{second.config.http_port}"
    async with SqliteJournal(tmp_path / "journal") as journal:
        deliveries = [Delivery(journal, one, first_delay=0.1, max_delay=0.5) for one in (main, copy)]
        tasks = [asyncio.create_task(delivery.run()) for delivery in deliveries]

        async def lag() -> dict[str, int]:
            return (await journal.stats()).lag

        reads = Reads([main, copy], lag)
        for minute in range(10):
            await journal.append(at(minute))
        await asyncio.gather(*map(delivered, deliveries))
        await asyncio.gather(until_rows(main, 10), until_rows(copy, 10))

        await first.kill()
        for minute in range(10, 20):
            await journal.append(at(minute))
        await delivered(deliveries[1])
        await until_rows(copy, 20)
        assert await rows(reads) == 20  # from the copy: the first one is away, and behind

        await first.restart()
        await delivered(deliveries[0])
        await until_rows(main, 20)
        await second.kill()
        assert await rows(reads) == 20
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    await asyncio.gather(main.close(), copy.close())
