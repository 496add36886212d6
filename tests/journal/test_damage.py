"""A damaged or torn journal is refused or passed over with a word, never silently and never for ever."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.factories import batch

from zlotick.errors import JournalError
from zlotick.gateway.fanout.recovery import CannotResume, ReplayBuffer, missed
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import Position


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


async def write(journal: SqliteJournal, count: int) -> None:
    for n in range(count):
        await journal.append(batch(*(f"S{k}" for k in range(40)), price=n + 1))


def copied(path: Path, folder: Path, *endings: str) -> Path:
    """A copy of some of the journal's files, as a backup program makes it."""
    folder.mkdir()
    for ending in endings:
        shutil.copy(path.with_name(path.name + ending), folder)
    return folder / path.name


async def spoil(path: Path, *offsets: int) -> None:
    """Entries that are not JSON any more, as a bad sector leaves them."""
    with sqlite3.connect(path) as db:
        db.executemany("UPDATE entries SET batch = 'x' WHERE offset = ?", [(offset,) for offset in offsets])
    db.close()


async def test_a_reader_passes_over_a_damaged_entry(path: Path) -> None:
    """It retried the same entry for ever: deliveries, alerts, retention and resuming clients stood still."""
    async with SqliteJournal(path) as journal:
        await write(journal, 20)
    await spoil(path, 7, 8)
    async with SqliteJournal(path) as journal:
        with capture_logs() as logs:
            found = [entry.position.offset for entry in await journal.read(0, 64)]
            followed = []
            async with asyncio.timeout(30):
                async for chunk in journal.follow(5):
                    followed += [entry.position.offset for entry in chunk]
                    if followed[-1] == 20:
                        break
        assert found == [n for n in range(1, 21) if n not in (7, 8)]
        assert followed == [6, *range(9, 21)]
        assert (await journal.stats()).damaged == 2
    [told] = [line for line in logs if "damaged" in line["event"]]
    assert (told["first"], told["last"], told["entries"]) == (7, 8, 2)


async def test_nothing_but_damage_ahead_is_no_endless_loop(path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, 5)
    await spoil(path, 4, 5)
    async with SqliteJournal(path) as journal:
        assert await journal.read(3) == []
        await write(journal, 1)
        assert [entry.position.offset for entry in await journal.read(3)] == [6]


async def test_a_client_that_resumes_over_damage_gets_a_gap(path: Path) -> None:
    """It got a retryable 503 at every attempt, and never a live quote again."""
    async with SqliteJournal(path) as journal:
        await write(journal, 10)
    await spoil(path, 5)
    async with SqliteJournal(path) as journal:
        entries = missed(2, lambda: journal.position, ReplayBuffer(), journal.read)
        assert [(await anext(entries)).position.offset for _ in range(2)] == [3, 4]
        with pytest.raises(CannotResume, match="damaged"):
            await anext(entries)


async def test_a_damaged_page_is_refused_after_an_unclean_end(path: Path, tmp_path: Path) -> None:
    """A backup of a running service, the file first and its log later: three of four such copies started."""
    refused = 0
    async with SqliteJournal(path) as journal:
        await write(journal, 60)
        for n in range(4):
            torn = copied(path, tmp_path / f"torn{n}", "")
            await write(journal, 600)
            shutil.copy(path.with_name("journal.sqlite-wal"), torn.parent)
            refused += await is_refused(SqliteJournal(torn))
    assert refused


async def is_refused(journal: SqliteJournal) -> bool:
    """Whether it is; else all it has can be read (SQLite ignores a log that was begun again meanwhile)."""
    try:
        await journal.open()
    except JournalError:
        return True
    entries = await journal.read(0, 10_000)
    assert [entry.position.offset for entry in entries] == list(range(1, len(entries) + 1))
    assert (await journal.stats()).damaged == 0
    await journal.close()
    return False


async def test_a_page_of_noise_is_refused_after_an_unclean_end(path: Path, tmp_path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, 60)
    async with SqliteJournal(path) as journal:
        await write(journal, 1)
        torn = copied(path, tmp_path / "torn", "", "-wal")
    with torn.open("r+b") as file:
        file.seek(10 * 4096)
        file.write(b"\xa5" * 4096 * 4)
    with pytest.raises(JournalError, match="damaged"):
        await SqliteJournal(torn).open()


@pytest.mark.parametrize("keep", [0.0, 0.5])
async def test_a_lost_log_begins_a_new_epoch(path: Path, tmp_path: Path, keep: float) -> None:
    """The log was cut in half: 97 entries became 47 in the same epoch, and offsets were given twice."""
    async with SqliteJournal(path) as journal:
        await journal.cursor("questdb")
        await write(journal, 30)
        await journal.move_cursor("questdb", 30)
        before = journal.position
        lost = copied(path, tmp_path / "lost", "", "-wal", "-offset")
    log = lost.with_name("journal.sqlite-wal")
    data = log.read_bytes()
    log.write_bytes(data[: int(len(data) * keep)])
    with capture_logs() as logs:
        copy = SqliteJournal(lost)
        await copy.open()
    if copy.position.offset == 0:
        assert copy.position.epoch != before.epoch  # the whole journal was in the log: another one begins
    else:
        assert copy.position.offset < before.offset
        assert copy.position.epoch != before.epoch
        assert any("lost its newest entries" in line["event"] for line in logs)
        assert await copy.cursor("questdb") <= copy.position.offset
    await copy.close()


async def test_a_kill_keeps_the_epoch(path: Path, tmp_path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, 30)
        end: Position = journal.position
        killed = copied(path, tmp_path / "killed", "", "-wal", "-offset")
    async with SqliteJournal(killed) as journal:
        assert journal.position == end
        await write(journal, 1)
        assert journal.position == Position(end.epoch, 31)


async def test_an_older_backup_begins_a_new_epoch(path: Path, tmp_path: Path) -> None:
    async with SqliteJournal(path) as journal:
        await write(journal, 10)
    backup = copied(path, tmp_path / "backup", "")
    async with SqliteJournal(path) as journal:
        await write(journal, 10)
        epoch = journal.position.epoch
    shutil.copy(backup, path)
    async with SqliteJournal(path) as journal:
        assert journal.position.offset == 10
        assert journal.position.epoch != epoch
