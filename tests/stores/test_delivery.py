"""The logic of a delivery, with a sink that fails as told: faults a real store does not show on demand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.factories import batch, quote

from zlotick.connections.monitor import ConnectionMonitor
from zlotick.errors import Fatal, JournalError, Transient
from zlotick.journal.sqlite import SqliteJournal
from zlotick.model import ConnectionStatus, DeadLetter, Entry, StockUpdate, now_text
from zlotick.stores.delivery import Delivery

S = ConnectionStatus


class ScriptedSink:
    """Remembers what it stored; fails with the errors of its script, then works."""

    name = "Scripted"
    reader = "scripted"

    def __init__(self, max_entries: int = 4) -> None:
        self.monitor = ConnectionMonitor(self.name)
        self.max_entries = max_entries
        self.connect_script: list[Exception] = []
        self.deliver_script: list[Exception] = []
        self.poison: set[str] = set()
        self.before_deliver: Callable[[], Awaitable[Any]] | None = None
        self.stored: list[int] = []
        self.calls: list[list[int]] = []
        self.values: dict[str, StockUpdate] = {}
        self.tries: list[float] = []  # when it was asked to connect
        self.empty = False  # as a table that was dropped and made again
        self.lost: set[str] = set()  # symbols whose value is gone

    async def connect(self) -> None:
        self.tries.append(asyncio.get_running_loop().time())
        if self.monitor.status is S.DISCONNECTED:
            self.monitor.move(S.CONNECTING)
        self._follow_script(self.connect_script)

    async def deliver(self, entries: Sequence[Entry]) -> list[DeadLetter]:
        self.calls.append([entry.position.offset for entry in entries])
        if self.before_deliver:
            await self.before_deliver()
        self._follow_script(self.deliver_script)
        dead = []
        for entry in entries:
            self.stored.append(entry.position.offset)
            for one in entry.batch.quotes:
                if one.symbol in self.poison:
                    offset = entry.position.offset
                    dead.append(DeadLetter(self.reader, offset, one.symbol, "poison", one, now_text()))
                else:
                    self.values[one.symbol] = one
        return dead

    async def close(self) -> None:
        self.monitor.move(S.DISCONNECTED)

    async def lost_history(self) -> bool:
        return self.empty

    async def lost_values(self, values: Mapping[str, StockUpdate]) -> list[StockUpdate]:
        return [one for symbol, one in values.items() if symbol in self.lost]

    def _follow_script(self, script: list[Exception]) -> None:
        if script:
            error = script.pop(0)
            if isinstance(error, (Transient, Fatal)):
                self.monitor.move(S.ERROR if isinstance(error, Fatal) else S.RECONNECTING)
            raise error
        self.monitor.move(S.CONNECTED)


async def eventually(true: Callable[[], bool], within: float = 30.0) -> None:
    async with asyncio.timeout(within):
        while not true():
            await asyncio.sleep(0.005)


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    async with SqliteJournal(tmp_path / "journal.db") as journal:
        yield journal


@pytest.fixture
def sink() -> ScriptedSink:
    return ScriptedSink()


Run = Callable[..., Delivery]


@pytest.fixture
async def run(journal: SqliteJournal, sink: ScriptedSink) -> AsyncIterator[Run]:
    """Starts deliveries to the sink and stops them after the test."""
    tasks: list[asyncio.Task[None]] = []

    def start(**options: Any) -> Delivery:
        quick: dict[str, Any] = {
            "first_delay": 0.002,
            "max_delay": 0.01,
            "fatal_delay": 0.02,
            "probe_interval": 5.0,
        }
        delivery = Delivery(journal, sink, **quick | options)
        tasks.append(asyncio.create_task(delivery.run()))
        return delivery

    yield start
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=30)
    assert all(task.cancelled() for task in tasks)


async def fill(journal: SqliteJournal, count: int, symbol: str = "PKN") -> None:
    for _ in range(count):
        n = journal.position.offset + 1
        await journal.append(
            batch(quote(symbol, float(n), timestamp=f"2025-04-30T08:{n // 60:02}:{n % 60:02}.000Z"))
        )


async def test_stored_entries_first_then_those_that_come(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    await fill(journal, 10)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    await fill(journal, 3)
    await eventually(lambda: delivery.lag == 0)
    assert sink.stored == list(range(1, 14))
    assert max(map(len, sink.calls)) == sink.max_entries
    assert await journal.cursor("scripted") == 13
    stats = delivery.stats
    assert (stats.entries, stats.rows, stats.retries, stats.last_error) == (13, 13, 0, None)
    assert stats.last_success_at is not None


async def test_a_new_delivery_goes_on_at_the_cursor(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    await fill(journal, 5)
    await journal.cursor("scripted")
    await journal.move_cursor("scripted", 3)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    assert sink.stored == [4, 5]


async def test_an_outage_is_a_lag_told_once_down_and_once_up(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    await fill(journal, 3)
    sink.connect_script = [Transient("refused")] * 3
    sink.deliver_script = [Transient("reset")] * 4
    with capture_logs() as logs:
        delivery = run()
        await eventually(lambda: delivery.lag == 0)
    told = [one["event"] for one in logs if one["event"].startswith("Delivery")]
    assert told == ["Delivery waits", "Delivery resumed"]
    assert sink.stored == [1, 2, 3]
    assert (delivery.stats.retries, delivery.stats.last_error, len(sink.tries)) == (7, None, 8)


async def test_a_failing_store_shows_why_and_when_it_last_worked(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    await fill(journal, 1)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    good = delivery.stats.last_success_at
    sink.deliver_script = [Transient("disk full")] * 1000
    await fill(journal, 2)
    await eventually(lambda: delivery.stats.last_error == "disk full")
    assert delivery.stats.last_success_at == good
    assert delivery.lag == 2


async def test_a_fatal_answer_is_retried_slowly_and_told_as_an_error(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.connect_script = [Fatal("wrong password")]
    with capture_logs() as logs:
        delivery = run(fatal_delay=0.3)
        await eventually(lambda: sink.monitor.status is S.CONNECTED)
        await eventually(lambda: delivery.stats.last_error is None)
    assert sink.tries[1] - sink.tries[0] > 0.29
    (error,) = [one for one in logs if one["event"] == "Delivery failed"]
    assert (error["log_level"], error["reason"], error["mark"]) == ("error", "wrong password", "❌")


async def test_a_bug_in_a_sink_is_told_with_its_type_and_outlived(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    await fill(journal, 2)
    sink.deliver_script = [KeyError("oops")] * 3
    with capture_logs() as logs:
        delivery = run()
        await eventually(lambda: delivery.lag == 0)
    bugs = [one for one in logs if one["event"] == "Delivery failed"]
    assert [(one["error_type"], one["mark"]) for one in bugs] == [("KeyError", "❌")]
    assert isinstance(bugs[0]["exc_info"], KeyError)
    assert sink.stored == [1, 2]


async def test_the_ramp_begins_anew_only_after_a_healthy_period(
    journal: SqliteJournal, sink: ScriptedSink, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Delivery] = []
    clock = SimpleNamespace(monotonic=lambda: now)
    now = 1.0

    def counted(self: Delivery) -> Iterator[float]:
        made.append(self)
        return itertools.repeat(0.001)

    monkeypatch.setattr(Delivery, "_ramp", counted)
    monkeypatch.setattr("zlotick.stores.delivery.time", clock)
    sink.deliver_script = [Transient("flapping")] * 5
    delivery = run(healthy_after=10)
    await eventually(lambda: delivery.stats.retries == 5)
    assert len(made) == 1
    await eventually(lambda: sink.monitor.status is S.CONNECTED)
    now += 10
    sink.deliver_script = [Transient("gone")]
    await fill(journal, 1)
    await eventually(lambda: delivery.lag == 0)
    assert len(made) == 2


async def test_the_cursor_waits_for_the_store(journal: SqliteJournal, sink: ScriptedSink, run: Run) -> None:
    gate = asyncio.Event()
    sink.before_deliver = gate.wait
    await fill(journal, 2)
    run()
    await eventually(lambda: sink.calls == [[1, 2]])
    assert await journal.cursor("scripted") == 0
    gate.set()
    await eventually(lambda: sink.stored == [1, 2])


async def test_cancelled_in_mid_delivery_it_delivers_again(
    journal: SqliteJournal, sink: ScriptedSink
) -> None:
    sink.before_deliver = asyncio.Event().wait
    await fill(journal, 2)
    task = asyncio.create_task(Delivery(journal, sink).run())
    await eventually(lambda: sink.calls == [[1, 2]])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await journal.cursor("scripted") == 0


async def test_a_store_that_hangs_meets_a_deadline(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.before_deliver = asyncio.Event().wait
    await fill(journal, 1)
    delivery = run(deliver_timeout=0.02)
    await eventually(lambda: delivery.stats.retries > 1)
    assert delivery.stats.last_error == "deadline exceeded"
    sink.before_deliver = None
    await eventually(lambda: delivery.lag == 0)


async def test_a_quiet_journal_still_shows_that_the_store_went_away(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    delivery = run(probe_interval=0.02)
    await eventually(lambda: sink.monitor.status is S.CONNECTED)
    sink.deliver_script = [Transient("gone")]
    await eventually(lambda: delivery.stats.retries == 1)
    await eventually(lambda: sink.monitor.status is S.CONNECTED)
    assert await journal.cursor("scripted") == 0


async def test_a_journal_that_cannot_be_read_is_waited_for(
    journal: SqliteJournal, sink: ScriptedSink, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(journal, 1)
    read, failures = journal.read, [JournalError("disk I/O error")] * 2

    async def failing(*args: Any) -> list[Entry]:
        if failures:
            raise failures.pop()
        return await read(*args)

    monkeypatch.setattr(journal, "read", failing)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    assert delivery.stats.retries == 2


async def test_dead_letters_are_put_aside_with_the_cursor_and_block_nothing(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.poison = {"BAD"}
    await journal.append(batch(quote("AAA"), quote("BAD"), quote("BBB")))
    await fill(journal, 1)
    with capture_logs() as logs:
        delivery = run()
        await eventually(lambda: delivery.lag == 0)
    (letter,) = await journal.dead_letters("scripted")
    assert (letter.offset, letter.symbol, letter.reason) == (1, "BAD", "poison")
    assert (delivery.stats.rows, delivery.stats.dead_letters) == (3, 1)
    assert [one["reason"] for one in logs if one["event"] == "Quotes put aside"] == ["BAD: poison"]


async def test_a_refusal_is_told_once_whichever_stock_it_meets(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    """The list of refused stocks differs from batch to batch, and with it the error came twice a second for ever."""
    sink.poison = {"AAA", "BBB", "CCC"}
    delivery = run()
    with capture_logs() as logs:
        for symbols in ("AAA BBB", "BBB CCC", "AAA CCC", "CCC"):
            await journal.append(batch(*map(quote, symbols.split())))
            await eventually(lambda: delivery.lag == 0)
        assert [one["reason"] for one in logs if one["event"] == "Quotes put aside"] == [
            "AAA: poison; BBB: poison"
        ]
        sink.poison = set()
        await delivery.resend_dead_letters()
        sink.poison = {"CCC"}
        await journal.append(batch(quote("CCC", 2.0)))
        await eventually(lambda: delivery.lag == 0)
    assert len([one for one in logs if one["event"] == "Quotes put aside"]) == 2


async def test_an_empty_store_gets_the_whole_journal_again(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    """A dropped table was made again and stayed empty, although the journal had every row of it."""
    await fill(journal, 6)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    sink.stored, sink.values, sink.empty = [], {}, True
    sink.deliver_script = [Transient("no table")]
    with capture_logs() as logs:
        await fill(journal, 1)
        await eventually(lambda: sink.stored[-1:] == [7])
    assert sorted(set(sink.stored)) == list(range(1, 8))
    assert await journal.cursor("scripted") == 7
    assert delivery.stats.skipped == 0
    [told] = [one for one in logs if one["event"].startswith("The store is empty")]
    assert (told["log_level"], told["entries"], told["first"]) == ("warning", 7, 1)


async def test_a_new_store_is_not_told_to_have_lost_anything(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.empty = True
    await fill(journal, 3)
    with capture_logs() as logs:
        delivery = run()
        await eventually(lambda: delivery.lag == 0)
    assert sink.stored == [1, 2, 3]
    assert not [one for one in logs if one["event"].startswith("The store")]


async def test_lost_values_are_written_again_but_for_those_that_are_refused(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.poison = {"BAD"}
    await journal.append(batch(quote("AAA"), quote("BAD"), quote("BBB")))
    delivery = run(check_interval=0.01, probe_interval=0.01)
    await eventually(lambda: delivery.lag == 0)
    sink.values.clear()
    before = len(sink.calls)
    with capture_logs() as logs:
        sink.lost = {"BBB", "BAD"}
        await eventually(lambda: "BBB" in sink.values)
        sink.lost = {"BAD"}
        await eventually(lambda: len(sink.calls) > before + 5)
    assert set(sink.values) == {"BBB"}
    assert {one["quotes"] for one in logs if one["event"].startswith("The store lacked")} == {1}
    assert len(await journal.dead_letters("scripted")) == 1
    assert await journal.cursor("scripted") == 1


async def test_redelivery_begins_where_it_is_told_while_entries_come(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    await fill(journal, 10)
    delivery = run(probe_interval=0.05)
    await eventually(lambda: delivery.lag == 0)
    sink.stored.clear()
    assert await delivery.redeliver(4) == range(4, 11)
    await fill(journal, 2)
    await eventually(lambda: delivery.lag == 0)
    assert sink.stored == list(range(4, 13))
    assert delivery.stats.skipped == 0
    with pytest.raises(JournalError, match="from entry 13: the journal ends at 12"):
        await delivery.redeliver(13)


async def test_what_was_read_before_a_redelivery_does_not_jump_over_it(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    """A chunk read before the cursor was moved back would have been taken for a gap, and the rest given up."""
    await fill(journal, 6)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    await journal.append(batch(quote("AAA")))
    read = await journal.read(6)
    await delivery.redeliver()
    await delivery._hand_over(6, read)
    await fill(journal, 1)
    await eventually(lambda: delivery.lag == 0)
    assert set(range(1, 9)) <= set(sink.stored)
    assert delivery.stats.skipped == 0


async def test_dead_letters_that_go_are_removed_and_those_that_do_not_stay(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.poison = {"BAD", "WORSE"}
    for n in range(6):
        await journal.append(batch(quote("BAD", 1.0 + n), quote("WORSE", 1.0 + n)))
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    assert await delivery.resend_dead_letters() == (0, 12)
    sink.poison = {"WORSE"}
    assert await delivery.resend_dead_letters() == (6, 6)
    assert {letter.symbol for letter in await journal.dead_letters("scripted")} == {"WORSE"}
    sink.poison = set()
    assert await delivery.resend_dead_letters() == (6, 0)
    assert await delivery.resend_dead_letters() == (0, 0)
    assert await journal.cursor("scripted") == 6


async def test_a_re_sent_quote_does_not_replace_a_newer_one(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.poison = {"PKN"}
    await fill(journal, 1)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    sink.poison = set()
    await fill(journal, 1)
    await eventually(lambda: delivery.lag == 0)
    assert await delivery.resend_dead_letters() == (1, 0)
    assert sink.values["PKN"].price == 2.0


async def test_letters_stay_when_the_store_is_away(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.poison = {"PKN"}
    await fill(journal, 1)
    delivery = run()
    await eventually(lambda: delivery.lag == 0)
    sink.deliver_script = [Transient("gone")]
    with pytest.raises(Transient, match="gone"):
        await delivery.resend_dead_letters()
    assert len(await journal.dead_letters("scripted")) == 1


async def test_a_gap_is_told_counted_and_bridged_with_the_present_values(
    journal: SqliteJournal, sink: ScriptedSink, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(journal, 2, "OLD")
    await fill(journal, 8, "NEW")
    read = journal.read

    async def retained(after: int, limit: int) -> list[Entry]:
        return await read(max(after, 6), limit)

    monkeypatch.setattr(journal, "read", retained)
    sink.deliver_script = [Transient("gone")]
    with capture_logs() as logs:
        delivery = run()
        await eventually(lambda: delivery.lag == 0)
    (gap,) = [one for one in logs if one["event"] == "Journal entries gone before their delivery"]
    assert (gap["entries"], gap["log_level"], delivery.stats.skipped) == (6, "error", 6)
    assert {symbol: one.price for symbol, one in sink.values.items()} == {"OLD": 2.0, "NEW": 10.0}


async def test_flush_delivers_the_rest(journal: SqliteJournal, sink: ScriptedSink, run: Run) -> None:
    delivery = run()
    await eventually(lambda: delivery.stats.last_success is not None)
    await fill(journal, 9)
    assert await delivery.flush(5.0)
    assert await journal.cursor("scripted") == 9
    assert sink.stored == list(range(1, 10))


async def test_flush_and_run_at_once_deliver_nothing_twice_and_move_nothing_back(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    delivery = run()
    await eventually(lambda: delivery.stats.last_success is not None)
    for _ in range(10):
        await fill(journal, 5)
        assert await delivery.flush(5.0)
    assert sink.stored == list(range(1, 51))


async def test_flush_keeps_its_deadline(journal: SqliteJournal, sink: ScriptedSink, run: Run) -> None:
    delivery = run()
    await eventually(lambda: delivery.stats.last_success is not None)
    sink.before_deliver = asyncio.Event().wait
    await fill(journal, 1)
    async with asyncio.timeout(30):
        assert not await delivery.flush(0.05)
    assert await journal.cursor("scripted") == 0


async def test_flush_does_not_wait_for_a_store_that_is_away(
    journal: SqliteJournal, sink: ScriptedSink, run: Run
) -> None:
    sink.connect_script = [Transient("gone")] * 1000
    await fill(journal, 1)
    delivery = run()
    await eventually(lambda: delivery.stats.retries > 0)
    assert not await delivery.flush(60.0)
    assert delivery.lag == 1


async def test_flush_survives_a_bug(journal: SqliteJournal, sink: ScriptedSink) -> None:
    delivery = Delivery(journal, sink)
    task = asyncio.create_task(delivery.run())
    await eventually(lambda: delivery.stats.last_success is not None)
    task.cancel()
    await asyncio.wait([task])
    await fill(journal, 1)
    sink.deliver_script = [ZeroDivisionError("bug")]
    with capture_logs() as logs:
        assert not await delivery.flush(1.0)
    assert [one["error_type"] for one in logs if one["event"] == "Delivery failed"] == ["ZeroDivisionError"]
    assert await delivery.flush(1.0)
