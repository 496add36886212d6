"""What every provider on the web must do, on good days and bad ones. A provider's own test file subclasses this.

class TestGpw(WebProviderContract):
    config_type = GpwConfig
    def make(self, config, web): return GpwProvider(config, UNIVERSE, web)
    def good(self, request): return page(...)
    own_refusals = {"limit text": (page("Exceeded the daily hits limit"), RefusalReason.DAILY_LIMIT)}
"""

from __future__ import annotations

import asyncio
import traceback
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

import msgspec
import pytest
from tests.providers.web import stub as play
from tests.providers.web.stub import Reply, Seen, StubSite

from zlotick.config import WebProviderConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.validation import Validator
from zlotick.model import MarketStatus, StockUpdate, utc_time
from zlotick.providers import StockDataProvider
from zlotick.providers.base import NoAnswer, RawAnswer, Web
from zlotick.providers.web.client import HttpWeb

BODY_LIMIT = 1_000_000
CONTACT = "me@example.org"
AGENT = f"zlotick/0 (self-hosted; {CONTACT})"
_SOME_TEXT = "<html>" + "Notowania ciągłe, akcje. " * 400

REFUSALS: dict[str, tuple[Reply, set[RefusalReason]]] = {
    "challenge page": (play.CHALLENGE, {RefusalReason.CHALLENGE}),
    "challenge page, gzip": (play.page(play.CHALLENGE_TEXT, compress=True), {RefusalReason.CHALLENGE}),
    "another challenge": (play.CLOUDFLARE, {RefusalReason.CHALLENGE}),
    "challenge under 503": (play.page(play.CHALLENGE_TEXT, status=503), {RefusalReason.CHALLENGE}),
    "forbidden": (play.FORBIDDEN, {RefusalReason.CHALLENGE}),
    "empty": (play.EMPTY, {RefusalReason.NO_DATA}),
    "blank": (play.BLANK, {RefusalReason.NO_DATA, RefusalReason.FORMAT_CHANGED}),
    "not found": (play.GONE, {RefusalReason.NOT_FOUND}),
    "too many": (play.too_many("120"), {RefusalReason.RATE_LIMITED}),
    "bad gateway": (play.BROKEN, {RefusalReason.UNREACHABLE}),
    "busy": (play.BUSY, {RefusalReason.UNREACHABLE}),
    "moved": (play.moved("https://elsewhere.example/login?x=1"), {RefusalReason.FORMAT_CHANGED}),
    "another page": (play.OTHER_PAGE, {RefusalReason.FORMAT_CHANGED}),
    "noise": (play.NOISE, {RefusalReason.FORMAT_CHANGED}),
    "a charset nobody knows": (play.page(_SOME_TEXT, charset="x-\xff;'"), {RefusalReason.FORMAT_CHANGED}),
    "utf-16 said to be utf-8": (play.page(_SOME_TEXT, sent_as="utf-16"), {RefusalReason.FORMAT_CHANGED}),
    "truncated gzip": (play.cut_gzip(_SOME_TEXT), {RefusalReason.UNREACHABLE}),
    "not gzip": (play.not_gzip(_SOME_TEXT), {RefusalReason.UNREACHABLE}),
    "cut short": (play.cut_short(_SOME_TEXT), {RefusalReason.UNREACHABLE}),
    "too large": (play.page(b"x" * (BODY_LIMIT + 1)), {RefusalReason.FORMAT_CHANGED}),
    "a bomb": (play.bomb(50 * BODY_LIMIT), {RefusalReason.FORMAT_CHANGED}),
    "slow drip": (play.drip(_SOME_TEXT), {RefusalReason.TIMEOUT}),
    "silence": (play.SILENCE, {RefusalReason.TIMEOUT}),
    "reset": (play.RESET, {RefusalReason.UNREACHABLE}),
    "hung up": (play.HANG_UP, {RefusalReason.UNREACHABLE}),
    "not HTTP": (play.NOT_HTTP, {RefusalReason.UNREACHABLE}),
}


class WebProviderContract(ABC):
    """Each test has a stub site of its own, ``self.stub``."""

    config_type: ClassVar[type[WebProviderConfig]]
    options: ClassVar[Mapping[str, Any]] = {}
    """Further fields of the config (an API key, symbols)."""
    own_refusals: ClassVar[Mapping[str, tuple[Reply, RefusalReason]]] = {}
    """Refusals in its own words."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Texts that must never be seen in an error, an answer's path or headers."""

    stub: StubSite
    asked_with: WebProviderConfig
    answers: list[RawAnswer | NoAnswer]

    @abstractmethod
    def make(self, config: Any, web: Web) -> StockDataProvider:
        """The provider, not connected."""

    @abstractmethod
    def good(self, request: Seen) -> Reply:
        """What the site answers when it is healthy."""

    @pytest.fixture(autouse=True)
    async def _stub(self) -> AsyncIterator[None]:
        async with StubSite() as self.stub:
            self.stub.answer = self.good
            yield

    @pytest.fixture
    async def provider(self, _stub: None) -> AsyncIterator[StockDataProvider]:
        provider = self.built()
        await provider.connect()
        yield provider
        await provider.close()

    def config(self, **fields: Any) -> WebProviderConfig:
        common = {"base_url": self.stub.url, "timeout": 10, "max_body_bytes": BODY_LIMIT}
        return self.config_type(**{**common, **self.options, **fields})

    def built(self, **fields: Any) -> StockDataProvider:
        self.asked_with = config = self.config(**fields)
        self.answers = []
        return self.make(config, HttpWeb(config, user_agent=AGENT, observer=self.answers.append))

    async def refusal(self, provider: StockDataProvider) -> Refusal:
        """The Refusal that the fetch must end with: no list, no other exception."""
        with pytest.raises(Refusal) as caught:
            await provider.fetch_data()
        told = "".join(traceback.format_exception(caught.value))
        assert not any(secret in told for secret in self.secrets)
        assert caught.value.detail
        return caught.value

    async def test_a_good_answer_gives_quotes_that_validation_accepts(
        self, provider: StockDataProvider
    ) -> None:
        quotes = await provider.fetch_data()
        assert quotes
        accepted, rejected = Validator(None, 50).check(quotes, datetime.now(UTC))
        assert rejected == []
        assert accepted == quotes  # they are canonical already
        for quote in quotes:
            self.check(quote, provider)

    def check(self, quote: StockUpdate, provider: StockDataProvider) -> None:
        assert quote.data_source == provider.name
        assert quote.delay_seconds == provider.delay_seconds
        assert quote.market_status in set(MarketStatus)
        assert quote.received_at is not None
        assert abs((utc_time(quote.received_at) - datetime.now(UTC)).total_seconds()) < 30
        filled = {field for field in provider.capabilities.fields if getattr(quote, field) is not None}
        unfilled = set(StockUpdate.__struct_fields__) - provider.capabilities.fields
        assert filled, "the capabilities name the fields that it fills"
        for field in unfilled & {
            "volume",
            "high",
            "low",
            "open",
            "previous_close",
            "change",
            "exchange_time",
        }:
            assert getattr(quote, field) is None, f"{field} is filled, but is not in its capabilities"

    async def test_the_same_answer_again_is_the_same_trades(self, provider: StockDataProvider) -> None:
        first, second = await provider.fetch_data(), await provider.fetch_data()
        assert [quote.traded() for quote in first] == [quote.traded() for quote in second]

    async def test_it_says_honestly_who_asks(self, provider: StockDataProvider) -> None:
        await provider.fetch_data()
        for request in self.stub.requests:
            agent = request.headers["user-agent"]
            assert agent.startswith("zlotick/")
            assert CONTACT in agent
            assert "mozilla" not in agent.lower()
            assert "cookie" not in request.headers

    async def test_secrets_stay_out_of_what_is_kept_of_an_answer(self, provider: StockDataProvider) -> None:
        await provider.fetch_data()
        assert self.answers
        kept = repr(
            [msgspec.structs.replace(one, body=b"") for one in self.answers if isinstance(one, RawAnswer)]
        )
        assert not any(secret in kept for secret in self.secrets)

    @pytest.mark.parametrize("name", list(REFUSALS))
    async def test_a_no_is_a_typed_refusal(self, name: str, provider: StockDataProvider) -> None:
        reply, reasons = REFUSALS[name]
        if RefusalReason.TIMEOUT in reasons:
            self.asked_with.timeout = 0.4  # a provider reads it at its first request
        self.stub.script(reply)
        refusal = await self.refusal(provider)
        assert refusal.reason in reasons
        if name == "too many":
            assert refusal.retry_after == 120
        if name == "moved":
            assert "elsewhere.example" in refusal.detail
            assert "login" not in refusal.detail

    async def test_its_own_refusals(self, provider: StockDataProvider) -> None:
        for name, (reply, reason) in self.own_refusals.items():
            self.stub.script(reply)
            refusal = await self.refusal(provider)
            assert refusal.reason is reason, name

    async def test_nobody_there_is_a_refusal(self, provider: StockDataProvider) -> None:
        await self.stub.go_away()
        assert (await self.refusal(provider)).reason is RefusalReason.UNREACHABLE

    async def test_after_a_bad_day_it_works_again(self, provider: StockDataProvider) -> None:
        self.asked_with.timeout = 1
        for reply in (play.RESET, play.cut_short(_SOME_TEXT), play.CHALLENGE, play.SILENCE):
            self.stub.script(reply)
            await self.refusal(provider)
        self.stub.answer = self.good
        assert await provider.fetch_data()

    async def test_a_good_answer_may_be_compressed_and_slow_to_come(
        self, provider: StockDataProvider
    ) -> None:
        whole = await provider.fetch_data()
        self.stub.answer = lambda request: play.in_pieces(play.compressed(self.good(request)))
        again = await provider.fetch_data()
        assert [quote.symbol for quote in again] == [quote.symbol for quote in whole]
        assert self.stub.requests[-1].headers["accept-encoding"] == "gzip"

    async def test_it_never_asks_twice_at_once(self, provider: StockDataProvider) -> None:
        self.stub.answer = lambda request: play.in_pieces(self.good(request))
        await asyncio.gather(*(provider.fetch_data() for _ in range(3)), return_exceptions=True)
        assert self.stub.most_at_once == 1

    async def test_a_fetch_can_be_cancelled_at_any_time(self, provider: StockDataProvider) -> None:
        self.stub.script(play.SILENCE)
        task = asyncio.create_task(provider.fetch_data())
        await asyncio.wait_for(self.stub.asked.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        self.stub.answer = self.good
        assert await provider.fetch_data()

    async def test_close_is_safe_before_connect_and_twice_and_while_it_asks(self) -> None:
        provider = self.built()
        await provider.close()
        await provider.connect()
        self.stub.script(play.SILENCE)
        task = asyncio.create_task(provider.fetch_data())
        await asyncio.wait_for(self.stub.asked.wait(), 30)
        await provider.close()
        await provider.close()
        with pytest.raises(Refusal):
            await task
        self.stub.answer = self.good
        assert await provider.fetch_data()
        await provider.close()

    async def test_the_interval_is_never_below_the_floor(self) -> None:
        floor = self.built(interval=0.001).capabilities.floor_seconds
        assert floor > 0
        assert self.built(interval=0.001).interval_seconds == floor
        assert self.built(interval=floor + 7).interval_seconds == floor + 7

    def test_it_says_what_it_is(self) -> None:
        provider = self.built()
        assert provider.name
        assert provider.kind in ("delayed", "end_of_day")
        assert provider.symbols() is None or provider.symbols()
        assert provider.market_time().tzinfo is not None
