"""The book: what is written together, what is bounded, and files that are no book."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.alerts.walks import alert, ids, rule

from zlotick.alerts import queues, schema
from zlotick.alerts.evaluator import ActiveRule, Findings
from zlotick.alerts.offline import past_alerts
from zlotick.alerts.queues import Failure
from zlotick.alerts.rules import RuleState
from zlotick.alerts.sql import Routes
from zlotick.alerts.store import AlertStore
from zlotick.errors import AlertError, AlreadyRunning
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import Alert, Position

PHONE = Routes(notify=("phone",), max_per_hour=3)


class Clock:
    """Seconds since 1970, as the test has them."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[AlertStore]:
    store = AlertStore(tmp_path / "alerts.sqlite", clock=clock)
    await store.open()
    yield store
    await store.close()


async def raise_(store: AlertStore, routes: Routes, *alerts: Alert) -> list[Alert]:
    return await store.record(Findings(list(alerts)), None, routes)


async def notes(store: AlertStore, target: str) -> list[tuple[int, str]]:
    """What a target gets: the number in each message, and its note."""
    got = []
    while waiting := await store.waiting(target):
        got += [(int(one.alert.id), one.note) for one in waiting]
        await store.delivered(target, [one.number for one in waiting])
    return got


async def test_what_is_found_is_written_together_or_not_at_all(store: AlertStore) -> None:
    await store.begin_at(Position("e", 1))
    good = Findings([alert(1)], {("r", "ABC"): RuleState(held=True)})
    assert ids(await store.record(good, Position("e", 2), Routes(("pb",)))) == ids([alert(1)])
    bad = Findings([alert(2), object()], {("r", "ABC"): RuleState(held=False)})  # type: ignore[list-item]
    with pytest.raises(AttributeError):
        await store.record(bad, Position("e", 3), Routes(("pb",)))
    kept = await store.kept()
    assert (kept.place, kept.memories) == (Position("e", 2), {("r", "ABC"): RuleState(held=True)})
    assert ids(await store.recent(None, 10)) == ids([alert(1)])


async def test_an_alert_that_is_there_is_not_new(store: AlertStore) -> None:
    assert len(await raise_(store, PHONE, alert(1))) == 1
    assert await raise_(store, PHONE, alert(1)) == []
    assert (await store.counts()).raised == 1
    assert await notes(store, "phone") == [(1, "")]


async def test_more_than_the_hour_allows_is_held_back_and_said(store: AlertStore, clock: Clock) -> None:
    await raise_(store, PHONE, *map(alert, range(1, 6)))
    clock.now += 3601
    await raise_(store, PHONE, alert(6))
    limit = "(alerts.max_per_hour = 3)"
    assert await notes(store, "phone") == [
        (1, ""),
        (2, ""),
        (3, f"further ones within this hour are not sent {limit}"),
        (6, f"2 alerts before it were not sent {limit}"),
    ]
    assert (await store.counts()).suppressed == 2
    assert [row.suppressed for row in await store.history(10)] == [False, True, True, False, False, False]


async def test_users_alerts_are_nothing_for_the_host_s_phone(store: AlertStore) -> None:
    routes = Routes(("pb",), ("phone",), 3)
    await raise_(store, routes, alert(1, user="somebody"), alert(2))
    assert await notes(store, "phone") == [(2, "")]
    assert await notes(store, "pb") == [(2, ""), (1, "")]  # the owner's first
    assert (await store.counts()).suppressed == 0


async def test_too_many_waiting_are_dropped_oldest_first_and_counted(
    store: AlertStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "MAX_WAITING", 2)
    await raise_(store, Routes(("pb",)), *map(alert, range(1, 5)))
    assert (await store.counts()).dropped == 2
    assert await notes(store, "pb") == [(3, ""), (4, "")]


async def test_old_alerts_are_forgotten(store: AlertStore, clock: Clock) -> None:
    await raise_(store, Routes(("pb",)), alert(1))
    clock.now += 86_400
    await raise_(store, Routes(("pb",)), alert(2))
    await store.retain(1.5)
    assert len(await store.recent(None, 10)) == 2
    clock.now += 86_400
    await store.retain(1.5)
    assert ids(await store.recent(None, 10)) == ids([alert(2)])
    counts = await store.counts()
    assert (counts.raised, counts.dropped, counts.waiting) == (2, 1, {"pb": 1})


async def test_what_waits_for_a_target_that_is_gone_is_given_up(store: AlertStore) -> None:
    await raise_(store, Routes(("pb", "old")), alert(1))
    assert await store.keep_targets(["pb"]) == 1
    assert await notes(store, "pb") == [(1, "")]


async def test_history_tells_what_failed(store: AlertStore) -> None:
    await raise_(store, Routes(("pb",)), alert(1))
    await store.failed("pb", [Failure(1, "it answered 500", give_up=False)])
    await store.failed("pb", [Failure(1, "it answered 404", give_up=True)])
    (row,) = await store.history(10)
    (delivery,) = row.undelivered
    assert (delivery.attempts, delivery.error, delivery.given_up) == (2, "it answered 404", True)
    assert await store.waiting("pb") == []
    assert (await store.counts()).given_up == {"pb": 1}


async def test_a_closed_book_says_so(tmp_path: Path) -> None:
    store = AlertStore(tmp_path / "alerts.sqlite")
    await store.open()
    await store.close()
    await store.close()
    with pytest.raises(AlertError, match="closed"):
        await store.recent(None, 1)


@pytest.mark.parametrize("content", ["text", "foreign", "newer"])
async def test_files_that_are_no_book_are_left_alone(tmp_path: Path, content: str) -> None:
    file = tmp_path / "alerts.sqlite"
    if content == "text":
        file.write_text("no database, " * 100)
    else:
        with sqlite3.connect(file) as db:
            db.execute("CREATE TABLE other (x)")
            if content == "newer":
                db.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
                db.execute("PRAGMA user_version=99")
        db.close()
    before = file.read_bytes()
    store = AlertStore(file)
    with pytest.raises(AlertError, match=r"alerts\.sqlite.*move it aside"):
        await store.open()
    await store.close()
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM state",
        "UPDATE state SET offset = x'00'",
        "UPDATE state SET epoch = x'ff'",
        "UPDATE state SET offset = 'text'",
        "UPDATE state SET epoch = CAST(x'ff' AS TEXT)",
        "UPDATE rules SET standing = x'00'",
        "UPDATE memories SET memory = x'00'",
    ],
)
async def test_a_damaged_row_is_told_with_the_remedy(tmp_path: Path, damage: str) -> None:
    """A row of another type than it was written with ended the start with a TypeError and a traceback."""
    path = tmp_path / "alerts.sqlite"
    store = AlertStore(path)
    await store.open()
    try:
        await store.adopt([ActiveRule(rule(), "config", 1)], [])
        found = Findings([], {("r", "ABC"): RuleState(held=True)})
        await store.record(found, Position("e", 2), Routes())
        await store.kept()
        with closing(sqlite3.connect(path)) as db:
            db.executescript(damage)
        with pytest.raises(AlertError, match=r"alerts\.sqlite.*move it aside"):
            await store.kept()
    finally:
        await store.close()


@pytest.mark.may_block  # a look from outside is for a command, which has no loop
async def test_a_look_from_outside_respects_the_owner(tmp_path: Path) -> None:
    assert past_alerts(tmp_path, 10) == []
    store = AlertStore(tmp_path / "alerts.sqlite")
    await store.open()
    await raise_(store, PHONE, alert(1))
    await store.close()
    assert ids([row.alert for row in past_alerts(tmp_path, 10)]) == ids([alert(1)])
    async with SqliteJournal(tmp_path / "journal.sqlite"):
        with pytest.raises(AlreadyRunning):
            past_alerts(tmp_path, 10)
