"""What ``alerts.sqlite`` looks like, and how a file of an earlier version becomes one of this."""

from __future__ import annotations

import sqlite3
from typing import TypeVar

import msgspec

T = TypeVar("T")

APPLICATION_ID = 0x7A6C616C  # "zlal"
VERSION = 2

TABLES = """
CREATE TABLE state (  -- one row
    epoch TEXT NOT NULL,
    offset INTEGER NOT NULL,  -- of the last journal entry that the rules were asked of; -1: none yet
    raised INTEGER NOT NULL,  -- alerts, ever
    dropped INTEGER NOT NULL,  -- deliveries given up because too many were waiting, or their target is gone, ever
    held INTEGER NOT NULL DEFAULT 0  -- alerts not raised because their user had too many within the hour, ever
);
INSERT INTO state VALUES ('', -1, 0, 0, 0);
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
    alert TEXT NOT NULL,
    user TEXT NOT NULL DEFAULT ''  -- whose it is; empty: the owner's, for everybody
);
CREATE INDEX alerts_raised_at ON alerts (raised_at);
CREATE TABLE deliveries (  -- what is not delivered (yet)
    alert INTEGER NOT NULL REFERENCES alerts (number) ON DELETE CASCADE,
    target TEXT NOT NULL,
    note TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    aside INTEGER NOT NULL DEFAULT 0,  -- 1: given up
    user TEXT NOT NULL DEFAULT '',  -- the alert's
    PRIMARY KEY (target, alert)
) WITHOUT ROWID;
CREATE INDEX deliveries_alert ON deliveries (alert);
"""

_BY_USER = """
CREATE INDEX alerts_user ON alerts (user, number);
CREATE INDEX alerts_user_hour ON alerts (user, raised_at);
CREATE INDEX alerts_of_users ON alerts (number) WHERE user <> '';
CREATE INDEX alerts_sent ON alerts (raised_at) WHERE sent = 1;
CREATE INDEX alerts_last_sent ON alerts (number) WHERE sent = 1;
CREATE INDEX alerts_unsent ON alerts (number) WHERE sent = 0;
CREATE INDEX deliveries_user ON deliveries (target, user, aside DESC, alert);
CREATE TABLE held (  -- alerts not raised since the last one that was
    user TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE queues (  -- how many deliveries there are; kept by the triggers, for counting takes long
    target TEXT NOT NULL,
    user TEXT NOT NULL,
    due INTEGER NOT NULL,
    aside INTEGER NOT NULL,
    PRIMARY KEY (target, user)
) WITHOUT ROWID;
INSERT INTO queues SELECT target, user, sum(NOT aside), sum(aside) FROM deliveries GROUP BY target, user;
CREATE TRIGGER delivery_added AFTER INSERT ON deliveries BEGIN
    INSERT INTO queues VALUES (new.target, new.user, NOT new.aside, new.aside)
        ON CONFLICT DO UPDATE SET due = due + excluded.due, aside = aside + excluded.aside;
END;
CREATE TRIGGER delivery_changed AFTER UPDATE OF aside ON deliveries BEGIN
    UPDATE queues SET due = due + old.aside - new.aside, aside = aside + new.aside - old.aside
        WHERE target = new.target AND user = new.user;
END;
CREATE TRIGGER delivery_gone AFTER DELETE ON deliveries BEGIN
    UPDATE queues SET due = due - (NOT old.aside), aside = aside - old.aside
        WHERE target = old.target AND user = old.user;
    DELETE FROM queues WHERE target = old.target AND user = old.user AND due = 0 AND aside = 0;
END;
"""

_FROM_1 = """
ALTER TABLE state ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE alerts ADD COLUMN user TEXT NOT NULL DEFAULT '';
UPDATE alerts SET user = coalesce(json_extract(alert, '$.user'), '') WHERE typeof(alert) = 'text' AND json_valid(alert);
ALTER TABLE deliveries ADD COLUMN user TEXT NOT NULL DEFAULT '';
UPDATE deliveries SET user = (SELECT alerts.user FROM alerts WHERE number = deliveries.alert);
"""


def prepare(db: sqlite3.Connection) -> bool:
    """Lay an empty file out, or bring an earlier one up to date. False: it is no book that we know."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (count,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not count and not application_id:
        _run(db, f"{TABLES} PRAGMA application_id={APPLICATION_ID};")
    elif application_id != APPLICATION_ID or not 1 <= version <= VERSION:
        return False
    elif version < VERSION:
        _run(db, _FROM_1)
    return True


def _run(db: sqlite3.Connection, script: str) -> None:
    """All of it or, after an error, nothing: the caller closes the connection then."""
    db.executescript(f"BEGIN IMMEDIATE; {script} {_BY_USER} PRAGMA user_version={VERSION}; COMMIT")


def decoded(text: object, kind: type[T]) -> T:
    """What a column holds. In a damaged file it may be anything: then this raises one of msgspec's errors."""
    return msgspec.json.decode(msgspec.convert(text, str), type=kind)
