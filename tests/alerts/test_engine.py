"""The engine on a real journal and a real book: every crossing raises its alert once, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.alerts.walks import OPENING, batch, moment, quote, rule, said, walk
from tests.alerts.walks import clock as at_clock

from zlotick.alerts.engine import AlertEngine
from zlotick.alerts.rules import Clock
from zlotick.alerts.sql import Routes
from zlotick.alerts.store import FILE, AlertStore
from zlotick.config import JournalConfig
from zlotick.errors import AlertError
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import Alert, AlertRule, StockUpdate

UP = rule("price_crosses")


@asynccontextmanager
async def running(
    folder: Path, *rules: AlertRule, clock: Callable[[], Clock | None] = lambda: None, **options: Any
) -> AsyncIterator[tuple[AlertEngine, SqliteJournal, list[Alert]]]:
    """One run of journal and engine; what it told while it ran."""
    told: list[Alert] = []
    config = JournalConfig(keep_days=options.pop("keep_days", 7))
    async with SqliteJournal(folder / "journal.sqlite", config) as journal:
        store = AlertStore(folder / FILE)
        engine = AlertEngine(
            journal,
            store,
            routes=Routes(),
            clock=clock,
            now=lambda: OPENING,
            tell=told.append,
            look_every=0.01,
        )
        try:
            await engine.open()
            await engine.adopt("config", rules or (UP,))
            yield engine, journal, told
        finally:
            await store.close()


def observed(alerts: list[Alert]) -> list[float | str | None]:
    return [one.observed for one in alerts]


async def past(folder: Path) -> list[float | str | None]:
    store = AlertStore(folder / FILE)
    await store.open()
    try:
        return observed(await store.recent(None, 1000))[::-1]
    finally:
        await store.close()


async def append(journal: SqliteJournal, *quotes: StockUpdate) -> None:
    for one in quotes:
        await journal.append(batch(one))


async def test_an_alert_says_what_crossed(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, journal, told):
        await append(journal, *walk(99, 101))
        await engine.look()
    (alert,) = told
    assert (alert.rule, alert.symbol, alert.observed, alert.threshold) == ("r", "ABC", 101.0, 100.0)
    assert (alert.triggered_at, alert.origin) == (moment(1), "replayed")
    assert alert.message == "ABC: 101 PLN, crossed 100 (replayed, replay 09:02)"
    assert len(alert.id) == 15
    assert alert.id.isalnum()


@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 2, 3, 4, 5, 6, 7), (4, 4, 4)])
async def test_restarts_at_any_place_lose_nothing_and_repeat_nothing(
    tmp_path: Path, cuts: tuple[int, ...]
) -> None:
    """A cut before an entry was looked at, and one after it: both are somewhere in these."""
    quotes = walk(99, 101, 102, 98, 97, 103, 99, 105)
    looked = 0
    for cut in (*cuts, len(quotes)):
        async with running(tmp_path) as (engine, journal, _):
            await append(journal, *quotes[journal.position.offset : cut])
            if looked % 2 == 0:  # else the process ends before the engine had its turn
                await engine.look()
            looked += 1
    async with running(tmp_path) as (engine, _, _):
        await engine.look()
    assert await past(tmp_path) == [seen for seen in said(UP, quotes) if seen is not None]


async def test_a_failed_write_is_tried_again_and_raises_no_second_alert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk took the transaction, but its answer came too late: the engine must ask the book where it is."""
    async with running(tmp_path) as (engine, journal, told):
        await append(journal, *walk(99, 101))
        record, failures = AlertStore.record, []

        async def too_late(self: AlertStore, *values: Any) -> list[Alert]:
            done = await record(self, *values)
            if not failures and done:
                failures.append(done)
                raise AlertError("did not answer in time")
            return done

        monkeypatch.setattr(AlertStore, "record", too_late)
        task = asyncio.create_task(engine.run())
        try:
            async with asyncio.timeout(30):
                while not failures or engine.failing:
                    await asyncio.sleep(0.01)
                await append(journal, *walk(98))
                engine.wake()
                while not told:
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.wait([task])
    assert observed(told) == [98]
    assert await past(tmp_path) == [101, 98]


async def test_an_engine_that_never_ran_begins_at_the_end(tmp_path: Path) -> None:
    async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        await append(journal, *walk(99, 101, 98))
    async with running(tmp_path, rule("price_below")) as (engine, journal, told):
        await engine.look()
        assert told == []
        await append(journal, quote(97))
        await engine.look()
    assert observed(told) == [97]


async def test_a_new_rule_is_not_asked_of_old_entries(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, journal, _):
        await append(journal, quote(99))
        await engine.look()
        await append(journal, quote(98))  # not looked at in this run
    async with running(tmp_path, UP, rule("price_below", id="new")) as (engine, journal, told):
        await engine.look()
        assert told == []
        await append(journal, quote(97))
        await engine.look()
    assert [alert.rule for alert in told] == ["new"]


async def test_a_changed_rule_begins_anew_and_a_deleted_one_is_silent(tmp_path: Path) -> None:
    async with running(tmp_path, rule()) as (engine, journal, told):
        await append(journal, quote(101))
        await engine.look()
        await engine.adopt("config", [rule(severity="critical")])
        await append(journal, quote(102))
        await engine.look()
        await engine.adopt("config", [])
        await append(journal, quote(99), quote(101))
        await engine.look()
        await engine.adopt("config", [rule()])
        await append(journal, quote(101.5))
        await engine.look()
    assert [(alert.observed, alert.severity) for alert in told] == [
        (101, "info"),
        (102, "critical"),
        (101.5, "info"),
    ]


async def test_the_sources_of_rules_do_not_disturb_each_other(tmp_path: Path) -> None:
    async with running(tmp_path, rule(id="a")) as (engine, journal, told):
        await engine.adopt("pocketbase", [rule(id="b"), rule("price_below", id="a")])
        await append(journal, quote(101))
        await engine.look()
        await engine.adopt("pocketbase", [])
        await append(journal, quote(99), quote(101))
        await engine.look()
    assert [alert.rule for alert in told] == ["a", "b", "a"]


async def test_rules_survive_a_restart_without_their_source(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, journal, _):
        await engine.adopt("pocketbase", [rule(id="pb")])
    async with running(tmp_path) as (engine, journal, told):
        await append(journal, quote(101))
        await engine.look()
    assert [alert.rule for alert in told] == ["pb"]


async def test_another_journal_is_begun_at_its_end(tmp_path: Path) -> None:
    """Bug: a rule's place in the old journal, past the end of the new one, kept it silent."""
    async with running(tmp_path) as (engine, journal, _):
        await append(journal, *walk(*range(80, 90)))
        await engine.adopt("pocketbase", [rule("price_crosses", id="late")])
        await append(journal, quote(99))
        await engine.look()
    for file in tmp_path.glob("journal.sqlite*"):
        file.unlink()
    async with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        await append(journal, *walk(101, 99, 101))
    with capture_logs() as logs:
        async with running(tmp_path) as (engine, journal, told):
            await engine.look()
            await append(journal, quote(102))
            await engine.look()
    assert observed(told) == [102, 102]  # what they remember of the stock still holds
    assert sum("another one" in line["event"] for line in logs) == 1


async def test_entries_that_retention_took_are_said_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, journal, _):
        await append(journal, quote(99))
        await engine.look()
        await append(journal, *walk(101, 102, 103))
    async with running(tmp_path, keep_days=1e-9) as (engine, journal, told):
        await journal.retain()
        await append(journal, quote(105))
        with capture_logs() as logs:
            await engine.look()
            await append(journal, quote(106))
            await engine.look()
    assert observed(told) == [106]
    assert sum("missed" in line["event"] for line in logs) == 1


async def test_the_clock_s_alerts_are_raised_once_over_a_restart(tmp_path: Path) -> None:
    phases = ["closed", "continuous", "continuous"]
    asked = rule("phase", None)
    for minute, phase in enumerate(phases):
        now = at_clock(phase, at=minute)
        async with running(tmp_path, asked, clock=lambda now=now: now) as (engine, _, _):
            await engine.look()
            await engine.look()
    assert await past(tmp_path) == ["continuous"]


async def test_many_rules_let_others_have_their_turn(tmp_path: Path) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    rules = [rule(id=str(n)) for n in range(200)]
    async with running(tmp_path, *rules) as (engine, journal, told):
        await append(journal, quote(101))
        entries = await journal.read(0)
        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        found = list(engine.evaluator.of_entry(entries[0], OPENING.date()))
        assert turns == 1
        assert len(found) == 201  # and the last price of the stock
        await engine.look()
        counting.cancel()
    assert turns > 20
    assert len(told) == 200


async def test_what_another_node_evaluated_is_passed_over(tmp_path: Path) -> None:
    """Back in its role after a day, a node told people of all that another one had told them of."""
    quotes = walk(99, 101, 98, 103, 97, 105)
    async with running(tmp_path) as (engine, journal, _):
        await append(journal, *quotes[:1])
        await engine.look()
        await append(journal, *quotes[1:4])  # evaluated elsewhere
        await engine.pass_over(4)
        assert engine.evaluated == 4
        await engine.pass_over(2)  # old news
        await engine.pass_over(99)  # of an epoch that reached further
        assert engine.evaluated == 4
        await append(journal, *quotes[4:])
        await engine.look()
    assert await past(tmp_path) == [105.0]
