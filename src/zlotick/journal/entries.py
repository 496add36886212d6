"""The entries of the SQLite journal and the last value of each symbol.

Plain functions on a connection; the caller holds the transaction.
"""

from __future__ import annotations

import secrets
import sqlite3
from typing import NamedTuple, TypeVar

import msgspec

from zlotick.errors import JournalError
from zlotick.journal.base import JournalStats
from zlotick.model import Entry, Position, StockUpdate, UpdateBatch, labelled

T = TypeVar("T")

READ_BYTES = 4_000_000
"""A cycle of 80 stocks has some 30 kB, one of 100,000 simulated ones 20 MB: a limit of entries alone bounds nothing."""


PROBES = 1000
"""Offsets that one call looks at one by one around damage: a bad page must not hold up the other readers."""


class Read(NamedTuple):
    """Entries, and the offsets that were passed over because they cannot be read."""

    entries: list[Entry]
    damaged: list[int]


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


def begin_epoch(db: sqlite3.Connection) -> Position:
    """A new epoch at the same offset: positions of the old one mean nothing any more. No reader is ahead of it."""
    last = position(db)
    epoch = secrets.token_hex(8)
    db.execute("UPDATE journal SET epoch = ?", (epoch,))
    db.execute("UPDATE cursors SET offset = min(offset, ?)", (last.offset,))
    return Position(epoch, last.offset)


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
    # What cannot be read back (a NaN price becomes null in JSON) would stop every reader permanently.
    try:
        text = json_text(batch)
        msgspec.json.decode(text, type=UpdateBatch)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise JournalError(f"the batch of {batch.timestamp} cannot be stored as JSON: {error}") from error
    return text


def read(db: sqlite3.Connection, after: int, limit: int) -> Read:
    """At most ``limit`` entries after an offset, oldest first; none after the one that fills ``READ_BYTES``.

    An entry that cannot be read (a bad sector, a torn copy) is skipped: it must not stop every reader permanently.
    """
    try:
        return Read(_read_on(db, after, limit), [])
    except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
        if not is_damage(error):
            raise
        return _read_around(db, after, limit)


def is_damage(error: Exception) -> bool:
    """Whether what is stored is unreadable, which no retry mends."""
    return isinstance(error, msgspec.MsgspecError) or "CORRUPT" in getattr(error, "sqlite_errorname", "")


def _read_around(db: sqlite3.Connection, after: int, limit: int) -> Read:
    """One by one, up to the first readable entries behind the damage."""
    end = position(db)
    found: list[Entry] = []
    damaged: list[int] = []
    for offset in range(after + 1, min(end.offset, after + PROBES) + 1):
        try:
            row = db.execute("SELECT batch FROM entries WHERE offset = ?", (offset,)).fetchone()
            if row is not None:
                found.append(_entry(end.epoch, offset, row[0]))
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            if not is_damage(error):
                raise
            damaged.append(offset)
        if len(found) >= limit or (found and offset - after > limit):
            break
    return Read(found, damaged)


def _entry(epoch: str, offset: int, text: str) -> Entry:
    batch = decoded(text, UpdateBatch, f"entry {offset}")
    batch.quotes[:] = map(labelled, batch.quotes)
    return Entry(Position(epoch, offset), batch)


def _read_on(db: sqlite3.Connection, after: int, limit: int) -> list[Entry]:
    epoch = position(db).epoch
    rows = db.execute(
        "SELECT offset, batch FROM entries WHERE offset > ? ORDER BY offset LIMIT ?", (after, limit)
    )
    found: list[Entry] = []
    size = 0
    for offset, text in rows:
        found.append(_entry(epoch, offset, text))
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
