"""Alpha Vantage: closes and their day, every "no" without the key in it, and never a call over the budget."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests import shared
from tests.providers.web import stub as play
from tests.providers.web.contract import WebProviderContract
from tests.providers.web.stub import Reply, Seen, StubSite, json_page

from zlotick.config import AlphaVantageConfig, Secret
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.calendar import WARSAW
from zlotick.market.universe import Universe
from zlotick.market.validation import Validator
from zlotick.model import StockUpdate
from zlotick.providers.base import Web
from zlotick.providers.web.alpha_vantage import AlphaVantageProvider, parse
from zlotick.providers.web.budget import DailyBudget
from zlotick.providers.web.client import HttpWeb

SAMPLES = shared.FOLDER / "data" / "samples"
KEY = "K3YTHATNOBODYSEE"
NIGHT = datetime(2026, 11, 24, 22, 0, tzinfo=WARSAW)
UNKNOWN = '{"Global Quote": {}}'

LIMIT = (
    f"We have detected your API key as {KEY} and our standard API rate limit is 25 requests per day. Please "
    "subscribe to any of the premium plans at https://www.alphavantage.co/premium/ to instantly remove all daily "
    "rate limits."
)
BURST = (
    "Thank you for using Alpha Vantage! Please consider spreading out your free API requests more sparingly (1 "
    "request per second). You may subscribe to any of the premium plans to lift the free key rate limit (25 "
    "requests per day), raise the per-second burst limit, and instantly unlock all premium endpoints"
)
INVALID_KEY = "the parameter apikey is invalid or missing. Please claim your free API key on (https://...)."
DEMO = "The **demo** API key is for demo purposes only. Please claim your free API key at (https://...)"
INVALID_CALL = "Invalid API call. Please retry or visit the documentation (https://...) for GLOBAL_QUOTE."


def universe(*symbols: str) -> Universe:
    return Universe(symbols=frozenset(symbols), names={}, isin={}, as_of=date(2026, 4, 4))


def answer(name: str = "PKN.WAR", day: str = "2026-11-24", **fields: str) -> str:
    told = {
        "01. symbol": name,
        "02. open": "87.4200",
        "03. high": "88.2600",
        "04. low": "86.3600",
        "05. price": "86.9100",
        "06. volume": "1634376",
        "07. latest trading day": day,
        "08. previous close": "87.0000",
        "09. change": "-0.0900",
        "10. change percent": "-0.1034%",
    }
    told |= {key: fields[key[4:]] for key in told if key[4:] in fields}
    return json.dumps({"Global Quote": told})


def says(kind: str, message: str) -> str:
    return json.dumps({kind: message})


def read(body: str | bytes, at: datetime = NIGHT) -> list[StockUpdate]:
    return parse(body.encode() if isinstance(body, str) else body, "PKN", "PKN.WAR", at)


def refusal(body: str | bytes, at: datetime = NIGHT) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body, at)
    return caught.value


class TestContract(WebProviderContract):
    config_type = AlphaVantageConfig
    options: ClassVar = {"api_key": Secret(KEY), "symbols": ["PKN=PKN.WAR"], "daily_budget": 1000}
    secrets = (KEY,)
    own_refusals: ClassVar = {
        "burst": (json_page(says("Information", BURST)), RefusalReason.RATE_LIMITED),
        "wrong key": (json_page(says("Error Message", INVALID_KEY)), RefusalReason.API_KEY),
        "something new": (json_page(says("Note", f"Dear {KEY}!")), RefusalReason.FORMAT_CHANGED),
        "limit": (json_page(says("Information", LIMIT)), RefusalReason.DAILY_LIMIT),  # the last: it is final
    }

    @pytest.fixture(autouse=True)
    def _home(self, tmp_path: Path) -> None:
        self.home = tmp_path

    def make(self, config: AlphaVantageConfig, web: Web) -> AlphaVantageProvider:
        budget = DailyBudget(
            self.home / "b.json", "alpha_vantage", config.daily_budget, lambda: datetime.now(UTC)
        )
        return AlphaVantageProvider(config, universe("PKN", "CDR"), web, budget, pause=0)

    def good(self, request: Seen) -> Reply:
        assert request.target == f"/query?function=GLOBAL_QUOTE&symbol=PKN.WAR&apikey={KEY}"
        return json_page(answer(day="2026-11-20"))


class TestWhatItSays:
    def test_a_close(self) -> None:
        assert read(answer()) == [
            StockUpdate(
                timestamp="2026-11-24T16:00:00.000Z",
                symbol="PKN",
                price=86.91,
                change=-0.09,
                change_percent=-0.1,
                volume=1634376,
                high=88.26,
                low=86.36,
                open=87.42,
                market_status="after_hours",
                data_source="alpha_vantage",
                previous_close=87.0,
                exchange_time="2026-11-24T16:00:00.000Z",
                received_at="2026-11-24T21:00:00.000Z",
                delay_seconds=None,
            )
        ]

    def test_a_close_is_not_taken_before_it_is_final(self) -> None:
        final = datetime(2026, 11, 24, 17, 25, tzinfo=WARSAW)
        no = refusal(answer(), final - timedelta(microseconds=1))
        assert no.reason is RefusalReason.NO_DATA
        assert "not final before 17:25" in no.detail
        assert read(answer(), final)
        assert read(answer(day="2026-11-23"), final - timedelta(hours=8))

    def test_what_it_leaves_out_is_none(self) -> None:
        gaps = {"open": "", "high": "", "low": "", "volume": "", "previous close": ""}
        (quote,) = read(answer(**gaps))
        told = (quote.open, quote.high, quote.low, quote.volume, quote.previous_close, quote.change)
        assert told == (None,) * 6

    def test_a_price_of_zero_is_for_validation_to_judge(self) -> None:
        accepted, rejected = Validator(None, 50).check(read(answer(price="0.0000")), NIGHT)
        assert accepted == []
        assert [item.reason for item in rejected] == ["price"]

    @pytest.mark.parametrize(
        "body",
        [
            answer("IBM"),
            answer(price=""),
            answer(price="nan"),
            answer(price="-1"),
            answer(price="86,91"),
            answer(high="1e5"),
            answer(volume="1.5"),
            answer(day=""),
            answer(day="2026-02-30"),
            answer(day="20261124"),
            '{"Global Quote": null}',
            '{"Global Quote": []}',
            '{"Global Quote": {"05. price": 86.91}}',
            "{}",
            "[]",
            "null",
            '{"Note": ""}',
            "[" * 100_000,
        ],
    )
    def test_what_cannot_be_read_is_refused(self, body: str) -> None:
        assert refusal(body).reason is RefusalReason.FORMAT_CHANGED

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (UNKNOWN, RefusalReason.NO_DATA),
            (says("Information", LIMIT), RefusalReason.DAILY_LIMIT),
            (says("Note", LIMIT), RefusalReason.DAILY_LIMIT),
            (says("Information", BURST), RefusalReason.RATE_LIMITED),
            (
                says("Note", "Our standard limit is 5 calls per minute and 500 per day."),
                RefusalReason.RATE_LIMITED,
            ),
            (says("Note", "This is a premium endpoint."), RefusalReason.API_KEY),
            (says("Information", "Burst pattern detected."), RefusalReason.RATE_LIMITED),
            (says("Error Message", INVALID_KEY), RefusalReason.API_KEY),
            (says("Information", INVALID_KEY), RefusalReason.API_KEY),
            (says("Information", DEMO), RefusalReason.API_KEY),
            (says("Error Message", INVALID_CALL), RefusalReason.NOT_FOUND),
            (says("Information", "Something new."), RefusalReason.FORMAT_CHANGED),
            (play.CHALLENGE_TEXT, RefusalReason.CHALLENGE),
        ],
    )
    def test_every_no_has_its_reason(self, body: str, reason: RefusalReason) -> None:
        assert refusal(body).reason is reason

    def test_a_burst_passes_soon(self) -> None:
        assert refusal(says("Information", BURST)).retry_after == 60

    @pytest.mark.parametrize(
        "message", [LIMIT, f"New words for your API key as {KEY}.", f"The key {KEY} is odd.", KEY]
    )
    def test_no_message_carries_the_key(self, message: str) -> None:
        assert KEY not in str(refusal(says("Information", message)))

    @given(st.binary(max_size=300))
    def test_noise_is_a_typed_refusal(self, body: bytes) -> None:
        assert isinstance(refusal(body), Refusal)

    @given(
        st.dictionaries(
            st.sampled_from(list(json.loads(answer())["Global Quote"])),
            st.sampled_from(
                ["PKN.WAR", "2026-11-24", "86.91", "0", "999999999.999999999999", "0.000000000001"]
            )
            | st.text(max_size=10)
            | st.integers()
            | st.none(),
        )
    )
    def test_any_quote_is_quotes_or_a_refusal(self, fields: dict[str, Any]) -> None:
        told = json.loads(answer())["Global Quote"] | fields
        try:
            quotes = read(json.dumps({"Global Quote": told}))
        except Refusal:
            return
        Validator(frozenset({"PKN"}), 50).check(quotes, NIGHT)


@pytest.mark.skipif(not SAMPLES.exists(), reason="../shared/data/samples is not on this machine")
class TestSamples:
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("error", RefusalReason.NOT_FOUND),
            ("limit_information", RefusalReason.DAILY_LIMIT),
            ("limit_note", RefusalReason.DAILY_LIMIT),
            ("unknown_symbol", RefusalReason.NO_DATA),
        ],
    )
    def test_a_refusal(self, name: str, reason: RefusalReason) -> None:
        assert refusal((SAMPLES / f"alphavantage_{name}.json").read_bytes()).reason is reason

    def test_a_quote(self) -> None:
        body = (SAMPLES / "alphavantage_global_quote_2019.json").read_bytes()
        (quote,) = parse(body, "IWDA", "IWDA.AS", NIGHT)
        assert (quote.price, quote.previous_close, quote.change) == (51.76, 51.435, 0.325)
        assert (quote.change_percent, quote.volume) == (0.63, 93222)
        assert quote.timestamp == "2019-08-30T15:00:00.000Z"


class Clock:
    def __init__(self) -> None:
        self.now = NIGHT.astimezone(UTC)

    def __call__(self) -> datetime:
        return self.now


class Bench:
    """A provider with a clock of its own, against a stub that knows some names."""

    def __init__(self, stub: StubSite, home: Path, symbols: list[str], **options: Any) -> None:
        self.stub, self.home, self.clock = stub, home, Clock()
        self.closes: dict[str, str] = {}  # by the source's name; the day of its close
        config = {"daily_budget": 25, "api_key": Secret(KEY)} | options
        self.config = AlphaVantageConfig(base_url=stub.url, symbols=symbols, **config)
        stub.answer = self.answer
        self.provider = self.build()

    def build(self, pause: float = 0) -> AlphaVantageProvider:
        budget = DailyBudget(self.home / "b.json", "alpha_vantage", self.config.daily_budget, self.clock)
        listed = [pair.partition("=")[0] for pair in self.config.symbols]
        web = HttpWeb(self.config, user_agent="me", clock=self.clock)
        return AlphaVantageProvider(
            self.config, universe(*listed), web, budget, clock=self.clock, pause=pause
        )

    def answer(self, request: Seen) -> Reply:
        name = request.query["symbol"]
        return json_page(answer(name, self.closes[name]) if name in self.closes else UNKNOWN)

    def asked(self) -> list[str]:
        return [request.query["symbol"] for request in self.stub.requests]

    async def fetch(self) -> str:
        return " ".join(quote.symbol for quote in await self.provider.fetch_data())


@pytest.fixture
async def stub() -> AsyncIterator[StubSite]:
    async with StubSite() as source:
        yield source


class TestAsking:
    async def test_one_call_a_fetch_in_turn_and_what_is_known_stands(
        self, stub: StubSite, tmp_path: Path
    ) -> None:
        bench = Bench(stub, tmp_path, ["AAA=a", "BBB=b", "CCC=c"])
        bench.closes = dict.fromkeys("abc", "2026-11-24")
        assert [await bench.fetch() for _ in range(5)] == ["AAA", "AAA BBB"] + ["AAA BBB CCC"] * 3
        assert bench.asked() == ["a", "b", "c"]  # all rest now
        bench.clock.now += timedelta(hours=3)  # 25 calls are 8 rounds of 3
        for _ in range(5):
            await bench.fetch()
        assert bench.asked() == ["a", "b", "c"] * 2
        await bench.provider.close()

    async def test_only_what_is_wanted_is_asked(self, stub: StubSite, tmp_path: Path) -> None:
        bench = Bench(stub, tmp_path, ["AAA=a", "BBB=b"])
        bench.closes = dict.fromkeys("ab", "2026-11-24")
        quotes = await bench.provider.fetch_symbols(frozenset({"BBB", "ZZZ"}))
        assert [quote.symbol for quote in quotes] == ["BBB"]
        with pytest.raises(Refusal, match=r"no_data: .*providers\.alpha_vantage\.symbols"):
            await bench.provider.fetch_symbols(frozenset({"ZZZ"}))
        assert bench.asked() == ["b"]
        await bench.provider.close()

    async def test_an_unknown_name_is_told_and_passed_over(self, stub: StubSite, tmp_path: Path) -> None:
        bench = Bench(stub, tmp_path, ["AAA=wrong", "BBB=b"])
        bench.closes = {"b": "2026-11-24"}
        with capture_logs() as logs:
            assert [await bench.fetch() for _ in range(4)] == ["BBB"] * 4
        assert bench.asked() == ["wrong", "b"]
        (line,) = logs
        assert (line["symbol"], line["reason"]) == (
            "AAA",
            "Alpha Vantage does not have 'wrong'; see providers.alpha_vantage.symbols",
        )
        await bench.provider.close()

    async def test_a_close_that_is_not_final_is_asked_again_when_it_is(
        self, stub: StubSite, tmp_path: Path
    ) -> None:
        bench = Bench(stub, tmp_path, [f"S{n}={n}" for n in range(1, 30)])
        bench.closes = {"1": "2026-11-24"}
        bench.clock.now = datetime(2026, 11, 24, 12, 0, tzinfo=WARSAW).astimezone(UTC)
        stub.answer = lambda request: json_page(answer(request.query["symbol"]))
        one = frozenset({"S1"})
        for _ in range(3):
            with pytest.raises(Refusal, match="no_data"):
                await bench.provider.fetch_symbols(one)
        assert bench.asked() == ["1"]
        bench.clock.now = datetime(2026, 11, 24, 17, 25, tzinfo=WARSAW).astimezone(UTC)
        assert await bench.provider.fetch_symbols(one)
        await bench.provider.close()

    async def test_a_stock_that_is_refused_does_not_hold_up_the_others(
        self, stub: StubSite, tmp_path: Path
    ) -> None:
        bench = Bench(stub, tmp_path, ["AAA=a", "BBB=b"])
        bench.closes = {"b": "2026-11-24"}
        healthy = bench.answer
        stub.answer = lambda request: (
            json_page(says("Error Message", INVALID_CALL))
            if request.query["symbol"] == "a"
            else healthy(request)
        )
        with pytest.raises(Refusal, match="not_found"):
            await bench.fetch()
        assert await bench.fetch() == "BBB"
        await bench.provider.close()

    async def test_without_a_key_nobody_is_asked(self, stub: StubSite, tmp_path: Path) -> None:
        bench = Bench(stub, tmp_path, ["AAA=a"], api_key=Secret(""))
        with pytest.raises(Refusal, match=r"api_key: .*set providers\.alpha_vantage\.api_key"):
            await bench.fetch()
        assert bench.asked() == []

    async def test_calls_are_a_pause_apart(self, stub: StubSite, tmp_path: Path) -> None:
        bench = Bench(stub, tmp_path, ["AAA=a", "BBB=b", "CCC=c"])
        bench.closes = {"c": "2026-11-24"}
        loop_time = asyncio.get_running_loop().time
        provider, started = bench.build(pause=0.1), loop_time()
        await provider.fetch_data()
        assert len(bench.asked()) == 3
        assert loop_time() - started >= 0.2
        await provider.close()


class TestBudget:
    async def test_spent_is_a_refusal_until_midnight_without_asking(
        self, stub: StubSite, tmp_path: Path
    ) -> None:
        bench = Bench(stub, tmp_path, [f"S{n}={n}" for n in range(1, 6)], daily_budget=3)
        bench.closes = {f"{n}": "2026-11-24" for n in range(1, 6)}
        assert bench.provider.budget_left() is None
        await bench.provider.connect()
        assert bench.provider.budget_left() == 3
        for _ in range(3):
            await bench.fetch()
        assert bench.provider.budget_left() == 0
        for _ in range(3):
            with pytest.raises(
                Refusal, match=r"daily_limit: today's calls are used up until 2026-11-25 00:00"
            ):
                await bench.fetch()
        await bench.provider.close()
        restarted = bench.build()
        with pytest.raises(Refusal, match="daily_limit"):
            await restarted.fetch_data()
        assert len(bench.asked()) == 3
        bench.clock.now = datetime(2026, 11, 25, 0, 0, tzinfo=WARSAW).astimezone(UTC)
        assert await bench.fetch() == "S1 S2 S3 S4"
        await bench.provider.close()

    async def test_the_source_may_say_so_first(self, stub: StubSite, tmp_path: Path) -> None:
        bench = Bench(stub, tmp_path, ["AAA=a"])
        stub.script(json_page(says("Information", LIMIT)))
        for _ in range(3):
            with pytest.raises(Refusal, match="daily_limit"):
                await bench.fetch()
        assert len(bench.asked()) == 1
        await bench.provider.close()

    async def test_a_day_of_steady_asking_stays_within_the_budget_and_serves_everybody(
        self, stub: StubSite, tmp_path: Path
    ) -> None:
        bench = Bench(stub, tmp_path, [f"S{n}={n}" for n in range(10)])
        bench.closes = {f"{n}": "2026-11-23" for n in range(10)}
        bench.clock.now = datetime(2026, 11, 25, 0, 0, tzinfo=WARSAW).astimezone(UTC)
        for _ in range(24 * 6):
            assert await bench.fetch()
            bench.clock.now += timedelta(minutes=10)
        assert sorted(bench.asked()) == sorted([f"{n}" for n in range(10)] * 2)
        await bench.provider.close()
