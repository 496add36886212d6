"""Why there is no newer quote of a stock, and whether the one in force is stale. Pure.

The newest answers decide: each has a symbol's quote, or a reason why not (:class:`StaleReason`). A quote is stale when
no answer has shown it for too long while its provider should answer. A stock that its provider lists without a trade
keeps its last price; if a provider's whole page stands still, all its quotes are stale. A standing is computed when it
is shown and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from zlotick.market.calendar import session_date
from zlotick.market.schedule import Schedule
from zlotick.market.trading_hours import trading_time
from zlotick.model import FRESH, Origin, StaleReason, Standing, StockUpdate, utc_time

MISSED = 3
"""A provider may miss two turns in a row; the third makes its quotes stale."""

QUIET_FOR = timedelta(days=7)
"""A stock without a trade for longer may be suspended, renamed or delisted: its quote is stale."""

STANDS_STILL = timedelta(minutes=90)
"""After this much trading time without a new trade on a whole page, the provider stands still (the halt of the whole
exchange on 2025-04-07 took 75 minutes)."""


class Observation(NamedTuple):
    """One answer of a provider, after validation."""

    provider: str
    at: datetime
    quotes: Sequence[StockUpdate]  # those that passed validation
    absent: Mapping[str, StaleReason] = {}
    newest_trade: datetime | None = None  # of its whole page
    delay: timedelta = timedelta()


class _Seen(NamedTuple):
    provider: str
    at: datetime
    quote: StockUpdate


class _Word(NamedTuple):
    """Why a provider had no quote of a symbol."""

    reason: StaleReason
    provider: str
    at: datetime


class StalenessTracker:
    """Remembers the newest answer for each symbol. ``interval(provider)``: seconds between two of its turns."""

    def __init__(self, schedule: Schedule, interval: Callable[[str], float]) -> None:
        self._schedule = schedule
        self._interval = interval
        self._seen: dict[str, _Seen] = {}
        self._words: dict[str, _Word] = {}  # reasons given for a symbol after it was last seen
        self._shown_by: dict[str, set[str]] = {}  # the providers that ever had the symbol
        self._last: dict[str, Observation] = {}  # the newest answer of each provider

    def restore(self, quotes: Mapping[str, StockUpdate]) -> None:
        """Continue from recorded quotes: a provider last answered when its newest quote was observed, or later."""
        observed: dict[str, datetime] = {}
        for quote in quotes.values():
            moment = utc_time(quote.received_at or quote.timestamp)
            observed[quote.data_source] = max(moment, observed.get(quote.data_source, moment))
        for provider, at in observed.items():
            own = [quote for quote in quotes.values() if quote.data_source == provider]
            self.observe(Observation(provider, at, own))

    def observe(self, observation: Observation) -> None:
        """Take in one answer of a provider."""
        self._last[observation.provider] = observation._replace(quotes=(), absent={})
        for quote in observation.quotes:
            self._seen[quote.symbol] = _Seen(observation.provider, observation.at, quote)
            self._words.pop(quote.symbol, None)
            self._shown_by.setdefault(quote.symbol, set()).add(observation.provider)
        for symbol, reason in observation.absent.items():
            seen, word = self._seen.get(symbol), self._words.get(symbol)
            if word is not None and observation.at < word.at:
                continue  # a reused older answer: a newer one is already known
            if seen is None or seen.at < observation.at or seen.provider == observation.provider:
                self._words[symbol] = _Word(reason, observation.provider, observation.at)

    def never_stale(self, quotes: Iterable[StockUpdate]) -> None:
        """Replayed and simulated quotes do not age."""
        if self._seen:
            for quote in quotes:
                self._seen.pop(quote.symbol, None)
                self._words.pop(quote.symbol, None)

    def standings(self, now: datetime) -> dict[str, Standing]:
        """The standing of every symbol that is not fresh."""
        since = {provider: self._since(provider, now) for provider in self._last}
        still = {
            provider for provider, observation in self._last.items() if self._stands_still(observation, now)
        }
        found = {}
        for symbol, seen in self._seen.items():
            standing = self._standing(symbol, seen, since, still, now)
            if standing is not FRESH:
                found[symbol] = standing
        return found

    def _standing(
        self,
        symbol: str,
        seen: _Seen,
        since: Mapping[str, datetime],
        still: set[str],
        now: datetime,
    ) -> Standing:
        word = self._words.get(symbol)
        if word is not None and word.reason is StaleReason.RENAMED:
            return Standing(stale=True, reason=word.reason)
        if seen.at >= since[seen.provider]:
            if seen.provider in still:
                return Standing(stale=True, reason=StaleReason.UNCHANGED)
            if seen.quote.origin is Origin.END_OF_DAY and self._is_overdue(seen.quote, now):
                return Standing(stale=True, reason=StaleReason.MISSING)
            return FRESH if word is None else Standing(stale=False, reason=word.reason)
        return self._unseen(symbol, seen, word, since)

    def _unseen(
        self, symbol: str, seen: _Seen, word: _Word | None, since: Mapping[str, datetime]
    ) -> Standing:
        """The standing of a symbol that no answer has shown for too long."""
        providers = self._shown_by[symbol] | ({word.provider} if word else set())
        spoke = max(
            (self._last[name].at for name in providers if self._last[name].at >= since[name]), default=None
        )
        if spoke is None:
            return Standing(stale=True, reason=StaleReason.SILENT)
        if word is None or word.at < seen.at:
            # Another provider may answer with an earlier trade: no evidence about the one in force.
            its_own = self._last[seen.provider].at >= since[seen.provider]
            return Standing(stale=True, reason=StaleReason.MISSING if its_own else StaleReason.SILENT)
        earlier = session_date(utc_time(seen.quote.timestamp)) < session_date(spoke)
        quiet = word.reason is StaleReason.NOT_TRADED and earlier and spoke - seen.at <= QUIET_FOR
        return Standing(stale=not quiet, reason=word.reason)

    def _since(self, provider: str, now: datetime) -> datetime:
        return self._schedule.fresh_since(now, timedelta(seconds=MISSED * self._interval(provider)))

    def _stands_still(self, observation: Observation, now: datetime) -> bool:
        """Whether the newest trade of a whole page is too old while the market trades."""
        if observation.newest_trade is None:
            return False
        calendar = self._schedule.calendar
        return trading_time(observation.newest_trade, now - observation.delay, calendar) > STANDS_STILL

    def _is_overdue(self, quote: StockUpdate, now: datetime) -> bool:
        """Whether the close of a later session should be known by now."""
        return session_date(utc_time(quote.timestamp)) < self._schedule.last_close_due(now)
