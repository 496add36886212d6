"""The tables of ``alerts.sqlite``. Plain functions on a connection; the caller holds the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from zlotick.alerts import queues
from zlotick.alerts.allowance import HOUR, Allowances
from zlotick.alerts.evaluator import ActiveRule, Findings, Key
from zlotick.alerts.queues import Delivery
from zlotick.alerts.rules import RuleState
from zlotick.alerts.schema import decoded
from zlotick.model import Alert, Position

MAX_ALERTS = 100_000
"""Alerts of the owner that are kept, and as many of all users together, in equal shares."""

Row = tuple[int, str, int | None]
"""An alert's number, its text, and whether it was sent."""


class Routes(NamedTuple):
    """Where alerts go."""

    pocketbase: tuple[str, ...] = ()  # every alert
    notify: tuple[str, ...] = ()  # alerts of all, at most max_per_hour
    max_per_hour: int = 30
    max_per_user: int = 100  # alerts that a user's rules may raise within an hour


class Raised(msgspec.Struct, frozen=True):
    """An alert in the history."""

    alert: Alert
    suppressed: bool  # alerts.max_per_hour kept it from alerts.notify
    undelivered: list[Delivery]


class Counts(msgspec.Struct, frozen=True):
    """Counts for metrics and health."""

    raised: int = 0
    dropped: int = 0
    suppressed: int = 0  # of the alerts kept
    held: int = 0  # alerts not raised because their user had too many within the hour, ever
    waiting: dict[str, int] = {}  # by target
    given_up: dict[str, int] = {}


def place(db: sqlite3.Connection) -> Position | None:
    """The position up to which the journal was evaluated; None before the first entry."""
    row = db.execute("SELECT epoch, offset FROM state").fetchone()
    epoch, offset = msgspec.convert(row, tuple[str, int])
    return Position(epoch, offset) if offset >= 0 else None


def move(db: sqlite3.Connection, to: Position) -> None:
    """Everything up to this position was evaluated."""
    db.execute("UPDATE state SET epoch = ?, offset = ?", (to.epoch, to.offset))


def begin_at(db: sqlite3.Connection, to: Position) -> None:
    """Continue from this position; earlier entries, perhaps of another journal, are not evaluated."""
    move(db, to)
    rules = [(_json(msgspec.structs.replace(one, since=to.offset)), one.rule.id) for one in standing(db)]
    db.executemany("UPDATE rules SET standing = ? WHERE id = ?", rules)


def standing(db: sqlite3.Connection) -> list[ActiveRule]:
    """The stored active rules."""
    rows = db.execute("SELECT standing FROM rules ORDER BY id")
    return [decoded(text, ActiveRule) for (text,) in rows]


def memories(db: sqlite3.Connection) -> dict[Key, RuleState]:
    """The stored states of the rules."""
    rows = db.execute("SELECT rule, symbol, memory FROM memories")
    return {(rule, symbol): decoded(text, RuleState) for rule, symbol, text in rows}


def adopt(db: sqlite3.Connection, fresh: Sequence[ActiveRule], gone: Sequence[str]) -> None:
    """Store rules; new and changed ones start without state."""
    changed = [(name,) for name in [*gone, *(one.rule.id for one in fresh)]]
    db.executemany("DELETE FROM memories WHERE rule = ?", changed)
    db.executemany("DELETE FROM rules WHERE id = ?", changed)
    db.executemany("INSERT INTO rules VALUES (?, ?)", [(one.rule.id, _json(one)) for one in fresh])


def record(
    db: sqlite3.Connection, found: Findings, to: Position | None, routes: Routes, now: float
) -> list[Alert]:
    """Store findings and the position. Returns the new alerts, sent or suppressed."""
    db.executemany(
        "INSERT INTO memories VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET memory = excluded.memory",
        [(rule, symbol, _json(state)) for (rule, symbol), state in found.memories.items()],
    )
    if to:
        move(db, to)
    allowances = Allowances(db, routes.max_per_user, now)
    allowed = filter(None, map(allowances.allowed, found.alerts))
    raised = [alert for alert in allowed if _raise(db, alert, routes, now)]
    allowances.keep()
    return raised


def _raise(db: sqlite3.Connection, alert: Alert, routes: Routes, now: float) -> bool:
    wanted = bool(routes.notify) and alert.user is None
    room = _room(db, routes, now) if wanted else 0
    sent = int(room > 0) if wanted else None
    added = db.execute(
        "INSERT INTO alerts (id, raised_at, sent, alert, user) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING RETURNING number",
        (alert.id, now, sent, _json(alert), alert.user or ""),
    ).fetchone()
    if added is None:
        return False
    db.execute("UPDATE state SET raised = raised + 1")
    note = _note(db, added[0], room, routes) if sent else ""
    notes = [(name, "") for name in routes.pocketbase] + [(name, note) for name in routes.notify if sent]
    queues.add(db, added[0], alert.user or "", notes)
    return True


def _room(db: sqlite3.Connection, routes: Routes, now: float) -> int:
    """How many alerts may still go to alerts.notify within this hour."""
    (sent,) = db.execute(
        "SELECT count(*) FROM alerts WHERE sent = 1 AND raised_at > ?", (now - HOUR,)
    ).fetchone()
    return routes.max_per_hour - int(sent)


def _note(db: sqlite3.Connection, number: int, room: int, routes: Routes) -> str:
    """A note about alerts that max_per_hour suppresses."""
    (suppressed,) = db.execute(
        "SELECT count(*) FROM alerts WHERE sent = 0 AND number > "
        "coalesce((SELECT max(number) FROM alerts WHERE sent = 1 AND number < ?), 0)",
        (number,),
    ).fetchone()
    notes = [f"{suppressed} alerts before it were not sent"] if suppressed else []
    if room == 1:
        notes.append("further ones within this hour are not sent")
    return f"{'; '.join(notes)} (alerts.max_per_hour = {routes.max_per_hour})" if notes else ""


def recent(db: sqlite3.Connection, user: str | None, limit: int) -> list[Alert]:
    """The alerts that a user may see, newest first; None: all."""
    rows = _of_all_users(db, limit) if user is None else _seen_by(db, user, limit)
    return [decoded(row[1], Alert) for row in rows]


def history(db: sqlite3.Connection, limit: int) -> list[Raised]:
    """The alerts of all users and what became of them, newest first."""
    rows = _of_all_users(db, limit)
    return [
        Raised(decoded(text, Alert), sent == 0, queues.undelivered(db, number)) for number, text, sent in rows
    ]


def _of_all_users(db: sqlite3.Connection, limit: int) -> list[Row]:
    """The newest ones; if there are too many, users' alerts take at most half of the limit."""
    own = _newest(db, "user = ''", (), limit)
    others = _newest(db, "user <> ''", (), max(limit // 2, limit - len(own)))
    return sorted(own + others, reverse=True)[:limit]


def _seen_by(db: sqlite3.Connection, user: str, limit: int) -> list[Row]:
    shared, own = (_newest(db, "user = ?", (whose,), limit) for whose in ("", user))
    return sorted(shared + own, reverse=True)[:limit]


def _newest(db: sqlite3.Connection, whose: str, values: tuple[str, ...], limit: int) -> list[Row]:
    text = f"SELECT number, alert, sent FROM alerts WHERE {whose} ORDER BY number DESC LIMIT ?"  # noqa: S608  ours
    return db.execute(text, (*values, limit)).fetchall()


def counts(db: sqlite3.Connection) -> Counts:
    """Counts for metrics and health."""
    row = db.execute("SELECT raised, dropped, held FROM state").fetchone()
    raised, dropped, held = msgspec.convert(row, tuple[int, int, int])
    (suppressed,) = db.execute("SELECT count(*) FROM alerts WHERE sent = 0").fetchone()
    return Counts(raised, dropped, suppressed, held, *queues.counts(db))


def retain(db: sqlite3.Connection, before: float) -> None:
    """Delete alerts that are too old or exceed the share of their user, with their deliveries."""
    _forget(db, "raised_at < ?", (before,))
    users = [user for (user,) in db.execute("SELECT DISTINCT user FROM alerts WHERE user <> ''").fetchall()]
    for user, most in [("", MAX_ALERTS), *((user, MAX_ALERTS // len(users)) for user in users)]:
        last = "SELECT number FROM alerts WHERE user = ? ORDER BY number DESC LIMIT 1 OFFSET ?"
        _forget(db, f"user = ? AND number <= ({last})", (user, user, most))


def _forget(db: sqlite3.Connection, which: str, values: tuple[object, ...]) -> None:
    gone = f"FROM alerts WHERE {which}"
    queues.drop(db, f"NOT aside AND alert IN (SELECT number {gone})", values)
    db.execute(f"DELETE {gone}", values)


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.encode(value).decode()
