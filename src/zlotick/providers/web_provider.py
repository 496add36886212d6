"""What the sources on the web have in common: how they are made, asked and closed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from zlotick.config import WebSourceConfig
from zlotick.market.sessions import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import utc_now
from zlotick.providers.base import StockDataProvider
from zlotick.providers.pages import FirstSeen, Report
from zlotick.providers.web import Web


class WebProvider(StockDataProvider):
    """Asks through ``web`` for the stocks of the universe, never more often than its floor allows.

    A recording brings its own ``web`` and ``clock``.
    """

    def __init__(
        self,
        config: WebSourceConfig,
        universe: Universe,
        web: Web,
        *,
        clock: Callable[[], datetime] = utc_now,
        calendar: Calendar = GPW,
    ) -> None:
        self.interval_seconds = max(config.interval, self.capabilities.floor_seconds)
        self._universe = universe
        self._web = web
        self._clock = clock
        self._calendar = calendar
        self._report = Report(self.name)
        self._first_seen = FirstSeen()

    async def close(self) -> None:
        """Give back the connection."""
        await self._web.close()

    def market_time(self) -> datetime:
        """Now, or the recorded moment."""
        return self._clock()
