"""Invented quotes, for tests and benchmarks: any number of symbols, a seeded random walk, always valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from random import Random
from typing import ClassVar

import msgspec

from zlotick.config import SimulatorConfig
from zlotick.market.calendar import session_date, status_of_trade
from zlotick.model import StockUpdate, now_text, utc_now, utc_text
from zlotick.providers.base import ProviderSetup, StockDataProvider

_CHEAPEST, _DEAREST = 500, 50_000  # grosze
_STEP = 0.004  # largest move of one trade
_BAND = 0.10  # the exchange's static band: no session goes further from its previous close
_MOST_SHARES = 500


class SimulatorProvider(StockDataProvider):
    """Invents a market. The same seed invents the same prices and volumes; the times are the clock's.

    Each fetch, ``change_ratio`` of the symbols trade. A new session begins at midnight in Warsaw.
    """

    name = "simulator"
    kind: ClassVar[str] = "simulated"

    def __init__(self, config: SimulatorConfig, clock: Callable[[], datetime] = utc_now) -> None:
        self.run = 1  # a restart begins again: volumes from 0
        self._clock = clock
        self._dice = Random(config.seed)  # noqa: S311  a walk, no secret
        self._stocks = [_Stock(f"S{n:05}", self._dice) for n in range(config.symbols)]
        self._trading = round(config.change_ratio * config.symbols)
        self._quotes: dict[str, StockUpdate] = {}
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._day = date.min

    @classmethod
    def create(cls, setup: ProviderSetup) -> Sequence[StockDataProvider]:
        """The provider of these settings."""
        assert isinstance(setup.config, SimulatorConfig)
        return [cls(setup.config)]

    async def fetch_data(self) -> list[StockUpdate]:
        """All symbols; the first fetch and the first of a session trade every one of them."""
        moment = self.market_time()
        trading = self._dice.sample(self._stocks, self._trading)
        if session_date(moment) != self._day:
            self._day = session_date(moment)
            trading = self._stocks
            for stock in self._stocks:
                stock.begin_session()
        text, status = utc_text(moment), status_of_trade(moment).value
        for stock in trading:
            stock.trade(self._dice)
            self._quotes[stock.symbol] = stock.quote(text, status)
        received_at = now_text()
        return [msgspec.structs.replace(quote, received_at=received_at) for quote in self._quotes.values()]

    def symbols(self) -> frozenset[str]:
        """Its own symbols, ``S00000`` upwards."""
        return frozenset(stock.symbol for stock in self._stocks)

    def market_time(self) -> datetime:
        """The clock's time; a clock that was set back stands still, for event times never go back."""
        self._latest = max(self._latest, self._clock())
        return self._latest


class _Stock:
    """One invented stock. Prices in grosze."""

    def __init__(self, symbol: str, dice: Random) -> None:
        self.symbol = symbol
        self._price = dice.randint(_CHEAPEST, _DEAREST)
        self.begin_session()

    def begin_session(self) -> None:
        self._previous_close = self._open = self._high = self._low = self._price
        self._volume = 0

    def trade(self, dice: Random) -> None:
        """One trade; the first of a session makes its open."""
        step = max(1, round(self._price * _STEP))
        floor, ceiling = (round(self._previous_close * factor) for factor in (1 - _BAND, 1 + _BAND))
        self._price = min(max(self._price + dice.randint(-step, step), floor), ceiling)
        if not self._volume:
            self._open = self._high = self._low = self._price
        self._high, self._low = max(self._high, self._price), min(self._low, self._price)
        self._volume += dice.randint(1, _MOST_SHARES)

    def quote(self, moment: str, status: str) -> StockUpdate:
        change = self._price - self._previous_close
        return StockUpdate(
            timestamp=moment,
            symbol=self.symbol,
            price=self._price / 100,
            change=change / 100,
            change_percent=round(change * 100 / self._previous_close, 2),
            volume=self._volume,
            high=self._high / 100,
            low=self._low / 100,
            open=self._open / 100,
            market_status=status,
            data_source=SimulatorProvider.name,
            previous_close=self._previous_close / 100,
            exchange_time=moment,
        )
