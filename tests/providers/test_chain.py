from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from zlotick.errors import Refusal, RefusalReason, ReplayError
from zlotick.events import DATA_PROVIDER_STATUS, EventBus
from zlotick.model import ConnectionStatus, StockUpdate, now_text, utc_time
from zlotick.providers import StockDataProvider
from zlotick.providers.chain import ProviderChain

LIMIT = Refusal(RefusalReason.DAILY_LIMIT, "25 calls a day are spent")


def quote(symbol: str, source: str = "") -> StockUpdate:
    return StockUpdate(now_text(), symbol, 1.0, None, None, None, None, None, None, "open", source)


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
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def chain(*providers: StockDataProvider, **options: Any) -> ProviderChain:
    return ProviderChain([*providers], 0.05, close_timeout=0.05, **options)


def sources(quotes: list[StockUpdate]) -> dict[str, str]:
    return {q.symbol: q.data_source for q in quotes}


async def test_a_complete_first_answer_asks_nobody_else() -> None:
    a, b = Scripted("a", "PKN", "KGH"), Scripted("b", "PKN", "KGH")
    links = chain(a, b)
    assert sources(await links.fetch(frozenset({"PKN", "KGH"}))) == {"PKN": "a", "KGH": "a"}
    assert (b.asked, b.connects) == (0, 0)
    assert links.served() == ["a"]


async def test_what_the_first_lacks_is_asked_of_the_next_and_nothing_else_is_taken() -> None:
    a, b, c = Scripted("a", "PKN"), Scripted("b", "PKN", "KGH"), Scripted("c", "PKN", "KGH", "ABS")
    links = chain(a, b, c)
    quotes = await links.fetch(frozenset({"PKN", "KGH", "ABS"}))
    assert sources(quotes) == {"PKN": "a", "KGH": "b", "ABS": "c"}
    assert len(quotes) == 3
    assert [row.symbols for row in links.rows()] == [1, 1, 1]


async def test_when_the_source_decides_only_the_first_that_answers_is_asked() -> None:
    a, b, c = Scripted("a", fails=LIMIT), Scripted("b", "XYZ"), Scripted("c", "ABC")
    links = chain(a, b, c)
    assert sources(await links.fetch(None)) == {"XYZ": "b"}
    assert c.asked == 0
    assert links.served() == ["b"]


async def test_unwanted_and_double_quotes_are_left_for_validation_to_judge() -> None:
    a = Scripted("a", "PKN", "PKN", "GOLD")
    a.answer += [None, {"symbol": "PKN"}]
    assert len(await chain(a).fetch(frozenset({"PKN"}))) == 5


async def test_a_provider_appended_later_is_asked_from_the_next_cycle() -> None:
    links = chain()
    with pytest.raises(Refusal, match=r"no data provider; set providers.order or append one to data_provi"):
        await links.fetch(None)
    links.providers.append(Scripted("late", "PKN"))
    assert sources(await links.fetch(None)) == {"PKN": "late"}


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
    (raises(LIMIT), "reconnecting", "daily_limit", "daily_limit: 25 calls a day are spent"),
    (connect_raises(LIMIT), "reconnecting", "daily_limit", "daily_limit: 25 calls a day are spent"),
    (hang, "reconnecting", "timeout", "timeout: no answer within 0.05 s (providers.timeout)"),
    (answers([]), "reconnecting", "no_data", "no_data: it returned no quotes"),
    (raises(KeyError("price")), "error", "KeyError", "KeyError: 'price'"),
    (
        answers(None),
        "error",
        "TypeError",
        "TypeError: fetch_data must return a list of StockUpdate, returned NoneType",
    ),
    (connect_raises(ReplayError("x.csv, line 3: bad")), "error", "ReplayError", "x.csv, line 3: bad"),
]


@pytest.mark.parametrize(("damage", "status", "reason", "told"), FAULTS)
async def test_every_fault_moves_on_to_the_next(
    damage: Callable[[Scripted], None], status: str, reason: str, told: str
) -> None:
    a, b = Scripted("a", "PKN"), Scripted("b", "PKN")
    damage(a)
    links = chain(a, b)
    assert sources(await links.fetch(frozenset({"PKN"}))) == {"PKN": "b"}
    first, second = links.rows()
    assert (first.name, first.status.value, first.refusal_reason, first.symbols) == ("a", status, reason, 0)
    assert first.last_refusal is not None
    assert first.next_attempt is not None
    assert utc_time(first.next_attempt) >= utc_time(first.last_refusal)
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
    links = chain(a, b)
    for _ in range(2):  # while both are left alone as well
        with pytest.raises(Refusal) as caught:
            await links.fetch(frozenset({"PKN"}))
        assert caught.value.reason is RefusalReason.CHALLENGE
        assert caught.value.detail == f"a: {told}; b: challenge: a robot check"
    assert links.served() == []


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
    links = ProviderChain([a, b], timeout=30)
    task = asyncio.create_task(links.fetch(None))
    while not a.asked:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert b.asked == 0
    a.hang.set()
    assert sources(await links.fetch(None)) == {"PKN": "a"}


async def test_a_refusing_provider_is_left_alone_for_longer_and_longer() -> None:
    clock, a = Clock(), Scripted("a", fails=LIMIT)
    links = chain(a, clock=clock)
    attempts: list[float] = []
    while clock.now < 1000 + 3600:
        before = a.asked
        with pytest.raises(Refusal):
            await links.fetch(None)
        if a.asked > before:
            attempts.append(clock.now)
        clock.now += 1
    assert len([moment for moment in attempts if moment < 1010]) >= 2  # at first nearly each cycle
    assert 12 < len(attempts) < 120  # then about every 150 s, never silent for long
    assert max(b - a for a, b in pairwise(attempts)) <= 301


async def test_flapping_keeps_the_ramp_and_health_resets_it() -> None:
    clock, a = Clock(), Scripted("a", "PKN")
    links = chain(a, clock=clock)

    def ceiling() -> float:
        """The longest of many delays shows how high the ramp is (jitter is full)."""
        return links._circuits[id(a)].next_attempt - clock.now

    waits = []
    for _ in range(12):
        a.fails = LIMIT
        with pytest.raises(Refusal):
            await links.fetch(None)
        waits.append(ceiling())
        clock.now += ceiling()
        a.fails = None
        await links.fetch(None)  # it answers once, then fails again: no reset
    assert max(waits[6:]) > 1
    clock.now += 300
    await links.fetch(None)
    a.fails = LIMIT
    with pytest.raises(Refusal):
        await links.fetch(None)
    assert ceiling() <= 1


async def test_connect_is_tried_again_until_it_works_and_then_never() -> None:
    clock, a = Clock(), Scripted("a", "PKN")
    a.connect_fails = LIMIT
    links = chain(a, clock=clock)
    for _ in range(3):
        with pytest.raises(Refusal):
            await links.fetch(None)
        clock.now += 301
    a.connect_fails = None
    for _ in range(3):
        await links.fetch(None)
    assert a.connects == 4


async def test_down_and_up_are_told_once_each() -> None:
    clock, a, bus = Clock(), Scripted("a", "PKN"), EventBus()
    events: list[dict[str, str]] = []
    await bus.subscribe(DATA_PROVIDER_STATUS, events.append)
    links = chain(a, bus=bus, clock=clock)
    with capture_logs() as logs:
        for fails in (None, None, LIMIT, LIMIT, LIMIT, None, None):
            a.fails = fails
            try:
                await links.fetch(None)
            except Refusal:
                clock.now += 301
    await bus.close()
    assert [event["status"] for event in events] == ["connecting", "connected", "reconnecting", "connected"]
    assert all(set(event) >= {"provider", "status", "timestamp"} for event in events)
    assert events[2]["reason"] == "daily_limit: 25 calls a day are spent"
    assert [entry["event"] for entry in logs] == [
        "a connecting",
        "a connected",
        "a reconnecting",
        "a connected",
    ]


async def test_a_bug_is_logged_once_with_its_type_and_place() -> None:
    clock, a = Clock(), Scripted("a", fails=ZeroDivisionError("division by zero"))
    links = chain(a, clock=clock)
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(Refusal):
                await links.fetch(None)
            clock.now += 301
    bugs = [entry for entry in logs if entry["event"] == "Data provider has a bug"]
    assert [(bug["mark"], bug["provider"]) for bug in bugs] == [("❌", "a")]
    assert bugs[0]["error"] == "ZeroDivisionError: division by zero"
    assert re.search(r"test_chain\.py:\d+$", bugs[0]["at"])
    assert any("ZeroDivisionError" in entry.get("reason", "") for entry in logs)


async def test_close_closes_what_was_used_each_within_its_deadline() -> None:
    used, stuck, rude, unused = Scripted("used", "A"), Scripted("stuck"), Scripted("rude"), Scripted("unused")
    stuck.hang, rude.fails = asyncio.Event(), RuntimeError("no")
    links = chain(stuck, rude, used, unused)
    await links.fetch(None)
    await asyncio.wait_for(links.close(), 1)
    await asyncio.wait_for(links.close(), 1)
    assert [provider.closes for provider in (used, stuck, rude, unused)] == [1, 1, 1, 0]
    assert {row.status for row in links.rows()} == {ConnectionStatus.DISCONNECTED}
    assert sources(await links.fetch(None)) == {"A": "used"}  # and it can be used again
    assert used.connects == 2


async def test_a_provider_taken_out_of_the_list_is_closed_at_the_end() -> None:
    a, b = Scripted("a", "PKN"), Scripted("b", "PKN")
    links = chain(a)
    await links.fetch(None)
    links.providers[:] = [b]
    assert sources(await links.fetch(None)) == {"PKN": "b"}
    assert [row.name for row in links.rows()] == ["b"]
    await links.close()
    assert a.closes == 1


async def test_the_scoreboard_before_anything_was_asked() -> None:
    [row] = chain(Scripted("a")).rows()
    assert msgspec.to_builtins(row) == {
        "name": "a",
        "status": "disconnected",
        "symbols": 0,
        "last_success": None,
        "last_refusal": None,
        "refusal_reason": None,
        "next_attempt": None,
        "budget_left": None,
    }


async def test_a_long_reason_is_cut() -> None:
    a = Scripted("a", fails=ValueError("x" * 10_000))
    with pytest.raises(Refusal, match=re.escape("a: ValueError: xxx")) as caught:
        await chain(a).fetch(None)
    assert len(str(caught.value)) < 400
