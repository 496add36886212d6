"""Which quotes may be published: every rule has a name, every rejection says field, value and rule. Pure.

The *session* of a quote is the Warsaw date of its event time. Impossible values are rejected; doubtful ones are held
back until they are settled (:mod:`zlotick.market.doubts`).
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

import msgspec

from zlotick.market import dating
from zlotick.market.arithmetic import change_of_floats
from zlotick.market.calendar import Calendar
from zlotick.market.canonical import (
    Reason,
    Rejection,
    TimestampParser,
    check_prices,
    is_exact,
    keepable,
    typed,
)
from zlotick.market.doubts import Doubts
from zlotick.model import RejectedQuote, StockUpdate, utc_time

__all__ = ["Reason", "Validator"]

_CONTENT_OF = operator.attrgetter(*(name for name in StockUpdate.__struct_fields__ if name != "received_at"))
_MINUTE = len("2025-04-30T09:00")


class Validator:
    """Accepts or rejects quotes, and remembers the last accepted of each symbol and provider.

    ``universe_symbols=None`` accepts every symbol. ``jump_limit_percent`` bounds the move against the last price in
    the session, of whatever provider, or against the previous close for the first quote of a session.
    """

    def __init__(
        self,
        universe_symbols: AbstractSet[str] | None,
        jump_limit_percent: float,
        *,
        calendar: Calendar | None = None,
        future_tolerance: timedelta = timedelta(minutes=5),
    ) -> None:
        self._universe = universe_symbols
        self._calendar = calendar or Calendar()
        self._future_tolerance = future_tolerance
        self._doubts = Doubts(jump_limit_percent)
        self._trading_minute = ""  # the last one that passed: the quotes of a cycle share few
        self._given: dict[
            tuple[str, str], tuple[StockUpdate, StockUpdate]
        ] = {}  # as received, and as accepted

    def restore(self, last: Mapping[str, StockUpdate]) -> None:
        """Continue from the last accepted quotes of an earlier run."""
        self._doubts.restore(last)

    def forget(self, provider: str) -> None:
        """The provider starts over (a replay): its times and volumes may go back once."""
        self._doubts.forget(provider)
        self._given = {key: given for key, given in self._given.items() if key[0] != provider}

    def check(
        self, quotes: Sequence[StockUpdate], now: datetime
    ) -> tuple[list[StockUpdate], list[RejectedQuote]]:
        """The quotes that may be published, canonical, and the others with their reasons.

        ``now`` is the wall clock (aware): replayed quotes are in the past.
        """
        accepted: dict[str, StockUpdate] = {}
        rejected: list[RejectedQuote] = []
        times = TimestampParser(now + self._future_tolerance)
        twice = _contradictions(quotes)
        for given in quotes:
            try:
                exact = is_exact(given)
                if exact and given.symbol not in twice and (again := self._again(given, times)):
                    accepted[given.symbol] = again
                    continue
                quote = typed(given, exact=exact)
                self._check_symbol(quote.symbol, accepted, twice)
                check_prices(quote)
                quote = self._with_change(times.canonical(quote))
                moment = times.moment("timestamp", quote.timestamp)
                self._check_hours(quote)
                quote = self._doubts.settle(quote, moment)
            except Rejection as no:
                rejected.append(RejectedQuote(no.reason.value, no.detail, keepable(given)))
            else:
                accepted[quote.symbol] = quote
                self._given[quote.data_source, quote.symbol] = (given, quote)
        return list(accepted.values()), rejected

    def _again(self, given: StockUpdate, times: TimestampParser) -> StockUpdate | None:
        """A fast path: the last accepted quote, if the provider repeats it, as it does for most quotes of a cycle."""
        key = (given.data_source, given.symbol)
        before = self._given.get(key)
        if before is None or not self._doubts.is_newest(*key):
            return None
        if _CONTENT_OF(before[0]) != _CONTENT_OF(given):
            return None
        received_at = times.moment("received_at", given.received_at).text
        return msgspec.structs.replace(before[1], received_at=received_at)

    def _check_symbol(
        self, symbol: str, accepted: Mapping[str, StockUpdate], twice: AbstractSet[str]
    ) -> None:
        if self._universe is not None and symbol not in self._universe:
            remedy = "add it to universe.extra if you want it"
            raise Rejection(Reason.UNKNOWN_SYMBOL, f"symbol '{symbol}' is not in the universe; {remedy}")
        if symbol in twice:
            detail = f"symbol '{symbol}' came twice with different values: neither is taken"
            raise Rejection(Reason.DUPLICATE_SYMBOL, detail)
        if symbol in accepted:
            raise Rejection(Reason.DUPLICATE_SYMBOL, f"symbol '{symbol}' came twice; one is enough")

    def _check_hours(self, quote: StockUpdate) -> None:
        """A reported trade must lie within trading hours."""
        if quote.exchange_time is None or quote.origin is None or not quote.origin.ages:
            return
        minute = quote.exchange_time[:_MINUTE]
        if minute == self._trading_minute:
            return
        try:
            dating.check_trade_time(utc_time(quote.exchange_time), self._calendar)
        except dating.Undated as no:
            raise Rejection(Reason.TIME, f"exchange_time of {quote.symbol}: {no}") from None
        self._trading_minute = minute

    @staticmethod
    def _with_change(quote: StockUpdate) -> StockUpdate:
        """Compute the change from the two prices: the provider's own may be rounded, or refer to another close."""
        if quote.previous_close is None:
            return quote
        change, percent = change_of_floats(quote.price, quote.previous_close)
        if change == quote.change and percent == quote.change_percent:
            return quote
        return msgspec.structs.replace(quote, change=change, change_percent=percent)


def _contradictions(quotes: Sequence[StockUpdate]) -> frozenset[str]:
    """The symbols that came more than once, with different values."""
    named = [quote for quote in quotes if isinstance(quote, StockUpdate) and isinstance(quote.symbol, str)]
    counts = Counter(quote.symbol for quote in named)
    if len(counts) == len(named):
        return frozenset()
    several = {symbol for symbol, count in counts.items() if count > 1}
    first: dict[str, StockUpdate] = {}
    return frozenset(
        quote.symbol
        for quote in named
        if quote.symbol in several and first.setdefault(quote.symbol, quote) != quote
    )
