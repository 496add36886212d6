"""The rows: the newest quote of each symbol, and what is to be said of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from zlotick.client import Quote
from zlotick.model import utc_time

REPLAYED = ("replayed", "simulated")
"""Origins whose quotes are of another time than the clock on the wall."""


class Row(NamedTuple):
    """A quote and what is to be said of it."""

    quote: Quote
    name: str
    word: str  # live, delayed, stale, replayed or simulated
    seconds: float  # its age
    marked: bool  # on the watch list

    @property
    def symbol(self) -> str:
        return self.quote["symbol"]


class Rows:
    """The newest quotes. ``origin`` is the service's word for all of them; ``marked`` is the watch list's own set."""

    def __init__(self, names: Mapping[str, str], marked: Collection[str] = ()) -> None:
        self._names = names
        self._marked = marked
        self._quotes: dict[str, Quote] = {}
        self.origin = ""

    def update(self, quotes: Iterable[Quote], *, whole: bool = False) -> None:
        """Take newer quotes; ``whole``: they are all there are."""
        fresh = {quote["symbol"]: quote for quote in quotes}
        self._quotes = fresh if whole else self._quotes | fresh

    def newest(self) -> str | None:
        """The time of the newest quote."""
        return max((quote["timestamp"] for quote in self._quotes.values()), default=None)

    def at(self, moment: datetime) -> list[Row]:
        """The rows as they are then."""
        return [self.row(quote, moment) for quote in self._quotes.values()]

    def row(self, quote: Quote, moment: datetime) -> Row:
        """A quote as a row."""
        seconds = (moment - utc_time(quote["timestamp"])).total_seconds()
        symbol = quote["symbol"]
        return Row(quote, self._names.get(symbol, ""), self._word(quote), seconds, symbol in self._marked)

    def _word(self, quote: Quote) -> str:
        if self.origin in REPLAYED:
            return self.origin
        if quote["stale"]:
            return "stale"
        return "delayed" if quote["delay_seconds"] else self.origin

    def breadth(self) -> str:
        """How many there are, and how many rose, fell, and did neither."""
        changes = [quote["change"] or 0 for quote in self._quotes.values()]
        up, down = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
        stocks = f"{len(changes)} stock{'s' * (len(changes) != 1)}"
        return f"{stocks}, {up} up, {down} down, {len(changes) - up - down} unchanged"
