"""The deliveries of ``alerts.sqlite``: what targets have yet to get, a queue for each user of each target.

Nothing here depends on how much waits: the triggers of :mod:`zlotick.alerts.schema` keep the counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from zlotick.alerts.schema import decoded
from zlotick.model import Alert

MAX_WAITING = 10_000
"""The owner's alerts that may wait for one target; the oldest give way."""

MAX_WAITING_OF_USER = 1_000
"""The same for each user: a flood of one displaces his own alone."""


class Waiting(NamedTuple):
    """An alert that a target has yet to get."""

    number: int
    alert: Alert
    note: str
    attempts: int


class Failure(NamedTuple):
    """A delivery that did not work."""

    number: int
    error: str
    give_up: bool  # it is not tried again


class Delivery(msgspec.Struct, frozen=True):
    """What became of an alert on its way to a target, as long as it is not there."""

    target: str
    attempts: int
    error: str
    given_up: bool


def add(db: sqlite3.Connection, number: int, user: str, notes: Iterable[tuple[str, str]]) -> None:
    """An alert is to go to these targets, each with a note for people. ``user``: empty for the owner's."""
    for target, note in notes:
        db.execute(
            "INSERT INTO deliveries (alert, target, note, user) VALUES (?, ?, ?, ?)",
            (number, target, note, user),
        )
        _bound(db, target, user)


def _bound(db: sqlite3.Connection, target: str, user: str) -> None:
    size = "SELECT due + aside FROM queues WHERE target = ? AND user = ?"
    (count,) = db.execute(size, (target, user)).fetchone()
    surplus = count - (MAX_WAITING_OF_USER if user else MAX_WAITING)
    if surplus > 0:
        oldest = (
            "SELECT alert FROM deliveries WHERE target = ? AND user = ? ORDER BY aside DESC, alert LIMIT ?"
        )
        drop(db, f"target = ? AND alert IN ({oldest})", (target, target, user, surplus))


def keep_targets(db: sqlite3.Connection, targets: Iterable[str]) -> int:
    """Give up what waits for targets that are not there any more; returns how much that was."""
    known = list(targets)
    marks = ", ".join("?" * len(known))
    return drop(db, f"target NOT IN ({marks})", known)


def drop(db: sqlite3.Connection, where: str, values: Sequence[object]) -> int:
    """Give deliveries up unsent, and count them."""
    gone = db.execute(f"DELETE FROM deliveries WHERE {where}", values).rowcount  # noqa: S608  our own text
    db.execute("UPDATE state SET dropped = dropped + ?", (gone,))
    return int(gone)


def waiting(db: sqlite3.Connection, target: str, limit: int = 1) -> list[Waiting]:
    """What a target gets next: the owner's alerts first, then so many of each user, of each the oldest.

    Where more users wait than there is room for, chance decides who comes first: no order could be taken advantage of.
    """
    users = db.execute(
        "SELECT user FROM queues WHERE target = ? AND due > 0 ORDER BY user <> '', random() LIMIT ?",
        (target, limit),
    ).fetchall()
    found: list[Waiting] = []
    for place, (user,) in enumerate(users):
        found += _oldest(db, target, user, (limit - len(found)) // (len(users) - place))
    return found


def _oldest(db: sqlite3.Connection, target: str, user: str, limit: int) -> Iterable[Waiting]:
    rows = db.execute(
        "SELECT number, alerts.alert, note, attempts FROM deliveries JOIN alerts ON number = deliveries.alert "
        "WHERE target = ? AND deliveries.user = ? AND aside = 0 ORDER BY deliveries.alert LIMIT ?",
        (target, user, limit),
    )
    found = msgspec.convert(rows.fetchall(), list[tuple[int, str, str, int]])
    return [Waiting(number, decoded(text, Alert), note, attempts) for number, text, note, attempts in found]


def delivered(db: sqlite3.Connection, target: str, numbers: Iterable[int]) -> None:
    """The target has them."""
    db.executemany(
        "DELETE FROM deliveries WHERE target = ? AND alert = ?", [(target, number) for number in numbers]
    )


def failed(db: sqlite3.Connection, target: str, failures: Iterable[Failure]) -> None:
    """They did not work."""
    db.executemany(
        "UPDATE deliveries SET attempts = attempts + 1, error = ?, aside = ? WHERE target = ? AND alert = ?",
        [(one.error[:500], one.give_up, target, one.number) for one in failures],
    )


def undelivered(db: sqlite3.Connection, number: int) -> list[Delivery]:
    """Where an alert has yet to go, or never got."""
    rows = db.execute(
        "SELECT target, attempts, error, aside FROM deliveries WHERE alert = ? ORDER BY target", (number,)
    )
    return [Delivery(target, attempts, error, bool(aside)) for target, attempts, error, aside in rows]


def counts(db: sqlite3.Connection) -> tuple[dict[str, int], dict[str, int]]:
    """By target: how many wait, how many are given up."""
    rows = db.execute("SELECT target, sum(due), sum(aside) FROM queues GROUP BY target").fetchall()
    return {row[0]: row[1] for row in rows if row[1]}, {row[0]: row[2] for row in rows if row[2]}
