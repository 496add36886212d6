"""Failover: asks the providers in their order, until every wanted symbol has an answer.

A provider that refuses, is late or has a bug is skipped in this cycle and then left alone for a while (circuit
breaker, by the reason); the cycle goes on. A provider that is not due yet is not asked: its latest answer stands.
A quote comes whole from one provider, never mixed from two. Providers are asked one after another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import structlog

from zlotick.errors import Refusal, RefusalReason
from zlotick.events import EventBus
from zlotick.market.calendar import GPW
from zlotick.market.page_check import PageCheck
from zlotick.market.schedule import Schedule
from zlotick.model import ProviderRow, StaleReason, StockUpdate, utc_now
from zlotick.providers.base import Quotes, StockDataProvider
from zlotick.providers.managed import ManagedProvider, summary

log = structlog.stdlib.get_logger("zlotick.providers")


@dataclass(frozen=True, slots=True)
class StandingAnswer:
    """The latest answer of a provider, of this fetch or an earlier one."""

    provider: StockDataProvider
    quotes: Quotes
    at: datetime


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch of the chain gave."""

    quotes: list[StockUpdate]
    served_by: Mapping[object, StockDataProvider]
    """Whose quote each symbol has."""
    used: list[str]
    """The providers that quotes were taken from."""
    asked: list[str]
    """The providers that were asked now; the others' answers stand from an earlier fetch."""
    standing: list[StandingAnswer]


class ProviderChain:
    """The providers in the order to ask. ``providers`` is the very list it was given: later appends count.

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
        has_quotes: Callable[[], bool] = lambda: True,
        page_check: PageCheck | None = None,
    ) -> None:
        self.providers = providers
        self._timeout = timeout
        self._close_timeout = close_timeout
        self._schedule = schedule or Schedule(GPW)
        self._bus = bus
        self._clock = clock
        self._page_check = page_check
        self._has_quotes = has_quotes  # until one is known, providers are asked at any hour
        # By identity: a provider may be a dataclass, which cannot be a key. The entry keeps it alive.
        self._known: dict[int, ManagedProvider] = {}

    async def fetch(
        self, wanted: frozenset[str] | None, recorded: Mapping[str, StockUpdate] = MappingProxyType({})
    ) -> Fetched:
        """The quotes of the first provider; symbols it lacks are asked of the next.

        ``wanted=None`` (the provider decides): only the first provider that answers. Quotes of other symbols than
        wanted are passed on, for validation to judge. ``recorded``: the last recorded quotes, which an answer must
        not contradict. Raises Refusal with every provider's reason when none answered.
        """
        found: dict[object, list[StockUpdate]] = {}
        served_by: dict[object, StockDataProvider] = {}
        used: list[str] = []
        asked: list[str] = []
        untraded: set[str] = set()
        answered = False
        for managed in self._managed():
            managed.symbols = 0
            missing = None if wanted is None else wanted.difference(found, untraded)
            if answered and not missing:
                continue
            now, outcome = self._clock(), managed.latest
            if managed.is_due(now):
                asked.append(managed.provider.name)
                outcome = await managed.ask(missing, now, recorded)
            if outcome is None or outcome.quotes is None:
                continue
            answered = True
            # Two quotes of one symbol in one answer are left for validation to judge.
            new = _by_symbol(quote for quote in outcome.quotes if _symbol(quote) not in found)
            managed.symbols = len(new)
            used += [managed.provider.name] if new else []
            found |= new
            served_by |= dict.fromkeys(new, managed.provider)
            # A stock that is listed without a trade is answered for: the next provider need not be asked.
            untraded |= {s for s, why in outcome.quotes.absent.items() if why is StaleReason.NOT_TRADED}
        if not answered:
            raise self._all_refused()
        quotes = [quote for of_symbol in found.values() for quote in of_symbol]
        return Fetched(quotes, served_by, used, asked, self._standing())

    def _standing(self) -> list[StandingAnswer]:
        outcomes = ((managed.provider, managed.latest) for managed in self._managed())
        return [
            StandingAnswer(provider, outcome.quotes, outcome.at)
            for provider, outcome in outcomes
            if outcome and outcome.quotes is not None
        ]

    def rows(self) -> list[ProviderRow]:
        """The scoreboard, in the order of the chain."""
        return [managed.row() for managed in self._managed()]

    def take_over(self, rows: Iterable[ProviderRow]) -> None:
        """Go on from the scoreboard of the node that asked before: what refused that one is not asked by this one."""
        told = {row.name: row for row in rows}
        for managed in self._managed():
            if row := told.get(managed.provider.name):
                managed.take_over(row, self._clock())

    def interval(self, name: str) -> float:
        """Seconds between two requests to the provider of that name; 0: every cycle, or there is none."""
        intervals = (managed.interval for managed in self._managed() if managed.provider.name == name)
        return max(intervals, default=0.0)

    def session_only(self) -> bool:
        """Whether every provider has news around a session only, so that none need be asked outside of one."""
        return bool(self.providers) and all(p.capabilities.session_only for p in self.providers)

    def first_request(self, now: datetime) -> datetime | None:
        """When to ask outside the hours, because not a single quote is known; None: in the session only."""
        if self._has_quotes():
            return None
        # A provider that was not asked so far had another one answer in its place.
        moments = [managed.next_attempt() for managed in self._managed() if managed.asked_at] or [now]
        return min((moment for moment in moments if not self._schedule.awake(moment)), default=None)

    async def close(self) -> None:
        """Close every provider that was connected, each within ``close_timeout``. Safe to call twice."""
        in_use = [managed for managed in self._known.values() if managed.in_use]
        await asyncio.gather(*map(self._close, in_use))
        self._known.clear()

    def _managed(self) -> Iterator[ManagedProvider]:
        for provider in list(self.providers):
            if id(provider) not in self._known:
                self._known[id(provider)] = ManagedProvider(
                    provider,
                    timeout=self._timeout,
                    schedule=self._schedule,
                    bus=self._bus,
                    has_quotes=self._has_quotes,
                    page_check=self._page_check,
                )
            yield self._known[id(provider)]

    def _all_refused(self) -> Refusal:
        if not self.providers:
            detail = "there is no data provider; set providers.order or append one to data_providers"
            return Refusal(RefusalReason.NO_DATA, detail)
        failures = [
            (managed.provider.name, managed.failure) for managed in self._managed() if managed.failure
        ]
        if not failures:
            opens = self._schedule.awake_from(self._clock()).isoformat(timespec="minutes")
            return Refusal(
                RefusalReason.NO_DATA, f"the providers have news around a session only: from {opens}"
            )
        last = failures[-1][1]
        reason = last.reason if isinstance(last, Refusal) else RefusalReason.NO_DATA
        refusal = Refusal(reason, "; ".join(f"{name}: {summary(failure)}" for name, failure in failures))
        refusal.__cause__ = last
        return refusal

    async def _close(self, managed: ManagedProvider) -> None:
        try:
            async with asyncio.timeout(self._close_timeout):
                await managed.provider.close()
        except Exception as error:  # noqa: BLE001  one provider that fails to close must not keep the others open
            name = managed.provider.name
            log.error("Data provider failed to close", mark="❌", provider=name, error=summary(error))
        managed.closed(self._clock())


def _symbol(quote: object) -> object:
    """The symbol; what is not a quote at all stands for itself, so that validation rejects it."""
    return quote.symbol if isinstance(quote, StockUpdate) and isinstance(quote.symbol, str) else id(quote)


def _by_symbol(quotes: Iterable[StockUpdate]) -> dict[object, list[StockUpdate]]:
    grouped: dict[object, list[StockUpdate]] = {}
    for quote in quotes:
        grouped.setdefault(_symbol(quote), []).append(quote)
    return grouped
