"""Doubtful values, and how they are settled: by repetition, or by another provider. Pure.

A jump of the price, a volume that is less than before, a withdrawn last trade, another reference price: each
may be a bad print or the truth. One bad print must not be published, and must not silence a stock either. So such a
value is held back, visibly, and accepted as soon as another provider says the same, or the same provider repeats it
in :data:`LOOKS` answers. It is then marked (:class:`~zlotick.model.Review`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

import msgspec

from zlotick.market.calendar import session_date
from zlotick.market.canonical import Moment, Reason, Rejection
from zlotick.market.page_check import OWN_REFERENCE
from zlotick.model import Review, StockUpdate, utc_text, utc_time

LOOKS = 3
"""Answers of one provider that must repeat a doubtful value before it is believed."""

RECENT = timedelta(days=7)
"""For this long a price of an earlier session can be compared with the next one."""

_TICK, _FREE_TICKS = 0.01, 3
"""Below 1 PLN one tick can be 100 %: a move of this many ticks is not a jump."""

_SAME_PRICE = 0.005  # two providers agree on a price within this share
_SAME_REFERENCE = 0.01  # and on a previous close within this one (bankier computes it from a rounded change)
_LEAP = 10  # times the volume before, and
_LEAP_VALUE = 50_000_000  # PLN within
_LEAP_WITHIN = timedelta(minutes=10)
_MINUTE = len("2025-04-30T09:00")


class _Known(NamedTuple):
    """What the next quote of the same symbol and provider is compared with."""

    moment: Moment  # the time that the provider stated
    published: str  # its published timestamp, which never goes back
    price: float
    volume: int | None
    previous_close: float | None
    received_at: str  # when it was first received; empty: unknown


class _Held(NamedTuple):
    """A doubtful quote that waits for a confirmation."""

    reason: Reason
    quote: _Known
    looks: int
    received_at: str | None


class _Doubt(NamedTuple):
    reason: Reason
    detail: str
    review: Review  # what the quote is called when it is accepted after all
    repetition_helps: bool = True
    others_help: bool = True


_Key = tuple[str, str]  # provider, symbol


class Doubts:
    """What was accepted last of each symbol and provider, and what is held back.

    ``jump_limit_percent`` bounds the move against the last price in the session, of any provider, or against the
    previous close for the first quote of a session.
    """

    def __init__(self, jump_limit_percent: float) -> None:
        self._jump_limit = jump_limit_percent
        self._known: dict[_Key, _Known] = {}
        self._newest: dict[str, _Key] = {}  # whose quote of the symbol was accepted last
        self._held: dict[_Key, _Held] = {}
        self._providers: set[str] = set()

    def restore(self, last: Mapping[str, StockUpdate]) -> None:
        """Continue from the last accepted quotes of an earlier run."""
        for quote in last.values():
            moment = utc_time(quote.timestamp)
            self._remember(quote, Moment(utc_text(moment), session_date(moment)), quote.volume)

    def forget(self, provider: str) -> None:
        """The provider starts over (a replay): its times and volumes may go back once."""
        self._known = {key: known for key, known in self._known.items() if key[0] != provider}
        self._held = {key: held for key, held in self._held.items() if key[0] != provider}
        self._newest = {symbol: key for symbol, key in self._newest.items() if key[0] != provider}

    def is_newest(self, provider: str, symbol: str) -> bool:
        """Whether the last accepted quote of the symbol is this provider's, with nothing of it held back."""
        key = (provider, symbol)
        return self._newest.get(symbol) == key and key not in self._held

    def settle(self, quote: StockUpdate, moment: Moment) -> StockUpdate:
        """The quote as it may be published. Raises Rejection while it is held back."""
        key = (quote.data_source, quote.symbol)
        known = self._known.get(key)
        doubt = self._doubt(quote, moment, known)
        review = None
        if doubt is not None:
            if not self._is_settled(key, quote, moment, doubt):
                raise Rejection(doubt.reason, f"{doubt.detail}; held back until it is confirmed")
            review = doubt.review
        self._held.pop(key, None)
        volume = quote.volume
        if volume is None and known and known.moment.session == moment.session:
            volume = known.volume  # an unknown volume does not forget the session's
        # A withdrawn trade replaces the row of that trade: the time of a row never goes back.
        timestamp = quote.timestamp
        if known and known.moment.session == moment.session:
            timestamp = max(timestamp, known.published)
        if timestamp != quote.timestamp or review is not quote.review:
            quote = msgspec.structs.replace(quote, timestamp=timestamp, review=review)
        self._remember(quote, moment, volume)
        return quote

    def _remember(self, quote: StockUpdate, moment: Moment, volume: int | None) -> None:
        key = (quote.data_source, quote.symbol)
        self._providers.add(quote.data_source)
        self._known[key] = _as_known(quote, moment, volume)
        newest = self._newest.get(quote.symbol)
        if newest is None or newest not in self._known or moment.text >= self._known[newest].moment.text:
            self._newest[quote.symbol] = key

    def _doubt(self, quote: StockUpdate, moment: Moment, known: _Known | None) -> _Doubt | None:
        return (
            (known and self._backwards(quote, moment, known))
            or (known and self._volume(quote, moment, known))
            or self._reference(quote, moment)
            or self._jump(quote, moment)
        )

    def _backwards(self, quote: StockUpdate, moment: Moment, known: _Known) -> _Doubt | None:
        if moment.text >= known.moment.text:
            return None
        detail = f"timestamp {moment.text} of {quote.symbol} is before the last one, {known.moment.text}"
        same_session = moment.session == known.moment.session
        return _Doubt(Reason.BACKWARDS, detail, Review.CORRECTED, same_session, others_help=same_session)

    def _volume(self, quote: StockUpdate, moment: Moment, known: _Known) -> _Doubt | None:
        if quote.volume is None or known.volume is None or moment.session != known.moment.session:
            return None
        if quote.volume < known.volume:
            detail = (
                f"volume {quote.volume} of {quote.symbol} is less than {known.volume} before in the session"
            )
            return _Doubt(Reason.VOLUME, detail, Review.CORRECTED)
        leap = quote.volume > known.volume * _LEAP and known.volume > 0
        if (
            leap
            and (quote.volume - known.volume) * quote.price > _LEAP_VALUE
            and utc_time(moment.text) - utc_time(known.moment.text) <= _LEAP_WITHIN
        ):
            detail = f"volume {quote.volume} of {quote.symbol} leaps from {known.volume} within minutes"
            return _Doubt(Reason.VOLUME, detail, Review.CONFIRMED)
        return None

    def _reference(self, quote: StockUpdate, moment: Moment) -> _Doubt | None:
        """The previous close is one number for the whole session, from every provider."""
        newest = self._newest_known(quote.symbol)
        if newest is None or quote.previous_close is None or (quote.origin and not quote.origin.ages):
            return None
        provider, known = newest
        if known.previous_close is None or known.moment.session != moment.session:
            return None
        own = provider == quote.data_source
        if _near(quote.previous_close, known.previous_close, OWN_REFERENCE if own else _SAME_REFERENCE):
            return None
        detail = (
            f"previous_close {quote.previous_close} of {quote.symbol} differs from {known.previous_close}, "
            f"known in this session from {provider}"
        )
        return _Doubt(Reason.REFERENCE, detail, Review.CORRECTED, repetition_helps=own)

    def _jump(self, quote: StockUpdate, moment: Moment) -> _Doubt | None:
        newest = self._newest_known(quote.symbol)
        base, credible = quote.previous_close, True
        if newest is not None:
            provider, known = newest
            if known.moment.session == moment.session:
                base = known.price
                # Another provider may be wrong by a factor of 100 all day; then its reference price is, too.
                credible = provider == quote.data_source or (
                    quote.previous_close is not None and known.previous_close is not None
                )
            elif base is None and moment.session - known.moment.session <= RECENT:
                base = known.price
        if base is None or not self._jumps(quote.price, base):
            return None
        percent = abs(quote.price / base - 1) * 100
        detail = f"price {quote.price} of {quote.symbol} is {percent:.1f}% away from {base}"
        remedy = f"the limit is {self._jump_limit:g}% (providers.jump_limit_percent)"
        return _Doubt(Reason.JUMP, f"{detail}; {remedy}", Review.CONFIRMED, repetition_helps=credible)

    def _jumps(self, price: float, base: float) -> bool:
        if base < 1 and abs(price - base) <= _FREE_TICKS * _TICK + 1e-9:
            return False
        return abs(price / base - 1) * 100 > self._jump_limit

    def _newest_known(self, symbol: str) -> tuple[str, _Known] | None:
        key = self._newest.get(symbol)
        known = self._known.get(key) if key else None
        return None if key is None or known is None else (key[0], known)

    def _is_settled(self, key: _Key, quote: StockUpdate, moment: Moment, doubt: _Doubt) -> bool:
        """Whether a doubtful quote was repeated or confirmed by another provider; else it is held back."""
        claim = _as_known(quote, moment, quote.volume)
        held = self._held.get(key)
        self._providers.add(key[0])
        looks = 1
        if (
            held is not None
            and held.reason is doubt.reason
            and self._repeats(claim, held.quote, doubt.reason)
        ):
            # One answer may be reused for several cycles: only a new answer counts as a repetition.
            looks = held.looks + (quote.received_at is None or quote.received_at != held.received_at)
        self._held[key] = _Held(doubt.reason, claim, looks, quote.received_at)
        if doubt.repetition_helps and looks >= LOOKS:
            return True
        return doubt.others_help and self._is_confirmed(key, claim, doubt.reason)

    def _repeats(self, claim: _Known, held: _Known, reason: Reason) -> bool:
        if held.moment.session != claim.moment.session or self._jumps(claim.price, held.price):
            return False
        if reason is Reason.REFERENCE:
            return _both_near(claim.previous_close, held.previous_close)
        return held.volume is None or claim.volume is None or claim.volume >= held.volume

    def _is_confirmed(self, key: _Key, claim: _Known, reason: Reason) -> bool:
        """Whether another provider reports the same in this session, even if its own quote is held back.

        Only what it reported after our last accepted quote counts: before that, both may show the same old page.
        """
        known = self._known.get(key)
        since = known.received_at if known else ""
        for other in ((provider, key[1]) for provider in self._providers if provider != key[0]):
            held = self._held.get(other)
            quotes = [self._known.get(other), held.quote if held else None]
            later = [quote for quote in quotes if quote is not None and quote.received_at >= since]
            if any(_says_same(claim, quote, reason) for quote in later):
                return True
        return False


def _as_known(quote: StockUpdate, moment: Moment, volume: int | None) -> _Known:
    received_at = quote.received_at or ""
    return _Known(moment, quote.timestamp, quote.price, volume, quote.previous_close, received_at)


def _says_same(claim: _Known, other: _Known, reason: Reason) -> bool:
    """Whether another provider's quote confirms the doubted value of this one."""
    if claim.moment.session != other.moment.session or not _near(claim.price, other.price, _SAME_PRICE):
        return False
    if reason is Reason.VOLUME:
        return _both_near(claim.volume, other.volume)
    if reason is Reason.REFERENCE:
        return _both_near(claim.previous_close, other.previous_close)
    return reason is Reason.JUMP or claim.moment.text[:_MINUTE] == other.moment.text[:_MINUTE]


def _near(a: float, b: float, share: float) -> bool:
    return abs(a - b) <= share * abs(b)


def _both_near(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and _near(a, b, _SAME_REFERENCE)
