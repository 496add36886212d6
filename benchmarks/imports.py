"""A year of hourly bars imported into an embedded QuestDB: into an empty table, and over what is there already.

The measure is the same import without a look at what is stored. All in one run on one server, the file read
beforehand; each is timed until the last row, and its candles, are readable.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import structlog
from benchmarks.replay_questdb import CHECKOUT, FILE, free_ports

from zlotick.config import QuestDBConfig, Secret, ServiceConfig
from zlotick.embedded.jar import provide_jar
from zlotick.embedded.questdb import EmbeddedQuestDB
from zlotick.history.bars import Bars
from zlotick.history.files import text_files
from zlotick.history.load import CheckpointFile, Loader
from zlotick.history.reader import Reader
from zlotick.history.replacement import Replacement
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.schema import CREATE_VIEWS

SOURCE = "import-1h"


def read() -> tuple[Reader, Bars]:
    reader = Reader(datetime.now(UTC).date())
    for file in text_files([FILE]).files:
        reader.read(file.name, file.lines())
    [bars] = reader.bars.values()
    return reader, bars


class Blind(Loader):
    """Writes without a look at what is there."""

    async def _change(self, *_: object) -> Replacement:
        return Replacement([], 0, 0)


async def seconds(loader: type[Loader], connector: QuestDBConnector, folder: Path) -> tuple[float, int]:
    """How long an import takes, and of how many rows."""
    reader, bars = read()
    began = time.perf_counter()
    done = await loader(connector, reader, CheckpointFile(folder, SOURCE, "files")).load(bars, SOURCE)
    return time.perf_counter() - began, done.rows


async def drop(connector: QuestDBConnector) -> None:
    for name in CREATE_VIEWS:
        await connector.execute_query(f"DROP MATERIALIZED VIEW {name}")
    await connector.execute_query("DROP TABLE stock_data")


async def measure(config: QuestDBConfig, folder: Path) -> list[str]:
    connector = QuestDBConnector(config, timeout=30)
    rows, blind, first, second = 0, [], [], []
    try:
        for _ in range(3):  # the first is the warm-up
            took, rows = await seconds(Blind, connector, folder)
            blind.append(took)
            await drop(connector)
            first.append((await seconds(Loader, connector, folder))[0])
            second.append((await seconds(Loader, connector, folder))[0])
            await drop(connector)
    finally:
        await connector.close()
    least, once, again = (min(times[1:]) for times in (blind, first, second))
    return [
        f"import of {FILE.name}: {rows:,} rows",
        f"  without a look at what is there: {rows / least:,.0f} rows/s",
        f"  the first import: {rows / once:,.0f} rows/s (time {once / least:.2f} of that)",
        f"  the same again over it: {rows / again:,.0f} rows/s (time {again / least:.2f} of that)",
    ]


async def run() -> list[str]:
    """The lines to print."""
    if not FILE.exists():
        return [f"import into QuestDB: skipped, there is no {FILE}"]
    jar = await provide_jar(QuestDBConfig(), CHECKOUT / "data" / "servers", print)
    port, http_port = free_ports(2)
    config = QuestDBConfig(
        host="127.0.0.1", port=port, http_port=http_port, password=Secret("benchmark"), jar_path=jar
    )
    with tempfile.TemporaryDirectory(dir=CHECKOUT) as folder:
        server = EmbeddedQuestDB(config, ServiceConfig(data_dir=Path(folder)))
        await server.start()
        try:
            return await measure(config, Path(folder) / "imports")
        finally:
            await server.stop()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
    print("\n".join(asyncio.run(run())))


if __name__ == "__main__":
    main()
