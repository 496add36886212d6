"""What the SQLite journal drops, and when: whole prefixes of it, in small steps.

Plain functions on a connection. A step is one short transaction, so appends get in between.
"""

from __future__ import annotations

import sqlite3

import msgspec

from zlotick.config import JournalConfig

MB = 1024 * 1024
PAGE = 4096
STEP_ENTRIES = 256
STEP_PAGES = 512


class Dropped(msgspec.Struct, frozen=True):
    """What one step dropped, and which readers lost how many entries by it."""

    entries: int = 0
    lost: dict[str, int] = {}


def drop(db: sqlite3.Connection, config: JournalConfig, cutoff: str) -> Dropped:
    """Drop at most ``STEP_ENTRIES`` of the oldest entries.

    Age and size wait for the slowest reader; above the disk budget no reader is waited for. ``cutoff`` is the
    time before which an entry is old.
    """
    live = live_bytes(db)
    wanted = max(_aged(db, cutoff), _weighing(db, live - config.keep_mb * MB))
    until = max(min(wanted, _slowest(db)), _weighing(db, live - config.budget_mb * MB))
    (first,) = db.execute("SELECT min(offset) FROM entries").fetchone()
    if first is None or until < first:
        return Dropped()
    lost = _count_lost(db, first, until)
    db.execute("DELETE FROM entries WHERE offset <= ?", (until,))
    return Dropped(until - first + 1, lost)


def live_bytes(db: sqlite3.Connection) -> int:
    """The bytes in use: the file without its free pages."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _aged(db: sqlite3.Connection, cutoff: str) -> int:
    """The offset up to which entries are old. Stops at the first young one: what is dropped is a prefix."""
    until = 0
    rows = db.execute("SELECT offset, appended_at FROM entries ORDER BY offset LIMIT ?", (STEP_ENTRIES,))
    for offset, appended_at in rows:
        if appended_at >= cutoff:
            break
        until = offset
    return until


def _weighing(db: sqlite3.Connection, excess: int) -> int:
    """The offset up to which the oldest entries weigh ``excess`` bytes; 0 when there is no excess.

    A text of several pages may take one more than its length says. Counting that keeps a step from dropping too
    much; what is then still in excess goes in the next step.
    """
    until = 0
    rows = db.execute("SELECT offset, length(batch) FROM entries ORDER BY offset LIMIT ?", (STEP_ENTRIES,))
    for offset, size in rows:
        if excess <= 0:
            break
        until, excess = offset, excess - size - (PAGE if size > PAGE else 0)
    return until


def _slowest(db: sqlite3.Connection) -> int:
    """Up to where every registered reader is done; without readers, the end."""
    (offset,) = db.execute(
        "SELECT coalesce((SELECT min(offset) FROM cursors), (SELECT last_offset FROM journal))"
    ).fetchone()
    return int(offset)


def _count_lost(db: sqlite3.Connection, first: int, until: int) -> dict[str, int]:
    """Who had not read up to ``until``, and how many of the entries since ``first`` they lose."""
    behind = db.execute("SELECT reader, offset FROM cursors WHERE offset < ?", (until,)).fetchall()
    lost = {reader: until - max(offset, first - 1) for reader, offset in behind}
    db.executemany(
        "UPDATE cursors SET lost = lost + ? WHERE reader = ?", [(n, who) for who, n in lost.items()]
    )
    return lost


def shrink(db: sqlite3.Connection) -> bool:
    """Give some free pages back to the file system; whether there are more to give."""
    (before,) = db.execute("PRAGMA freelist_count").fetchone()
    db.execute(f"PRAGMA incremental_vacuum({STEP_PAGES})").fetchall()  # each fetched row frees a page
    (after,) = db.execute("PRAGMA freelist_count").fetchone()
    return bool(0 < after < before)
