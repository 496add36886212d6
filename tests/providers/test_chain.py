from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs
from tests.factories import bare_quote

from zlotick.errors import Refusal, RefusalReason, ReplayError
from zlotick.events import DATA_PROVIDER_STATUS, EventBus
from zlotick.model import ConnectionStatus, StockUpdate, now_text, utc_time
from zlotick.providers import StockDataProvider
from zlotick.providers.base import Capabilities
from zlotick.providers.chain import Fetched, ProviderChain

START = datetime(2026, 11, 24, 9, tzinfo=UTC)
LIMIT = Refusal(RefusalReason.DAILY_LIMIT, "25 calls a day are spent")


def quote(symbol: str, source: str = "") -> StockUpdate:
    return bare_quote(symbol, timestamp=now_text(), data_source=source)


class Scripted(StockDataProvider):
    """Answers with its quotes, or fails as told."""

    def __init__(self, name: str, *symbols: str, fails: BaseException | None = None) -> None:
        self.name = name
        self.answer: Any = [quote(symbol, name) for symbol in symbols]
        self.fails = fails
        self.connects = self.asked = self.closes = 0
        self.connect_fails: BaseException | None = None
        self.hang: asyncio.Event | None = None

    async def connect(self) -> None:
        self.connects += 1
        if self.connect_fails:
            raise self.connect_fails

    async def fetch_data(self) -> list[StockUpdate]:
        self.asked += 1
        if self.hang:
            await self.hang.wait()
        if self.fails:
            raise self.fails
        answer: list[StockUpdate] = self.answer
        return answer

    async def close(self) -> None:
        self.closes += 1
        if self.hang:
            await self.hang.wait()
        if self.fails:
            raise self.fails


class Clock:
    """Ten o'clock on a session day, until the test moves it."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def chain(*providers: StockDataProvider, **options: Any) -> ProviderChain:
    return ProviderChain([*providers], 0.05, close_timeout=0.05, **options)


def sources(fetched: Fetched) -> dict[str, str]:
    return {q.symbol: q.data_source for q in fetched.quotes}


async def test_a_complete_first_answer_asks_nobody_else() -> None:
    a, b = Scripted("a", "PKN", "KGH"), Scripted("b", "PKN", "KGH")
    failover = chain(a, b)
    fetched = await failover.fetch(frozenset({"PKN", "KGH"}))
    assert sources(fetched) == {"PKN": "a", "KGH": "a"}
    assert (b.asked, b.connects) == (0, 0)
    assert fetched.used == ["a"]


async def test_what_the_first_lacks_is_asked_of_the_next_and_nothing_else_is_taken() -> None:
    a, b, c = Scripted("a", "PKN"), Scripted("b", "PKN", "KGH"), Scripted("c", "PKN", "KGH", "ABS")
    failover = chain(a, b, c)
    fetched = await failover.fetch(frozenset({"PKN", "KGH", "ABS"}))
    assert sources(fetched) == {"PKN": "a", "KGH": "b", "ABS": "c"}
    assert len(fetched.quotes) == 3
    assert [row.symbols for row in failover.rows()] == [1, 1, 1]


async def test_when_the_source_decides_only_the_first_that_answers_is_asked() -> None:
    a, b, c = Scripted("a", fails=LIMIT), Scripted("b", "XYZ"), Scripted("c", "ABC")
    failover = chain(a, b, c)
    fetched = await failover.fetch(None)
    assert sources(fetched) == {"XYZ": "b"}
    assert c.asked == 0
    assert fetched.used == ["b"]


async def test_unwanted_and_double_quotes_are_left_for_validation_to_judge() -> None:
    a = Scripted("a", "PKN", "PKN", "GOLD")
    a.answer += [None, {"symbol": "PKN"}]
    assert len((await chain(a).fetch(frozenset({"PKN"}))).quotes) == 5


async def test_a_provider_appended_later_is_asked_from_the_next_cycle() -> None:
    failover = chain()
    with pytest.raises(Refusal, match=r"no data provider; set providers.order or append one to data_provi"):
        await failover.fetch(None)
    failover.providers.append(Scripted("late", "PKN"))
    assert sources(await failover.fetch(None)) == {"PKN": "late"}


async def test_the_list_is_the_very_object() -> None:
    providers: list[StockDataProvider] = []
    assert ProviderChain(providers, 1).providers is providers


@dataclass
class Unhashable(StockDataProvider):
    """A dataclass has no hash."""

    symbol: str = "PKN"

    async def fetch_data(self) -> list[StockUpdate]:
        return [quote(self.symbol, self.name)]


async def test_a_provider_need_not_be_hashable() -> None:
    assert sources(await chain(Unhashable(), Unhashable()).fetch(None)) == {"PKN": "Unhashable"}


def hang(provider: Scripted) -> None:
    provider.hang = asyncio.Event()


def raises(error: BaseException) -> Callable[[Scripted], None]:
    def damage(provider: Scripted) -> None:
        provider.fails = error

    return damage


def answers(value: Any) -> Callable[[Scripted], None]:
    def damage(provider: Scripted) -> None:
        provider.answer = value

    return damage


def connect_raises(error: BaseException) -> Callable[[Scripted], None]:
    def damage(provider: Scripted) -> None:
        provider.connect_fails = error

    return damage


FAULTS = [
    (raises(Refusal(RefusalReason.CHALLENGE, "a puzzle")), "error", "challenge", "challenge: a puzzle"),
    (raises(LIMIT), "reconnecting", "daily_limit", "daily_limit: 25 calls a day are spent"),
    (connect_raises(LIMIT), "reconnecting", "daily_limit", "daily_limit: 25 calls a day are spent"),
    (hang, "reconnecting", "timeout", "timeout: no answer within 0.05 s (providers.timeout)"),
    (answers([]), "reconnecting", "no_data", "no_data: it returned no quotes"),
    (raises(KeyError("price")), "error", "KeyError", "KeyError: 'price'"),
    (
        answers(None),
        "error",
        "TypeError",
        "TypeError: Scripted.fetch_data must return a list of StockUpdate, returned NoneType",
    ),
    (connect_raises(ReplayError("x.csv, line 3: bad")), "error", "ReplayError", "x.csv, line 3: bad"),
]


@pytest.mark.parametrize(("damage", "status", "reason", "told"), FAULTS)
async def test_every_fault_moves_on_to_the_next(
    damage: Callable[[Scripted], None], status: str, reason: str, told: str
) -> None:
    a, b = Scripted("a", "PKN"), Scripted("b", "PKN")
    damage(a)
    failover = chain(a, b)
    assert sources(await failover.fetch(frozenset({"PKN"}))) == {"PKN": "b"}
    first, second = failover.rows()
    assert (first.name, first.status.value, first.refusal_reason, first.symbols) == ("a", status, reason, 0)
    assert first.last_refusal is not None
    assert first.next_attempt is not None
    assert utc_time(first.next_attempt) >= utc_time(first.last_refusal)
    assert first.since == first.last_refusal
    assert first.refusals == {reason: 1}
    assert first.refusal_detail == told.removeprefix(f"{reason}: ")
    assert first.last_success is None
    assert (second.status, second.refusal_reason, second.next_attempt) == (
        ConnectionStatus.CONNECTED,
        None,
        None,
    )
    assert second.last_success is not None


@pytest.mark.parametrize(("damage", "status", "reason", "told"), FAULTS)
async def test_when_all_refuse_every_reason_is_named(
    damage: Callable[[Scripted], None], status: str, reason: str, told: str
) -> None:
    a, b = Scripted("a", "PKN"), Scripted("b", "PKN", fails=Refusal(RefusalReason.CHALLENGE, "a robot check"))
    damage(a)
    failover = chain(a, b)
    for _ in range(2):  # while both are left alone as well
        with pytest.raises(Refusal) as caught:
            await failover.fetch(frozenset({"PKN"}))
        assert caught.value.reason is RefusalReason.CHALLENGE
        assert caught.value.detail == f"a: {told}; b: challenge: a robot check"
    assert [row.symbols for row in failover.rows()] == [0, 0]


async def test_a_forgotten_return_names_the_user_s_class() -> None:
    """The log's ``at`` was a line of our own code, the method's class was not named at all."""
    a = Scripted("a", "PKN")
    answers(None)(a)
    with capture_logs() as logs, pytest.raises(Refusal):
        await chain(a).fetch(frozenset({"PKN"}))
    [bug] = [line for line in logs if line["event"] == "Data provider has a bug"]
    assert bug["at"] == f"{Scripted.__module__}.Scripted"
    assert bug["error"].startswith("TypeError: Scripted.fetch_data must return")


async def test_the_cause_of_a_lone_failure_is_kept() -> None:
    broken = Scripted("replay")
    broken.connect_fails = ReplayError("x.csv, line 3: bad")
    with pytest.raises(Refusal) as caught:
        await chain(broken).fetch(None)
    assert caught.value.__cause__ is broken.connect_fails
    assert caught.value.reason is RefusalReason.NO_DATA


async def test_cancelling_a_cycle_is_no_refusal() -> None:
    a, b = Scripted("a", "PKN"), Scripted("b", "PKN")
    a.hang = asyncio.Event()
    failover = ProviderChain([a, b], timeout=30)
    task = asyncio.create_task(failover.fetch(None))
    while not a.asked:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b.asked == 0
    a.hang.set()
    assert sources(await failover.fetch(None)) == {"PKN": "a"}


class Web(Scripted):
    """A source on the web: asked once a minute, never more often than each half, and only around a session."""

    capabilities = Capabilities(floor_seconds=30, session_only=True)
    interval_seconds = 60.0


def attempts(failover: ProviderChain, clock: Clock, provider: Scripted, *, hours: float, step: float) -> Any:
    """Fetch again and again; the moments (seconds from the start) at which the provider was asked."""

    async def watch() -> list[float]:
        moments, end = [], clock.now + timedelta(hours=hours)
        while clock.now < end:
            before = provider.asked
            with contextlib.suppress(Refusal):
                await failover.fetch(None)
            if provider.asked > before:
                moments.append((clock.now - START).total_seconds())
            clock.pass_(step)
        return moments

    return watch()


async def test_a_provider_of_ones_own_with_a_bug_is_back_within_seconds_and_never_silent_for_long() -> None:
    clock, a = Clock(), Scripted("a", fails=KeyError("price"))
    asked = await attempts(chain(a, clock=clock), clock, a, hours=1, step=0.5)
    assert asked[1] <= 1.5
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[:8] == sorted(waits[:8])
    assert 300 <= waits[-1] <= 331


async def test_a_source_on_the_web_is_asked_again_after_1_2_4_8_15_minutes() -> None:
    clock, a = Clock(), Web("a", fails=Refusal(RefusalReason.UNREACHABLE, "no connection"))
    asked = await attempts(chain(a, clock=clock), clock, a, hours=1.5, step=1)
    waits = [(later - earlier) / 60 for earlier, later in pairwise(asked)]
    for wait, minutes in zip(waits, (1, 2, 4, 8, 15, 15), strict=False):
        assert minutes <= wait <= minutes * 1.1 + 0.1


async def test_the_last_answer_stands_until_the_next_turn() -> None:
    clock, a, b = Clock(), Web("a", "PKN"), Web("b", "PKN")
    failover = chain(a, b, clock=clock)
    assert await attempts(failover, clock, a, hours=0.1, step=30) == [0, 60, 120, 180, 240, 300]
    clock.pass_(-30)
    fetched = await failover.fetch(frozenset({"PKN"}))
    assert (sources(fetched), fetched.asked, fetched.used, b.asked) == ({"PKN": "a"}, [], ["a"], 0)
    assert failover.rows()[0].refusals == {}


async def test_the_floor_of_a_source_wins_over_a_shorter_interval() -> None:
    clock, a = Clock(), Web("a", "PKN")
    a.interval_seconds = 1.0
    assert await attempts(chain(a, clock=clock), clock, a, hours=0.03, step=10) == [0, 30, 60, 90]


async def test_an_answer_does_not_stand_once_its_source_refuses() -> None:
    clock, a, b = Clock(), Web("a", "PKN"), Web("b", "PKN")
    failover = chain(a, b, clock=clock)
    await failover.fetch(frozenset({"PKN"}))
    clock.pass_(60)
    a.fails = Refusal(RefusalReason.UNREACHABLE, "no connection")
    for _ in range(2):  # in the cycle of the refusal, and while it is left alone
        assert sources(await failover.fetch(frozenset({"PKN"}))) == {"PKN": "b"}
        clock.pass_(30)
    a.fails = None
    clock.pass_(10)
    assert sources(await failover.fetch(frozenset({"PKN"}))) == {
        "PKN": "a"
    }  # the probe: it is back, and first
    assert b.asked == 1


async def test_the_next_one_is_asked_for_the_missing_symbols_only() -> None:
    a, b = Scripted("a", "PKN"), Picky("b", "PKN", "KGH", "ABS")
    await chain(a, b).fetch(frozenset({"PKN", "KGH", "ABS"}))
    assert b.wanted == [frozenset({"KGH", "ABS"})]


class Picky(Scripted):
    """One symbol a request."""

    def __init__(self, name: str, *symbols: str) -> None:
        super().__init__(name, *symbols)
        self.wanted: list[frozenset[str]] = []

    async def fetch_symbols(self, wanted: frozenset[str]) -> list[StockUpdate]:
        self.wanted.append(wanted)
        return [quote for quote in await self.fetch_data() if quote.symbol in wanted]


async def test_outside_of_a_session_the_sources_of_a_session_are_left_alone() -> None:
    clock, a, always = Clock(), Web("a", "PKN"), Scripted("always", "PKN")
    clock.now = START.replace(hour=20)
    with pytest.raises(Refusal, match=r"around a session only: from 2026-11-25T07:30"):
        await chain(a, clock=clock).fetch(frozenset({"PKN"}))
    failover = chain(a, always, clock=clock)
    assert sources(await failover.fetch(frozenset({"PKN"}))) == {"PKN": "always"}
    assert (a.asked, failover.rows()[0].refusals) == (0, {})
    assert (chain(a).session_only(), failover.session_only(), chain().session_only()) == (True, False, False)


async def test_while_no_quote_is_known_they_are_asked_at_any_hour_three_times() -> None:
    """On a first start in the evening, sources were not asked before the next morning."""
    clock, known = Clock(), False
    a, b = (Web(name, fails=Refusal(RefusalReason.TIMEOUT, "slow")) for name in "ab")
    clock.now = start = START.replace(hour=20)
    failover = chain(a, b, clock=clock, has_quotes=lambda: known)
    asked: list[float] = []
    while (due := failover.first_request(clock.now)) and len(asked) < 10:
        clock.now = due
        asked.append((due - start).total_seconds() / 60)
        with pytest.raises(Refusal):
            await failover.fetch(frozenset({"PKN"}))
    assert asked[0] == 0
    assert 1 <= asked[1] <= 1.1
    assert 3 <= asked[-1] <= 3.3  # of both sources, each with a little chance in its waits
    assert (a.asked, b.asked) == (3, 3)
    assert [row.next_attempt for row in failover.rows()] == ["2026-11-25T07:30:00.000Z"] * 2
    clock.now = START.replace(hour=16, minute=24) + timedelta(
        days=1
    )  # the end of a session: they count afresh
    with pytest.raises(Refusal):
        await failover.fetch(frozenset({"PKN"}))
    assert failover.first_request(clock.now) is not None
    known = True
    assert failover.first_request(clock.now) is None


async def test_one_that_was_not_needed_at_night_is_no_reason_to_ask_for_ever() -> None:
    """Whatever ``a`` gave was rejected by validation; ``b`` is not asked, because ``a`` answers."""
    clock, a, b = Clock(), Web("a", "PKN"), Web("b", "PKN")
    clock.now = START.replace(hour=20)
    failover = chain(a, b, clock=clock, has_quotes=lambda: False)
    cycles = 0
    while (due := failover.first_request(clock.now)) and cycles < 10:
        clock.now, cycles = due, cycles + 1
        await failover.fetch(frozenset({"PKN"}))
    assert (cycles, a.asked, b.asked) == (3, 3, 0)


async def test_a_refusal_in_the_evening_is_asked_again_in_the_morning() -> None:
    clock, a = Clock(), Web("a", fails=Refusal(RefusalReason.NOT_FOUND, "no column 'Kurs'"))
    clock.now = START.replace(hour=16)
    failover = chain(a, clock=clock)
    with pytest.raises(Refusal):
        await failover.fetch(None)
    [row] = failover.rows()
    assert (row.status, row.next_attempt) == (ConnectionStatus.ERROR, "2026-11-25T07:30:00.000Z")


async def test_a_clock_that_was_set_back_does_not_make_a_source_wait() -> None:
    clock, a = Clock(), Web("a", "PKN")
    failover = chain(a, clock=clock)
    await failover.fetch(None)
    clock.pass_(-3600)
    await failover.fetch(None)
    assert a.asked == 2


async def test_connect_is_tried_again_until_it_works_and_then_never() -> None:
    clock, a = Clock(), Scripted("a", "PKN")
    a.connect_fails = LIMIT
    failover = chain(a, clock=clock)
    for _ in range(3):
        with pytest.raises(Refusal):
            await failover.fetch(None)
        clock.pass_(24 * 3600)
    a.connect_fails = None
    for _ in range(3):
        await failover.fetch(None)
    assert a.connects == 4


async def test_down_and_up_are_told_once_each() -> None:
    clock, a, bus = Clock(), Scripted("a", "PKN"), EventBus()
    events: list[dict[str, Any]] = []
    await bus.subscribe(DATA_PROVIDER_STATUS, events.append)
    failover = chain(a, bus=bus, clock=clock)
    with capture_logs() as logs:
        for fails in (None, None, LIMIT, LIMIT, LIMIT, None, None):
            a.fails = fails
            try:
                await failover.fetch(None)
            except Refusal:
                clock.pass_(24 * 3600)
    await bus.close()
    assert [event["status"] for event in events] == ["connecting", "connected", "reconnecting", "connected"]
    assert all(set(event) >= {"provider", "status", "timestamp"} for event in events)
    assert events[2]["reason"] == "daily_limit: 25 calls a day are spent"
    assert [entry["event"] for entry in logs] == [
        "a connecting",
        "a connected",
        "Data provider refused",
        "a reconnecting",
        "a connected",
    ]
    assert logs[2]["next_attempt"] == events[2]["next_attempt"] >= "2026-11-24T23:00:00.000Z"
    assert (events[2]["refusal_reason"], events[2]["refusals"]) == ("daily_limit", {"daily_limit": 1})
    assert (events[3]["refusal_reason"], events[3]["next_attempt"]) == (None, None)


async def test_another_reason_is_news_though_the_status_stays() -> None:
    clock, a, bus = Clock(), Scripted("a", fails=LIMIT), EventBus()
    events: list[dict[str, Any]] = []
    await bus.subscribe(DATA_PROVIDER_STATUS, events.append)
    failover = chain(a, bus=bus, clock=clock)
    for fails in (
        LIMIT,
        Refusal(RefusalReason.TIMEOUT, "late"),
        Refusal(RefusalReason.TIMEOUT, "late again"),
    ):
        a.fails = fails
        with pytest.raises(Refusal):
            await failover.fetch(None)
        clock.pass_(24 * 3600)
    await bus.close()
    assert [event["refusal_reason"] for event in events] == [None, "daily_limit", "timeout"]
    assert events[2]["timestamp"] == "2026-11-25T09:00:00.000Z"


async def test_a_bug_is_logged_once_with_its_type_and_place() -> None:
    clock, a = Clock(), Scripted("a", fails=ZeroDivisionError("division by zero"))
    failover = chain(a, clock=clock)
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(Refusal):
                await failover.fetch(None)
            clock.pass_(24 * 3600)
    bugs = [entry for entry in logs if entry["event"] == "Data provider has a bug"]
    assert [(bug["mark"], bug["provider"]) for bug in bugs] == [("❌", "a")]
    assert bugs[0]["error"] == "ZeroDivisionError: division by zero"
    assert re.search(r"test_chain\.py:\d+$", bugs[0]["at"])
    assert any("ZeroDivisionError" in entry.get("reason", "") for entry in logs)


async def test_close_closes_what_was_used_each_within_its_deadline() -> None:
    used, stuck, rude, unused = Scripted("used", "A"), Scripted("stuck"), Scripted("rude"), Scripted("unused")
    stuck.hang, rude.fails = asyncio.Event(), RuntimeError("no")
    failover = chain(stuck, rude, used, unused)
    await failover.fetch(None)
    await asyncio.wait_for(failover.close(), 30)
    await asyncio.wait_for(failover.close(), 30)
    assert [provider.closes for provider in (used, stuck, rude, unused)] == [1, 1, 1, 0]
    assert {row.status for row in failover.rows()} == {ConnectionStatus.DISCONNECTED}
    assert sources(await failover.fetch(None)) == {"A": "used"}  # and it can be used again
    assert used.connects == 2


async def test_a_provider_taken_out_of_the_list_is_closed_at_the_end() -> None:
    a, b = Scripted("a", "PKN"), Scripted("b", "PKN")
    failover = chain(a)
    await failover.fetch(None)
    failover.providers[:] = [b]
    assert sources(await failover.fetch(None)) == {"PKN": "b"}
    assert [row.name for row in failover.rows()] == ["b"]
    await failover.close()
    assert a.closes == 1


async def test_the_scoreboard_before_anything_was_asked() -> None:
    [row] = chain(Web("a")).rows()
    assert msgspec.to_builtins(row) == {
        "name": "a",
        "status": "disconnected",
        "kind": "delayed",
        "delay_seconds": None,
        "interval_seconds": 60.0,
        "symbols": 0,
        "since": None,
        "last_success": None,
        "last_refusal": None,
        "refusal_reason": None,
        "refusal_detail": None,
        "next_attempt": None,
        "budget_left": None,
        "refusals": {},
        "clock_skew_seconds": None,
        "newest_trade": None,
    }


async def test_a_long_reason_is_cut() -> None:
    a = Scripted("a", fails=ValueError("x" * 10_000))
    with pytest.raises(Refusal, match=re.escape("a: ValueError: xxx")) as caught:
        await chain(a).fetch(None)
    assert len(str(caught.value)) < 400


async def test_what_refused_one_node_is_not_asked_by_the_next() -> None:
    """A page that answered with a challenge was asked again at once by the node that took over."""
    clock = Clock()
    refused = Refusal(RefusalReason.CHALLENGE, "a puzzle for browsers")
    first = chain(Scripted("a", fails=refused), Scripted("b", "PKN"), clock=clock)
    await first.fetch(frozenset({"PKN"}))
    clock.pass_(5)
    a, b = Scripted("a", "PKN"), Scripted("b", "PKN")
    second = chain(a, b, clock=clock)
    second.take_over(first.rows())
    fetched = await second.fetch(frozenset({"PKN"}))
    assert (a.asked, sources(fetched)) == (0, {"PKN": "b"})
    row = second.rows()[0]
    assert (row.status, row.refusal_reason) == (ConnectionStatus.ERROR, "challenge")
    assert row.refusals == {"challenge": 1}
    clock.pass_(2 * 3600)  # the first wait is an hour
    assert sources(await second.fetch(frozenset({"PKN"}))) == {"PKN": "a"}


async def test_a_wait_of_a_node_with_a_wrong_clock_has_an_end() -> None:
    clock = Clock()
    first = chain(Scripted("a", fails=LIMIT), clock=clock)
    with contextlib.suppress(Refusal):
        await first.fetch(None)
    row = msgspec.structs.replace(first.rows()[0], next_attempt="2027-06-01T00:00:00.000Z")
    a = Scripted("a", "PKN")
    second = chain(a, clock=clock)
    second.take_over([row])
    clock.pass_(25 * 3600)
    assert sources(await second.fetch(None)) == {"PKN": "a"}


async def test_a_refused_key_and_an_old_refusal_are_not_taken_over() -> None:
    """The next node may have another key, and knows better what it asked itself since."""
    clock = Clock()
    no_key = chain(Scripted("a", fails=Refusal(RefusalReason.API_KEY, "no")), clock=clock)
    limited = chain(Scripted("a", fails=LIMIT), clock=clock)
    for one in (no_key, limited):
        with contextlib.suppress(Refusal):
            await one.fetch(None)
    a = Scripted("a", "PKN")
    second = chain(a, clock=clock)
    second.take_over(no_key.rows())
    await second.fetch(None)
    clock.pass_(60)
    second.take_over(limited.rows())
    await second.fetch(None)
    assert a.asked == 2
