"""What a test does to the server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.http import BadLine
from zlotick.stores.questdb.schema import CREATE_VIEWS


async def applied(connector: QuestDBConnector) -> None:
    """Wait until what was acknowledged is readable."""
    await connector.execute_query("SELECT wait_wal_table('stock_data')")


async def viewed(connector: QuestDBConnector) -> None:
    """Wait until the candles show it too: refreshed from the table, and what was refreshed is readable."""
    await applied(connector)
    behind = (
        "SELECT view_name FROM materialized_views() "
        "WHERE refresh_base_table_txn <> base_table_txn OR view_status <> 'valid'"
    )
    async with asyncio.timeout(60):
        while await connector.execute_query(behind):
            await asyncio.sleep(0.02)
    for name in CREATE_VIEWS:
        await connector.execute_query(f"SELECT wait_wal_table('{name}')")


async def drop_schema(connector: QuestDBConnector) -> None:
    for name in CREATE_VIEWS:
        await connector.http.execute(f"DROP MATERIALIZED VIEW IF EXISTS {name}")
    await connector.http.execute("DROP TABLE IF EXISTS stock_data")


def counted(connector: QuestDBConnector) -> list[int]:
    """The number of lines in each request that the connector sends from now on."""
    bodies: list[int] = []
    post = connector.http._post

    async def counting(lines: Sequence[bytes]) -> BadLine | None:
        bodies.append(len(lines))
        return await post(lines)

    connector.http._post = counting  # type: ignore[method-assign]
    return bodies
