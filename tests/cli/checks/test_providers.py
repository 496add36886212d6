"""One polite call to each source: a real HTTP server on the loopback plays them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from email.utils import format_datetime
from pathlib import Path

import pytest
from tests.providers.web import gpw_page, stub
from tests.providers.web.stub import Reply, StubSite, page

from zlotick.cli.checks import providers
from zlotick.cli.checks.machine import Verdict
from zlotick.cli.checks.providers import age_judged, ask_providers
from zlotick.cli.output.refusal_help import advice
from zlotick.config import Secret, Settings, UniverseConfig
from zlotick.errors import RefusalReason
from zlotick.market import universe as lists
from zlotick.market.calendar import GPW, WARSAW
from zlotick.model import MarketStatus

UNIVERSE = lists.load(UniverseConfig(index="wig20"))
TABLE = gpw_page.page(
    [gpw_page.stock("PKN", UNIVERSE.isin["PKN"]), gpw_page.stock("KGH", UNIVERSE.isin["KGH"])]
)


@pytest.fixture
async def source() -> AsyncIterator[StubSite]:
    async with StubSite() as started:
        yield started


def settings(tmp_path: Path, source: StubSite, *order: str) -> Settings:
    made = Settings()
    made.service.data_dir = tmp_path
    config = made.providers
    config.order = [*order]  # type: ignore[list-item]  # names of providers
    for each in (config.gpw, config.bankier, config.stooq, config.yahoo, config.alpha_vantage):
        each.base_url = source.url
    return made


async def test_a_source_that_answers(tmp_path: Path, source: StubSite) -> None:
    source.script(page(TABLE, headers={"Date": format_datetime(datetime.now(UTC), usegmt=True)}))
    answered, clock = await ask_providers(settings(tmp_path, source, "gpw"), UNIVERSE)
    assert answered.verdict is not Verdict.WRONG  # by the hour of the test its quotes are old
    assert answered.text.startswith("2 of 20 quotes, delayed; the newest is ")
    assert (clock.name, clock.text) == ("clock", "agrees with gpw")
    assert len(source.requests) == 1


@pytest.mark.parametrize(
    ("now", "newest", "delay", "verdict"),
    [
        ("12:00", "11:45", 900, Verdict.WELL),
        ("12:00", "11:15", 900, Verdict.WELL),
        ("12:00", "11:14", 900, Verdict.WARNING),
        ("12:00", "11:30", 0, Verdict.WELL),
        ("12:00", "11:29", 0, Verdict.WARNING),
        ("09:44", "00:00", 900, Verdict.WELL),  # the source still shows yesterday
        ("09:45", "00:00", 900, Verdict.WARNING),
        ("18:00", "17:04", 900, Verdict.WELL),
        ("12:00", "00:00", None, Verdict.WELL),  # a day's close
    ],
)
def test_old_quotes_in_a_session_deserve_a_look(
    now: str, newest: str, delay: int | None, verdict: Verdict
) -> None:
    at = {
        clock: datetime.combine(date(2025, 4, 30), time_of_day.fromisoformat(clock), WARSAW)
        for clock in (now, newest)
    }
    found = age_judged("gpw", "1 of 1 quotes, delayed", at[newest], at[now], GPW, delay)
    assert found.verdict is verdict
    assert ("while the market trades" in found.text) == bool(found.remedy) == (verdict is Verdict.WARNING)


async def test_no_source_is_enabled(tmp_path: Path, source: StubSite) -> None:
    (one,) = await ask_providers(settings(tmp_path, source), UNIVERSE)
    assert one.verdict is Verdict.WARNING
    assert "providers.order" in one.remedy


async def test_sources_that_invent_or_replay_need_no_clock(tmp_path: Path, source: StubSite) -> None:
    found = await ask_providers(settings(tmp_path, source, "simulator", "replay"), UNIVERSE)
    assert [one.name for one in found] == ["simulator", "replay"]
    assert {one.verdict for one in found} == {Verdict.WELL}
    assert "simulated" in found[0].text
    assert "replayed" in found[1].text


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (stub.CHALLENGE, RefusalReason.CHALLENGE),
        (stub.FORBIDDEN, RefusalReason.CHALLENGE),
        (stub.GONE, RefusalReason.NOT_FOUND),
        (stub.too_many(), RefusalReason.RATE_LIMITED),
        (stub.BROKEN, RefusalReason.UNREACHABLE),
        (stub.RESET, RefusalReason.UNREACHABLE),
        (stub.OTHER_PAGE, RefusalReason.FORMAT_CHANGED),
        (stub.moved("https://elsewhere.example/"), RefusalReason.FORMAT_CHANGED),
    ],
)
async def test_a_refusal_is_told_with_its_reason_and_remedy(
    tmp_path: Path, source: StubSite, reply: Reply, reason: RefusalReason
) -> None:
    source.script(reply)
    refused, _ = await ask_providers(settings(tmp_path, source, "gpw"), UNIVERSE)
    assert refused.verdict is Verdict.WRONG
    assert refused.text.startswith(f"{reason}: ")
    assert refused.remedy == f"{advice(reason).meaning} {advice(reason).remedy}"
    assert len(source.requests) == 1


@pytest.mark.parametrize("status", list(MarketStatus))
async def test_no_quotes_are_normal_while_the_market_is_closed(
    tmp_path: Path, source: StubSite, status: MarketStatus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(GPW), "market_status", lambda self, moment: status)
    source.script(stub.EMPTY)
    refused, _ = await ask_providers(settings(tmp_path, source, "gpw"), UNIVERSE)
    assert refused.text.startswith("no_data: ")
    assert refused.verdict is (Verdict.WRONG if status is MarketStatus.OPEN else Verdict.WARNING)


async def test_hanging_sources_are_given_up(tmp_path: Path, source: StubSite) -> None:
    source.script(stub.SILENCE)
    order = ("gpw", "bankier", "stooq", "yahoo")
    *refused, clock = await ask_providers(settings(tmp_path, source, *order), UNIVERSE, deadline=0.3)
    assert [one.name for one in refused] == list(order)
    assert {one.text for one in refused} == {"timeout: no answer within 0.3 s"}
    assert clock.text.startswith("unknown")


async def test_one_request_to_a_source_of_one_symbol_a_request(tmp_path: Path, source: StubSite) -> None:
    source.script(stub.OTHER_PAGE)
    await ask_providers(settings(tmp_path, source, "yahoo"), UNIVERSE)
    assert len(source.requests) == 1


async def test_the_key_is_used_once_and_never_told(tmp_path: Path, source: StubSite) -> None:
    source.script(
        stub.json_page('{"Information": "We have detected your API key as SECRET7 and 25 requests per day"}')
    )
    config = settings(tmp_path, source, "alpha_vantage")
    config.providers.alpha_vantage.api_key = Secret("SECRET7")
    config.providers.alpha_vantage.symbols = ["ZZZ=ZZZ.WAR", "PKN=PKN.WAR", "PKO=PKO.WAR"]
    found = await ask_providers(config, UNIVERSE)
    assert [request.query["symbol"] for request in source.requests] == ["PKN.WAR"]
    assert found[0].text.startswith("daily_limit: ")
    assert "SECRET7" not in str(found)


@pytest.mark.parametrize(("wrong", "told"), [(3600, "about 1 h 0 min behind gpw"), (-60, "s ahead of gpw")])
async def test_a_wrong_clock(tmp_path: Path, source: StubSite, wrong: int, told: str) -> None:
    theirs = format_datetime(datetime.now(UTC) + timedelta(seconds=wrong), usegmt=True)
    source.script(page("x", status=404, headers={"Date": theirs}))  # any answer tells the time
    _, clock = await ask_providers(settings(tmp_path, source, "gpw"), UNIVERSE)
    assert clock.verdict is Verdict.WARNING
    assert told in clock.text
    assert "NTP" in clock.remedy


async def test_a_source_with_a_bug_hides_no_other(
    tmp_path: Path, source: StubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = providers.build

    def build(name: str, *arguments: object, **more: object) -> object:
        if name == "bankier":
            raise KeyError("oops")
        return right(name, *arguments, **more)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(providers, "build", build)
    source.script(page(TABLE))
    good, bad, _ = await ask_providers(settings(tmp_path, source, "gpw", "bankier"), UNIVERSE)
    assert good.verdict is not Verdict.WRONG
    assert (bad.verdict, bad.text) == (Verdict.WRONG, "has a bug: KeyError: 'oops'")


async def test_a_replay_file_that_is_none(tmp_path: Path, source: StubSite) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("no bars\n")
    config = settings(tmp_path, source, "replay")
    config.providers.replay.file = file
    (one,) = await ask_providers(config, UNIVERSE)
    assert one.verdict is Verdict.WRONG
    assert str(file) in one.text


async def test_they_are_asked_at_once_and_can_be_cancelled(tmp_path: Path, source: StubSite) -> None:
    source.script(stub.SILENCE)
    order = ("gpw", "bankier", "stooq", "yahoo")
    asking = asyncio.create_task(ask_providers(settings(tmp_path, source, *order), UNIVERSE, deadline=60))
    async with asyncio.timeout(30):
        while source.most_at_once < len(order):
            await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
