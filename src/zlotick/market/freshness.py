"""Which quotes are stale: those that no source has shown for too long while it should speak. Pure.

What counts is when a symbol was last *seen* in an answer, not when it last traded: an illiquid share, or a market
that is suspended, is not a dead feed. Staleness is computed when it is shown and never stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from zlotick.market.cadence import Cadence
from zlotick.model import StockUpdate, utc_time

MISSED = 3
"""A source may miss two of its turns in a row; the third makes its quotes stale."""


class _Seen(NamedTuple):
    source: str
    at: datetime


class Freshness:
    """Remembers when each symbol was last seen. ``interval(source)``: seconds from one turn of it to the next."""

    def __init__(self, cadence: Cadence, interval: Callable[[str], float]) -> None:
        self._cadence = cadence
        self._interval = interval
        self._seen: dict[str, _Seen] = {}

    def restore(self, quotes: Mapping[str, StockUpdate]) -> None:
        """Take up from recorded quotes: a source spoke at the latest when its newest quote was observed."""
        spoke: dict[str, datetime] = {}
        for quote in quotes.values():
            observed = utc_time(quote.received_at or quote.timestamp)
            spoke[quote.data_source] = max(observed, spoke.get(quote.data_source, observed))
        for symbol, quote in quotes.items():
            self._seen[symbol] = _Seen(quote.data_source, spoke[quote.data_source])

    def saw(self, symbols: Iterable[str], source: str, at: datetime) -> None:
        """The source's answer of that moment had these symbols."""
        seen = _Seen(source, at)
        self._seen.update(dict.fromkeys(symbols, seen))

    def never_stale(self, symbols: Iterable[str]) -> None:
        """Replayed and simulated quotes do not age."""
        for symbol in symbols:
            self._seen.pop(symbol, None)

    def last_seen(self) -> datetime | None:
        """When any source last spoke; None when none that can go stale did."""
        return max((seen.at for seen in self._seen.values()), default=None)

    def stale(self, now: datetime) -> frozenset[str]:
        """The symbols whose quotes are stale at that moment."""
        since: dict[str, datetime] = {}
        for seen in self._seen.values():
            if seen.source not in since:
                silence = timedelta(seconds=MISSED * self._interval(seen.source))
                since[seen.source] = self._cadence.fresh_since(now, silence)
        return frozenset(symbol for symbol, seen in self._seen.items() if seen.at < since[seen.source])
