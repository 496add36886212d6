"""What the sources on the web have in common: how they are made, asked and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from zlotick.config import WebSourceConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import utc_now
from zlotick.providers.base import StockDataProvider
from zlotick.providers.web.client import Web
from zlotick.providers.web.html_table import FirstSeen, Report

T = TypeVar("T")


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
        self._config = config
        self._universe = universe
        self._web = web
        self._clock = clock
        self._calendar = calendar
        self._report = Report(self.name)
        self._first_seen = FirstSeen()
        self._reading: asyncio.Future[Any] | None = None

    async def _off_the_loop(self, read: Callable[[], T]) -> T:
        """What ``read`` makes of an answer, in a thread: whatever a source sends, the event loop goes on.

        A thread cannot be stopped. One that runs over the time of a request is left to itself and its result dropped;
        the next waits until it has ended, so a provider never has two. It does end: reading costs a time that
        grows with the length of the answer, and that has a limit. Raises Refusal.
        """
        timeout = self._config.timeout
        try:
            async with asyncio.timeout(timeout):
                while self._reading and not self._reading.done():
                    await asyncio.wait([self._reading])
                reading = asyncio.get_running_loop().run_in_executor(None, read)
                reading.add_done_callback(_seen)
                self._reading = reading
                return await asyncio.shield(reading)
        except TimeoutError:
            detail = f"its answer could not be read within {timeout:g} s"
            raise Refusal(RefusalReason.TIMEOUT, detail) from None

    async def close(self) -> None:
        """Give back the connection."""
        await self._web.close()

    def market_time(self) -> datetime:
        """Now, or the recorded moment."""
        return self._clock()


def _seen(reading: asyncio.Future[T]) -> None:
    """An error that has nobody left to go to is no bug to be reported."""
    if not reading.cancelled():
        reading.exception()
