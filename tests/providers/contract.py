"""What every provider must do. A provider's own test file subclasses this and says how to make one."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from datetime import UTC, datetime

from zlotick.market.validation import Validator
from zlotick.model import MarketStatus, utc_time
from zlotick.providers import StockDataProvider


class ProviderContract(ABC):
    @abstractmethod
    def make(self) -> StockDataProvider: ...

    def test_it_says_what_it_is(self) -> None:
        provider = self.make()
        assert provider.name
        assert provider.kind in {"live", "delayed", "simulated", "replayed"}

    async def test_close_is_safe_before_connect_and_twice(self) -> None:
        provider = self.make()
        await provider.close()
        await provider.connect()
        await provider.close()
        await provider.close()

    async def test_connect_twice_is_one_connection(self) -> None:
        provider = self.make()
        await provider.connect()
        first = await provider.fetch_data()
        await provider.connect()
        second = await provider.fetch_data()
        assert {q.symbol for q in first} <= {q.symbol for q in second}
        await provider.close()

    async def test_quotes_are_its_own_once_a_symbol_and_known_statuses(self) -> None:
        provider = self.make()
        await provider.connect()
        before = datetime.now(UTC)
        quotes = await provider.fetch_data()
        assert quotes
        assert len({q.symbol for q in quotes}) == len(quotes)
        symbols = provider.symbols()
        assert symbols is None or {q.symbol for q in quotes} <= symbols
        for quote in quotes:
            assert quote.data_source == provider.name
            assert quote.market_status in set(MarketStatus)
            assert quote.received_at is not None
            assert -1 < (utc_time(quote.received_at) - before).total_seconds() < 30
        await provider.close()

    async def test_validation_rejects_nothing_of_it(self) -> None:
        provider = self.make()
        await provider.connect()
        validator = Validator(provider.symbols(), 50)
        run = 0
        for _ in range(60):
            quotes = await provider.fetch_data()
            if provider.run != run:
                run = provider.run
                validator.forget(provider.name)
            accepted, rejected = validator.check(quotes, datetime.now(UTC))
            assert rejected == []
            assert accepted == quotes  # they are canonical already
        await provider.close()

    async def test_the_same_trade_is_the_same_row(self) -> None:
        # Key of a stored row: timestamp, symbol, provider. What was traded may only change with the time.
        provider = self.make()
        await provider.connect()
        seen: dict[tuple[int, str, str], tuple[object, ...]] = {}
        for _ in range(60):
            for quote in await provider.fetch_data():
                key = (provider.run, quote.timestamp, quote.symbol)
                assert seen.setdefault(key, quote.traded()) == quote.traded()
        await provider.close()

    async def test_a_cancelled_fetch_harms_nothing(self) -> None:
        provider = self.make()
        task = asyncio.create_task(provider.fetch_data())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=30)
        await provider.connect()
        assert await provider.fetch_data()
        await provider.close()

    async def test_after_close_it_begins_again(self) -> None:
        provider = self.make()
        await provider.connect()
        first = await provider.fetch_data()
        run, latest = provider.run, max(q.timestamp for q in first)
        await provider.close()
        await provider.connect()
        again = await provider.fetch_data()
        assert again
        assert provider.run > run or min(q.timestamp for q in again) >= latest
        await provider.close()

    async def test_its_market_time_has_a_zone(self) -> None:
        provider = self.make()
        assert provider.market_time().tzinfo is not None
        await provider.connect()
        await provider.fetch_data()
        assert provider.market_time().tzinfo is not None
        await provider.close()
