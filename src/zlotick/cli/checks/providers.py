"""One polite call to each configured provider: what it answers, and what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from zlotick.cli.checks.machine import Finding, Verdict, clock, skew, well
from zlotick.cli.output.refusal_help import advice
from zlotick.config import Settings, WebProviderConfig
from zlotick.errors import Refusal, RefusalReason, ZlotickError
from zlotick.market.calendar import Calendar, calendar_of
from zlotick.market.quiet import quiet_for
from zlotick.market.universe import Universe
from zlotick.model import MarketStatus, utc_time
from zlotick.providers import StockDataProvider
from zlotick.providers.base import NoAnswer, RawAnswer
from zlotick.providers.registry import build

PROVIDER_DEADLINE = 8.0
_CLOSE_DEADLINE = 1.0
_EXPECTED_WHEN_CLOSED = frozenset({RefusalReason.NO_DATA, RefusalReason.STALE})
_NONE_ENABLED = Finding(
    "providers",
    Verdict.WARNING,
    "no provider is enabled, so no quotes will come",
    'Set providers.order, such as ["gpw", "bankier"].',
)


async def ask_providers(
    settings: Settings,
    universe: Universe,
    *,
    # Timeouts
    deadline: float = PROVIDER_DEADLINE,
) -> list[Finding]:
    """Each provider's answer, in the order of the settings, and our clock compared with theirs. Asked concurrently."""
    if not settings.providers.order:
        return [_NONE_ENABLED]
    calls = [_Call(name, settings, universe, deadline) for name in settings.providers.order]
    findings = await asyncio.gather(*(call.finding() for call in calls))
    on_the_web = [call for call in calls if call.on_the_web]
    return [*findings, _clock(on_the_web)] if on_the_web else findings


class _Call:
    """One request to one provider."""

    def __init__(self, name: str, settings: Settings, universe: Universe, deadline: float) -> None:
        self.name = name
        self.on_the_web = isinstance(settings.providers.by_name()[name], WebProviderConfig)
        self.ahead: float | None = None  # how many seconds our clock is ahead of the provider's
        self._settings = settings
        self._universe = universe
        self._deadline = deadline
        self._asked = datetime.now(UTC)

    async def finding(self) -> Finding:
        """A finding, whatever happens."""
        try:
            async with asyncio.timeout(self._deadline):
                return await self._answered()
        except TimeoutError:
            return self._refused(Refusal(RefusalReason.TIMEOUT, f"no answer within {self._deadline:g} s"))
        except Refusal as refusal:
            return self._refused(refusal)
        except ZlotickError as error:
            return Finding(self.name, Verdict.WRONG, str(error))
        except Exception as error:  # noqa: BLE001  a provider's bug must not hide the other findings
            return Finding(self.name, Verdict.WRONG, f"has a bug: {type(error).__name__}: {error}")

    async def _answered(self) -> Finding:
        [provider, *_] = await asyncio.to_thread(  # it reads files
            build, self.name, self._settings, self._universe, observer=self._note
        )
        wanted = self._wanted(provider)
        try:
            await provider.connect()
            self._asked = datetime.now(UTC)
            quotes = await provider.fetch_symbols(wanted)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_DEADLINE):
                    await provider.close()
        if not quotes:
            raise Refusal(RefusalReason.NO_DATA, "it returned no quotes")
        text = f"{len(quotes)} of {len(wanted)} quotes, {provider.kind}"
        newest = utc_time(max(quote.timestamp for quote in quotes))
        hours = calendar_of(self._settings.market)
        return age_judged(self.name, text, newest, datetime.now(UTC), hours, provider.delay_seconds)

    def _wanted(self, provider: StockDataProvider) -> frozenset[str]:
        """As many symbols as one request takes, so that one call is one request."""
        known = provider.askable(provider.symbols() or self._universe.symbols)
        return frozenset(sorted(known)[: provider.capabilities.batch_size])

    def _note(self, answer: RawAnswer | NoAnswer) -> None:
        """Compare the clocks by the first answer."""
        if self.ahead is None and isinstance(answer, RawAnswer):
            self.ahead = skew(answer.headers, self._asked, utc_time(answer.received_at))

    def _refused(self, refusal: Refusal) -> Finding:
        help_ = advice(refusal.reason)
        status = calendar_of(self._settings.market).market_status(datetime.now(UTC))
        quiet = refusal.reason in _EXPECTED_WHEN_CLOSED and status is not MarketStatus.OPEN
        verdict = Verdict.WARNING if quiet else Verdict.WRONG
        return Finding(self.name, verdict, str(refusal), f"{help_.meaning} {help_.remedy}")


def age_judged(
    name: str, text: str, newest: datetime, now: datetime, hours: Calendar, delay: int | None
) -> Finding:
    """A provider that answered, by the age of its newest quote: during a session some stock trades every few minutes."""
    told = f"{text}; the newest is {_words((now - newest).total_seconds())} old"
    if delay is None or not quiet_for(newest, timedelta(seconds=delay), now, hours):
        return well(name, told)
    stale = advice(RefusalReason.STALE)
    return Finding(
        name, Verdict.WARNING, f"{told}, while the market trades", f"{stale.meaning} {stale.remedy}"
    )


def _words(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _clock(calls: Sequence[_Call]) -> Finding:
    for call in calls:
        if call.ahead is not None:
            return clock(call.ahead, call.name)
    return clock(None, "")
