"""One provider in the chain: when it may be asked, what it last gave, and its row of the scoreboard."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from zlotick.connections.monitor import ConnectionMonitor
from zlotick.errors import Refusal, RefusalReason, ZlotickError
from zlotick.events import DATA_PROVIDER_STATUS, EventBus
from zlotick.market.page_check import PageCheck
from zlotick.market.schedule import Schedule
from zlotick.model import ConnectionStatus, ProviderRow, StockUpdate, plain, utc_text, utc_time
from zlotick.providers.base import Quotes, StockDataProvider
from zlotick.providers.circuit import Circuit

log = structlog.stdlib.get_logger("zlotick.providers")

_DUE_FROM = 0.98
"""A request is due this share of the interval after the last: cycles never start to the very millisecond."""

MAX_OFF_HOURS = 3
"""How often a provider is asked outside its hours while no quote is known. Then it waits for the session."""

_LASTING = frozenset(
    {
        RefusalReason.CHALLENGE,
        RefusalReason.API_KEY,
        RefusalReason.NOT_FOUND,
        RefusalReason.FORMAT_CHANGED,
    }
)
"""Will not pass by themselves: shown as an error, not as a reconnect."""


_TAKEN_OVER = frozenset(reason.value for reason in RefusalReason if reason is not RefusalReason.API_KEY)
"""Refusals that hold for every node."""


class Outcome(NamedTuple):
    """What a request gave: quotes, or why there are none."""

    at: datetime
    quotes: Quotes | None = None
    failure: Exception | None = None


class ManagedProvider:
    """A provider with its circuit, its schedule and its latest outcome, which stands until the next request."""

    def __init__(
        self,
        provider: StockDataProvider,
        *,
        timeout: float,
        schedule: Schedule,
        bus: EventBus | None,
        has_quotes: Callable[[], bool],
        page_check: PageCheck | None = None,
    ) -> None:
        self.provider = provider
        self.latest: Outcome | None = None
        self.asked_at: datetime | None = None
        self.symbols = 0  # how many the last cycle took from it
        self._timeout = timeout
        self._schedule = schedule
        self._bus = bus
        self._has_quotes = has_quotes  # whether any quote is known, of whichever provider
        self._page_check = page_check
        self._skew: timedelta | None = None  # our clock minus the provider's, as last reported
        self._off_hours = 0  # requests outside its hours since they last ended
        self._circuit = Circuit(web=provider.capabilities.floor_seconds > 0)
        self._monitor = ConnectionMonitor(provider.name)
        self._since: datetime | None = None  # when its status or reason last changed
        self._answered_at: datetime | None = None
        self._refused_at: datetime | None = None
        self._refusals: Counter[str] = Counter()
        self._connected = False

    @property
    def failure(self) -> Exception | None:
        """Why the latest request failed."""
        return self.latest.failure if self.latest else None

    @property
    def in_use(self) -> bool:
        """Whether it was ever asked, and so may hold a connection."""
        return self._monitor.status is not ConnectionStatus.DISCONNECTED

    @property
    def interval(self) -> float:
        """Seconds between two requests: never less than the provider's floor."""
        return max(self.provider.interval_seconds, self.provider.capabilities.floor_seconds)

    def is_due(self, now: datetime) -> bool:
        """Whether it may be asked now: within its hours, its interval over, its circuit closed.

        A replay is always asked: its refusals are recorded ones, which end by the replay's clock.
        """
        if self.provider.kind == "replayed":
            return True
        if self._circuit.is_open(now) or not self._in_hours(now):
            return False
        if self.asked_at is None or now < self.asked_at:  # the clock was set back: ask
            return True
        return now - self.asked_at >= timedelta(seconds=self.interval * _DUE_FROM)

    def _in_hours(self, moment: datetime) -> bool:
        """Whether it may be asked at that hour. Until a quote is known, a few times at any hour."""
        awake = not self.provider.capabilities.session_only or self._schedule.awake(moment)
        return awake or (not self._has_quotes() and self._off_hours < MAX_OFF_HOURS)

    async def ask(
        self, wanted: frozenset[str] | None, now: datetime, recorded: Mapping[str, StockUpdate]
    ) -> Outcome:
        """Ask it. Raises nothing but cancellation: a provider's bug must not end the cycle."""
        self.asked_at = now
        self.provider.recorded = recorded
        self._off_hours = 0 if self._schedule.awake(now) else self._off_hours + 1
        try:
            async with asyncio.timeout(self._timeout):
                outcome = Outcome(now, await self._fetch(wanted))
        except TimeoutError:
            detail = f"no answer within {self._timeout:g} s (providers.timeout)"
            outcome = Outcome(now, failure=Refusal(RefusalReason.TIMEOUT, detail))
        except Exception as error:  # noqa: BLE001  a provider's bug must not end the cycle; it is logged as such
            outcome = Outcome(now, failure=error)
        before, self.latest = self.failure, outcome
        if outcome.quotes is not None:
            self._note_answer(outcome.quotes, now)
        elif outcome.failure:
            self._note_failure(outcome.failure, before, now)
        return outcome

    def take_over(self, row: ProviderRow, now: datetime) -> None:
        """Go on from another node's row of the scoreboard: a refusal holds for all nodes, until it is asked again.

        A refused key does not: this node may have another one.
        """
        if row.refusal_reason not in _TAKEN_OVER or row.next_attempt is None or row.last_refusal is None:
            return
        refused_at, until = min(utc_time(row.last_refusal), now), utc_time(row.next_attempt)
        if until <= now or (self.asked_at is not None and self.asked_at >= refused_at):
            return
        refusal = Refusal(RefusalReason(row.refusal_reason), row.refusal_detail or "")
        self.latest = Outcome(refused_at, failure=refusal)
        self.asked_at = self._refused_at = refused_at
        self._refusals.update({refusal.reason.value: 1})
        self._circuit.take_over(refusal.reason, until, now)
        self._monitor.begin()
        passes = refusal.reason not in _LASTING
        status = ConnectionStatus.RECONNECTING if passes else ConnectionStatus.ERROR
        self._move(status, summary(refusal), now)

    async def _fetch(self, wanted: frozenset[str] | None) -> Quotes:
        """Connect at the first use, then fetch. Raises whatever the provider raises."""
        if not self._connected:
            if not self.in_use:
                self._move(ConnectionStatus.CONNECTING, "", self.asked_at)
            await self.provider.connect()
            self._connected = True
        quotes = await (self.provider.fetch_data() if wanted is None else self.provider.fetch_symbols(wanted))
        if not isinstance(quotes, list):
            # A forgotten ``return`` is the commonest mistake in a custom provider.
            raise TypeError(
                f"{type(self.provider).__qualname__}.fetch_data must return a list of StockUpdate, "
                f"returned {type(quotes).__name__}"
            )
        answer = quotes if isinstance(quotes, Quotes) else Quotes(quotes)
        if not answer and not answer.absent:
            raise Refusal(RefusalReason.NO_DATA, "it returned no quotes")
        self._check_page(answer)
        return answer

    def _check_page(self, answer: Quotes) -> None:
        """Raises Refusal for an answer that is not believable as a whole."""
        if self._page_check is None or not self.provider.origin.ages:
            return
        web = self.provider.capabilities.floor_seconds > 0
        why = self._page_check.why_broken(answer, self.provider.recorded, web=web)
        if why is not None:
            raise Refusal(RefusalReason.FORMAT_CHANGED, f"its answer contradicts what is known: {why}")

    def _note_answer(self, quotes: Quotes, now: datetime) -> None:
        self._answered_at = now
        if quotes.clock_skew is not None:
            self._skew = quotes.clock_skew
        self._circuit.succeeded(now)
        self._move(ConnectionStatus.CONNECTED, "", now)

    def _note_failure(self, failure: Exception, before: Exception | None, now: datetime) -> None:
        news = before is None or reason_of(before) != reason_of(failure)
        self._refused_at = now
        self._refusals[reason_of(failure)] += 1
        refusal = failure if isinstance(failure, Refusal) else None
        if refusal:
            self._skew = refusal.clock_skew or self._skew
        self._circuit.refused(
            refusal.reason if refusal else None, now, refusal.retry_after if refusal else None
        )
        if news:
            self._log_failure(failure)
        passes = refusal is not None and refusal.reason not in _LASTING
        status = ConnectionStatus.RECONNECTING if passes else ConnectionStatus.ERROR
        self._move(status, summary(failure), now, news)

    def _log_failure(self, failure: Exception) -> None:
        log.warning(
            "Data provider refused",
            mark="❌",
            provider=self.provider.name,
            reason=summary(failure),
            next_attempt=utc_text(self.next_attempt()),
        )
        if not isinstance(failure, ZlotickError):
            log.error(
                "Data provider has a bug",
                mark="❌",
                provider=self.provider.name,
                error=summary(failure),
                at=_where(failure, self.provider),
            )

    def closed(self, now: datetime) -> None:
        """Note that it was closed; the next use connects it again."""
        self._connected = False
        self._move(ConnectionStatus.DISCONNECTED, "", now)

    def row(self) -> ProviderRow:
        """Its row of the scoreboard."""
        failure, quotes = self.failure, self.latest.quotes if self.latest else None
        return ProviderRow(
            name=self.provider.name,
            status=self._monitor.status,
            kind=self.provider.origin,
            delay_seconds=self.provider.delay_seconds,
            interval_seconds=self.interval,
            symbols=self.symbols,
            since=_text(self._since),
            last_success=_text(self._answered_at),
            last_refusal=_text(self._refused_at),
            refusal_reason=reason_of(failure) if failure else None,
            refusal_detail=detail_of(failure) if failure else None,
            next_attempt=utc_text(self.next_attempt()) if failure else None,
            budget_left=self.provider.budget_left(),
            refusals=dict(self._refusals),
            clock_skew_seconds=self._skew.total_seconds() if self._skew is not None else None,
            newest_trade=_text(quotes.newest_trade) if quotes else None,
        )

    def next_attempt(self) -> datetime:
        """The earliest moment at which it is asked again, by the next cycle. Only after the first request."""
        assert self.asked_at
        moment = self.asked_at + timedelta(seconds=self.interval)
        if self._circuit.next_attempt:
            moment = max(moment, self._circuit.next_attempt)
        return moment if self._in_hours(moment) else self._schedule.awake_from(moment)

    def _move(self, status: ConnectionStatus, reason: str, now: datetime | None, news: bool = False) -> None:
        """Publish a change of the status, or of the reason of a refusal (``news``)."""
        if not (self._monitor.move(status, reason) or news):
            return
        self._since = now
        if self._bus:
            row = plain(self.row())
            data = {"provider": row.pop("name"), "status": row.pop("status"), "timestamp": row["since"]}
            self._bus.emit(DATA_PROVIDER_STATUS, data | ({"reason": reason} if reason else {}) | row)


def summary(failure: Exception) -> str:
    """A failure in one line: our own errors are clear as they are, others need their type."""
    text = str(failure) if isinstance(failure, ZlotickError) else f"{type(failure).__name__}: {failure}"
    return text[:300]


def reason_of(failure: Exception) -> str:
    """The refusal's reason, or the type of a bug."""
    return failure.reason.value if isinstance(failure, Refusal) else type(failure).__name__


def detail_of(failure: Exception) -> str:
    """The failure without its reason, in plain text."""
    return (failure.detail if isinstance(failure, Refusal) else str(failure))[:300]


def _text(moment: datetime | None) -> str | None:
    return utc_text(moment) if moment else None


def _where(failure: Exception, provider: StockDataProvider) -> str:
    """File and line that raised it: a whole traceback would read source files, which blocks the loop.

    An error raised in this file is about what the provider returned: then its class is named.
    """
    trace = failure.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename == __file__:
        return f"{type(provider).__module__}.{type(provider).__qualname__}"
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
