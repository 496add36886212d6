"""The waiting between cycles under a fake clock."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from structlog.testing import capture_logs

from zlotick.market.calendar import WARSAW, Calendar
from zlotick.market.schedule import Schedule
from zlotick.service.ticker import LONGEST_SLEEP, Ticker


class Time:
    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=WARSAW)
        self.slept: list[float] = []
        self.interval = 30.0
        self.sleeps = False
        self.question: datetime | None = None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def ticker(self) -> Ticker:
        return Ticker(
            lambda: self.interval,
            Schedule(Calendar()),
            lambda: self.sleeps,
            first_request=lambda now: self.question,
            clock=lambda: self.now,
            sleep=self.sleep,
        )

    def local(self) -> str:
        return self.now.astimezone(WARSAW).strftime("%a %H:%M:%S")


def nothing() -> None:
    """Meanwhile."""


async def test_from_start_to_start_and_a_late_cycle_delays_the_next() -> None:
    time = Time("2026-11-24 03:00:00")
    ticker, began = time.ticker(), []
    for work in (1, 0, 45, 0):
        await ticker.next_turn(nothing)
        began.append(time.local())
        time.pass_(work)
    assert began == ["Tue 03:00:00", "Tue 03:00:30", "Tue 03:01:00", "Tue 03:01:45"]


async def test_sources_of_a_session_wait_for_it_and_it_is_told_once() -> None:
    time, meanwhile = Time("2026-11-27 17:24:50"), []
    time.sleeps = True
    ticker = time.ticker()
    await ticker.next_turn(nothing)
    assert time.local() == "Fri 17:24:50"
    with capture_logs() as logs:
        await ticker.next_turn(lambda: meanwhile.append(time.now))
    assert "Mon 08:30:00" <= time.local() < "Mon 08:30:30"
    told = "The market is closed. Next quotes: Mon 30 Nov, 8:30 (Warsaw)"
    assert [(entry["event"], entry["mark"]) for entry in logs] == [(told, "🔄")]
    assert ticker.due is not None
    assert logs[0]["due"].startswith("2026-11-30T07:30:")
    assert max(time.slept) <= LONGEST_SLEEP
    assert len(meanwhile) == len(time.slept)


async def test_a_provider_appended_in_the_night_does_not_wait_for_the_morning() -> None:
    time = Time("2026-11-24 03:00:00")
    time.sleeps = True
    ticker = time.ticker()
    waiting = asyncio.create_task(ticker.next_turn(lambda: setattr(time, "sleeps", time.now.hour < 4)))
    await waiting
    assert "Tue 04:00:00" <= time.local() < "Tue 04:00:30"


async def test_what_is_not_known_at_all_is_asked_for_before_the_session() -> None:
    """The first start on a Friday evening showed an empty board until Monday, and nothing said why."""
    time = Time("2026-11-27 22:31:00")
    time.sleeps, time.question = True, time.now
    ticker = time.ticker()
    await ticker.next_turn(nothing)
    assert time.local() == "Fri 22:31:00"
    time.question = time.now + timedelta(minutes=2)
    with capture_logs() as logs:
        await ticker.next_turn(nothing)
    assert time.local() == "Fri 22:33:00"
    assert [entry["event"] for entry in logs] == [
        "No quote is known yet. Next try: Fri 27 Nov, 22:33 (Warsaw)"
    ]
    time.question = time.now  # never sooner than the interval
    await ticker.next_turn(nothing)
    assert time.local() == "Fri 22:33:30"
    time.question = None
    await ticker.next_turn(nothing)
    assert "Mon 08:30:00" <= time.local() < "Mon 08:30:30"


async def test_a_shorter_interval_takes_effect_in_the_middle_of_the_wait() -> None:
    time = Time("2026-11-24 12:00:00")
    time.interval = 600
    ticker = time.ticker()
    await ticker.next_turn(nothing)
    await ticker.next_turn(lambda: setattr(time, "interval", 20))
    assert time.local() == "Tue 12:00:20"


async def test_a_computer_that_slept_notices_soon_after_it_wakes() -> None:
    time = Time("2026-11-24 20:00:00")
    time.sleeps = True
    ticker = time.ticker()

    def lid_closed() -> None:
        if time.local() == "Tue 20:05:00":
            time.pass_(15 * 3600)

    await ticker.next_turn(lid_closed)
    assert time.local() == "Wed 11:05:15"


async def test_a_clock_that_was_set_back_does_not_stop_the_cycles() -> None:
    time = Time("2026-11-24 12:00:00")
    ticker = time.ticker()
    await ticker.next_turn(nothing)
    time.pass_(-3600)
    await ticker.next_turn(nothing)
    assert time.local() == "Tue 11:00:00"
    await ticker.next_turn(nothing)
    assert time.local() == "Tue 11:00:30"
