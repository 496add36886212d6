"""With a real QuestDB: its candle views give back the bars, however often and however interrupted the import."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests import shared
from tests.servers import QuestDBServer, Start
from tests.stores.questdb.samples import drop_schema

from zlotick.config import QuestDBConfig
from zlotick.errors import Transient
from zlotick.history.bars import Bars, Period
from zlotick.history.files import text_files
from zlotick.history.load import Checkpoint, CheckpointFile, Loaded, Loader
from zlotick.history.reader import Reader
from zlotick.stores.questdb import QuestDBConnector

SHARED = shared.FOLDER / "data"
PACKAGED = (files("zlotick.providers.replay") / "gpw_2025-04-30.csv").read_text().splitlines()


@pytest.fixture
async def connector(questdb_server: QuestDBConfig) -> AsyncIterator[QuestDBConnector]:
    connector = QuestDBConnector(questdb_server, timeout=30)
    await drop_schema(connector)
    yield connector
    await drop_schema(connector)
    await connector.close()


@pytest.fixture
def checkpoint(tmp_path: Path) -> CheckpointFile:
    return CheckpointFile(tmp_path / "imports", "import-1d localhost:9000", "files")


def read(lines: Iterable[str]) -> tuple[Reader, Bars]:
    reader = Reader(date(2026, 11, 24))
    reader.read("test", lines)
    [bars] = reader.bars.values()
    return reader, bars


def lines_of(name: str) -> list[str]:
    [file] = text_files([SHARED / name]).files
    return list(file.lines())


async def load(connector: QuestDBConnector, checkpoint: CheckpointFile, lines: Iterable[str]) -> Loaded:
    reader, bars = read(lines)
    return await Loader(connector, reader, checkpoint).load(bars, f"import-{bars.period}")


async def candles(
    connector: QuestDBConnector, view: str, source: str
) -> dict[tuple[str, str], tuple[Any, ...]]:
    rows = await connector.execute_query(
        f"SELECT timestamp, symbol, open, high, low, close, cum_vol_close FROM {view} WHERE data_source = $1",
        source,
    )
    return {
        (row["symbol"], row["timestamp"].isoformat()): tuple(
            row[name] for name in ("open", "high", "low", "close", "cum_vol_close")
        )
        for row in rows
    }


def expected(reader: Reader, bars: Bars) -> dict[tuple[str, str], tuple[Any, ...]]:
    wanted: dict[tuple[str, str], tuple[Any, ...]] = {}
    for _, of_day in bars.days(reader.overlaps):
        volume, symbol = 0, ""
        for bar in of_day:
            volume = bar.volume + (volume if bar.symbol == symbol else 0)
            symbol = bar.symbol
            start = datetime.fromtimestamp(bar.start, UTC).isoformat()
            wanted[symbol, start] = (bar.open, bar.high, bar.low, bar.close, volume)
    return wanted


async def test_the_hourly_candles_are_the_bars(
    connector: QuestDBConnector, checkpoint: CheckpointFile
) -> None:
    loaded = await load(connector, checkpoint, PACKAGED)
    wanted = expected(*read(PACKAGED))
    assert loaded.bars == len(wanted) > 600
    assert await candles(connector, "candles_1h", "import-1h") == wanted


@pytest.mark.skipif(not SHARED.exists(), reason="the large file is not part of the project")
async def test_a_year_of_hours_and_its_days(connector: QuestDBConnector, checkpoint: CheckpointFile) -> None:
    lines = await asyncio.to_thread(lines_of, "hourly_swig80.csv.gz")
    await load(connector, checkpoint, lines)
    assert await candles(connector, "candles_1h", "import-1h") == expected(*read(lines))
    by_day = await candles(connector, "candles_1d", "import-1h")
    rows = csv.DictReader(await asyncio.to_thread(lines_of, "daily_from_hourly_wse.csv.gz"))
    compared = 0
    for row in rows:
        if candle := by_day.get((row["symbol"], f"{row['date']}T00:00:00+00:00")):
            compared += 1
            assert candle == (
                *(float(row[name]) for name in ("open", "high", "low", "close")),
                int(row["volume"]),
            )
    assert compared == len(by_day) > 15_000


async def test_daily_and_five_minute_bars(connector: QuestDBConnector, checkpoint: CheckpointFile) -> None:
    header = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
    for period, line, ohlcv in [
        (Period.DAY, "11B,D,20240411,000000,510,520,500.5,501,9000,0", (510, 520, 500.5, 501, 9000)),
        (Period.FIVE_MINUTES, "11B,5,20240411,170500,510,511,509,510,12.4,0", (510, 511, 509, 510, 12)),
    ]:
        reader, bars = read([header, line])
        await Loader(connector, reader, checkpoint).load(bars, f"stooq-bulk-{period}")
        [candle] = (await candles(connector, f"candles_{period}", f"stooq-bulk-{period}")).values()
        assert candle == ohlcv


async def test_the_same_import_again_changes_nothing(
    connector: QuestDBConnector, checkpoint: CheckpointFile
) -> None:
    async def stored() -> list[dict[str, Any]]:
        return await connector.execute_query("SELECT * FROM stock_data ORDER BY timestamp, symbol")

    first = await load(connector, checkpoint, PACKAGED)
    before = await stored()
    assert len(before) == first.rows
    again = await load(connector, checkpoint, PACKAGED)
    assert (again.rows, again.skipped_days) == (first.rows, 0)
    assert await stored() == before


def many_days(count: int) -> list[str]:
    start = date(2024, 1, 1)
    return [
        "symbol,date,open,high,low,close,volume",
        *(
            f"S{symbol},{start + timedelta(days=day)},1,3,0.5,2,{day}"
            for day in range(count)
            for symbol in range(100)
        ),
    ]


async def test_an_interrupted_import_goes_on_where_it_was(
    connector: QuestDBConnector, checkpoint: CheckpointFile
) -> None:
    reader, bars = read(many_days(100))
    seen: list[int] = []

    def stop_after_two(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:
            raise InterruptedError

    loader = Loader(connector, reader, checkpoint, advance=stop_after_two)
    with pytest.raises(InterruptedError):
        await loader.load(bars, "import-1d")
    came_to = await asyncio.to_thread(checkpoint.read)
    assert came_to == Checkpoint("files", date(2024, 1, 1) + timedelta(days=49), 20_000)

    loaded = await load(connector, checkpoint, many_days(100))
    assert (loaded.rows, loaded.skipped_days, loaded.days) == (20_000, 50, 100)
    assert await asyncio.to_thread(checkpoint.read) is None
    [answer] = await connector.execute_query("SELECT count() AS rows FROM stock_data")
    assert answer["rows"] == 40_000


async def test_a_checkpoint_of_a_database_that_is_gone_is_not_believed(
    connector: QuestDBConnector, checkpoint: CheckpointFile
) -> None:
    await asyncio.to_thread(checkpoint.write, date(2024, 2, 1), 5000)
    with capture_logs() as logs:
        loaded = await load(connector, checkpoint, many_days(60))
    assert (loaded.rows, loaded.skipped_days) == (24_000, 0)
    assert any("begins again" in entry["event"] for entry in logs)


async def test_half_a_checkpoint_is_none(tmp_path: Path, checkpoint: CheckpointFile) -> None:
    await asyncio.to_thread(checkpoint.write, date(2024, 2, 1), 5000)
    [path] = await asyncio.to_thread(lambda: list((tmp_path / "imports").iterdir()))
    await asyncio.to_thread(path.write_text, '{"through":"2024-0')
    assert await asyncio.to_thread(checkpoint.read) is None


async def test_a_database_that_is_killed_and_comes_back(
    tmp_path: Path, checkpoint: CheckpointFile, start_questdb: Start[QuestDBServer]
) -> None:
    server = await start_questdb(tmp_path / "server")
    connector = QuestDBConnector(server.config, timeout=30)
    reader, bars = read(many_days(150))
    killed = asyncio.Event()
    task = asyncio.create_task(
        Loader(connector, reader, checkpoint, advance=lambda _: killed.set(), patience=60).load(
            bars, "import-1d"
        )
    )
    await killed.wait()
    await server.kill()
    await server.restart()
    loaded = await task
    assert loaded.rows == 60_000
    [answer] = await connector.execute_query("SELECT count() AS rows FROM stock_data")
    assert answer["rows"] == 60_000
    await connector.close()


async def test_a_database_that_stays_away_is_told(
    tmp_path: Path, checkpoint: CheckpointFile, start_questdb: Start[QuestDBServer]
) -> None:
    server = await start_questdb(tmp_path / "server")
    connector = QuestDBConnector(server.config, timeout=2)
    reader, bars = read(many_days(150))
    gone = asyncio.Event()
    loader = Loader(connector, reader, checkpoint, advance=lambda _: gone.set(), patience=0.5)
    task = asyncio.create_task(loader.load(bars, "import-1d"))
    await gone.wait()
    await server.kill()
    with pytest.raises(Transient):
        await task
    assert await asyncio.to_thread(checkpoint.read)  # the next run goes on there
    await connector.close()
