"""The newest quote of each symbol, with its name, label and age. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from zlotick.client import Quote
from zlotick.model import utc_time
from zlotick.terminal import texts

REPLAYED = ("replayed", "simulated")
"""Origins whose quotes do not have the time of the wall clock."""


class QuoteRow(NamedTuple):
    """A quote and what is shown with it."""

    quote: Quote
    name: str
    origin: str  # live, delayed, end_of_day, replayed or simulated
    seconds: float  # its age
    marked: bool  # on the watch list

    @property
    def symbol(self) -> str:
        return self.quote["symbol"]

    @property
    def word(self) -> str:
        """``stale``, else its origin."""
        return "stale" if self.quote["stale"] else self.origin

    @property
    def label(self) -> str:
        """Its origin in words, and its delay."""
        return texts.origin(self.origin, self.minutes)

    @property
    def minutes(self) -> int:
        """The delay in minutes; 0: none, or unknown."""
        return _minutes(self.quote) if self.origin == "delayed" else 0

    @property
    def note(self) -> str:
        """Why there is no newer one, or how a doubtful one came to be accepted; mostly empty."""
        reason = self.quote.get("stale_reason") or ("stale" if self.quote["stale"] else None)
        return texts.reason(reason) if reason else self.quote.get("review") or ""


def _minutes(quote: Quote) -> int:
    return (quote["delay_seconds"] or 0) // 60


class QuoteRows:
    """The newest quotes. ``origin`` is that of the service, for quotes without one; ``marked`` is the
    watch list's own set.
    """

    def __init__(self, names: Mapping[str, str], marked: Collection[str] = ()) -> None:
        self._names = names
        self._marked = marked
        self._quotes: dict[str, Quote] = {}
        self.origin = ""

    def update(self, quotes: Iterable[Quote], *, whole: bool = False) -> None:
        """Take newer quotes; ``whole``: they replace all others."""
        fresh = {quote["symbol"]: quote for quote in quotes}
        self._quotes = fresh if whole else self._quotes | fresh

    def newest(self) -> str | None:
        """The time of the newest quote."""
        return max((quote["timestamp"] for quote in self._quotes.values()), default=None)

    def at(self, moment: datetime) -> list[QuoteRow]:
        """The rows at a moment."""
        return [self.row(quote, moment) for quote in self._quotes.values()]

    def row(self, quote: Quote, moment: datetime) -> QuoteRow:
        """A quote as a row."""
        seconds = (moment - utc_time(quote["timestamp"])).total_seconds()
        symbol = quote["symbol"]
        return QuoteRow(
            quote, self._names.get(symbol, ""), self._origin(quote), seconds, symbol in self._marked
        )

    def _origin(self, quote: Quote) -> str:
        if own := quote.get("origin"):  # older servers do not tell
            return own
        return "delayed" if self.origin == "live" and quote["delay_seconds"] else self.origin

    @property
    def origin_of_all(self) -> str:
        """The common origin of all quotes, or ``mixed``; empty without quotes."""
        origins = {self._origin(quote) for quote in self._quotes.values()}
        return "mixed" if len(origins) > 1 else "".join(origins)

    @property
    def label_of_all(self) -> str:
        """The origin in capitals, with the delay if it is common."""
        delays = {_minutes(quote) for quote in self._quotes.values()}
        minutes = delays.pop() if len(delays) == 1 and self.origin_of_all == "delayed" else 0
        return texts.origin(self.origin_of_all.upper(), minutes)

    def breadth(self) -> str:
        """How many rows there are, and how many rose, fell or did not change."""
        changes = [quote["change"] or 0 for quote in self._quotes.values()]
        up, down = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
        stocks = f"{len(changes)} stock{'s' * (len(changes) != 1)}"
        return f"{stocks}, {up} up, {down} down, {len(changes) - up - down} unchanged"
