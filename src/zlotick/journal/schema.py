"""The tables of the SQLite journal, and how a file is recognised as one.

Batches and quotes are JSON text, so an operator can look into a journal (read only, please: the file has one
owner)::

    sqlite3 -readonly journal.sqlite "SELECT offset, appended_at, json_extract(batch, '$.quotes[0].symbol') FROM entries"
"""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path

from zlotick.journal.sqlite_errors import move_aside

APPLICATION_ID = 0x7A6C6F74  # "zlot"
VERSION = 1
AUTO_VACUUM_INCREMENTAL = 2

TABLES = """
CREATE TABLE journal (  -- one row
    epoch TEXT NOT NULL,
    last_offset INTEGER NOT NULL,
    lost_dead_letters INTEGER NOT NULL
);
CREATE TABLE entries (
    offset INTEGER PRIMARY KEY,
    appended_at TEXT NOT NULL,  -- by our clock: a replayed batch has an old timestamp and is young here
    batch TEXT NOT NULL
);
CREATE TABLE last_values (
    symbol TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    quote TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE cursors (
    reader TEXT PRIMARY KEY,
    offset INTEGER NOT NULL,
    lost INTEGER NOT NULL  -- entries that the disk budget took before the reader had them
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    reader TEXT NOT NULL,
    offset INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    reason TEXT NOT NULL,
    put_aside_at TEXT NOT NULL,
    quote TEXT NOT NULL,
    UNIQUE (reader, offset, symbol)
);
CREATE TABLE rejected (
    id INTEGER PRIMARY KEY,
    kept_at TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    quote TEXT NOT NULL
);
"""


def prepare(db: sqlite3.Connection, path: Path) -> None:
    """Make sure the file is a journal that we understand; an empty one becomes a new journal.

    Raises JournalError for anything else, before a byte of it is changed.
    """
    db.execute("PRAGMA secure_delete=OFF").fetchone()
    if not is_journal(db, path):
        _create(db)
    db.execute("PRAGMA journal_mode=WAL").fetchone()


def is_journal(db: sqlite3.Connection, path: Path) -> bool:
    """Whether the file is a journal (False: it is empty). Raises JournalError when it is anything else."""
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if not tables and not application_id and not version:
        return False
    if application_id != APPLICATION_ID:
        raise move_aside(path, "is a database of something else, not a zlotick journal")
    if version > VERSION:
        raise move_aside(
            path, f"was written by a newer zlotick (schema {version}, this one knows {VERSION}): use that one"
        )
    return True


def _create(db: sqlite3.Connection) -> None:
    """A new journal and its epoch, in one transaction: a crash leaves an empty file or a whole journal."""
    db.execute(f"PRAGMA auto_vacuum={AUTO_VACUUM_INCREMENTAL}")
    db.execute("PRAGMA journal_mode=WAL").fetchone()
    db.executescript(
        f"BEGIN IMMEDIATE; {TABLES} PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION};"
    )
    db.execute("INSERT INTO journal VALUES (?, 0, 0)", (secrets.token_hex(8),))
    db.execute("COMMIT")
