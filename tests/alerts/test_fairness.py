"""The tables that users share: what one of them fills is his own, and what an alert costs does not grow with them."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest
from tests.alerts.walks import alert, ids

from zlotick.alerts import queues, schema, sql
from zlotick.alerts.evaluator import Findings
from zlotick.alerts.offline import past_alerts
from zlotick.alerts.queues import Failure
from zlotick.alerts.sql import Routes
from zlotick.alerts.store import AlertStore
from zlotick.model import Alert, Position

PB = Routes(("pb",), ("phone",), max_per_hour=30, max_per_user=3)
OPEN = Routes(("pb",), max_per_user=1_000_000)
NOW = 1_000_000.0


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys=ON")
        assert schema.prepare(db)
        yield db


def raise_(db: sqlite3.Connection, *alerts: Alert, routes: Routes = PB, now: float = NOW) -> list[Alert]:
    return sql.record(db, Findings(list(alerts)), None, routes, now)


def of(user: str | None, *numbers: int) -> list[Alert]:
    return [alert(number, user=user) for number in numbers]


# What a user may raise


def test_a_users_further_alerts_of_an_hour_are_counted_and_told_once(db: sqlite3.Connection) -> None:
    limit = "(alerts.max_per_hour_per_user = 3)"
    first = raise_(db, *of("ann", *range(1, 7)), *of("bob", 7), *of(None, *range(8, 12)))
    assert [one.user for one in first] == ["ann"] * 3 + ["bob"] + [None] * 4
    assert [one.message for one in first[:3]] == [
        "ABC: alert 1",
        "ABC: alert 2",
        f"ABC: alert 3; further ones of yours within this hour are not raised {limit}",
    ]
    assert raise_(db, *of("ann", 20), now=NOW + 3599) == []
    (after,) = raise_(db, *of("ann", 21), now=NOW + 3601)
    assert after.message == f"ABC: alert 21; 4 alerts before it were not raised {limit}"
    assert "not raised" not in raise_(db, *of("ann", 22), now=NOW + 3602)[0].message
    counts = sql.counts(db)
    assert (counts.raised, counts.held, counts.suppressed) == (10, 4, 0)
    assert sql.recent(db, "ann", 1)[0].message == "ABC: alert 22"


def test_an_alert_that_is_held_back_stays_over_with_its_crossing(db: sqlite3.Connection) -> None:
    """Else the flood would be raised hour after hour."""
    raise_(db, *of("ann", *range(1, 9)))
    assert raise_(db, now=NOW + 7200) == []
    assert len(sql.recent(db, "ann", 100)) == 3


# What a user sees


def test_nobodys_alerts_push_anothers_out_of_his_view(db: sqlite3.Connection) -> None:
    """Bug: the newest alerts of all users were looked through, up to 2000: one user filled them for all others."""
    raise_(db, *of("bob", 1), *of(None, 2), *of("ann", *range(10, 3000)), routes=OPEN)
    assert ids(sql.recent(db, "bob", 2000)) == ids([alert(2), alert(1)])
    assert len(sql.recent(db, "ann", 2000)) == 2000
    assert ids(sql.recent(db, None, 4))[-1] == alert(2).id  # the owner's keep their place
    assert len(sql.recent(db, None, 2000)) == 2000


def test_the_owners_alerts_have_half_of_the_history(db: sqlite3.Connection) -> None:
    raise_(db, *of(None, *range(1, 20)), *of("ann", *range(20, 40)), routes=OPEN)
    seen = [row.alert.user for row in sql.history(db, 10)]
    assert seen == ["ann"] * 5 + [None] * 5
    raise_(db, *of(None, *range(40, 60)))
    assert [row.alert.user for row in sql.history(db, 10)] == [None] * 10


def test_each_user_has_an_equal_share_of_what_is_kept(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: the newest alerts of all users were kept, up to a limit: one user's took everybody's history away."""
    monkeypatch.setattr(sql, "MAX_ALERTS", 10)
    raise_(db, *of(None, *range(1, 9)), *of("bob", 9, 10), *of("ann", *range(11, 40)), routes=OPEN)
    sql.retain(db, NOW - 1)
    kept = [one.user for one in sql.recent(db, None, 100)]
    assert (kept.count(None), kept.count("bob"), kept.count("ann")) == (8, 2, 5)
    assert sql.counts(db).waiting == {"pb": 15}


# What waits


def test_a_users_flood_displaces_his_own_deliveries_only(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: 10,000 deliveries could wait for a target, whosever they were: one user's took the owner's place."""
    monkeypatch.setattr(queues, "MAX_WAITING_OF_USER", 5)
    raise_(db, *of(None, 1), *of("bob", 2), *of("ann", *range(10, 30)), *of(None, 30), routes=OPEN)
    found = [(one.alert.user, one.number) for one in queues.waiting(db, "pb", 100)]
    assert sorted(found, key=str) == sorted(
        [(None, 1), (None, 23), ("bob", 2), *(("ann", number) for number in range(18, 23))], key=str
    )
    assert sql.counts(db).dropped == 15


def test_what_was_given_up_gives_way_first(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_WAITING_OF_USER", 2)
    raise_(db, *of("ann", 1, 2), routes=OPEN)
    queues.failed(db, "pb", [Failure(2, "no", give_up=True)])
    raise_(db, *of("ann", 3), routes=OPEN)
    assert [one.number for one in queues.waiting(db, "pb", 10)] == [1, 3]


def test_the_owners_go_first_and_users_share_what_is_left(db: sqlite3.Connection) -> None:
    raise_(db, *of("ann", *range(1, 60)), *of("bob", 60, 61), *of(None, 62, 63), routes=OPEN)
    found = [one.alert.user for one in queues.waiting(db, "pb", 9)]
    assert found[:2] == [None, None]
    assert (found.count("bob"), found.count("ann") >= 3) == (2, True)
    assert [one.alert.user for one in queues.waiting(db, "pb", 1)] == [None]


def test_the_counts_are_what_is_there(db: sqlite3.Connection) -> None:
    raise_(db, *of("ann", *range(1, 9)), *of(None, 9, 10), routes=OPEN)
    queues.delivered(db, "pb", [1, 2])
    queues.failed(db, "pb", [Failure(3, "no", give_up=True), Failure(4, "later", give_up=False)])
    db.execute("DELETE FROM alerts WHERE number IN (5, 9)")
    counted = "SELECT target, user, sum(NOT aside), sum(aside) FROM deliveries GROUP BY target, user"
    assert db.execute("SELECT * FROM queues").fetchall() == db.execute(counted).fetchall()
    counts = sql.counts(db)
    assert (counts.waiting, counts.given_up) == ({"pb": 5}, {"pb": 1})
    queues.keep_targets(db, [])
    assert db.execute("SELECT * FROM queues").fetchall() == []


# What it costs


@contextmanager
def steps(db: sqlite3.Connection, found: list[int]) -> Iterator[None]:
    """How many instructions SQLite's machine takes: the work itself, on however busy a machine."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    db.set_progress_handler(step, 1)
    yield
    db.set_progress_handler(None, 0)
    found.append(taken)


def test_the_work_for_an_alert_does_not_grow_with_what_is_there(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug: all that waited, and all that was sent, was counted for each alert: 34 times slower with 10,000 waiting."""
    monkeypatch.setattr(queues, "MAX_WAITING_OF_USER", 5000)
    cost: dict[str, list[int]] = {}

    def measure(number: int) -> None:
        for name, whose in (("user's", "ann"), ("owner's", None)):
            with steps(db, cost.setdefault(name, [])):
                raise_(db, *of(whose, number), routes=OPEN._replace(notify=("phone",)))
            number += 1
        with steps(db, cost.setdefault("next", [])):
            queues.waiting(db, "pb", 1)
        with steps(db, cost.setdefault("view", [])):
            sql.recent(db, "bob", 2)

    raise_(db, *of("ann", 1), *of(None, 2), *of("bob", 3), routes=OPEN)
    measure(10)
    raise_(db, *of("ann", *range(100, 7000)), routes=OPEN, now=NOW - 4000)
    raise_(db, *of(None, *range(7000, 14_000)), routes=OPEN, now=NOW - 4000)
    measure(20_000)
    assert all(later < 2 * before + 100 for before, later in cost.values()), cost


# Files of before

_VERSION_1 = """
CREATE TABLE state (epoch TEXT NOT NULL, offset INTEGER NOT NULL, raised INTEGER NOT NULL, dropped INTEGER NOT NULL);
INSERT INTO state VALUES ('e', 7, 3, 1);
CREATE TABLE rules (id TEXT PRIMARY KEY, standing TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE memories (rule TEXT NOT NULL, symbol TEXT NOT NULL, memory TEXT NOT NULL, PRIMARY KEY (rule, symbol)) WITHOUT ROWID;
INSERT INTO memories VALUES ('r', 'ABC', '{"held":true}');
CREATE TABLE alerts (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, raised_at REAL NOT NULL, sent INTEGER, alert TEXT NOT NULL);
CREATE INDEX alerts_raised_at ON alerts (raised_at);
CREATE TABLE deliveries (alert INTEGER NOT NULL REFERENCES alerts (number) ON DELETE CASCADE, target TEXT NOT NULL,
    note TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '',
    aside INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (target, alert)) WITHOUT ROWID;
CREATE INDEX deliveries_alert ON deliveries (alert);
PRAGMA user_version=1;
"""


def written_before(file: Path) -> None:
    """What an earlier zlotick left: three alerts, two of them waiting, one given up."""
    with closing(sqlite3.connect(file)) as db:
        db.executescript(_VERSION_1 + f"PRAGMA application_id={schema.APPLICATION_ID}")
        for one, sent in ((alert(1), 1), (alert(2, user="ann"), None), (alert(3, user="bob"), None)):
            row = (one.id, NOW, sent, msgspec.json.encode(one).decode())
            db.execute("INSERT INTO alerts (id, raised_at, sent, alert) VALUES (?, ?, ?, ?)", row)
        waiting = [(1, "pb", "", 0), (2, "pb", "a note", 0), (3, "pb", "", 1)]
        db.executemany("INSERT INTO deliveries (alert, target, note, aside) VALUES (?, ?, ?, ?)", waiting)
        db.commit()


@pytest.fixture
async def upgraded(tmp_path: Path) -> AsyncIterator[AlertStore]:
    written_before(tmp_path / "alerts.sqlite")
    store = AlertStore(tmp_path / "alerts.sqlite", clock=lambda: NOW + 10)
    await store.open()
    yield store
    await store.close()


async def test_a_file_of_before_is_brought_up_to_date_with_all_it_has(upgraded: AlertStore) -> None:
    kept = await upgraded.kept()
    assert kept.place == Position("e", 7)
    assert kept.memories["r", "ABC"].held
    assert ids(await upgraded.recent("ann", 10)) == ids([alert(2), alert(1)])
    assert ids(await upgraded.recent(None, 10)) == ids([alert(3), alert(2), alert(1)])
    counts = await upgraded.counts()
    assert (counts.raised, counts.dropped, counts.waiting, counts.given_up) == (3, 1, {"pb": 2}, {"pb": 1})
    assert [(one.number, one.note) for one in await upgraded.waiting("pb", 5)] == [(1, ""), (2, "a note")]
    await upgraded.record(Findings(of("ann", 4)), None, PB)
    await upgraded.delivered("pb", [1, 2])
    assert [one.number for one in await upgraded.waiting("pb", 5)] == [4]


async def test_it_is_brought_up_to_date_once(tmp_path: Path, upgraded: AlertStore) -> None:
    await upgraded.close()
    again = AlertStore(tmp_path / "alerts.sqlite")
    await again.open()
    assert len(await again.recent(None, 10)) == 3
    await again.close()


@pytest.mark.may_block  # a look from outside is for a command, which has no loop
def test_a_look_from_outside_reads_a_file_of_before_and_leaves_it(tmp_path: Path) -> None:
    file = tmp_path / "alerts.sqlite"
    written_before(file)
    before = file.read_bytes()
    assert ids([row.alert for row in past_alerts(tmp_path, 10)]) == ids([alert(3), alert(2), alert(1)])
    assert file.read_bytes() == before
