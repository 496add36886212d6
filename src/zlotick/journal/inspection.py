"""Inspects a journal that no service is using."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from zlotick.journal import entries
from zlotick.journal.base import JournalStats
from zlotick.journal.schema import is_journal
from zlotick.journal.sqlite_errors import translated
from zlotick.journal.sqlite_file import check_whole
from zlotick.sqlite.connection import connect_readonly
from zlotick.sqlite.lock import OwnerLock


def inspect(path: Path) -> JournalStats | None:
    """What the journal holds, None when there is none yet. Nothing in it is changed. Blocks.

    Raises AlreadyRunning when a zlotick owns it (then ask that one), JournalError when zlotick could not use it.
    """
    with translated(path):
        path = path.resolve()
        if not path.exists():
            return None
        lock = OwnerLock(path)
        lock.acquire()
        try:
            path.open("ab").close()  # sqlite3 itself opens a read-only file without an error
            with closing(connect_readonly(path)) as db:
                if not is_journal(db, path):
                    return None
                check_whole(db, path)
                return entries.stats(db, path.stat().st_size)
        finally:
            lock.release()
