"""Why there is no newer quote of a stock, and whether the one in force is stale. Pure.

What counts is what the newest answers said of a symbol: its quote, or why there is none (:class:`StaleReason`). A
quote is stale when no answer has shown it for too long while its source should speak. A stock that its source lists
without a trade keeps its last price; a source whose whole page stands still keeps nobody's. A standing is computed
when it is shown and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from zlotick.market.calendar import session_date
from zlotick.market.dating import trading_time
from zlotick.market.schedule import Schedule
from zlotick.model import FRESH, Origin, StaleReason, Standing, StockUpdate, utc_time

MISSED = 3
"""A source may miss two of its turns in a row; the third makes its quotes stale."""

QUIET_FOR = timedelta(days=7)
"""A share without a trade for longer than that is worth a look: it may be suspended, renamed or gone."""

STANDS_STILL = timedelta(minutes=90)
"""So much trading without a single new trade on a whole page is no quiet market (a halt of the whole exchange on
2025-04-07 took 75 minutes)."""


class Observation(NamedTuple):
    """One answer of a source, after validation."""

    source: str
    at: datetime
    quotes: Sequence[StockUpdate]  # what it said that stands
    absent: Mapping[str, StaleReason] = {}
    newest_trade: datetime | None = None  # of its whole page
    delay: timedelta = timedelta()


class _Seen(NamedTuple):
    source: str
    at: datetime
    quote: StockUpdate


class _Word(NamedTuple):
    """Why a source had no quote of a symbol."""

    reason: StaleReason
    source: str
    at: datetime


class StalenessTracker:
    """Remembers what the answers said of each symbol. ``interval(source)``: seconds from one turn of it to the next."""

    def __init__(self, schedule: Schedule, interval: Callable[[str], float]) -> None:
        self._schedule = schedule
        self._interval = interval
        self._seen: dict[str, _Seen] = {}
        self._words: dict[str, _Word] = {}  # what was said of a symbol after it was last seen
        self._shown_by: dict[str, set[str]] = {}  # the sources that ever had the symbol
        self._last: dict[str, Observation] = {}  # the newest answer of each source

    def restore(self, quotes: Mapping[str, StockUpdate]) -> None:
        """Take up from recorded quotes: a source spoke at the latest when its newest quote was observed."""
        observed: dict[str, datetime] = {}
        for quote in quotes.values():
            moment = utc_time(quote.received_at or quote.timestamp)
            observed[quote.data_source] = max(moment, observed.get(quote.data_source, moment))
        for source, at in observed.items():
            own = [quote for quote in quotes.values() if quote.data_source == source]
            self.observe(Observation(source, at, own))

    def observe(self, observation: Observation) -> None:
        """A source answered."""
        self._last[observation.source] = observation._replace(quotes=(), absent={})
        for quote in observation.quotes:
            self._seen[quote.symbol] = _Seen(observation.source, observation.at, quote)
            self._words.pop(quote.symbol, None)
            self._shown_by.setdefault(quote.symbol, set()).add(observation.source)
        for symbol, reason in observation.absent.items():
            seen, word = self._seen.get(symbol), self._words.get(symbol)
            if word is not None and observation.at < word.at:
                continue  # an answer that stands from earlier: a newer one has said more
            if seen is None or seen.at < observation.at or seen.source == observation.source:
                self._words[symbol] = _Word(reason, observation.source, observation.at)

    def never_stale(self, quotes: Iterable[StockUpdate]) -> None:
        """Replayed and simulated quotes do not age."""
        if self._seen:
            for quote in quotes:
                self._seen.pop(quote.symbol, None)
                self._words.pop(quote.symbol, None)

    def standings(self, now: datetime) -> dict[str, Standing]:
        """The standing of every symbol that is not simply fresh."""
        since = {source: self._since(source, now) for source in self._last}
        still = {source for source, observation in self._last.items() if self._stands_still(observation, now)}
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
        if seen.at >= since[seen.source]:
            if seen.source in still:
                return Standing(stale=True, reason=StaleReason.UNCHANGED)
            if seen.quote.origin is Origin.END_OF_DAY and self._is_overdue(seen.quote, now):
                return Standing(stale=True, reason=StaleReason.MISSING)
            return FRESH if word is None else Standing(stale=False, reason=word.reason)
        return self._unseen(symbol, seen, word, since)

    def _unseen(
        self, symbol: str, seen: _Seen, word: _Word | None, since: Mapping[str, datetime]
    ) -> Standing:
        """Of a symbol that no answer has shown for too long."""
        sources = self._shown_by[symbol] | ({word.source} if word else set())
        spoke = max(
            (self._last[name].at for name in sources if self._last[name].at >= since[name]), default=None
        )
        if spoke is None:
            return Standing(stale=True, reason=StaleReason.SILENT)
        if word is None or word.at < seen.at:
            # Another source may answer with an earlier trade: that says nothing of the one in force.
            its_own = self._last[seen.source].at >= since[seen.source]
            return Standing(stale=True, reason=StaleReason.MISSING if its_own else StaleReason.SILENT)
        earlier = session_date(utc_time(seen.quote.timestamp)) < session_date(spoke)
        quiet = word.reason is StaleReason.NOT_TRADED and earlier and spoke - seen.at <= QUIET_FOR
        return Standing(stale=not quiet, reason=word.reason)

    def _since(self, source: str, now: datetime) -> datetime:
        return self._schedule.fresh_since(now, timedelta(seconds=MISSED * self._interval(source)))

    def _stands_still(self, observation: Observation, now: datetime) -> bool:
        """Whether the newest trade of a whole page is too old for a market that trades."""
        if observation.newest_trade is None:
            return False
        calendar = self._schedule.calendar
        return trading_time(observation.newest_trade, now - observation.delay, calendar) > STANDS_STILL

    def _is_overdue(self, quote: StockUpdate, now: datetime) -> bool:
        """Whether the close of a later session should be known by now."""
        return session_date(utc_time(quote.timestamp)) < self._schedule.last_close_due(now)
