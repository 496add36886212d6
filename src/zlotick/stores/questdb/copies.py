"""Several QuestDBs with the same rows: open-source QuestDB has no replication, so each gets a delivery of its own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from zlotick.config import QuestDBConfig
from zlotick.errors import Transient
from zlotick.events import EventBus
from zlotick.stores.questdb.connector import READER, QuestDBConnector

PREFIX = f"{READER}@"
"""Readers of copies begin with it."""

LAG_KEPT = 1.0
"""Seconds for which the readers' lag is not asked again."""

ReadLag = Callable[[], Awaitable[Mapping[str, int]]]
"""How many entries each reader is behind."""


def make_copies(config: QuestDBConfig, bus: EventBus | None) -> list[QuestDBConnector]:
    """A connector for each of ``questdb.copies``; its cursor is named after its place."""
    return [
        QuestDBConnector(
            QuestDBConfig(
                host=copy.host,
                port=copy.port,
                http_port=copy.http_port,
                user=copy.user,
                password=copy.password,
                database=copy.database,
                tls_enabled=copy.tls_enabled,
                mode="external",
                ttl=config.ttl,
            ),
            bus=bus,
            name=f"QuestDB {copy.host}:{copy.http_port}",
            reader=f"{PREFIX}{copy.host}:{copy.http_port}",
        )
        for copy in config.copies
    ]


class Reads:
    """Answers each query from the copy that is least behind; from the next one when that cannot answer."""

    def __init__(self, connectors: Sequence[QuestDBConnector], lag: ReadLag) -> None:
        self._connectors = list(connectors)
        self._read_lag = lag
        self._lag: Mapping[str, int] = {}
        self._asked_at = float("-inf")

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Raises Transient when none answers; Fatal at once: the query itself is wrong, or a password."""
        failure = Transient("there is no QuestDB")
        for connector in await self._in_order():
            try:
                return await connector.execute_query(query, *args)
            except Transient as error:
                failure = error
        raise failure

    async def _in_order(self) -> list[QuestDBConnector]:
        if len(self._connectors) > 1 and time.monotonic() - self._asked_at > LAG_KEPT:
            self._lag, self._asked_at = await self._read_lag(), time.monotonic()
        return sorted(self._connectors, key=lambda one: self._lag.get(one.reader, 0))
