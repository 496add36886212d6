"""One provider in the chain: its circuit, its last answer, its record, and what is told of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from zlotick.connections.monitor import ConnectionMonitor
from zlotick.errors import Refusal, RefusalReason, ZlotickError
from zlotick.events import DATA_PROVIDER_STATUS, EventBus
from zlotick.market.page_check import PageCheck
from zlotick.market.schedule import Schedule
from zlotick.model import ConnectionStatus, ProviderRow, StockUpdate, plain, utc_text
from zlotick.providers.base import Quotes, StockDataProvider
from zlotick.providers.circuit import Circuit

log = structlog.stdlib.get_logger("zlotick.providers")

_HAIR = 0.98
"""A turn counts as due this share of the interval after the last: cycles never come to the very millisecond."""

FIRST_QUESTIONS = 3
"""So often is a provider asked outside of its hours while not a single quote is known. Then it waits for the session."""

_NEEDS_SOMEBODY = frozenset(
    {
        RefusalReason.CHALLENGE,
        RefusalReason.API_KEY,
        RefusalReason.NOT_FOUND,
        RefusalReason.FORMAT_CHANGED,
    }
)
"""Will not pass by itself: shown as an error, not as a reconnect."""


class Link:
    """What the chain knows of one provider."""

    def __init__(
        self,
        provider: StockDataProvider,
        *,
        timeout: float,
        schedule: Schedule,
        bus: EventBus | None,
        knows: Callable[[], bool],
        page_check: PageCheck | None = None,
    ) -> None:
        self.provider = provider
        self.failure: Exception | None = None  # why the last attempt failed, None when it did not
        self.answer: Quotes | None = None  # stands until its next turn
        self.asked_at: datetime | None = None
        self.answered_at: datetime | None = None
        self.symbols = 0  # how many the last cycle took from it
        self._timeout = timeout
        self._schedule = schedule
        self._bus = bus
        self._knows = knows  # whether any quote is known, of whatever provider
        self._page_check = page_check
        self._skew: timedelta | None = None  # our clock minus the provider's, when it last told it
        self._off_hours = 0  # how often it was asked outside of its hours since they last ended
        self._circuit = Circuit(web=provider.capabilities.floor_seconds > 0)
        self._monitor = ConnectionMonitor(provider.name)
        self._since: datetime | None = None  # when its status or reason last changed
        self._refused_at: datetime | None = None
        self._refusals: Counter[str] = Counter()
        self._connected = False

    @property
    def touched(self) -> bool:
        """Whether it was ever asked, and so may hold something."""
        return self._monitor.status is not ConnectionStatus.DISCONNECTED

    @property
    def interval(self) -> float:
        """Seconds between two questions: never less than the source's floor."""
        return max(self.provider.interval_seconds, self.provider.capabilities.floor_seconds)

    def is_due(self, now: datetime) -> bool:
        """Whether it may be asked now: it speaks at this hour, its turn has come, and it did not say no.

        A replay is asked each time: its "no" is a recorded one, which ends by the replay's clock, and spares nobody.
        """
        if self.provider.kind == "replayed":
            return True
        if self._circuit.is_open(now) or not self._speaks(now):
            return False
        if self.asked_at is None or now < self.asked_at:  # the clock was set back: ask
            return True
        return now - self.asked_at >= timedelta(seconds=self.interval * _HAIR)

    def _speaks(self, moment: datetime) -> bool:
        """Whether it may be asked at that hour. Until something is known, a few times at any hour."""
        awake = not self.provider.capabilities.session_only or self._schedule.awake(moment)
        return awake or (not self._knows() and self._off_hours < FIRST_QUESTIONS)

    async def ask(
        self, wanted: frozenset[str] | None, now: datetime, recorded: Mapping[str, StockUpdate]
    ) -> None:
        """Ask it; ``answer`` or ``failure`` tell the result. Only cancellation is raised."""
        self.asked_at, self.answer = now, None
        self.provider.recorded = recorded
        self._off_hours = 0 if self._schedule.awake(now) else self._off_hours + 1
        try:
            async with asyncio.timeout(self._timeout):
                self.answer = await self._fetch(wanted)
        except TimeoutError:
            detail = f"no answer within {self._timeout:g} s (providers.timeout)"
            self._refused(Refusal(RefusalReason.TIMEOUT, detail), now)
        except Exception as error:  # noqa: BLE001  a provider's bug must not end the cycle; it is logged as such
            self._refused(error, now)
        else:
            self._answered(now)

    async def _fetch(self, wanted: frozenset[str] | None) -> Quotes:
        """Connect at the first use, then fetch. Raises whatever the provider raises."""
        if not self._connected:
            if not self.touched:
                self._move(ConnectionStatus.CONNECTING, "", self.asked_at)
            await self.provider.connect()
            self._connected = True
        quotes = await (self.provider.fetch_data() if wanted is None else self.provider.fetch_symbols(wanted))
        if not isinstance(quotes, list):
            # A forgotten ``return`` is the commonest mistake in a provider of one's own.
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

    def _answered(self, now: datetime) -> None:
        self.failure, self.answered_at = None, now
        if self.answer is not None and self.answer.clock_skew is not None:
            self._skew = self.answer.clock_skew
        self._circuit.succeeded(now)
        self._move(ConnectionStatus.CONNECTED, "", now)

    def _refused(self, failure: Exception, now: datetime) -> None:
        news = self.failure is None or reason_of(self.failure) != reason_of(failure)
        self.failure, self._refused_at = failure, now
        self._refusals[reason_of(failure)] += 1
        if isinstance(failure, Refusal):
            self._circuit.refused(failure.reason, now, failure.retry_after)
            self._skew = failure.clock_skew or self._skew
        else:
            self._circuit.refused(None, now)
        if news:
            log.warning("Data provider refused", mark="❌", provider=self.provider.name, **self._told())
            if not isinstance(failure, ZlotickError):
                self._tell_bug(failure)
        passes = isinstance(failure, Refusal) and failure.reason not in _NEEDS_SOMEBODY
        self._move(
            ConnectionStatus.RECONNECTING if passes else ConnectionStatus.ERROR, told(failure), now, news
        )

    def _told(self) -> dict[str, str | None]:
        assert self.failure
        return {"reason": told(self.failure), "next_attempt": utc_text(self.next_question())}

    def _tell_bug(self, failure: Exception) -> None:
        log.error(
            "Data provider has a bug",
            mark="❌",
            provider=self.provider.name,
            error=told(failure),
            at=_where(failure, self.provider),
        )

    def closed(self, now: datetime) -> None:
        """It was closed; the next use connects it again."""
        self._connected = False
        self._move(ConnectionStatus.DISCONNECTED, "", now)

    def row(self) -> ProviderRow:
        """Its line of the scoreboard."""
        return ProviderRow(
            name=self.provider.name,
            status=self._monitor.status,
            kind=self.provider.kind,
            delay_seconds=self.provider.delay_seconds,
            interval_seconds=self.interval,
            symbols=self.symbols,
            since=_text(self._since),
            last_success=_text(self.answered_at),
            last_refusal=_text(self._refused_at),
            refusal_reason=reason_of(self.failure) if self.failure else None,
            refusal_detail=detail_of(self.failure) if self.failure else None,
            next_attempt=utc_text(self.next_question()) if self.failure else None,
            budget_left=self.provider.budget_left(),
            refusals=dict(self._refusals),
            clock_skew_seconds=self._skew.total_seconds() if self._skew is not None else None,
            newest_trade=_text(self.answer.newest_trade) if self.answer else None,
        )

    def next_question(self) -> datetime:
        """The earliest moment at which it, once asked, is asked again; the next cycle then asks."""
        assert self.asked_at
        moment = self.asked_at + timedelta(seconds=self.interval)
        if self._circuit.next_attempt:
            moment = max(moment, self._circuit.next_attempt)
        return moment if self._speaks(moment) else self._schedule.awake_from(moment)

    def _move(self, status: ConnectionStatus, reason: str, now: datetime | None, news: bool = False) -> None:
        """Log and tell the bus when the status, or the reason of a refusal, is another than before."""
        if not (self._monitor.move(status, reason) or news):
            return
        self._since = now
        if self._bus:
            row = plain(self.row())
            data = {"provider": row.pop("name"), "status": row.pop("status"), "timestamp": row["since"]}
            self._bus.emit(DATA_PROVIDER_STATUS, data | ({"reason": reason} if reason else {}) | row)


def told(failure: Exception) -> str:
    """A failure in one line: our own errors speak for themselves, a foreign one needs its type."""
    text = str(failure) if isinstance(failure, ZlotickError) else f"{type(failure).__name__}: {failure}"
    return text[:300]


def reason_of(failure: Exception) -> str:
    """The refusal's reason, or the type of a bug."""
    return failure.reason.value if isinstance(failure, Refusal) else type(failure).__name__


def detail_of(failure: Exception) -> str:
    """The rest of it in plain text."""
    return (failure.detail if isinstance(failure, Refusal) else str(failure))[:300]


def _text(moment: datetime | None) -> str | None:
    return utc_text(moment) if moment else None


def _where(failure: Exception, provider: StockDataProvider) -> str:
    """File and line that raised it: a whole traceback would read source files, which blocks the loop.

    What was raised here is about what the provider returned: its class is named instead.
    """
    trace = failure.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename == __file__:
        return f"{type(provider).__module__}.{type(provider).__qualname__}"
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
