"""A year of recorded quotes into an embedded QuestDB at full speed, beside the server's own bulk ceiling.

The ceiling is the same rows, encoded beforehand, in bodies of 10,000 lines on one connection. Both go into an empty
table with its four candle views, in one run on one server that syncs every commit, as the service starts it. Each is
timed until the last row is readable.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import Awaitable
from contextlib import ExitStack
from pathlib import Path

import structlog

from zlotick.config import QuestDBConfig, ReplayConfig, Secret, ServiceConfig
from zlotick.embedded.jar import provide_jar
from zlotick.embedded.questdb import EmbeddedQuestDB
from zlotick.model import Entry, Position, StockUpdate, UpdateBatch
from zlotick.providers.replay.provider import ReplayProvider
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.http import QuestDBHttp
from zlotick.stores.questdb.ilp import encode
from zlotick.stores.questdb.schema import CREATE_VIEWS

CHECKOUT = Path(__file__).parents[1]
FILE = CHECKOUT / "../shared/data/hourly_swig80.csv.gz"
STEP_SECONDS = 1800  # market time between two fetches: a cycle of 30 s at speed 60
CEILING_LINES = 10_000  # in one body


async def replayed() -> list[Entry]:
    """The changed quotes of every fetch, as the cycle would record them."""
    provider = ReplayProvider(ReplayConfig(file=FILE, speed=3600), step_seconds=STEP_SECONDS)
    last: dict[str, tuple[object, ...]] = {}
    entries: list[Entry] = []
    while not provider.finished:
        changed = [quote for quote in await provider.fetch_data() if last.get(quote.symbol) != quote.traded()]
        last |= {quote.symbol: quote.traded() for quote in changed}
        if changed:
            batch = UpdateBatch(changed[0].timestamp, changed[0].market_status, changed)
            entries.append(Entry(Position("benchmark", len(entries) + 1), batch))
    await provider.close()
    return entries


async def bulk(http: QuestDBHttp, bodies: list[list[bytes]]) -> None:
    for body in bodies:
        assert not await http.write(body)
    await http.close()  # its connection would remember the table that is dropped next


async def delivered(connector: QuestDBConnector, entries: list[Entry]) -> None:
    for first in range(0, len(entries), connector.max_entries):
        assert not await connector.deliver(entries[first : first + connector.max_entries])


async def timed(connector: QuestDBConnector, writing: Awaitable[None], rows: int) -> float:
    """Seconds until every row is readable; then the table is dropped."""
    began = time.perf_counter()
    await writing
    await connector.execute_query("SELECT wait_wal_table('stock_data')")
    seconds = time.perf_counter() - began
    [found] = await connector.execute_query("SELECT count() AS rows FROM stock_data")
    assert found["rows"] == rows, found
    for name in CREATE_VIEWS:
        await connector.execute_query(f"DROP MATERIALIZED VIEW {name}")
    await connector.execute_query("DROP TABLE stock_data")
    return seconds


async def measure(config: QuestDBConfig) -> list[str]:
    connector = QuestDBConnector(config, timeout=30)
    http = QuestDBHttp(config, timeout=30, connect_timeout=1)
    began = time.perf_counter()
    entries = await replayed()
    playing = time.perf_counter() - began
    quotes: list[StockUpdate] = [quote for entry in entries for quote in entry.batch.quotes]
    lines = [encode(quote) for quote in quotes]
    bodies = [lines[first : first + CEILING_LINES] for first in range(0, len(lines), CEILING_LINES)]
    try:
        ceilings, ours = [], 0.0
        for turn in ("warm-up", "ceiling", "ours", "ceiling"):
            await connector.connect()
            if turn == "ours":
                ours = await timed(connector, delivered(connector, entries), len(lines))
            else:
                some = bodies[:5] if turn == "warm-up" else bodies
                seconds = await timed(connector, bulk(http, some), sum(map(len, some)))
                ceilings.append(seconds / sum(map(len, some)))
    finally:
        await connector.close()
        await http.close()
    return told(len(lines), len(entries), playing, ours, min(ceilings) * len(lines))


def told(rows: int, entries: int, playing: float, ours: float, ceiling: float) -> list[str]:
    return [
        f"replay of {FILE.name} into QuestDB: {rows:,} rows in {entries:,} entries:",
        f"  delivered (encode, write, apply): {rows / ours:,.0f} rows/s",
        f"  the server's bulk ceiling (same rows, encoded beforehand; best of 2): {rows / ceiling:,.0f} rows/s",
        f"  ratio delivery / ceiling: {ceiling / ours:.2f}",
        f"  with the replay's own work ({playing:.1f} s): {rows / (playing + ours):,.0f} rows/s",
    ]


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


async def run() -> list[str]:
    """The lines to print."""
    if not FILE.exists():
        return [f"replay into QuestDB: skipped, there is no {FILE}"]
    jar = await provide_jar(QuestDBConfig(), CHECKOUT / "data" / "servers", print)
    port, http_port = free_ports(2)
    config = QuestDBConfig(
        host="127.0.0.1", port=port, http_port=http_port, password=Secret("benchmark"), jar_path=jar
    )
    with tempfile.TemporaryDirectory(dir=CHECKOUT) as folder:
        server = EmbeddedQuestDB(config, ServiceConfig(data_dir=Path(folder)))
        await server.start()
        try:
            return await measure(config)
        finally:
            await server.stop()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    print("\n".join(asyncio.run(run())))


if __name__ == "__main__":
    main()
