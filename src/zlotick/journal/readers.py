"""What the SQLite journal keeps for its readers: cursors, dead letters and, for people, rejected quotes.

Plain functions on a connection; the caller holds the transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from msgspec.structs import asdict

from zlotick.errors import JournalError
from zlotick.journal.entries import decoded, json_text, position
from zlotick.model import DeadLetter, RejectedQuote, StockUpdate, labelled

MAX_REJECTED = 10_000
MAX_DEAD_LETTERS = 100_000


def cursor(db: sqlite3.Connection, reader: str) -> int:
    """A reader's cursor, registered at 0 if it is new."""
    db.execute("INSERT INTO cursors VALUES (?, 0, 0) ON CONFLICT DO NOTHING", (reader,))
    (offset,) = db.execute("SELECT offset FROM cursors WHERE reader = ?", (reader,)).fetchone()
    return int(offset)


def move_cursor(
    db: sqlite3.Connection,
    reader: str,
    offset: int,
    dead: Sequence[DeadLetter],
    max_dead_letters: int | None = None,
) -> int:
    """Move a cursor forwards and put rows aside; returns how many old dead letters had to go for them."""
    last = position(db).offset
    if offset > last:
        raise JournalError(f"cursor of {reader} cannot move to {offset}: the journal ends at {last}")
    moved = db.execute(
        "UPDATE cursors SET offset = max(offset, ?) WHERE reader = ?", (max(offset, 0), reader)
    )
    if not moved.rowcount:
        raise JournalError(f"reader {reader} has no cursor to move: ask for its cursor first")
    return _put_aside(db, dead, max_dead_letters or MAX_DEAD_LETTERS)


def rewind(db: sqlite3.Connection, reader: str, offset: int) -> None:
    """Move a cursor backwards."""
    db.execute("UPDATE cursors SET offset = min(offset, ?) WHERE reader = ?", (max(offset, 0), reader))


def _put_aside(db: sqlite3.Connection, dead: Sequence[DeadLetter], limit: int) -> int:
    # The key makes a repeated move_cursor harmless.
    db.executemany(
        "INSERT INTO dead_letters (reader, offset, symbol, reason, put_aside_at, quote) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (reader, offset, symbol) DO UPDATE SET reason = excluded.reason",
        [(d.reader, d.offset, d.symbol, d.reason, d.put_aside_at, json_text(d.quote)) for d in dead],
    )
    if not dead:
        return 0
    (count,) = db.execute("SELECT count(*) FROM dead_letters").fetchone()
    excess = max(0, int(count) - limit)
    db.execute(
        "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY id LIMIT ?)", (excess,)
    )
    db.execute("UPDATE journal SET lost_dead_letters = lost_dead_letters + ?", (excess,))
    return excess


def forget_reader(db: sqlite3.Connection, reader: str) -> None:
    """Remove a reader's cursor."""
    db.execute("DELETE FROM cursors WHERE reader = ?", (reader,))


def dead_letters(db: sqlite3.Connection, reader: str | None, limit: int) -> list[DeadLetter]:
    """Rows put aside, oldest first."""
    rows = db.execute(
        "SELECT reader, offset, symbol, reason, quote, put_aside_at FROM dead_letters "
        "WHERE reader = coalesce(?, reader) ORDER BY id LIMIT ?",
        (reader, limit),
    )
    return [
        DeadLetter(who, offset, symbol, reason, labelled(_dead_quote(quote, symbol)), at)
        for who, offset, symbol, reason, quote, at in rows
    ]


def _dead_quote(text: str, symbol: str) -> StockUpdate:
    return decoded(text, StockUpdate, f"the dead letter of {symbol}")


def remove_dead_letters(db: sqlite3.Connection, letters: Sequence[DeadLetter]) -> None:
    """They were re-sent, or given up."""
    db.executemany(
        "DELETE FROM dead_letters WHERE reader = ? AND offset = ? AND symbol = ?",
        [(letter.reader, letter.offset, letter.symbol) for letter in letters],
    )


def keep_rejected(db: sqlite3.Connection, rejected: Sequence[RejectedQuote], at: str) -> None:
    """Keep refused quotes, the newest ``MAX_REJECTED``.

    The standard json module, because these may hold what is refused elsewhere: NaN, a text for a price.
    """
    db.executemany(
        "INSERT INTO rejected (kept_at, reason, detail, quote) VALUES (?, ?, ?, ?)",
        [
            (at, _clean(r.reason), _clean(r.detail), json.dumps(asdict(r.quote), default=str))
            for r in rejected
        ],
    )
    db.execute("DELETE FROM rejected WHERE id <= (SELECT max(id) FROM rejected) - ?", (MAX_REJECTED,))


def _clean(text: str) -> str:
    """Text without half characters, which JSON of a provider may hold and UTF-8 refuses."""
    return text.encode(errors="replace").decode()


def kept_rejected(db: sqlite3.Connection, limit: int) -> list[RejectedQuote]:
    """Kept rejected quotes, newest first."""
    rows = db.execute("SELECT reason, detail, quote FROM rejected ORDER BY id DESC LIMIT ?", (limit,))
    return [RejectedQuote(reason, detail, StockUpdate(**json.loads(quote))) for reason, detail, quote in rows]
