"""The book: what is written together, what is bounded, and files that are no book."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.alerts.walks import alert, ids, rule

from zlotick.alerts import queues, schema
from zlotick.alerts.evaluator import Findings, Standing
from zlotick.alerts.offline import past_alerts
from zlotick.alerts.queues import Failure
from zlotick.alerts.rules import Memory
from zlotick.alerts.sql import Routes
from zlotick.alerts.store import Book
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
async def book(tmp_path: Path, clock: Clock) -> AsyncIterator[Book]:
    book = Book(tmp_path / "alerts.sqlite", clock=clock)
    await book.open()
    yield book
    await book.close()


async def raise_(book: Book, routes: Routes, *alerts: Alert) -> list[Alert]:
    return await book.record(Findings(list(alerts)), None, routes)


async def notes(book: Book, target: str) -> list[tuple[int, str]]:
    """What a target gets: the number in each message, and its note."""
    got = []
    while waiting := await book.waiting(target):
        got += [(int(one.alert.id), one.note) for one in waiting]
        await book.delivered(target, [one.number for one in waiting])
    return got


async def test_what_is_found_is_written_together_or_not_at_all(book: Book) -> None:
    await book.begin_at(Position("e", 1))
    good = Findings([alert(1)], {("r", "ABC"): Memory(held=True)})
    assert ids(await book.record(good, Position("e", 2), Routes(("pb",)))) == ids([alert(1)])
    bad = Findings([alert(2), object()], {("r", "ABC"): Memory(held=False)})  # type: ignore[list-item]
    with pytest.raises(AttributeError):
        await book.record(bad, Position("e", 3), Routes(("pb",)))
    kept = await book.kept()
    assert (kept.place, kept.memories) == (Position("e", 2), {("r", "ABC"): Memory(held=True)})
    assert ids(await book.recent(None, 10)) == ids([alert(1)])


async def test_an_alert_that_is_there_is_not_new(book: Book) -> None:
    assert len(await raise_(book, PHONE, alert(1))) == 1
    assert await raise_(book, PHONE, alert(1)) == []
    assert (await book.counts()).raised == 1
    assert await notes(book, "phone") == [(1, "")]


async def test_more_than_the_hour_allows_is_held_back_and_said(book: Book, clock: Clock) -> None:
    await raise_(book, PHONE, *map(alert, range(1, 6)))
    clock.now += 3601
    await raise_(book, PHONE, alert(6))
    limit = "(alerts.max_per_hour = 3)"
    assert await notes(book, "phone") == [
        (1, ""),
        (2, ""),
        (3, f"further ones within this hour are not sent {limit}"),
        (6, f"2 alerts before it were not sent {limit}"),
    ]
    assert (await book.counts()).suppressed == 2
    assert [row.suppressed for row in await book.history(10)] == [False, True, True, False, False, False]


async def test_users_alerts_are_nothing_for_the_host_s_phone(book: Book) -> None:
    routes = Routes(("pb",), ("phone",), 3)
    await raise_(book, routes, alert(1, user="somebody"), alert(2))
    assert await notes(book, "phone") == [(2, "")]
    assert await notes(book, "pb") == [(2, ""), (1, "")]  # the owner's first
    assert (await book.counts()).suppressed == 0


async def test_too_many_waiting_are_dropped_oldest_first_and_counted(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "MAX_WAITING", 2)
    await raise_(book, Routes(("pb",)), *map(alert, range(1, 5)))
    assert (await book.counts()).dropped == 2
    assert await notes(book, "pb") == [(3, ""), (4, "")]


async def test_old_alerts_are_forgotten(book: Book, clock: Clock) -> None:
    await raise_(book, Routes(("pb",)), alert(1))
    clock.now += 86_400
    await raise_(book, Routes(("pb",)), alert(2))
    await book.retain(1.5)
    assert len(await book.recent(None, 10)) == 2
    clock.now += 86_400
    await book.retain(1.5)
    assert ids(await book.recent(None, 10)) == ids([alert(2)])
    counts = await book.counts()
    assert (counts.raised, counts.dropped, counts.waiting) == (2, 1, {"pb": 1})


async def test_what_waits_for_a_target_that_is_gone_is_given_up(book: Book) -> None:
    await raise_(book, Routes(("pb", "old")), alert(1))
    assert await book.keep_targets(["pb"]) == 1
    assert await notes(book, "pb") == [(1, "")]


async def test_history_tells_what_failed(book: Book) -> None:
    await raise_(book, Routes(("pb",)), alert(1))
    await book.failed("pb", [Failure(1, "it answered 500", give_up=False)])
    await book.failed("pb", [Failure(1, "it answered 404", give_up=True)])
    (row,) = await book.history(10)
    (delivery,) = row.undelivered
    assert (delivery.attempts, delivery.error, delivery.given_up) == (2, "it answered 404", True)
    assert await book.waiting("pb") == []
    assert (await book.counts()).given_up == {"pb": 1}


async def test_a_closed_book_says_so(tmp_path: Path) -> None:
    book = Book(tmp_path / "alerts.sqlite")
    await book.open()
    await book.close()
    await book.close()
    with pytest.raises(AlertError, match="closed"):
        await book.recent(None, 1)


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
    book = Book(file)
    with pytest.raises(AlertError, match=r"alerts\.sqlite.*move it aside"):
        await book.open()
    await book.close()
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
    book = Book(path)
    await book.open()
    try:
        await book.adopt([Standing(rule(), "config", 1)], [])
        found = Findings([], {("r", "ABC"): Memory(held=True)})
        await book.record(found, Position("e", 2), Routes())
        await book.kept()
        with closing(sqlite3.connect(path)) as db:
            db.executescript(damage)
        with pytest.raises(AlertError, match=r"alerts\.sqlite.*move it aside"):
            await book.kept()
    finally:
        await book.close()


@pytest.mark.may_block  # a look from outside is for a command, which has no loop
async def test_a_look_from_outside_respects_the_owner(tmp_path: Path) -> None:
    assert past_alerts(tmp_path, 10) == []
    book = Book(tmp_path / "alerts.sqlite")
    await book.open()
    await raise_(book, PHONE, alert(1))
    await book.close()
    assert ids([row.alert for row in past_alerts(tmp_path, 10)]) == ids([alert(1)])
    async with SqliteJournal(tmp_path / "journal.sqlite"):
        with pytest.raises(AlreadyRunning):
            past_alerts(tmp_path, 10)
