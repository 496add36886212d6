"""The bounds of what is kept for readers; the rest is in the contract."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.factories import TIME, batch, letter, quote

from zlotick.journal import readers
from zlotick.journal.sqlite import SqliteJournal
from zlotick.journal.sqlite_file import JournalFile
from zlotick.model import RejectedQuote


@pytest.fixture
def file(tmp_path: Path) -> Iterator[JournalFile]:
    file = JournalFile(tmp_path / "journal.sqlite")
    file.open()
    for _ in range(3):
        file.append(batch(), TIME)
    file.run(readers.cursor, "questdb")
    yield file
    file.close()


def letters(db: sqlite3.Connection) -> list[str]:
    return [letter.symbol for letter in readers.dead_letters(db, None, 100)]


def test_dead_letters_are_bounded_and_what_goes_is_counted(file: JournalFile) -> None:
    for offset in (1, 2, 3):
        dead = [letter(offset, f"{symbol}{offset}") for symbol in "AB"]
        file.run(readers.move_cursor, "questdb", offset, dead, max_dead_letters=3)
    assert file.run(letters) == ["B2", "A3", "B3"]
    assert file.stats().lost_dead_letters == 3
    assert file.stats().dead_letters == {"questdb": 3}


async def test_lost_dead_letters_are_said_loudly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_DEAD_LETTERS", 1)
    with capture_logs() as logs:
        async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
            await journal.append(batch())
            await journal.cursor("questdb")
            await journal.move_cursor("questdb", 1, [letter(1, "A"), letter(1, "B")])
            assert await journal.dead_letters() == [letter(1, "B")]
    (said,) = [line for line in logs if line["log_level"] == "error"]
    assert (said["lost"], said["mark"]) == (1, "❌")


def test_a_repeated_dead_letter_tells_the_newer_reason(file: JournalFile) -> None:
    for reason in ("first", "second"):
        file.run(readers.move_cursor, "questdb", 1, [letter(reason=reason)])
    (kept,) = file.run(readers.dead_letters, "questdb", 10)
    assert kept.reason == "second"


def test_rejected_quotes_are_bounded(file: JournalFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_REJECTED", 5)
    for n in range(4):
        rejected = [RejectedQuote("price", f"{n}{k}", quote()) for k in range(3)]
        file.run(readers.keep_rejected, rejected, TIME)
    kept = file.run(readers.kept_rejected, 100)
    assert [r.detail for r in kept] == ["32", "31", "30", "22", "21"]
