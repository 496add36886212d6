"""A QuestDB that holds the packaged session, as `zlotick demo` would have left it after one day."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from tests.stores.questdb.samples import drop_schema, viewed

from zlotick.config import QuestDBConfig, ReplayConfig
from zlotick.providers.replay.provider import ReplayProvider
from zlotick.stores.questdb import QuestDBConnector


@pytest.fixture(scope="module")
def session_day(shared_questdb: QuestDBConfig) -> Iterator[QuestDBConfig]:
    """2025-04-30: 78 stocks, sixty market seconds a cycle, each quote once."""
    asyncio.run(load(shared_questdb))
    yield shared_questdb
    asyncio.run(unload(shared_questdb))


async def load(config: QuestDBConfig) -> None:
    questdb, replay = QuestDBConnector(config), ReplayProvider(ReplayConfig(), step_seconds=60)
    await drop_schema(questdb)
    await questdb.connect()
    recorded = {}
    while not replay.finished:
        quotes = await replay.fetch_data()
        # The key of a row: what a cycle would have recorded, and no more.
        recorded |= {(quote.symbol, quote.timestamp): quote for quote in quotes}
    await questdb.insert_batch(list(recorded.values()))
    await viewed(questdb)
    await questdb.close()


async def unload(config: QuestDBConfig) -> None:
    questdb = QuestDBConnector(config)
    await drop_schema(questdb)
    await questdb.close()
