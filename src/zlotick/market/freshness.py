"""Which quotes are stale: those that no source has shown for too long while it should speak. Pure.

What counts is when a symbol was last *seen* in an answer, not when it last traded: a market that is suspended is
not a dead feed. A share that did not trade yet today is in no answer at all; as long as its source speaks, the
quote of an earlier session is up to date. Staleness is computed when it is shown and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from zlotick.market.cadence import Cadence
from zlotick.market.sessions import session_date
from zlotick.model import StockUpdate, utc_time

MISSED = 3
"""A source may miss two of its turns in a row; the third makes its quotes stale."""


QUIET_FOR = timedelta(days=7)
"""A share without a trade for longer than that is worth a look: it may be suspended, renamed or gone."""


class _Seen(NamedTuple):
    source: str
    at: datetime
    timestamp: str  # of the quote: its event time


class Freshness:
    """Remembers when each symbol was last seen. ``interval(source)``: seconds from one turn of it to the next."""

    def __init__(self, cadence: Cadence, interval: Callable[[str], float]) -> None:
        self._cadence = cadence
        self._interval = interval
        self._seen: dict[str, _Seen] = {}
        self._shown_by: dict[str, set[str]] = {}  # the sources that ever had the symbol
        self._spoke: dict[str, datetime] = {}  # when each source last gave a good answer

    def restore(self, quotes: Mapping[str, StockUpdate]) -> None:
        """Take up from recorded quotes: a source spoke at the latest when its newest quote was observed."""
        observed: dict[str, datetime] = {}
        for quote in quotes.values():
            moment = utc_time(quote.received_at or quote.timestamp)
            observed[quote.data_source] = max(moment, observed.get(quote.data_source, moment))
        for quote in quotes.values():
            self.saw([quote], quote.data_source, observed[quote.data_source])

    def saw(self, quotes: Iterable[StockUpdate], source: str, at: datetime) -> None:
        """The source's answer of that moment had these."""
        self._spoke[source] = at
        for quote in quotes:
            self._seen[quote.symbol] = _Seen(source, at, quote.timestamp)
            self._shown_by.setdefault(quote.symbol, set()).add(source)

    def never_stale(self, quotes: Iterable[StockUpdate]) -> None:
        """Replayed and simulated quotes do not age."""
        if self._seen:
            for quote in quotes:
                self._seen.pop(quote.symbol, None)

    def stale(self, now: datetime) -> frozenset[str]:
        """The symbols whose quotes are stale at that moment."""
        since = {source: self._since(source, now) for source in self._spoke}
        return frozenset(
            symbol
            for symbol, seen in self._seen.items()
            if seen.at < since[seen.source] and not self._is_quiet(symbol, seen, since)
        )

    def _since(self, source: str, now: datetime) -> datetime:
        return self._cadence.fresh_since(now, timedelta(seconds=MISSED * self._interval(source)))

    def _is_quiet(self, symbol: str, seen: _Seen, since: Mapping[str, datetime]) -> bool:
        """Whether the share merely did not trade yet: its quote is of an earlier day, and a source of it speaks."""
        spoke = max(
            (self._spoke[name] for name in self._shown_by[symbol] if self._spoke[name] >= since[name]),
            default=None,
        )
        if spoke is None or spoke - seen.at > QUIET_FOR:
            return False
        return session_date(utc_time(seen.timestamp)) < session_date(spoke)
