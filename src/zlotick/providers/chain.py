"""Failover: asks the providers in their order, until every wanted symbol has an answer.

A provider that refuses, is late or has a bug is passed over for this cycle and then left alone for a while
(its circuit, by the reason); the cycle never dies of it. One whose turn has not come yet is not asked: its last
answer stands. A quote is taken whole from one provider, never mixed of two. Providers are asked one after another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

import structlog

from zlotick.errors import Refusal, RefusalReason
from zlotick.events import EventBus
from zlotick.market.calendar import GPW
from zlotick.market.page_check import PageCheck
from zlotick.market.schedule import Schedule
from zlotick.model import ProviderRow, StaleReason, StockUpdate, utc_now
from zlotick.providers.base import StockDataProvider
from zlotick.providers.managed import Link, told

log = structlog.stdlib.get_logger("zlotick.providers")


class ProviderChain:
    """The providers in the order to ask. ``providers`` is the very list it was given: what is appended later counts.

    Status changes are emitted as ``data_provider_status`` events and logged once, down and up.
    """

    def __init__(
        self,
        providers: list[StockDataProvider],
        # Timeouts
        timeout: float,
        *,
        close_timeout: float = 2.0,
        schedule: Schedule | None = None,
        bus: EventBus | None = None,
        clock: Callable[[], datetime] = utc_now,
        knows: Callable[[], bool] = lambda: True,
        page_check: PageCheck | None = None,
    ) -> None:
        self.providers = providers
        self.links: dict[object, Link] = {}
        """Whose answer each symbol of the last fetch is."""
        self.asked: list[str] = []
        """Who was asked in the last fetch; the answers of the others stand from an earlier one."""
        self._timeout = timeout
        self._close_timeout = close_timeout
        self._schedule = schedule or Schedule(GPW)
        self._bus = bus
        self._clock = clock
        self._page_check = page_check
        self._knows = knows  # whether any quote is known: until then providers are asked at any hour
        # By identity: a provider may be a dataclass, which cannot be a key. The entry keeps it alive.
        self._known: dict[int, Link] = {}

    async def fetch(
        self, wanted: frozenset[str] | None, recorded: Mapping[str, StockUpdate] = MappingProxyType({})
    ) -> list[StockUpdate]:
        """The quotes of the first provider; symbols it lacks are asked of the next.

        ``wanted=None`` (the source decides): only the first provider that answers. Quotes of other symbols than
        wanted are passed on, for validation to judge. ``recorded``: the last recorded quotes, which an answer must not
        contradict. Raises Refusal, naming every reason, when nobody answered.
        """
        found: dict[object, list[StockUpdate]] = {}
        self.links, self.asked = {}, []
        untraded: set[str] = set()
        answered = False
        for link in self._present():
            link.symbols = 0
            missing = None if wanted is None else wanted.difference(found, untraded)
            if answered and not missing:
                continue
            now = self._clock()
            if link.is_due(now):
                self.asked.append(link.provider.name)
                await link.ask(missing, now, recorded)
            if link.answer is None:
                continue
            answered = True
            # Two quotes of one symbol in one answer are left for validation to judge.
            new = _by_symbol(quote for quote in link.answer if _symbol(quote) not in found)
            link.symbols = len(new)
            found |= new
            # One that is listed without a trade is answered for: the next provider need not be asked.
            untraded |= {s for s, why in link.answer.absent.items() if why is StaleReason.NOT_TRADED}
            self.links |= dict.fromkeys(new, link)
        if not answered:
            raise self._everybody_refused()
        return [quote for quotes in found.values() for quote in quotes]

    def answers(self) -> list[Link]:
        """The providers whose answer stands."""
        return [link for link in self._present() if link.answer is not None]

    def served(self) -> list[str]:
        """The names of the providers that the last fetch took quotes from."""
        return [link.provider.name for link in self._present() if link.symbols]

    def rows(self) -> list[ProviderRow]:
        """The scoreboard, in the order of the chain."""
        return [link.row() for link in self._present()]

    def interval(self, source: str) -> float:
        """Seconds between two questions to the provider of that name; 0: every cycle, or there is none."""
        return max((link.interval for link in self._present() if link.provider.name == source), default=0.0)

    def sleeps(self) -> bool:
        """Whether every provider speaks around a session only, so that nobody need be asked outside of one."""
        return bool(self.providers) and all(p.capabilities.session_only for p in self.providers)

    def first_question(self, now: datetime) -> datetime | None:
        """When to ask outside of the hours, as not a single quote is known; None: in the session only."""
        if self._knows():
            return None
        # A provider that was not asked so far had another one answer in its place.
        moments = [link.next_question() for link in self._present() if link.asked_at] or [now]
        return min((moment for moment in moments if not self._schedule.awake(moment)), default=None)

    async def close(self) -> None:
        """Close every provider that was connected, each within ``close_timeout``. Safe to call twice."""
        links = [link for link in self._known.values() if link.touched]
        await asyncio.gather(*(self._close(link) for link in links))
        self._known.clear()

    def _present(self) -> Iterator[Link]:
        for provider in list(self.providers):
            if id(provider) not in self._known:
                self._known[id(provider)] = Link(
                    provider,
                    timeout=self._timeout,
                    schedule=self._schedule,
                    bus=self._bus,
                    knows=self._knows,
                    page_check=self._page_check,
                )
            yield self._known[id(provider)]

    def _everybody_refused(self) -> Refusal:
        if not self.providers:
            detail = "there is no data provider; set providers.order or append one to data_providers"
            return Refusal(RefusalReason.NO_DATA, detail)
        failures = [(link.provider.name, link.failure) for link in self._present() if link.failure]
        if not failures:
            opens = self._schedule.awake_from(self._clock()).isoformat(timespec="minutes")
            return Refusal(RefusalReason.NO_DATA, f"the sources speak around a session only: from {opens}")
        last = failures[-1][1]
        reason = last.reason if isinstance(last, Refusal) else RefusalReason.NO_DATA
        refusal = Refusal(reason, "; ".join(f"{name}: {told(failure)}" for name, failure in failures))
        refusal.__cause__ = last
        return refusal

    async def _close(self, link: Link) -> None:
        try:
            async with asyncio.timeout(self._close_timeout):
                await link.provider.close()
        except Exception as error:  # noqa: BLE001  one provider's failing goodbye must not keep the others open
            name = link.provider.name
            log.error("Data provider failed to close", mark="❌", provider=name, error=told(error))
        link.closed(self._clock())


def _symbol(quote: object) -> object:
    """The symbol, whatever a provider handed us: what is no quote at all is its own."""
    return quote.symbol if isinstance(quote, StockUpdate) and isinstance(quote.symbol, str) else id(quote)


def _by_symbol(quotes: Iterable[StockUpdate]) -> dict[object, list[StockUpdate]]:
    grouped: dict[object, list[StockUpdate]] = {}
    for quote in quotes:
        grouped.setdefault(_symbol(quote), []).append(quote)
    return grouped
