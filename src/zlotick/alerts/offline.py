"""Reads the alerts file while no service uses it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from zlotick.alerts import schema, sql
from zlotick.alerts.sql import Raised
from zlotick.alerts.store import FILE
from zlotick.errors import AlertError
from zlotick.sqlite.connection import connect_readonly
from zlotick.sqlite.lock import OwnerLock


def past_alerts(home: Path, limit: int) -> list[Raised]:
    """The newest alerts of a profile's folder. Blocks.

    Raises AlreadyRunning when a zlotick uses it (then ask that one), AlertError when it cannot be read.
    """
    path = home / FILE
    if not path.exists():
        return []
    lock = OwnerLock(home / "journal.sqlite")
    try:
        lock.acquire()
        with closing(connect_readonly(path)) as db:
            return _history(db, path, limit)
    except (sqlite3.Error, msgspec.MsgspecError, OSError) as error:
        raise AlertError(f"{path} cannot be read: {error}") from error
    finally:
        lock.release()


def _history(db: sqlite3.Connection, path: Path, limit: int) -> list[Raised]:
    """Reads a file of an earlier version through a copy in memory: only the service migrates the file itself."""
    if db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,):
        return sql.history(db, limit)
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
        db.backup(copy)
        if not schema.prepare(copy):
            raise AlertError(f"{path} is not an alerts file that this zlotick can read")
        return sql.history(copy, limit)
