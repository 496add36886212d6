from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.factories import batch

from zlotick.errors import AlreadyRunning, JournalError
from zlotick.journal.inspection import inspect
from zlotick.journal.sqlite_file import JournalFile

AT = "2026-11-24T10:00:00.000Z"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def made(path: Path, batches: int = 2) -> None:
    journal = JournalFile(path)
    journal.open()
    for number in range(batches):
        journal.append(batch(price=10.0 + number), AT)
    journal.close()


def test_there_is_none_yet(path: Path) -> None:
    assert inspect(path) is None
    assert not path.exists()
    path.touch()
    assert inspect(path) is None
    assert path.stat().st_size == 0


@pytest.mark.parametrize("name", ["journal.sqlite", "a b?c#d%20.sqlite"])
def test_what_it_holds(tmp_path: Path, name: str) -> None:
    made(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    stats = inspect(tmp_path / name)
    assert stats
    assert (stats.entries, stats.position.offset) == (2, 2)
    assert (tmp_path / name).read_bytes() == before


def test_what_a_killed_zlotick_left_in_the_log_counts(path: Path, tmp_path: Path) -> None:
    made(path, 1)
    journal = JournalFile(path)
    journal.open()
    journal.append(batch(price=99.0), AT)
    killed = tmp_path / "killed"
    killed.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", killed)
    journal.close()
    stats = inspect(killed / path.name)
    assert stats
    assert stats.entries == 2
    assert (killed / "journal.sqlite-wal").stat().st_size > 0


def test_the_owner_keeps_it(path: Path) -> None:
    journal = JournalFile(path)
    journal.open()
    with pytest.raises(AlreadyRunning, match=f"in use by process {os.getpid()}"):
        inspect(path)
    journal.close()
    assert inspect(path)
    journal = JournalFile(path)
    journal.open()  # the look has let go of the lock
    journal.close()


@pytest.mark.parametrize(
    ("content", "told"), [(b"x" * 5000, "is damaged or not a zlotick journal"), (None, "of something else")]
)
def test_what_zlotick_could_not_use(path: Path, content: bytes | None, told: str) -> None:
    if content:
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE t (x)")
        db.close()
    with pytest.raises(JournalError, match=told):
        inspect(path)


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="must be a file"):
        inspect(path)
