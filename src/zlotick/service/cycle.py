"""One cycle: providers -> validation -> change detection -> journal -> events. Cycles never overlap.

:mod:`zlotick.service.ticker` decides when the next one is due, :mod:`zlotick.market.precedence` whose quote is in force
when providers change, and :mod:`zlotick.market.staleness` which quotes are stale.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

import msgspec
import structlog

from zlotick.errors import JournalError, JournalReplaced, Refusal, RoleEnded
from zlotick.events import MARKET_STATUS, STOCK_UPDATE, EventBus
from zlotick.journal import Journal
from zlotick.market.calendar import Calendar
from zlotick.market.precedence import split_by_precedence
from zlotick.market.schedule import Schedule
from zlotick.market.staleness import Observation, StalenessTracker
from zlotick.market.validation import Validator
from zlotick.model import (
    CycleReport,
    Entry,
    MarketStatus,
    RejectedQuote,
    StaleReason,
    Standing,
    StockUpdate,
    UpdateBatch,
    plain,
    utc_now,
    utc_text,
)
from zlotick.providers import StockDataProvider
from zlotick.providers.chain import Fetched, ProviderChain
from zlotick.service.ticker import Ticker

log = structlog.stdlib.get_logger("zlotick.cycle")

Listener = Callable[[CycleReport], None]
"""Gets every report as soon as its batch is durable. Must be quick, and must not raise."""


class Cycle:
    """Runs cycles, and keeps the last value of each symbol. ``interval()`` is in seconds and may change."""

    def __init__(
        self,
        chain: ProviderChain,
        validator: Validator,
        journal: Journal,
        bus: EventBus,
        *,
        calendar: Calendar,
        symbols: set[str],
        interval: Callable[[], float],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.last_values: dict[str, StockUpdate] = {}
        self.last_report: CycleReport | None = None
        # Set when every provider has finished and its last quotes are recorded.
        self.exhausted = asyncio.Event()
        self._chain = chain
        self._validator = validator
        self._journal = journal
        self._bus = bus
        self._calendar = calendar
        self._staleness = StalenessTracker(
            Schedule(calendar), lambda provider: max(interval(), chain.interval(provider))
        )
        self._symbols = symbols  # what the validator accepts; providers that define their own add theirs
        self._listeners: list[Listener] = []
        self._clock = clock
        self._runs: dict[str, int] = {}
        # Symbols whose last value is from a provider's previous run: it began its material again.
        self._of_former_run: set[str] = set()
        self._rejected: set[tuple[str, str]] = set()  # symbols and reasons of the last cycle
        self._market_status: MarketStatus | None = None

    async def restore(self) -> None:
        """Continue where the journal ends: a restart neither repeats nor loses a value."""
        self.last_report = None
        self.last_values = await self._journal.last_values()
        self._validator.restore(self.last_values)
        # A replay's quotes do not age while it runs; once the profile is live, no provider renews them.
        ageless = {provider.name for provider in self._chain.providers if not provider.origin.ages}
        aging = {name: quote for name, quote in self.last_values.items() if quote.data_source not in ageless}
        self._staleness.restore(aging)

    def listen(self, listener: Listener) -> None:
        """Call it with every report from now on."""
        self._listeners.append(listener)

    def market_time(self) -> datetime:
        """The present moment of the market, by the first provider; in a replay the replayed one."""
        providers = self._chain.providers
        return providers[0].market_time() if providers else self._clock()

    def stale(self) -> frozenset[str]:
        """The symbols whose quotes are stale now."""
        return frozenset(symbol for symbol, standing in self.standings().items() if standing.stale)

    def standings(self) -> dict[str, Standing]:
        """The standing now of every symbol that is not simply fresh."""
        return self._staleness.standings(self._clock())

    async def run(self, ticker: Ticker) -> None:
        """Run cycles when the ticker says so, until cancelled."""
        while True:
            await ticker.next_turn(self._log_market_status)
            report = await self.run_once()
            while self._behind() and not report.error:  # until the replay's step is complete
                report = await self.run_once()

    async def run_once(self) -> CycleReport:
        """One cycle. A refusing provider or a full disk does not raise: the report has the error, the next cycle retries.

        Raises JournalReplaced and RoleEnded: retrying cannot help.
        """
        log.info("Starting data update cycle", mark="🔄")
        started = time.perf_counter()
        self._log_market_status()
        fetched: Fetched | None = None
        rejected: list[RejectedQuote] = []
        entry: Entry | None = None
        failed: Refusal | JournalError | None = None
        at_end = self._at_end()
        try:
            fetched = await self._chain.fetch(self._wanted(), self.last_values)
            accepted, rejected = self._validate(fetched)
            await self._keep(rejected)
            entry = await self._record(accepted, rejected, fetched)
        except (JournalReplaced, RoleEnded):
            raise
        except (Refusal, JournalError) as failure:
            failed = failure
        report = self._report(started, len(fetched.quotes) if fetched else 0, rejected, entry, failed)
        self._publish(report)
        # A recording may end with a refusal, and asking again at its end will not change that: it counts as finished.
        if self._at_end() and (not failed or (at_end and isinstance(failed, Refusal))):
            self.exhausted.set()
        return report

    def _behind(self) -> bool:
        return any(provider.behind for provider in self._chain.providers)

    def _at_end(self) -> bool:
        providers = self._chain.providers
        return bool(providers) and all(provider.finished for provider in providers)

    def _validate(self, fetched: Fetched) -> tuple[list[StockUpdate], list[RejectedQuote]]:
        count = len(fetched.quotes)
        log.info("Fetched quotes", mark="📊", count=count, providers=fetched.used, asked=fetched.asked)
        for provider in self._chain.providers:
            self._notice_run(provider)
        served_by = fetched.served_by
        labelled = [self._labelled(quote, served_by) for quote in fetched.quotes]
        return self._validator.check(labelled, self._clock())

    def _labelled(self, quote: StockUpdate, served_by: Mapping[object, StockDataProvider]) -> StockUpdate:
        """The quote with its origin and the time of observation, which only the service can add."""
        provider = served_by.get(quote.symbol) if _is_named(quote) else None
        if provider is None:
            return quote  # not well-formed: validation rejects it
        origin = provider.origin
        if quote.origin is origin and quote.received_at:
            return quote
        # A provider written for the guide's eleven fields does not set this.
        received_at = quote.received_at or self._now_text()
        return msgspec.structs.replace(quote, origin=origin, received_at=received_at)

    def _notice_run(self, provider: StockDataProvider) -> None:
        """Add the provider's own symbols at its first answer; forget its history when its time began again."""
        if provider.name not in self._runs:
            self._symbols.update(provider.symbols() or ())
        if self._runs.get(provider.name, 0) != provider.run:
            self._validator.forget(provider.name)
            # A stock with a single trade in a looped session gets the same quote in each round: record it again.
            own = [quote.symbol for quote in self.last_values.values() if quote.data_source == provider.name]
            self._of_former_run.update(own)
        self._runs[provider.name] = provider.run

    def _wanted(self) -> frozenset[str] | None:
        """The universe; None (everything) if a provider defines its own symbols."""
        own = any(provider.symbols() is not None for provider in self._chain.providers)
        return None if own else frozenset(self._symbols)

    async def _keep(self, rejected: Sequence[RejectedQuote]) -> None:
        self._log_rejected(rejected)
        if not rejected:
            return
        await self._journal.keep_rejected(rejected)

    def _log_rejected(self, rejected: Sequence[RejectedQuote]) -> None:
        """Log only new rejections: a provider may repeat a rejected quote in every cycle."""
        before, self._rejected = self._rejected, {(item.quote.symbol, item.reason) for item in rejected}
        if news := [item for item in rejected if (item.quote.symbol, item.reason) not in before]:
            first = news[0]
            log.warning(
                "Quotes rejected", mark="❌", count=len(rejected), first=first.detail, reason=first.reason
            )

    async def _record(
        self, accepted: Sequence[StockUpdate], rejected: Sequence[RejectedQuote], fetched: Fetched
    ) -> Entry | None:
        """Journal what changed. The last values change only when it is durable, so a failed append is retried."""
        order = [provider.name for provider in self._chain.providers]
        former = self._of_former_run
        in_force = {s: quote for s, quote in self.last_values.items() if s not in former} if former else None
        changed, seen = split_by_precedence(
            accepted, self.last_values if in_force is None else in_force, order
        )
        entry = None
        if changed:
            batch = UpdateBatch(self._now_text(), self._status_now(), changed)
            entry = await self._journal.append(batch)
            self.last_values.update((quote.symbol, quote) for quote in batch.quotes)
            former.difference_update(quote.symbol for quote in batch.quotes)
        self._observe(seen, {item.quote.symbol for item in rejected}, fetched)
        return entry

    def _observe(self, quotes: Sequence[StockUpdate], rejected: AbstractSet[str], fetched: Fetched) -> None:
        """Give each provider's answer to the staleness tracker, with the time at which it was asked."""
        served_by = fetched.served_by
        for answer in fetched.standing:
            provider = answer.provider
            mine = [quote for quote in quotes if served_by.get(quote.symbol) is provider]
            if not provider.origin.ages:
                self._staleness.never_stale(mine)
                continue
            refused = {symbol for symbol in rejected if served_by.get(symbol) is provider}
            absent = answer.quotes.absent | dict.fromkeys(refused, StaleReason.REJECTED)
            delay = timedelta(seconds=provider.delay_seconds or 0)
            newest = answer.quotes.newest_trade
            self._staleness.observe(Observation(provider.name, answer.at, mine, absent, newest, delay))

    def _report(
        self,
        started: float,
        fetched: int,
        rejected: Sequence[RejectedQuote],
        entry: Entry | None,
        failed: Refusal | JournalError | None,
    ) -> CycleReport:
        return CycleReport(
            timestamp=self._now_text(),
            duration_seconds=round(time.perf_counter() - started, 6),
            fetched=fetched,
            rejected=len(rejected),
            rejected_by=Counter(item.reason for item in rejected),
            changed=len(entry.batch.quotes) if entry else 0,
            market_status=self._status_now(),
            market_time=self.market_time(),
            entry=entry,
            position=self._journal.position,
            quotes=dict(self.last_values),
            error=str(failed) if failed else None,
            unrecorded=isinstance(failed, JournalError),
            standings=self.standings(),
        )

    def _publish(self, report: CycleReport) -> None:
        before, self.last_report = self.last_report, report
        for listener in self._listeners:
            listener(report)
        if report.entry and self._bus.has_subscribers(STOCK_UPDATE):
            for quote in report.entry.batch.quotes:
                self._bus.emit(STOCK_UPDATE, plain(quote))
        if report.error:
            # An outage may last for hours: log when it begins and when its reason changes, not in every cycle.
            news = before is None or before.error != report.error
            (log.error if news else log.debug)("Update cycle failed", mark="❌", error=report.error)
        else:
            self._log_completed(report)

    def _log_completed(self, report: CycleReport) -> None:
        log.info(
            "Update cycle completed",
            mark="✅",
            fetched=report.fetched,
            rejected=report.rejected,
            changed=report.changed,
            offset=report.position.offset,
            seconds=round(report.duration_seconds, 3),
        )

    def _status_now(self) -> MarketStatus:
        return self._calendar.market_status(self.market_time())

    def _now_text(self) -> str:
        return utc_text(self._clock())

    def _log_market_status(self) -> None:
        status = self._status_now()
        if status is self._market_status:
            return
        before, self._market_status = self._market_status, status
        log.info("Market status changed", mark="📊", status=status.value, before=before and before.value)
        moment = utc_text(self.market_time())
        self._bus.emit(MARKET_STATUS, {"status": status.value, "timestamp": moment})


def _is_named(quote: object) -> bool:
    """Whether it is a quote with a symbol: a provider may return anything."""
    return isinstance(quote, StockUpdate) and isinstance(quote.symbol, str)
