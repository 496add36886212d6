"""What the providers on the web have in common: how they are made, asked and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeVar

import msgspec

from zlotick.config import WebProviderConfig
from zlotick.errors import Refusal, RefusalReason
from zlotick.market.calendar import GPW, Calendar
from zlotick.market.universe import Universe
from zlotick.model import utc_now
from zlotick.providers.base import ProviderSetup, Quotes, RawAnswer, StockDataProvider, Web
from zlotick.providers.web.client import HttpWeb, evidence
from zlotick.providers.web.page_quotes import FirstSeen, PageContext, SkippedLog, quotes_of
from zlotick.providers.web.rows import PageRows
from zlotick.version import __version__

T = TypeVar("T")


class WebProvider(StockDataProvider):
    """Asks through ``web`` for the stocks of the universe, never more often than its floor allows.

    A recording brings its own ``web`` and ``clock``.
    """

    base_url: ClassVar[str] = ""
    """Of a custom provider whose settings name no address."""

    @classmethod
    def create(cls, setup: ProviderSetup) -> Sequence[StockDataProvider]:
        """The provider, with the network unless the setup brings its own ``web``."""
        config, web = web_of(setup, cls.base_url)
        return [cls(config, setup.universe, web, clock=setup.clock, calendar=setup.calendar)]

    def __init__(
        self,
        config: WebProviderConfig,
        universe: Universe,
        web: Web,
        *,
        clock: Callable[[], datetime] = utc_now,
        calendar: Calendar = GPW,
    ) -> None:
        self.interval_seconds = max(config.interval, self.capabilities.floor_seconds)
        self._config = config
        self.universe = universe
        self.web = web
        self._clock = clock
        self._calendar = calendar
        self._skipped_log = SkippedLog(self.name)
        self._first_seen = FirstSeen()
        self._reading: asyncio.Future[Any] | None = None

    async def page_quotes(
        self, answer: RawAnswer, parse: Callable[[], PageRows], symbols: Collection[str]
    ) -> Quotes:
        """The quotes of a page whose rows ``parse`` returns; both in a thread. Raises Refusal."""
        context = PageContext(
            self.name,
            evidence(answer),
            self._calendar,
            self.recorded,
            self.delay_seconds,
            self._first_seen,
        )
        found = await self.in_thread(lambda: quotes_of(parse(), context, symbols=symbols))
        self._skipped_log.log(found.skipped)
        return found.quotes

    async def in_thread(self, read: Callable[[], T]) -> T:
        """The result of ``read`` in a thread, so that no answer can block the event loop. Raises Refusal.

        A thread cannot be cancelled. One that takes longer than a request may is left alone and its result dropped;
        the next one waits for its end, so a provider never has two. It does end: the time to read an answer grows
        with its length, which is limited.
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
        await self.web.close()

    def market_time(self) -> datetime:
        """Now, or the recorded moment."""
        return self._clock()


def web_of(setup: ProviderSetup, base_url: str = "") -> tuple[WebProviderConfig, Web]:
    """The settings with an address, and what makes the requests. Raises ConfigError when there is no address."""
    config = setup.config
    assert isinstance(config, WebProviderConfig)
    if not config.base_url:
        config = msgspec.structs.replace(config, base_url=base_url)
    agent = user_agent(setup.settings.providers.contact)
    web = setup.web or HttpWeb(config, user_agent=agent, observer=setup.observer, clock=setup.clock)
    return config, web


def user_agent(contact: str) -> str:
    """Says honestly who asks, and whom to write to if the user configured that."""
    product = f"zlotick/{__version__}"
    return f"{product} (self-hosted; {contact})" if contact else f"{product} (self-hosted)"


def _seen(reading: asyncio.Future[T]) -> None:
    """Retrieve an error that no caller awaits any more, or asyncio logs it as a bug."""
    if not reading.cancelled():
        reading.exception()
