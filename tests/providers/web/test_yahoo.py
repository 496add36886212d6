"""Yahoo: a few missing stocks, one a call, in turn; nothing but shares in PLN; a 429 is believed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.web import stub as play
from tests.providers.web.contract import WebProviderContract
from tests.providers.web.stub import Reply, Seen, StubSite, json_page

from zlotick.config import YahooConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.calendar import WARSAW
from zlotick.market.universe import Universe
from zlotick.market.validation import Validator
from zlotick.model import StockUpdate
from zlotick.providers.base import Web
from zlotick.providers.web.client import HttpWeb
from zlotick.providers.web.yahoo import YahooProvider, parse

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=WARSAW)
TRADED = int(datetime(2026, 11, 24, 10, 43, 53, tzinfo=UTC).timestamp())
NOT_FOUND = '{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found, symbol may be delisted"}}}'


def universe(*symbols: str) -> Universe:
    return Universe(symbols=frozenset(symbols), names={}, isin={}, as_of=date(2026, 4, 4))


def chart(symbol: str = "PKN.WA", **fields: object) -> str:
    """An answer as it comes: more than is read of it."""
    meta = {
        "currency": "PLN",
        "symbol": symbol,
        "exchangeName": "WSE",
        "fullExchangeName": "Warsaw",
        "instrumentType": "EQUITY",
        "regularMarketTime": TRADED,
        "exchangeTimezoneName": "Europe/Warsaw",
        "regularMarketPrice": 86.90999984741211,
        "regularMarketDayHigh": 88.26,
        "regularMarketDayLow": 86.36,
        "regularMarketVolume": 1634376,
        "chartPreviousClose": 87.0,
        "priceHint": 2,
        "dataGranularity": "1m",
        "range": "1d",
    }
    meta = {name: value for name, value in (meta | fields).items() if value is not ...}
    quote = {"open": [87.42, None], "close": [87.4, None], "volume": [0, None]}
    result = {"meta": meta, "timestamp": [TRADED - 60, TRADED], "indicators": {"quote": [quote]}}
    return json.dumps({"chart": {"result": [result], "error": None}})


def read(body: str | bytes) -> list[StockUpdate]:
    return parse(body.encode() if isinstance(body, str) else body, "PKN", NOON)


def refusal(body: str | bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(body)
    return caught.value


class TestContract(WebProviderContract):
    config_type = YahooConfig
    options: ClassVar = {"pause": 0}
    own_refusals: ClassVar = {
        "unknown symbol": (json_page(NOT_FOUND, status=404), RefusalReason.NO_DATA),
        "no result": (json_page('{"chart":{"result":[],"error":null}}'), RefusalReason.NO_DATA),
        "unauthorized": (
            json_page('{"finance":{"result":null,"error":{"code":"Unauthorized"}}}', status=401),
            RefusalReason.CHALLENGE,
        ),
        "bad request": (
            json_page('{"chart":{"result":null,"error":{"code":"Bad Request","description":"no"}}}'),
            RefusalReason.FORMAT_CHANGED,
        ),
    }

    def make(self, config: YahooConfig, web: Web) -> YahooProvider:
        return YahooProvider(config, universe("PKN", "11B"), web)

    def good(self, request: Seen) -> Reply:
        assert request.target in {
            f"/v8/finance/chart/{ticker}.WA?range=1d&interval=1m" for ticker in ("PKN", "11B")
        }
        old = int(datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp())
        return json_page(chart(request.path.rpartition("/")[2], regularMarketTime=old))


class TestWhatItSays:
    def test_a_quote(self) -> None:
        assert read(chart()) == [
            StockUpdate(
                timestamp="2026-11-24T10:43:53.000Z",
                symbol="PKN",
                price=86.91,  # without the noise
                change=-0.09,
                change_percent=-0.1,
                volume=1634376,
                high=88.26,
                low=86.36,
                open=None,
                market_status="open",
                data_source="yahoo",
                previous_close=87.0,
                exchange_time="2026-11-24T10:43:53.000Z",
                received_at="2026-11-24T11:00:00.000Z",
                delay_seconds=900,
            )
        ]

    def test_what_it_leaves_out_is_none(self) -> None:
        names = (
            "chartPreviousClose",
            "regularMarketDayHigh",
            "regularMarketDayLow",
            "regularMarketVolume",
        )
        for nothing in (..., None):
            (quote,) = read(chart(**dict.fromkeys(names, nothing)))
            assert (quote.high, quote.low, quote.volume, quote.previous_close, quote.change) == (None,) * 5

    @pytest.mark.parametrize(
        "body",
        [
            chart("PKN.DE"),
            chart(currency="EUR"),
            chart(currency=None),
            chart(regularMarketPrice=None),
            chart(regularMarketTime=...),
            NOT_FOUND,
            '{"chart":{"result":null,"error":null}}',
        ],
    )
    def test_without_a_price_in_pln_there_is_no_data(self, body: str) -> None:
        assert refusal(body).reason is RefusalReason.NO_DATA

    @pytest.mark.parametrize(
        "body",
        [
            chart(regularMarketPrice="NaN"),
            chart(regularMarketPrice=-1),
            chart(regularMarketPrice=1e12),
            chart(regularMarketPrice=[]),
            chart(regularMarketDayHigh="Infinity"),
            chart(regularMarketVolume=1.5),
            chart(regularMarketVolume=-1),
            chart(regularMarketTime=10**15),
            chart(regularMarketTime=10**30),
            chart(regularMarketTime="noon"),
            chart().replace("86.90999984741211", "1e999999"),
            '{"chart":{"result":[{}]}}',
            '{"spark":{}}',
            "Too Many Requests",
            "[" * 100_000,
            '{"x":' * 100_000,
        ],
    )
    def test_what_cannot_be_read_is_refused(self, body: str) -> None:
        assert refusal(body).reason is RefusalReason.FORMAT_CHANGED

    def test_a_price_of_zero_is_for_validation_to_judge(self) -> None:
        accepted, rejected = Validator(None, 50).check(read(chart(regularMarketPrice=0)), NOON)
        assert (accepted, len(rejected)) == ([], 1)

    @pytest.mark.parametrize("later", [90_000, -4 * 3600, -3 * 86_400])
    def test_a_time_at_which_nobody_trades_is_refused(self, later: int) -> None:
        """Tomorrow, 8:43 and a Saturday."""
        assert refusal(chart(regularMarketTime=TRADED + later)).reason is RefusalReason.NO_DATA

    @given(st.binary(max_size=300))
    def test_noise_is_a_typed_refusal(self, body: bytes) -> None:
        assert isinstance(refusal(body), Refusal)

    @given(
        st.dictionaries(
            st.sampled_from(list(json.loads(chart())["chart"]["result"][0]["meta"])),
            st.none()
            | st.floats()
            | st.integers()
            | st.text(max_size=9)
            | st.just(TRADED)
            | st.just("1E+9999"),
        )
    )
    def test_any_chart_is_quotes_or_a_refusal(self, fields: dict[str, Any]) -> None:
        try:
            quotes = read(chart(**{"symbol": "PKN.WA"} | fields))
        except Refusal:
            return
        accepted, rejected = Validator(frozenset({"PKN"}), 50).check(quotes, NOON)
        assert len(accepted) + len(rejected) == 1


class TestAsking:
    @pytest.fixture
    async def stub(self) -> AsyncIterator[StubSite]:
        async with StubSite() as source:
            source.answer = lambda request: json_page(chart(request.path.rpartition("/")[2]))
            yield source

    def provider(self, stub: StubSite, *symbols: str, **options: Any) -> YahooProvider:
        config = YahooConfig(base_url=stub.url, **{"pause": 0} | options)
        return YahooProvider(config, universe(*symbols), HttpWeb(config, user_agent="me"))

    async def test_the_missing_ones_take_turns(self, stub: StubSite) -> None:
        provider = self.provider(stub, *"ABCDEFG", max_symbols=3)
        missing = frozenset("BCDEF")
        rounds = ["".join(q.symbol for q in await provider.fetch_symbols(missing)) for _ in range(4)]
        assert rounds == ["BCD", "EFB", "CDE", "FBC"]
        assert "".join(q.symbol for q in await provider.fetch_data()) == "AGD"
        assert stub.most_at_once == 1
        await provider.close()

    async def test_an_unknown_stock_does_not_hold_up_the_others(self, stub: StubSite) -> None:
        stub.answer = lambda request: (
            json_page(NOT_FOUND, status=404) if "/A.WA" in request.path else json_page(chart("B.WA"))
        )
        provider = self.provider(stub, "A", "B")
        assert [quote.symbol for quote in await provider.fetch_data()] == ["B"]
        with pytest.raises(Refusal, match=r"no_data: Yahoo does not have A\.WA"):
            await provider.fetch_symbols(frozenset("A"))
        await provider.close()

    async def test_too_many_in_the_middle_keeps_what_came_and_is_not_answered_by_asking(
        self, stub: StubSite
    ) -> None:
        stub.script(json_page(chart("A.WA")), play.too_many(None))
        provider = self.provider(stub, *"ABCD")
        assert [quote.symbol for quote in await provider.fetch_data()] == ["A"]
        with pytest.raises(Refusal) as caught:
            await provider.fetch_data()
        assert len(stub.requests) == 2
        assert caught.value.reason is RefusalReason.RATE_LIMITED
        assert caught.value.retry_after == 900  # it names no time itself
        await provider.close()

    async def test_calls_are_a_pause_apart(self, stub: StubSite) -> None:
        provider = self.provider(stub, *"ABC", pause=0.1)
        started = asyncio.get_running_loop().time()
        assert len(await provider.fetch_data()) == 3
        assert asyncio.get_running_loop().time() - started >= 0.2
        await provider.close()
