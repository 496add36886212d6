"""The file under attack: kill -9, foreign and damaged files, a full disk."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.factories import TIME, batch

from zlotick.errors import AlreadyRunning, JournalError
from zlotick.journal import entries
from zlotick.journal.sqlite_errors import translated
from zlotick.journal.sqlite_file import JournalFile

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def opened(path: Path) -> JournalFile:
    file = JournalFile(path)
    with translated(path):
        file.open()
    return file


def filled(path: Path, count: int = 3) -> JournalFile:
    file = opened(path)
    for n in range(count):
        file.append(batch("ABS", f"S{n}", price=n + 1), TIME)
    return file


# kill -9

WRITER = """
import asyncio, sys
from pathlib import Path
from tests.factories import batch
from zlotick.config import JournalConfig
from zlotick.journal.sqlite import SqliteJournal

async def main():
    config = JournalConfig(keep_days=1e-6)  # a tenth of a second: retention works while we are killed
    async with SqliteJournal(Path(sys.argv[1]), config) as journal:
        await journal.cursor("reader")
        while True:
            n = journal.position.offset + 1
            await journal.append(batch(*(f"S{(n * k) % 97}" for k in range(1, 41)), price=n))
            print("acknowledged", n, flush=True)
            if n % 20 == 0:
                await journal.move_cursor("reader", n - 15)
                await journal.retain()

asyncio.run(main())
"""


def run_until_killed(path: Path, seconds: float) -> int:
    """Let the writer append, kill it, and return the last offset that it acknowledged."""
    command = [sys.executable, "-c", WRITER, str(path)]
    told = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as writer:
        assert writer.stdout
        while not (told and told[-1].startswith("acknowledged")):  # after lines of the log
            told.append(writer.stdout.readline())
            assert told[-1], f"the writer ended by itself: {told}"
        time.sleep(seconds)  # the random moment
        writer.kill()
        told += writer.stdout.readlines()
    assert "Traceback" not in "".join(told)
    told = [line for line in told if line.endswith("\n")]  # the last one may be cut
    return max(int(line.split()[1]) for line in told if line.startswith("acknowledged"))


def told_again(last: int) -> dict[str, int]:
    """The last price of each symbol, from what the writer appends."""
    return {f"S{(n * k) % 97}": n for n in range(1, last + 1) for k in range(1, 41)}


def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    dice = random.Random(20260424)
    epochs, last_seen = set(), 0
    for _ in range(15):
        acknowledged = run_until_killed(path, dice.uniform(0, 0.15))
        file = opened(path)
        assert file.position
        epochs.add(file.position.epoch)
        kept = [entry.position.offset for entry in file.run(entries.read, 0, 1_000_000).entries]
        assert acknowledged > last_seen
        assert acknowledged <= file.position.offset <= acknowledged + 1
        assert kept == list(range(kept[0], file.position.offset + 1))
        cursor = file.stats().cursors["reader"]
        assert kept[0] <= cursor + 1
        values = file.run(entries.last_values)
        assert {symbol: value.price for symbol, value in values.items()} == told_again(file.position.offset)
        last_seen = file.position.offset
        assert file._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        file.close()
    assert len(epochs) == 1


CREATOR = """
import sys
from pathlib import Path
from zlotick.journal.sqlite_file import JournalFile
print("go", flush=True)
file = JournalFile(Path(sys.argv[1]))
file.open()
print(file.position.epoch, flush=True)
sys.stdin.read()
"""


def test_kill_9_while_it_is_created_leaves_nothing_or_a_whole_journal(tmp_path: Path) -> None:
    dice = random.Random(7)
    for n in range(6):
        path = tmp_path / f"{n}.sqlite"
        command = [sys.executable, "-c", CREATOR, str(path)]
        creator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert creator.stdout
        creator.stdout.readline()
        time.sleep(dice.uniform(0, 0.02))
        creator.kill()
        told, _ = creator.communicate(timeout=10)
        file = opened(path)
        assert file.position
        assert told.strip() in ("", file.position.epoch)
        file.close()


# Two owners


def test_a_second_process_is_refused_and_disturbs_nothing(path: Path) -> None:
    file = filled(path)
    told = subprocess.run(
        [sys.executable, "-c", CREATOR, str(path)], capture_output=True, text=True, input="", check=False
    )
    assert "AlreadyRunning" in told.stderr
    file.append(batch(), TIME)
    with pytest.raises(AlreadyRunning):
        opened(path)
    file.close()


# Foreign and damaged files: refused with a remedy, and not one byte changed


def foreign_database(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE customers (name)")
    db.close()


def newer_journal(path: Path) -> None:
    filled(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()


def text_file(path: Path) -> None:
    path.write_text("timestamp,symbol,price\n" * 1000)


def cut_file(path: Path) -> None:
    filled(path, 200).close()
    path.write_bytes(path.read_bytes()[:-20_000])


def garbled_first_page(path: Path) -> None:
    filled(path).close()
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4080 + path.read_bytes()[4096:])


def contradicting(path: Path) -> None:
    filled(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE journal SET last_offset = 2")
    db.close()


def no_position(path: Path) -> None:
    filled(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DELETE FROM journal")
    db.close()


def missing_table(path: Path) -> None:
    filled(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE entries")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (text_file, "not a database"),
        (foreign_database, "database of something else"),
        (newer_journal, "newer zlotick (schema 99, this one knows 1)"),
        (cut_file, "damaged"),
        (garbled_first_page, "damaged"),
        (contradicting, "contradicts itself"),
        (no_position, "no position"),
        (missing_table, "no such table"),
    ],
)
def test_a_file_we_cannot_use_is_left_alone(path: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(JournalError) as refused:
        opened(path)
    for part in (str(path), says, "Move it aside", "new epoch"):
        assert part in str(refused.value)
    assert path.read_bytes() == before
    path.rename(path.with_suffix(".aside"))
    opened(path).close()


def test_a_damaged_entry_is_passed_over(path: Path) -> None:
    file = filled(path)
    file._db.execute("UPDATE entries SET batch = '{\"quotes\": 5}' WHERE offset = 2")
    found = file.run(entries.read, 0, 10)
    assert ([entry.position.offset for entry in found.entries], found.damaged) == ([1, 3], [2])
    file.close()


def test_a_link_does_not_lead_around_the_lock(path: Path) -> None:
    file = filled(path)
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    with pytest.raises(AlreadyRunning):
        opened(link)
    file.close()
    file = opened(link)
    assert file.stats().size_bytes > path.stat().st_size - 1
    file.close()


def test_a_read_only_disk(small_disk: Path) -> None:
    filled(small_disk / "journal.sqlite").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(JournalError, match=r"Read-only file system.*may write to"):
        opened(small_disk / "journal.sqlite")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to everything")
def test_a_read_only_file(path: Path) -> None:
    filled(path).close()
    path.chmod(0o444)
    with pytest.raises(JournalError, match=r"Permission denied.*may write to"):
        opened(path)


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    filled(path).close()


def test_a_folder_in_the_place_of_the_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="must be a file in a local folder"):
        opened(path)


def test_a_file_in_the_place_of_the_folder(path: Path) -> None:
    path.touch()
    with pytest.raises(JournalError, match="must be a file in a local folder"):
        opened(path / "journal.sqlite")


def test_a_file_removed_while_in_use_is_noticed(path: Path) -> None:
    file = filled(path)
    path.unlink()
    with pytest.raises(JournalError, match="removed or replaced while in use"):
        file.append(batch(), TIME)
    file.close()


def test_a_foreign_writer_is_waited_for_then_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zlotick.sqlite.connection.BUSY_TIMEOUT", 0.05)
    file = filled(path)
    shell = sqlite3.connect(path, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError, match="another program holds the file"), translated(path):
        file.append(batch(), TIME)
    shell.execute("ROLLBACK")
    assert file.append(batch(), TIME).position.offset == 4
    shell.close()
    file.close()


# No space


def append_until_it_fails(file: JournalFile) -> tuple[int, str]:
    """How many entries went in, and what was said."""
    assert file.position
    before = file.position.offset

    def append() -> None:
        for n in range(100_000):
            file.append(batch(*(f"S{k}" for k in range(40)), price=n + 1), TIME)

    with pytest.raises(JournalError) as failed, translated(file.path):
        append()
    return file.position.offset - before, str(failed.value)


def check_whole(file: JournalFile) -> None:
    assert file.position
    kept = [entry.position.offset for entry in file.run(entries.read, 0, 1_000_000).entries]
    assert kept == list(range(1, file.position.offset + 1))
    assert file._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_full_database_says_so_and_goes_on_when_there_is_room(path: Path) -> None:
    file = filled(path)
    pages = file._db.execute("PRAGMA page_count").fetchone()[0]
    file._db.execute(f"PRAGMA max_page_count={pages + 50}").fetchone()
    count, said = append_until_it_fails(file)
    assert count > 1
    assert f"journal {path}: database or disk is full" in said
    assert "free some space" in said
    with pytest.raises(JournalError), translated(path):
        file.append(batch(*(f"S{k}" for k in range(40))), TIME)
    file._db.execute("PRAGMA max_page_count=100000").fetchone()
    file.append(batch(), TIME)
    check_whole(file)
    file.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mountpoint = tmp_path / "small"
    mountpoint.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mountpoint)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield mountpoint
    subprocess.run(["umount", str(mountpoint)], check=True)


def test_a_full_disk_says_so_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    file = filled(small_disk / "journal.sqlite")
    count, said = append_until_it_fails(file)
    assert count > 1
    assert "free some space" in said
    check_whole(file)
    ballast.unlink()
    assert append_until_it_fails(file)[0] > 1
    check_whole(file)
    file.close()


def test_a_disk_without_room_for_a_new_journal(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 1_040_000)
    with pytest.raises(JournalError, match=r"free some space|check its disk"):
        opened(small_disk / "journal.sqlite")
    (small_disk / "ballast").unlink()
    filled(small_disk / "journal.sqlite").close()


LIMITED = """
import resource, sys
from pathlib import Path
from tests.journal.test_sqlite_file import append_until_it_fails, check_whole, filled
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
file = filled(Path(sys.argv[1]))
count, said = append_until_it_fails(file)
assert count > 1, count
assert "disk I/O error" in said and "check its disk" in said, said
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
count, said = append_until_it_fails(file)
assert count > 1, count
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
check_whole(file)
file.close()
"""


def test_an_input_output_error_says_so_and_passes(path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert told.returncode == 0, told.stderr
    file = opened(path)
    check_whole(file)
    file.close()
