"""The SQLite journal's file: one connection, for the one thread that opened it.

Most systems still carry an SQLite (3.7.0 to 3.51.2) whose WAL mode can corrupt a file that two connections
checkpoint at once. So there is one connection, in one thread (sqlite3 itself checks that), under one lock, and no
``mmap_size``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from zlotick.config.profile import make_folder
from zlotick.errors import JournalError, JournalReplaced
from zlotick.journal import entries
from zlotick.journal.base import JournalStats
from zlotick.journal.offset_mark import OffsetMark
from zlotick.journal.schema import prepare
from zlotick.journal.sqlite_errors import move_aside
from zlotick.model import Entry, Position, UpdateBatch
from zlotick.sqlite.connection import connect, transaction
from zlotick.sqlite.lock import OwnerLock

P = ParamSpec("P")
T = TypeVar("T")

CHECKPOINT_PAGES = 4000  # one append in several hundred pays for a checkpoint, not one in a hundred


class JournalFile:
    """An open journal file. ``position`` and ``newest`` tell at any time what was committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position: Position | None = None
        self.newest: Entry | None = None  # the last entry appended since the file was opened
        self._lock: OwnerLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._mark: OffsetMark | None = None
        self.lost_from: int | None = None  # the last offset that was handed out before entries were lost

    def open(self) -> None:
        """Lock, open or create, learn the position. Raises AlreadyRunning, JournalError, sqlite3.Error, OSError."""
        self.path = self.path.resolve()  # a link to the file must not lead around its lock
        make_folder(self.path.parent)
        self._lock = OwnerLock(self.path)
        self._lock.acquire()
        try:
            unclean = self._has_log()
            self._connection = connect(self.path)
            prepare(self._db, self.path)
            self._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}").fetchone()
            self._identity = self._inode()
            if unclean:
                check_whole(self._db, self.path)
            self.position = self._stored_position()
            self._mark = OffsetMark(self.path)
            self._begin_epoch_if_lost(self._mark.read())
            self._mark.write(self.position)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file, then let go of the lock. Safe to call twice."""
        try:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                connection.close()
        finally:
            if self._mark is not None:
                self._mark.close()
            if self._lock is not None:
                self._lock.release()

    def run(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call ``function(connection, ...)`` in one transaction."""
        with transaction(self._db) as db:
            return function(db, *args, **kwargs)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and empty it: only now the file shrinks."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def append(self, batch: UpdateBatch, at: str) -> Entry:
        """Write the batch, the last values and the offset in one transaction."""
        self._check_in_place()
        self.newest = self.run(entries.append, batch, at)
        self.position = self.newest.position
        if self._mark is not None:
            self._mark.write(self.position)
        return self.newest

    def stats(self) -> JournalStats:
        """The journal at a glance; the size is what the file and its log take on the disk."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return self.run(entries.stats, sum(file.stat().st_size for file in files if file.exists()))

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"journal {self.path} is not open")
        return self._connection

    def _has_log(self) -> bool:
        """Whether the last owner did not close the file: its write-ahead log still holds something."""
        log = self.path.with_name(self.path.name + "-wal")
        return log.exists() and log.stat().st_size > 0

    def _begin_epoch_if_lost(self, marked: Position | None) -> None:
        """Entries that were handed out and are gone (a lost log) must not have their offsets given to others."""
        assert self.position is not None, "read before"
        if marked is None or marked.epoch != self.position.epoch or marked.offset <= self.position.offset:
            return
        self.lost_from = marked.offset
        self.position = self.run(entries.begin_epoch)

    def _stored_position(self) -> Position:
        position = entries.position(self._db)
        (highest,) = self._db.execute("SELECT max(offset) FROM entries").fetchone()
        if highest not in (None, position.offset):
            raise move_aside(self.path, f"contradicts itself (ends at {position.offset} and at {highest})")
        return position

    def _inode(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino

    def _check_in_place(self) -> None:
        # Writes into a removed file succeed, and are lost with the process.
        if not self.path.exists() or self._inode() != self._identity:
            raise JournalReplaced(f"{self.path} was removed or replaced while in use: restart zlotick")


def check_whole(db: sqlite3.Connection, path: Path) -> None:
    """Raises JournalError for a damaged file: a file and a log that do not belong together look fine until a
    reader stumbles. Reads the whole file.
    """
    try:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if not entries.is_damage(error):
            raise
        verdict = str(error)
    if verdict != "ok":
        raise move_aside(path, f"is damaged ({' '.join(verdict.split())[:200]})")
