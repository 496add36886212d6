"""Connections and transactions of the files that zlotick owns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zlotick.config.profile import make_folder

BUSY_TIMEOUT = 2.0  # seconds to wait for the lock of a foreign program, such as an operator's shell


def connect(path: Path) -> sqlite3.Connection:
    """Open or create a file. A transaction is on the disk when its COMMIT returns.

    ``isolation_level=None``: we write BEGIN ourselves, sqlite3 begins no transaction behind our back.
    """
    make_folder(path.parent)
    path.open("ab").close()  # sqlite3 itself opens a read-only file without an error
    db = sqlite3.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT)
    db.executescript("PRAGMA synchronous=FULL; PRAGMA fullfsync=ON")
    return db


def connect_readonly(path: Path) -> sqlite3.Connection:
    """Open an existing file for reading; nothing in it is changed."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit at the end, roll back after an error."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # after some errors SQLite has rolled back by itself
            db.execute("ROLLBACK")
        raise
