"""A session is recorded from a real (stub) server and replayed: the same quotes and refusals, in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.providers.web import stub as play
from tests.providers.web.gpw_page import page, stock
from tests.providers.web.stub import Reply, StubSite

from zlotick.config import BankierConfig, GpwConfig, Settings
from zlotick.errors import Refusal, ReplayError
from zlotick.market.universe import Universe
from zlotick.market.validation import Validator
from zlotick.model import StockUpdate, utc_text
from zlotick.providers.chain import ProviderChain
from zlotick.providers.recording import playback as recorded
from zlotick.providers.recording.playback import Playback, RecordedProvider
from zlotick.providers.recording.recorder import Recorder
from zlotick.providers.web.bankier import BankierProvider
from zlotick.providers.web.client import HttpWeb
from zlotick.providers.web.gpw import GpwProvider

UNIVERSE = Universe(symbols=frozenset({"AAA", "BBB"}), names={}, isin={}, as_of=date(2026, 11, 1))
OPENING = datetime(2026, 11, 18, 9, 0, tzinfo=UTC)  # 10:00 in Warsaw, a session
STEP = 60.0

Outcome = list[StockUpdate] | tuple[Any, ...]


def quotes(minute: int) -> Reply:
    """The exchange's page, 15 minutes behind."""
    at = f"09:{minute:02}:30"
    rows = [stock("AAA", time=at, price="10,2500"), stock("BBB", time=at, price=f"10,{minute:02}00")]
    return play.page(page(rows), compress=True)


DAY = [
    quotes(45),
    quotes(46),
    play.CHALLENGE,
    play.EMPTY,
    play.too_many("120"),
    play.RESET,
    play.cut_gzip("<table>"),
    play.SILENCE,
    play.BUSY,
    play.GONE,
    play.moved("https://elsewhere.example/?secret=1"),
    quotes(47),
    quotes(47),
    quotes(48),
]


class FakeClock:
    def __init__(self, moment: datetime = OPENING) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


async def outcome(provider: GpwProvider | RecordedProvider) -> Outcome:
    try:
        return await provider.fetch_data()
    except Refusal as refusal:
        return (refusal.reason, refusal.detail, refusal.retry_after)


async def record(
    folder: Path, replies: list[Reply], clock: FakeClock | None = None, step: float = STEP
) -> list[Outcome]:
    """Ask the stub once for each reply, a step apart, and keep what it answers."""
    clock = clock or FakeClock()
    recorder = Recorder(folder, "gpw", "https://www.gpw.pl")
    await recorder.start()
    outcomes = []
    async with StubSite() as stub:
        stub.script(*replies)
        config = GpwConfig(base_url=stub.url, timeout=1)  # for the one that is silent
        web = HttpWeb(config, user_agent="test", observer=recorder.observe, clock=clock)
        provider = GpwProvider(config, UNIVERSE, web, clock=clock)
        for _ in replies:
            outcomes.append(await outcome(provider))
            clock.advance(step)
        await provider.close()
    await recorder.close()
    assert recorder.lost == 0
    return outcomes


def settings_for(folder: Path, **replay: Any) -> Settings:
    settings = Settings()
    settings.service.update_interval = 1
    settings.providers.replay.file = folder
    settings.providers.replay.speed = STEP
    for name, value in replay.items():
        setattr(settings.providers.replay, name, value)
    return settings


async def load(folder: Path, **replay: Any) -> list[RecordedProvider]:
    return await asyncio.to_thread(recorded.load, settings_for(folder, **replay), UNIVERSE)


async def play_all(provider: RecordedProvider, most: int = 1000) -> list[Outcome]:
    outcomes = []
    while not provider.finished and len(outcomes) < most:
        outcomes.append(await outcome(provider))
    return outcomes


async def test_a_recorded_session_replays_exactly(tmp_path: Path) -> None:
    live = await record(tmp_path, DAY)
    assert {isinstance(one, list) for one in live} == {True, False}
    [provider] = await load(tmp_path)
    assert (provider.name, provider.kind, provider.delay_seconds) == ("gpw", "replayed", 900)
    assert await play_all(provider) == live
    assert utc_text(provider.market_time()) == "2026-11-18T09:13:00.000Z"
    assert await outcome(provider) == live[-1]  # and again, for whoever still asks
    await provider.close()


async def test_its_quotes_pass_validation(tmp_path: Path) -> None:
    await record(tmp_path, DAY)
    [provider] = await load(tmp_path)
    validator = Validator(UNIVERSE.symbols, 50)
    for one in await play_all(provider):
        if isinstance(one, list):
            assert validator.check(one, datetime.now(UTC)) == (one, [])


async def test_after_close_it_begins_again(tmp_path: Path) -> None:
    live = await record(tmp_path, DAY[:3])
    [provider] = await load(tmp_path)
    for run in (1, 2):
        assert provider.run == run
        assert await play_all(provider) == live
        await provider.close()
        await provider.close()


async def test_looping_begins_a_new_run(tmp_path: Path) -> None:
    live = await record(tmp_path, DAY[:2])
    [provider] = await load(tmp_path, loop=True)
    assert await play_all(provider, 5) == [*live, *live, live[0]]
    assert (provider.run, provider.finished) == (3, False)


async def test_between_records_the_last_one_holds_and_a_faster_clock_passes_some_over(tmp_path: Path) -> None:
    live = await record(tmp_path, DAY)
    [provider] = await load(tmp_path)
    provider.set_update_interval(0.5)  # STEP is of one second
    assert await play_all(provider) == [one for one in live for _ in range(2)][:-1]
    await provider.close()
    provider.set_update_interval(4)
    assert await play_all(provider) == [*live[::4], live[-1]]


async def test_the_night_is_skipped(tmp_path: Path) -> None:
    clock = FakeClock()
    first = await record(tmp_path, DAY[:2], clock)
    clock.advance(23 * 3600)
    second = await record(tmp_path, DAY[11:14], clock)
    [provider] = await load(tmp_path)
    assert await play_all(provider) == first + second


async def test_some_days_of_it(tmp_path: Path) -> None:
    clock = FakeClock()
    await record(tmp_path, DAY[:2], clock)
    clock.advance(23 * 3600)
    second = await record(tmp_path, DAY[11:14], clock)
    [provider] = await load(tmp_path, first_day="2026-11-19")
    assert await play_all(provider) == second
    with pytest.raises(ReplayError, match=r"no record from 2026-12-01 .*2026-11-18 to 2026-11-19.*first_day"):
        await load(tmp_path, first_day="2026-12-01")


async def test_half_a_record_at_the_end_is_passed_over(tmp_path: Path) -> None:
    live = await record(tmp_path, DAY)
    path = tmp_path / "gpw-2026-11-18.warc.gz"
    data = await asyncio.to_thread(path.read_bytes)
    await asyncio.to_thread(path.write_bytes, data[:-10])
    with capture_logs() as logs:
        [provider] = await load(tmp_path)
    assert [entry["event"] for entry in logs] == ["Recording ends in half a record", "Recording loaded"]
    assert await play_all(provider) == live[:-1]


async def test_a_request_that_was_never_recorded_is_refused(tmp_path: Path) -> None:
    await record(tmp_path, DAY[:1])
    [provider] = await load(tmp_path)
    config = settings_for(tmp_path).providers.replay
    [records] = (await asyncio.to_thread(recorded._read, config)).values()
    web = recorded.RecordedWeb(records, Playback([0.0], 1))
    with pytest.raises(Refusal, match=r"no_data: the recording has no answer to /other\?a=1 by then"):
        await web.get("/other", {"a": "1"})
    with pytest.raises(Refusal, match="no_data"):  # it came later
        await web.get("/ajaxindex.php")
    await web.close()
    await provider.close()


async def test_a_cancelled_fetch_harms_nothing(tmp_path: Path) -> None:
    await record(tmp_path, DAY[:3])
    [provider] = await load(tmp_path)
    task = asyncio.create_task(provider.fetch_data())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=30)
    assert await provider.fetch_data()
    await provider.close()


BANKIER = """<table class="m-quotes-data-table"><thead><tr><th>Walor</th><th>Kurs</th><th>Zmiana %</th><th>Zmiana</th>
<th>Transakcje</th><th>Obrót</th><th>Otwarcie</th><th>Max</th><th>Min</th><th>Czas</th></tr></thead><tbody>{}</tbody></table>"""


def bankier_page(minute: int) -> Reply:
    row = (
        '<tr><td><a href="/?symbol={0}">{0}</a></td><td>10,3000</td><td>3,00%</td><td>0,3000</td><td>5</td>'
        "<td>1 000</td><td>10,1000</td><td>10,5000</td><td>9,9000</td><td>2026-11-18 09:{1:02}:00</td></tr>"
    )
    return play.page(BANKIER.format("".join(row.format(name, minute) for name in ("ALPHA", "BETA"))))


def weeks_apart() -> Iterator[datetime]:
    """In a session each time, and every circuit of the last time is over."""
    moment = datetime(2026, 2, 4, 10, 0, tzinfo=UTC)
    while True:
        yield moment
        moment += timedelta(weeks=1)


async def test_failover_is_replayed(tmp_path: Path) -> None:
    """The primary answers, refuses, and comes back: in each cycle the same source serves as it did."""
    universe = Universe(UNIVERSE.symbols, {"AAA": "ALPHA", "BBB": "BETA"}, {}, UNIVERSE.as_of)
    clock = FakeClock()
    recorders = [Recorder(tmp_path, name, "https://example.com") for name in ("gpw", "bankier")]
    served: list[list[str]] = []
    async with StubSite() as primary, StubSite() as fallback:
        primary.script(quotes(45), play.CHALLENGE, play.RESET, quotes(48), quotes(49))
        fallback.script(bankier_page(46), bankier_page(47))
        for one in recorders:
            await one.start()
        gpw, bankier = GpwConfig(base_url=primary.url), BankierConfig(base_url=fallback.url)
        webs = [
            HttpWeb(config, user_agent="test", observer=one.observe, clock=clock)
            for config, one in zip((gpw, bankier), recorders, strict=True)
        ]
        moments = weeks_apart()
        live = ProviderChain(
            [
                GpwProvider(gpw, universe, webs[0], clock=clock),
                BankierProvider(bankier, universe, webs[1], clock=clock),
            ],
            5,
            clock=lambda: next(moments),
        )
        fetched = []
        for _ in range(5):
            result = await live.fetch(universe.symbols)
            fetched.append(result.quotes)
            served.append(result.used)
            clock.advance(STEP)
        await live.close()
    for one in recorders:
        await one.close()
    assert served == [["gpw"], ["bankier"], ["bankier"], ["gpw"], ["gpw"]]

    providers = await asyncio.to_thread(recorded.load, settings_for(tmp_path), universe)
    assert [provider.name for provider in providers] == ["gpw", "bankier"]
    moments = weeks_apart()
    chain = ProviderChain(list(providers), 5, clock=lambda: next(moments))
    again, replayed = [], []
    while not all(provider.finished for provider in providers):
        result = await chain.fetch(universe.symbols)
        again.append(result.quotes)
        replayed.append(result.used)
    await chain.close()
    assert replayed == served
    assert again == fetched


@given(
    gaps=st.lists(st.floats(0.01, 100_000), min_size=1, max_size=30),
    step=st.floats(0.05, 10_000),
)
def test_the_playback_never_goes_back_ends_at_the_end_and_waits_no_hour(
    gaps: list[float], step: float
) -> None:
    moments = [0.0]
    for gap in gaps:
        moments.append(moments[-1] + gap)
    playback = Playback(moments, step)
    assert not playback.over
    clocks = []
    while not playback.over:
        playback.tick()
        clocks.append(playback.seconds())
        silence = max(recorded.SILENCE_SECONDS, step)
        assert len(clocks) <= len(moments) + sum(min(gap, silence) for gap in gaps) / step + 1
        if len(clocks) > 50_000:
            return
    assert clocks[0] == 0.0
    assert clocks == sorted(clocks)
    assert clocks[-1] == moments[-1]


async def test_pauses_and_budgets_of_the_web_do_not_hold_up_a_recording() -> None:
    providers = Settings().providers
    assert providers.yahoo.for_playback().pause == 0
    assert providers.alpha_vantage.for_playback().daily_budget > 10**6
