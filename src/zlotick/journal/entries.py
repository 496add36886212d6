"""The entries of the SQLite journal and the last value of each symbol.

Plain functions on a connection; the caller holds the transaction.
"""

from __future__ import annotations

import sqlite3
from typing import TypeVar

import msgspec

from zlotick.errors import JournalError
from zlotick.journal.base import JournalStats
from zlotick.model import Entry, Position, StockUpdate, UpdateBatch, labelled

T = TypeVar("T")

READ_BYTES = 4_000_000
"""A cycle of 80 stocks has some 30 kB, one of 100,000 simulated ones 20 MB: a limit of entries alone bounds nothing."""


def json_text(value: msgspec.Struct) -> str:
    """JSON as text: SQLite's json functions refuse blobs."""
    return msgspec.json.encode(value).decode()


def decoded(text: str, kind: type[T], what: str) -> T:
    """A stored value. Raises msgspec.ValidationError that says ``what`` is unreadable."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError as error:
        raise msgspec.ValidationError(f"{what} is unreadable ({error})") from error


def position(db: sqlite3.Connection) -> Position:
    """The place of the last entry. Raises msgspec.ValidationError when the file has lost it."""
    row = db.execute("SELECT epoch, last_offset FROM journal").fetchone()
    if row is None:
        raise msgspec.ValidationError("it has no position")
    return Position(*row)


def append(db: sqlite3.Connection, batch: UpdateBatch, at: str) -> Entry:
    """Write a batch under the next offset, with the last values that it brings."""
    text = _readable_text(batch)
    last = position(db)
    entry = Entry(Position(last.epoch, last.offset + 1), batch)
    offset = entry.position.offset
    db.execute("UPDATE journal SET last_offset = ?", (offset,))
    db.execute("INSERT INTO entries VALUES (?, ?, ?)", (offset, at, text))
    db.executemany(
        "INSERT INTO last_values VALUES (?, ?, ?) ON CONFLICT (symbol) "
        "DO UPDATE SET offset = excluded.offset, quote = excluded.quote",
        [(quote.symbol, offset, json_text(quote)) for quote in batch.quotes],
    )
    return entry


def _readable_text(batch: UpdateBatch) -> str:
    # What cannot be read back (a NaN price becomes null in JSON) would stop every reader for ever.
    try:
        text = json_text(batch)
        msgspec.json.decode(text, type=UpdateBatch)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise JournalError(f"the batch of {batch.timestamp} cannot be stored as JSON: {error}") from error
    return text


def read(db: sqlite3.Connection, after: int, limit: int) -> list[Entry]:
    """At most ``limit`` entries after an offset, oldest first; none after the one that fills ``READ_BYTES``."""
    epoch = position(db).epoch
    rows = db.execute(
        "SELECT offset, batch FROM entries WHERE offset > ? ORDER BY offset LIMIT ?", (after, limit)
    )
    found: list[Entry] = []
    size = 0
    for offset, text in rows:
        batch = decoded(text, UpdateBatch, f"entry {offset}")
        batch.quotes[:] = map(labelled, batch.quotes)
        found.append(Entry(Position(epoch, offset), batch))
        size += len(text)
        if size >= READ_BYTES:
            break
    return found


def last_values(db: sqlite3.Connection) -> dict[str, StockUpdate]:
    """The last recorded quote of each symbol."""
    rows = db.execute("SELECT symbol, quote FROM last_values ORDER BY symbol")
    return {
        symbol: labelled(decoded(text, StockUpdate, f"the last value of {symbol}")) for symbol, text in rows
    }


def stats(db: sqlite3.Connection, size_bytes: int) -> JournalStats:
    """The journal at a glance."""
    end = position(db)
    (first,) = db.execute("SELECT coalesce(min(offset), ?) FROM entries", (end.offset + 1,)).fetchone()
    cursors = dict(db.execute("SELECT reader, offset FROM cursors ORDER BY reader").fetchall())
    return JournalStats(
        position=end,
        first_offset=first,
        entries=end.offset - first + 1,
        size_bytes=size_bytes,
        cursors=cursors,
        lag={reader: end.offset - max(offset, first - 1) for reader, offset in cursors.items()},
        dead_letters=dict(db.execute("SELECT reader, count(*) FROM dead_letters GROUP BY reader").fetchall()),
        rejected=db.execute("SELECT count(*) FROM rejected").fetchone()[0],
        lost=dict(db.execute("SELECT reader, lost FROM cursors WHERE lost ORDER BY reader").fetchall()),
        lost_dead_letters=db.execute("SELECT lost_dead_letters FROM journal").fetchone()[0],
    )
