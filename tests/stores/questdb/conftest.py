"""A connector to the session's QuestDB, whose schema begins absent."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.stores.questdb.samples import drop_schema

from zlotick.config import QuestDBConfig
from zlotick.stores.questdb import QuestDBConnector


@pytest.fixture
async def connector(questdb_server: QuestDBConfig) -> AsyncIterator[QuestDBConnector]:
    """Not connected yet."""
    connector = QuestDBConnector(questdb_server)
    await drop_schema(connector)
    yield connector
    await drop_schema(connector)
    await connector.close()
