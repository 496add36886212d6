"""With a real QuestDB: a newer file leaves nothing of the bars that it corrects."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import shared
from tests.factories import quote
from tests.history.test_load import candles, connector, expected, read

from zlotick.config import QuestDBConfig
from zlotick.history.load import CheckpointFile, Loaded, Loader
from zlotick.market.queries import HistoryQuery
from zlotick.model import StockUpdate
from zlotick.stores.questdb import QuestDBConnector
from zlotick.stores.questdb.exports import parquet
from zlotick.stores.questdb.history import QuestDBHistory

__all__ = ["connector"]  # a fixture

CASES = shared.FOLDER / "cases" / "split-reimport"
HEADER = "symbol,date,time_end,open,high,low,close,volume"
BEFORE = [
    HEADER,
    "AAA,2025-03-03,10:00,510,515,505,512,1000",
    "AAA,2025-03-03,11:00,512,518,509,510,500",
    "AAA,2025-03-04,10:00,510,511,509,510,500",
    "BBB,2025-03-03,10:00,7,8,6,7.5,10",
]
SOURCE = "import-1h"


async def put(connector: QuestDBConnector, folder: Path, lines: list[str], files: str = "files") -> Loaded:
    reader, bars = read(lines)
    checkpoint = CheckpointFile(folder / "imports", SOURCE, files)
    return await Loader(connector, reader, checkpoint).load(bars, SOURCE)


async def quotes(connector: QuestDBConnector, symbol: str) -> list[StockUpdate]:
    history = QuestDBHistory(connector.execute_query)
    begin, end = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
    query = HistoryQuery(symbol=symbol, begin=begin, end=end, data_source=SOURCE, limit=10_000)
    return [quote async for page in history.quotes(query) for quote in page]


@pytest.mark.parametrize(
    ("newer", "counts"),
    [
        # A split 1:10: another shape, for the first hour's low is now its open.
        (
            ["AAA,2025-03-03,10:00,51,51.5,51,51.2,10000", "AAA,2025-03-03,11:00,51.2,51.8,50.9,51,5000"],
            (2, 0),
        ),
        (["AAA,2025-03-03,10:00,51,51,51,51,10000", "AAA,2025-03-03,11:00,51.2,51.2,50.9,50.9,5000"], (2, 0)),
        (["AAA,2025-03-03,11:00,512,518,509,510,500"], (1, 1)),  # the first hour was cancelled
        (["AAA,2025-03-03,11:05,512,518,509,510,500"], (0, 2)),  # the session ends five minutes later
        (["AAA,2025-03-03,10:00,510,5,505,512,1000"], (0, 2)),  # rejected, and there is no other
        (["AAA,2025-03-03,10:00,510,515,505"], (0, 2)),  # so is a line that was cut
        (["AAA,2025-03-03,10:xx,1,1,1,1,1", "AAA,2025-03-03,11:00,512,518,509,510,500"], (1, 1)),
    ],
)
async def test_nothing_is_left_of_what_a_newer_file_corrects(
    connector: QuestDBConnector, tmp_path: Path, newer: list[str], counts: tuple[int, int]
) -> None:
    """After a split the candle of 09:00 had O 51.0 and the high of before, 515.0; a cancelled bar stayed for ever."""
    await put(connector, tmp_path, BEFORE)
    done = await put(connector, tmp_path, [HEADER, *newer])
    assert (done.replaced, done.removed) == counts

    wanted = expected(*read([*BEFORE[:1], *BEFORE[3:], *newer]))  # of other days and symbols all stays
    # A candle of the length of the bar is the bar only if the bar begins with the hour.
    if "11:05" not in newer[0]:
        rejected = {"volume"} if "10:xx" in newer[0] else set()
        stored = await candles(connector, "candles_1h", SOURCE)
        assert {key: values[:4] for key, values in stored.items()} == {k: v[:4] for k, v in wanted.items()}
        assert rejected or stored == wanted
    last = {quote.timestamp for quote in await quotes(connector, "AAA")}
    for view in ("candles_1m", "candles_5m", "candles_1d"):
        rows = await connector.execute_query(
            f"SELECT max(high) h, min(low) l, sum(ticks) n FROM {view} WHERE symbol = 'AAA'"
        )
        of_symbol = [values for (symbol, _), values in wanted.items() if symbol == "AAA"]
        assert rows == [
            {"h": max(v[1] for v in of_symbol), "l": min(v[2] for v in of_symbol), "n": len(last)}
        ]


async def test_the_columns_of_a_session_and_the_exports_forget_too(
    connector: QuestDBConnector, tmp_path: Path, questdb_server: QuestDBConfig
) -> None:
    await put(connector, tmp_path, BEFORE)
    await put(connector, tmp_path, [HEADER, "AAA,2025-03-03,11:00,51,51,51,51,5"])
    found = [quote for quote in await quotes(connector, "AAA") if quote.timestamp < "2025-03-04"]
    assert [(q.price, q.high, q.low, q.open, q.volume) for q in found] == [(51, 51, 51, 51, 5)]
    query = HistoryQuery(
        symbol="AAA", begin=datetime(2025, 3, 3, tzinfo=UTC), end=datetime(2025, 3, 4, tzinfo=UTC), limit=1000
    )
    body = b"".join([piece async for piece in parquet(questdb_server, query)])
    assert pl.read_parquet(io.BytesIO(body))["price"].to_list() == [51]
    assert await connector.count(SOURCE, datetime(2025, 3, 4, tzinfo=UTC)) == 1 + 4  # and BBB's


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not part of the project")
@pytest.mark.parametrize("newer", ["2-after-split.csv", "3-flat.csv"])
async def test_the_reported_files(connector: QuestDBConnector, tmp_path: Path, newer: str) -> None:
    files = [CASES / "1-before-split.csv", CASES / newer]
    old, new = [(await asyncio.to_thread(file.read_text)).splitlines() for file in files]
    await put(connector, tmp_path, old)
    await put(connector, tmp_path, new)
    assert await candles(connector, "candles_1h", SOURCE) == expected(*read(new))


async def test_no_other_source_loses_a_row_while_the_service_writes(
    connector: QuestDBConnector, tmp_path: Path, questdb_server: QuestDBConfig
) -> None:
    """The rows of a live source and of another import, at the very times of the erased ones, and new ones meanwhile."""
    await put(connector, tmp_path, BEFORE)
    others = [
        quote("AAA", one.price, timestamp=one.timestamp, data_source=source)
        for one in await quotes(connector, "AAA")
        for source in ("gpw", "import-1d")
    ]
    await connector.insert_batch(others)
    service = QuestDBConnector(questdb_server, timeout=30)
    done = asyncio.Event()
    written: list[str] = []

    async def serve() -> None:
        for number in count():
            moment = f"2025-03-03T{8 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.500Z"
            await service.insert_batch([quote(timestamp=moment, symbol="AAA", data_source="gpw")])
            written.append(moment)
            if done.is_set():
                return
            await asyncio.sleep(0.01)

    live = asyncio.create_task(serve())
    await put(
        connector, tmp_path, [HEADER, "AAA,2025-03-03,11:00,1,1,1,1,1", "AAA,2025-03-04,10:00,2,2,2,2,2"]
    )
    done.set()
    await live
    await service.close()
    await connector.execute_query("SELECT wait_wal_table('stock_data')")
    rows = await connector.execute_query(
        "SELECT count() n FROM stock_data WHERE data_source <> $1 AND price IS NOT NULL", SOURCE
    )
    assert rows == [{"n": len(others) + len(written)}]
    assert [quote.price for quote in await quotes(connector, "AAA")] == [1, 2]


def split(lines: list[str]) -> list[str]:
    """The same bars at a tenth, without their lows and every second symbol's day."""
    kept = [line.split(",") for line in lines[1:]]
    return [lines[0], *(f"{s},{d},0.1,0.3,0.1,0.2,{v}" for s, d, *_, v in kept if int(v) % 2)]


async def test_a_killed_import_and_other_files_between(connector: QuestDBConnector, tmp_path: Path) -> None:
    """An import that was killed went on where it was, although other files had come into its days since."""
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 7) for day in range(1, 21)]
    first = ["symbol,date,open,high,low,close,volume"]
    first += [f"S{n},{day},1,3,0.5,2,{number}" for number, day in enumerate(days) for n in range(80)]
    second = split(first)

    def stop(bars: int) -> None:
        raise InterruptedError

    reader, bars = read(first)
    killed = Loader(connector, reader, CheckpointFile(tmp_path / "imports", SOURCE, "first"), advance=stop)
    with pytest.raises(InterruptedError):
        await killed.load(bars, SOURCE)
    done = await put(connector, tmp_path, second, "second")
    assert (done.skipped_days, done.days) == (0, 60)
    assert (await put(connector, tmp_path, first, "first")).skipped_days == 0
    assert await candles(connector, "candles_1d", SOURCE) == of_days(first)

    reader, bars = read(second)  # and killed in the middle of a correction: the next one completes it
    killed = Loader(connector, reader, CheckpointFile(tmp_path / "imports", SOURCE, "second"), advance=stop)
    with pytest.raises(InterruptedError):
        await killed.load(bars, SOURCE)
    await put(connector, tmp_path, second, "second")
    kept = [first[0], *(line for line in first[1:] if not int(line.rpartition(",")[2]) % 2)]
    assert await candles(connector, "candles_1d", SOURCE) == of_days(second) | of_days(kept)


def of_days(lines: list[str]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """As the daily view tells them: by midnight."""
    return {(symbol, f"{at[:10]}T00:00:00+00:00"): v for (symbol, at), v in expected(*read(lines)).items()}


DAYS = ("2025-03-03", "2025-03-04")
PRICE = st.sampled_from([9, 10, 11, 12])


@st.composite
def sessions(draw: st.DrawFn) -> list[str]:
    """The lines of a session after its symbol: right ones, and sometimes one that is rejected."""
    lines = []
    for hour in sorted(draw(st.lists(st.integers(10, 13), unique=True, min_size=1))):
        low, one, other, high = sorted(draw(st.tuples(PRICE, PRICE, PRICE, PRICE)))
        opened, close = draw(st.permutations([one, other]))
        wrong = draw(st.integers(0, 5)) == 0
        lines.append(f"{hour}:00,{opened},{0 if wrong else high},{low},{close},{draw(st.integers(0, 9))}")
    return lines


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    imports=st.lists(st.dictionaries(st.sampled_from(DAYS), sessions(), min_size=1), min_size=2, max_size=4)
)
def test_any_sequence_of_imports_is_the_union_by_day_of_the_last_files(
    imports: list[dict[str, list[str]]], questdb_server: QuestDBConfig, tmp_path: Path
) -> None:
    """Candles of any length, and the rows, are those of one import of each day's last file into an empty database."""

    def lines(file: dict[str, list[str]], symbol: str) -> list[str]:
        return [HEADER, *(f"{symbol},{day},{line}" for day, of_day in file.items() for line in of_day)]

    async def run() -> None:
        connector = QuestDBConnector(questdb_server, timeout=30)
        try:
            await compare(connector)
        finally:
            await connector.close()

    async def compare(connector: QuestDBConnector) -> None:
        # Every line is rejected: this leaves nothing of the example before.
        await put(connector, tmp_path, [HEADER, *(f"{s},{day},x" for s in ("ONE", "TWO") for day in DAYS)])
        union: dict[str, list[str]] = {}
        for file in imports:
            await put(connector, tmp_path, lines(file, "ONE"))
            union |= file
        await put(connector, tmp_path, lines(union, "TWO"))
        for table in ("candles_1m", "candles_5m", "candles_1h", "candles_1d", "stock_data"):
            assert await told(connector, table, "ONE") == await told(connector, table, "TWO")

    asyncio.run(run())


async def told(connector: QuestDBConnector, table: str, symbol: str) -> list[dict[str, Any]]:
    priced = " AND price IS NOT NULL" if table == "stock_data" else ""
    rows = await connector.execute_query(
        f"SELECT * FROM {table} WHERE data_source = $1 AND symbol = $2{priced} ORDER BY timestamp",
        SOURCE,
        symbol,
    )
    return [row | {"symbol": ""} for row in rows]
