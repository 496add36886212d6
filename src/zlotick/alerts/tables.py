"""The tables of ``alerts.sqlite``. Plain functions on a connection; the caller holds the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from zlotick.alerts.rules import Memory
from zlotick.alerts.watch import Findings, Key, Standing
from zlotick.model import Alert, Position

T = TypeVar("T")

APPLICATION_ID = 0x7A6C616C  # "zlal"
VERSION = 1
MAX_ALERTS = 100_000
MAX_WAITING = 10_000
"""Alerts that may wait for one target; the oldest give way."""

TABLES = """
CREATE TABLE state (  -- one row
    epoch TEXT NOT NULL,
    offset INTEGER NOT NULL,  -- of the last journal entry that the rules were asked of; -1: none yet
    raised INTEGER NOT NULL,  -- alerts, ever
    dropped INTEGER NOT NULL  -- deliveries given up because too many were waiting, or their target is gone, ever
);
INSERT INTO state VALUES ('', -1, 0, 0);
CREATE TABLE rules (
    id TEXT PRIMARY KEY,
    standing TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE memories (
    rule TEXT NOT NULL,
    symbol TEXT NOT NULL,
    memory TEXT NOT NULL,
    PRIMARY KEY (rule, symbol)
) WITHOUT ROWID;
CREATE TABLE alerts (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    raised_at REAL NOT NULL,  -- by our clock, seconds since 1970: a replayed alert has an old moment
    sent INTEGER,  -- whether alerts.max_per_hour let it go to alerts.notify; NULL: it was not for there
    alert TEXT NOT NULL
);
CREATE INDEX alerts_raised_at ON alerts (raised_at);
CREATE TABLE deliveries (  -- what is not delivered (yet)
    alert INTEGER NOT NULL REFERENCES alerts (number) ON DELETE CASCADE,
    target TEXT NOT NULL,
    note TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    aside INTEGER NOT NULL DEFAULT 0,  -- 1: given up
    PRIMARY KEY (target, alert)
) WITHOUT ROWID;
CREATE INDEX deliveries_alert ON deliveries (alert);
"""


class Routes(NamedTuple):
    """Where alerts go."""

    pocketbase: tuple[str, ...] = ()  # every alert
    notify: tuple[str, ...] = ()  # everybody's alerts, at most max_per_hour
    max_per_hour: int = 30


class Waiting(NamedTuple):
    """An alert that a target has yet to get."""

    number: int
    alert: Alert
    note: str
    attempts: int


class Delivery(msgspec.Struct, frozen=True):
    """What became of an alert on its way to a target, as long as it is not there."""

    target: str
    attempts: int
    error: str
    given_up: bool


class Raised(msgspec.Struct, frozen=True):
    """An alert of the past."""

    alert: Alert
    suppressed: bool  # alerts.max_per_hour kept it from alerts.notify
    undelivered: list[Delivery]


class Counts(msgspec.Struct, frozen=True):
    """The book in numbers."""

    raised: int = 0
    dropped: int = 0
    suppressed: int = 0  # of the alerts kept
    waiting: dict[str, int] = {}  # by target
    given_up: dict[str, int] = {}


def place(db: sqlite3.Connection) -> Position | None:
    """Where the reading of the journal is; None before it began."""
    row = db.execute("SELECT epoch, offset FROM state").fetchone()
    epoch, offset = msgspec.convert(row, tuple[str, int])
    return Position(epoch, offset) if offset >= 0 else None


def move(db: sqlite3.Connection, to: Position) -> None:
    """The rules were asked of everything up to there."""
    db.execute("UPDATE state SET epoch = ?, offset = ?", (to.epoch, to.offset))


def begin_at(db: sqlite3.Connection, to: Position) -> None:
    """Go on from there: what is before, perhaps in another journal, is no business of any rule."""
    move(db, to)
    rules = [(_json(msgspec.structs.replace(one, since=to.offset)), one.rule.id) for one in standing(db)]
    db.executemany("UPDATE rules SET standing = ? WHERE id = ?", rules)


def standing(db: sqlite3.Connection) -> list[Standing]:
    """The rules that were in force last."""
    rows = db.execute("SELECT standing FROM rules ORDER BY id")
    return [_decoded(text, Standing) for (text,) in rows]


def memories(db: sqlite3.Connection) -> dict[Key, Memory]:
    """What they remember."""
    rows = db.execute("SELECT rule, symbol, memory FROM memories")
    return {(rule, symbol): _decoded(text, Memory) for rule, symbol, text in rows}


def adopt(db: sqlite3.Connection, fresh: Sequence[Standing], gone: Sequence[str]) -> None:
    """New and changed rules remember nothing."""
    changed = [(name,) for name in [*gone, *(one.rule.id for one in fresh)]]
    db.executemany("DELETE FROM memories WHERE rule = ?", changed)
    db.executemany("DELETE FROM rules WHERE id = ?", changed)
    db.executemany("INSERT INTO rules VALUES (?, ?)", [(one.rule.id, _json(one)) for one in fresh])


def record(
    db: sqlite3.Connection, found: Findings, to: Position | None, routes: Routes, now: float
) -> list[Alert]:
    """Keep what was found and where the reading is. Returns the alerts that are new, whoever was told of them."""
    db.executemany(
        "INSERT INTO memories VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET memory = excluded.memory",
        [(rule, symbol, _json(memory)) for (rule, symbol), memory in found.memories.items()],
    )
    if to:
        move(db, to)
    return [alert for alert in found.alerts if _raise(db, alert, routes, now)]


def _raise(db: sqlite3.Connection, alert: Alert, routes: Routes, now: float) -> bool:
    room = _room(db, routes, now)
    wanted = bool(routes.notify) and alert.user is None
    sent = int(room > 0) if wanted else None
    added = db.execute(
        "INSERT INTO alerts (id, raised_at, sent, alert) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING number",
        (alert.id, now, sent, _json(alert)),
    ).fetchone()
    if added is None:
        return False
    db.execute("UPDATE state SET raised = raised + 1")
    note = _note(db, added[0], room, routes) if sent else ""
    targets = [(name, "") for name in routes.pocketbase] + [(name, note) for name in routes.notify if sent]
    db.executemany(
        "INSERT INTO deliveries (alert, target, note) VALUES (?, ?, ?)",
        [(added[0], target, text) for target, text in targets],
    )
    for target, _ in targets:
        _bound(db, target)
    return True


def _room(db: sqlite3.Connection, routes: Routes, now: float) -> int:
    """How many alerts may still go to alerts.notify within this hour."""
    (sent,) = db.execute("SELECT count(*) FROM alerts WHERE sent AND raised_at > ?", (now - 3600,)).fetchone()
    return routes.max_per_hour - int(sent)


def _note(db: sqlite3.Connection, number: int, room: int, routes: Routes) -> str:
    """What a person must know who is not told everything."""
    (suppressed,) = db.execute(
        "SELECT count(*) FROM alerts WHERE sent = 0 AND number > "
        "coalesce((SELECT max(number) FROM alerts WHERE sent AND number < ?), 0)",
        (number,),
    ).fetchone()
    notes = [f"{suppressed} alerts before it were not sent"] if suppressed else []
    if room == 1:
        notes.append("further ones within this hour are not sent")
    return f"{'; '.join(notes)} (alerts.max_per_hour = {routes.max_per_hour})" if notes else ""


def _bound(db: sqlite3.Connection, target: str) -> None:
    (count,) = db.execute("SELECT count(*) FROM deliveries WHERE target = ?", (target,)).fetchone()
    if count > MAX_WAITING:
        _drop(
            db,
            "target = ? AND alert IN (SELECT alert FROM deliveries WHERE target = ? ORDER BY aside DESC, alert LIMIT ?)",
            (target, target, count - MAX_WAITING),
        )


def keep_targets(db: sqlite3.Connection, targets: Iterable[str]) -> int:
    """Give up what waits for targets that are not there any more; returns how much that was."""
    known = list(targets)
    marks = ", ".join("?" * len(known))
    return _drop(db, f"target NOT IN ({marks})", known)


def _drop(db: sqlite3.Connection, where: str, values: Sequence[object]) -> int:
    gone = db.execute(f"DELETE FROM deliveries WHERE {where}", values).rowcount  # noqa: S608  our own text
    db.execute("UPDATE state SET dropped = dropped + ?", (gone,))
    return int(gone)


def waiting(db: sqlite3.Connection, target: str) -> Waiting | None:
    """The oldest alert that a target has yet to get."""
    row = db.execute(
        "SELECT number, alerts.alert, note, attempts FROM deliveries JOIN alerts ON number = deliveries.alert "
        "WHERE target = ? AND NOT aside ORDER BY deliveries.alert LIMIT 1",
        (target,),
    ).fetchone()
    if row is None:
        return None
    number, text, note, attempts = msgspec.convert(row, tuple[int, str, str, int])
    return Waiting(number, _decoded(text, Alert), note, attempts)


def delivered(db: sqlite3.Connection, target: str, number: int) -> None:
    """The target has it."""
    db.execute("DELETE FROM deliveries WHERE target = ? AND alert = ?", (target, number))


def failed(db: sqlite3.Connection, target: str, number: int, error: str, give_up: bool) -> None:
    """It did not work; whether it is tried again."""
    db.execute(
        "UPDATE deliveries SET attempts = attempts + 1, error = ?, aside = ? WHERE target = ? AND alert = ?",
        (error[:500], give_up, target, number),
    )


def recent(db: sqlite3.Connection, limit: int) -> list[Alert]:
    """Alerts, newest first."""
    rows = db.execute("SELECT alert FROM alerts ORDER BY number DESC LIMIT ?", (limit,))
    return [_decoded(text, Alert) for (text,) in rows]


def history(db: sqlite3.Connection, limit: int) -> list[Raised]:
    """Alerts and what became of them, newest first."""
    rows = db.execute(
        "SELECT number, alert, sent FROM alerts ORDER BY number DESC LIMIT ?", (limit,)
    ).fetchall()
    return [Raised(_decoded(text, Alert), sent == 0, _undelivered(db, number)) for number, text, sent in rows]


def _undelivered(db: sqlite3.Connection, number: int) -> list[Delivery]:
    rows = db.execute(
        "SELECT target, attempts, error, aside FROM deliveries WHERE alert = ? ORDER BY target", (number,)
    )
    return [Delivery(target, attempts, error, bool(aside)) for target, attempts, error, aside in rows]


def counts(db: sqlite3.Connection) -> Counts:
    """The book in numbers."""
    row = db.execute("SELECT raised, dropped FROM state").fetchone()
    raised, dropped = msgspec.convert(row, tuple[int, int])
    by_target = "SELECT target, count(*) FROM deliveries WHERE aside = ? GROUP BY target"
    (suppressed,) = db.execute("SELECT count(*) FROM alerts WHERE sent = 0").fetchone()
    return Counts(
        raised, dropped, suppressed, dict(db.execute(by_target, (0,))), dict(db.execute(by_target, (1,)))
    )


def retain(db: sqlite3.Connection, before: float) -> None:
    """Forget alerts that are too old or too many, with what is undelivered of them."""
    old = (
        "FROM alerts WHERE raised_at < ? OR number <= "
        "(SELECT number FROM alerts ORDER BY number DESC LIMIT 1 OFFSET ?)"
    )
    _drop(db, f"NOT aside AND alert IN (SELECT number {old})", (before, MAX_ALERTS))
    db.execute(f"DELETE {old}", (before, MAX_ALERTS))


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()


def _decoded(text: object, kind: type[T]) -> T:
    """What a column holds. In a damaged file it may be anything: then this raises one of msgspec's errors."""
    return msgspec.json.decode(msgspec.convert(text, str), type=kind)
