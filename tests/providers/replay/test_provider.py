from __future__ import annotations

import csv
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from pathlib import Path

import pytest
from tests import shared
from tests.providers.contract import ProviderContract

from zlotick.config import ReplayConfig
from zlotick.errors import ReplayError
from zlotick.market.validation import Validator
from zlotick.model import StockUpdate, utc_text, utc_time
from zlotick.providers.replay.provider import ReplayProvider

SHARED = shared.FOLDER / "data" / "hourly_swig80.csv.gz"
HEADER = "symbol,date,time_end,open,high,low,close,volume\n"
TWO_SESSIONS = HEADER + (
    "AAA,2025-04-30,10:00,10,12,9,11,100\n"
    "AAA,2025-04-30,17:00,11,11.5,10.5,10.6,50\n"
    "AAA,2025-05-02,10:00,10.3,10.35,10.25,10.3,10\n"
    "BBB,2025-04-30,12:00,1.005,1.01,1.005,1.01,7\n"
)


@pytest.fixture
def two_sessions(tmp_path: Path) -> Path:
    file = tmp_path / "two.csv"
    file.write_text(TWO_SESSIONS)
    return file


def packaged_bars(day: str) -> dict[str, list[dict[str, str]]]:
    bars: dict[str, list[dict[str, str]]] = {}
    text = (files("zlotick.providers.replay") / "gpw_2025-04-30.csv").read_text()
    for row in csv.DictReader(text.splitlines()):
        if row["date"] == day:
            bars.setdefault(row["symbol"], []).append(row)
    return bars


async def play(provider: ReplayProvider, fetches: int = 100_000) -> list[list[StockUpdate]]:
    await provider.connect()
    played = []
    while not provider.finished and len(played) < fetches:
        played.append(await provider.fetch_data())
    await provider.close()
    return played


async def step(provider: ReplayProvider) -> list[StockUpdate]:
    """What is known at the end of a step, as a cycle asks for it."""
    quotes = await provider.fetch_data()
    while provider.behind:
        quotes = await provider.fetch_data()
    return quotes


def rows(played: Iterable[Iterable[StockUpdate]]) -> set[tuple[object, ...]]:
    """Everything but the time of observation."""
    return {
        (q.symbol, q.timestamp, q.change, q.change_percent, q.previous_close, *q.traded())
        for quotes in played
        for q in quotes
    }


class TestContract(ProviderContract):
    def make(self) -> ReplayProvider:
        return ReplayProvider(ReplayConfig(), step_seconds=600)


class TestLoopingContract(ProviderContract):
    def make(self) -> ReplayProvider:
        return ReplayProvider(ReplayConfig(loop=True), step_seconds=7200)


@pytest.mark.parametrize("step", [60, 1800, 108_000])
async def test_the_packaged_session_ends_as_the_exchange_recorded_it(step: float) -> None:
    last = {q.symbol: q for q in (await play(ReplayProvider(ReplayConfig(), step)))[-1]}
    bars = packaged_bars("2025-04-30")
    before = packaged_bars("2025-04-29")
    assert len(last) == len(bars) == 78
    for symbol, quote in last.items():
        of_day = bars[symbol]
        assert quote.open == float(of_day[0]["open"])
        assert quote.high == max(float(bar["high"]) for bar in of_day)
        assert quote.low == min(float(bar["low"]) for bar in of_day)
        assert quote.price == float(of_day[-1]["close"])
        assert quote.volume == sum(int(bar["volume"]) for bar in of_day)
        close = Decimal(before[symbol][-1]["close"])
        change = Decimal(of_day[-1]["close"]) - close
        assert quote.previous_close == float(close)
        assert quote.change == float(change)
        percent = (change / close * 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert quote.change_percent == float(percent)
        assert quote.market_status == "open"


async def test_a_session_on_a_day_that_is_none_by_the_rules_is_open(tmp_path: Path) -> None:
    """Quotes of Saturday 2025-11-22 (market.extra_open) and of Epiphany 2010 said ``weekend`` and ``holiday``."""
    file = tmp_path / "odd.csv"
    file.write_text(
        HEADER + "AAA,2010-01-06,10:00,10,10,10,10,1\n" + "AAA,2025-11-22,10:00,10,10.4,9.9,10.2,1\n"
    )
    played = await play(ReplayProvider(ReplayConfig(file=file), 600))
    assert {quote.timestamp[:10] for quotes in played for quote in quotes} == {"2010-01-06", "2025-11-22"}
    assert {quote.market_status for quotes in played for quote in quotes} == {"open"}


async def test_every_speed_tells_the_same_tape() -> None:
    """Only the newest tick of a step was told: at 600 s, 107 of 233 day candles lacked their open, high or low."""
    every_tick = rows(await play(ReplayProvider(ReplayConfig(), 30)))
    for step in (7.5, 600, 3600, 1e9):
        assert rows(await play(ReplayProvider(ReplayConfig(), step))) == every_tick
    other_seed = rows(await play(ReplayProvider(ReplayConfig(seed=81), 1800)))
    assert not other_seed <= every_tick


@pytest.mark.parametrize("seconds", [600, 1e9])
async def test_the_parts_of_a_step_are_in_the_order_of_time(seconds: float) -> None:
    provider = ReplayProvider(ReplayConfig(), seconds)
    await provider.connect()
    known: dict[str, str] = {}
    reached = opening = provider.market_time()
    while not provider.finished:
        fetched = {quote.symbol: quote.timestamp for quote in await provider.fetch_data()}
        moment = provider.market_time()
        for symbol, timestamp in fetched.items():
            if known.get(symbol) != timestamp:
                assert reached < utc_time(timestamp) <= moment or utc_time(timestamp) == opening
        known, reached = fetched, moment
        if not provider.behind and not provider.finished:
            assert (reached - opening).total_seconds() % seconds == 0
    assert not provider.behind


@pytest.mark.parametrize("step", [30, 600, 1800, 108_000])
async def test_validation_rejects_nothing_of_the_packaged_session(step: float) -> None:
    validator = Validator(None, 50)
    for quotes in await play(ReplayProvider(ReplayConfig(), step)):
        assert validator.check(quotes, datetime.now(UTC))[1] == []


async def test_validation_rejects_nothing_of_sixty_real_sessions() -> None:
    if not SHARED.exists():
        pytest.skip(f"no shared data beside the checkout: {SHARED}")
    provider = ReplayProvider(ReplayConfig(file=SHARED, last_day="2024-07-08"), step_seconds=3600 * 3600)
    validator = Validator(None, 50)
    steps, now, known = 0, datetime.now(UTC), set[tuple[str, str]]()
    while not provider.finished:
        steps += not provider.behind
        fetched = await provider.fetch_data()
        new = [quote for quote in fetched if (quote.symbol, quote.timestamp) not in known]
        known = {(quote.symbol, quote.timestamp) for quote in fetched}
        assert validator.check(new, now)[1] == []
    # One for each session's opening but the first's, and one for the rest of each.
    assert steps == 119


async def test_nights_are_skipped_and_yesterdays_values_stay_in_force(two_sessions: Path) -> None:
    provider = ReplayProvider(ReplayConfig(file=two_sessions), step_seconds=4 * 3600)
    await provider.connect()
    opening = provider.market_time()
    assert utc_text(opening)[:13] == "2025-04-30T07"
    morning = {q.symbol: q for q in await step(provider)}
    assert (provider.market_time() - opening).total_seconds() == 4 * 3600
    assert morning["AAA"].price == 11
    assert morning["AAA"].previous_close is None  # not in the file, so not known
    assert morning["AAA"].change is None
    evening = {q.symbol: q for q in await step(provider)}
    assert utc_text(provider.market_time()) == "2025-04-30T15:00:00.000Z"  # never past the session's end
    assert evening["AAA"].price == 10.6
    next_opening = {q.symbol: q for q in await provider.fetch_data()}
    assert utc_text(provider.market_time())[:13] == "2025-05-02T07"  # 1 May is a holiday
    assert next_opening["AAA"].price == 10.3
    assert next_opening["AAA"].previous_close == 10.6
    assert next_opening["AAA"].change == -0.3
    assert next_opening["AAA"].change_percent == -2.83
    assert next_opening["BBB"] == evening[
        "BBB"
    ].__class__(  # no bar that day: nothing new but the observation
        **{f: getattr(evening["BBB"], f) for f in evening["BBB"].__struct_fields__ if f != "received_at"},
        received_at=next_opening["BBB"].received_at,
    )
    assert not provider.finished
    last = await step(provider)
    assert provider.finished
    again = await provider.fetch_data()
    assert rows([again]) == rows([last])
    assert provider.run == 1


async def test_the_change_of_adjusted_prices_has_all_their_decimals(tmp_path: Path) -> None:
    """The change was cut to four decimals: -0.0404 for -0.04035, which does not add up with the two prices."""
    file = tmp_path / "adjusted.csv"
    file.write_text(
        HEADER
        + "STX,2025-04-08,10:00,3.15887,3.15887,3.15887,3.15887,1\n"
        + "STX,2025-04-09,10:00,3.11852,3.11852,3.11852,3.11852,1\n"
    )
    [[_], [quote]] = await play(ReplayProvider(ReplayConfig(file=file), 3600))
    assert (quote.change, quote.change_percent) == (-0.04035, -1.28)


async def test_symbols_that_have_not_traded_yet_are_not_told(two_sessions: Path) -> None:
    provider = ReplayProvider(ReplayConfig(file=two_sessions), step_seconds=1)
    assert [q.symbol for q in await provider.fetch_data()] == ["AAA"]
    assert provider.symbols() == {"AAA", "BBB"}


async def test_a_loop_begins_again_as_a_new_run(two_sessions: Path) -> None:
    provider = ReplayProvider(ReplayConfig(file=two_sessions, loop=True), step_seconds=36_000)
    runs: dict[int, list[list[StockUpdate]]] = {}
    while provider.run <= 3:
        quotes = await provider.fetch_data()
        runs.setdefault(provider.run, []).append(quotes)
        assert quotes
        assert not provider.finished
    assert list(runs) == [1, 2, 3, 4]
    assert rows(runs[2]) == rows(runs[3])
    assert rows(runs[1]) <= rows(runs[2])


async def test_the_step_may_change_on_the_way() -> None:
    provider = ReplayProvider(ReplayConfig(), step_seconds=60)
    await step(provider)
    before = provider.market_time()
    provider.step_seconds = 300
    await step(provider)
    assert (provider.market_time() - before).total_seconds() == 300


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [("", "", 2), ("2025-05-01", "", 1), ("", "2025-05-01", 1), ("2025-04-30", "2025-04-30", 1)],
)
async def test_sessions_are_selected(two_sessions: Path, first: str, last: str, days: int) -> None:
    config = ReplayConfig(file=two_sessions, first_day=first, last_day=last)
    played = await play(ReplayProvider(config, 1e9))
    seen = {row[1] for row in rows(played)}
    assert len({str(moment)[:10] for moment in seen}) == days


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"first_day": "2026-01-01"},
            "has no session from 2026-01-01 to 2025-05-02, only 2025-04-30 to 2025-05-02; change",
        ),
        ({"first_day": "2025-13-01"}, "providers.replay.first_day: '2025-13-01' is not a date"),
    ],
)
async def test_no_session_selected(two_sessions: Path, options: dict[str, str], problem: str) -> None:
    provider = ReplayProvider(ReplayConfig(file=two_sessions, **options), 1)
    with pytest.raises(ReplayError, match=problem):
        await provider.connect()


async def test_a_corrupt_file_leaves_nothing_half_loaded(two_sessions: Path) -> None:
    good = two_sessions.read_text()
    two_sessions.write_text(good + "CCC,2025-05-02,10:00,1,1,1,1\n")
    provider = ReplayProvider(ReplayConfig(file=two_sessions), 60)
    for _ in range(2):
        with pytest.raises(ReplayError, match=r"two.csv, line 6: must have 8 columns, has 7"):
            await provider.fetch_data()
    assert provider.symbols() is None
    two_sessions.write_text(good)  # mended meanwhile
    assert await provider.fetch_data()


async def test_reading_a_file_does_not_stop_the_loop(two_sessions: Path) -> None:
    seen: list[int] = []
    provider = ReplayProvider(ReplayConfig(file=two_sessions), 60)
    original = Path.open

    def spy(self: Path, *args: object, **kwargs: object) -> object:
        seen.append(threading.get_ident())
        return original(self, *args, **kwargs)  # type: ignore[call-overload]  # passes on whatever came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", spy)
        await provider.connect()
    assert seen
    assert threading.get_ident() not in seen
