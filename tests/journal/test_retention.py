"""Retention by size, on real files."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs
from tests.factories import batch
from tests.journal.contract import take

from zlotick.config import JournalConfig
from zlotick.journal.retention import MB
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import UpdateBatch

EIGHTY = batch(*(f"SYM{n}" for n in range(80)))  # about 20 kB of JSON


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    with capture_logs() as logs:
        yield logs


def journal(tmp_path: Path, keep_mb: int = 1, budget_mb: int = 100) -> SqliteJournal:
    config = JournalConfig(keep_mb=keep_mb, budget_mb=budget_mb)
    return SqliteJournal(tmp_path / "journal.sqlite", config)


async def append(journal: SqliteJournal, count: int, what: UpdateBatch = EIGHTY) -> None:
    for _ in range(count):
        await journal.append(what)


async def test_the_file_really_shrinks(tmp_path: Path) -> None:
    async with journal(tmp_path) as log:
        await append(log, 300)
        before = (await log.stats()).size_bytes
        assert await log.retain() > 200
        stats = await log.stats()
        on_disk = sum(file.stat().st_size for file in tmp_path.glob("journal.sqlite*"))
        assert before > 6 * MB
        assert stats.size_bytes < 1.1 * MB
        assert on_disk < 1.2 * MB
        assert stats.size_bytes > 0.95 * MB  # no more than needed went
        assert (await log.read(0))[0].position.offset == stats.first_offset
        assert await log.retain() == 0


async def test_the_slowest_reader_is_waited_for(
    tmp_path: Path, logged: list[structlog.typing.EventDict]
) -> None:
    async with journal(tmp_path) as log:
        await append(log, 200)
        for reader, offset in (("questdb", 150), ("pocketbase", 40)):
            await log.cursor(reader)
            await log.move_cursor(reader, offset)
        assert await log.retain() == 40
        assert (await log.stats()).lost == {}
        assert not [line for line in logged if line["log_level"] == "error"]
        await log.move_cursor("pocketbase", 200)
        assert await log.retain() == 110


async def test_the_budget_waits_for_nobody_and_says_so(
    tmp_path: Path, logged: list[structlog.typing.EventDict]
) -> None:
    async with journal(tmp_path, keep_mb=1, budget_mb=2) as log:
        await append(log, 200)
        for reader, offset in (("questdb", 200), ("pocketbase", 10)):
            await log.cursor(reader)
            await log.move_cursor(reader, offset)
        dropped = await log.retain()
        stats = await log.stats()
        assert 100 < dropped < 190
        assert stats.lost == {"pocketbase": dropped - 10}
        assert stats.lag == {"questdb": 0, "pocketbase": 200 - dropped}
        assert 1.95 * MB < stats.size_bytes < 2.05 * MB  # down to the budget, no further
        (said,) = [line for line in logged if line["log_level"] == "error"]
        assert said["lost"] == {"pocketbase": dropped - 10}
        assert said["mark"] == "❌"
        await append(log, 50)
        again = await log.retain()
        assert (await log.stats()).lost == {"pocketbase": dropped - 10 + again}
        # The reader goes on with what there is.
        assert (await log.read(10))[0].position.offset == dropped + again + 1


async def test_appends_get_in_between_the_steps(tmp_path: Path) -> None:
    async with journal(tmp_path) as log:
        await append(log, 300)
        retaining = asyncio.create_task(log.retain())
        appended = 0
        while not retaining.done():
            await log.append(batch())
            appended += 1
        assert await retaining > 200
        assert appended > 5


async def test_a_retain_cancelled_half_way_leaves_a_whole_journal(tmp_path: Path) -> None:
    for turns in (1, 3, 5, 9):
        async with journal(tmp_path) as log:
            await append(log, 150)
            end = log.position.offset
            retaining = asyncio.create_task(log.retain())
            for _ in range(turns):
                await log.read(0, limit=1)
            retaining.cancel()
            await asyncio.gather(retaining, return_exceptions=True)
            first = (await log.stats()).first_offset
            async with aclosing(log.follow(0)) as chunks:
                assert await take(chunks, end - first + 1) == list(range(first, end + 1))


async def test_keeping_for_ever_is_possible(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.sqlite", JournalConfig(keep_days=1e9)) as log:
        await log.append(batch())
        assert await log.retain() == 0
