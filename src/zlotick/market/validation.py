"""Which quotes may be published: every rule has a name, every rejection says field, value and rule.

Corrupt data is worse than no data, and a provider may hand us anything: strings, NaN, None. Nothing of that
raises here; it is rejected, and what is accepted has exact types, finite numbers and canonical times.
A *session* of a quote is the Warsaw date of its event time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from zlotick.market.sessions import session_date
from zlotick.market.universe import TICKER
from zlotick.model import MarketStatus, Origin, RejectedQuote, Review, StockUpdate, utc_text, utc_time


class Reason(StrEnum):
    """Why a quote was rejected."""

    TEXT = "text"  # not a StockUpdate, or a text field without usable text
    NUMBER = "number"  # NaN, infinite, or not a number at all
    UNKNOWN_SYMBOL = "unknown_symbol"
    DUPLICATE_SYMBOL = "duplicate_symbol"  # in one call; the first accepted one wins
    TIME = "time"  # not ISO 8601 with a zone
    FUTURE = "future"
    BACKWARDS = "backwards"  # before the last of that symbol and source
    PRICE = "price"  # not above 0
    RANGE = "range"  # not low <= price, open <= high
    VOLUME = "volume"  # negative, or less than before in the session
    JUMP = "jump"


_PRICES = ("price", "high", "low", "open", "previous_close")
_NUMBERS = (*_PRICES, "change", "change_percent")
_COUNTS = ("volume", "delay_seconds")
_LABELS: dict[str, type[StrEnum]] = {"origin": Origin, "review": Review}
_TIMES = ("timestamp", "exchange_time", "received_at")
_STATUSES = frozenset(MarketStatus)
_MAX_COUNT = 2**63 - 1  # what every store of ours can hold
_MAX_TEXT = 64
_EARLIEST = "1991-04-16"  # GPW's first session: an earlier time is a conversion error


class _Rejection(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _Moment(NamedTuple):
    text: str  # canonical, so that text order is time order
    session: date


class _Last(NamedTuple):
    """What the next quote of the same symbol and source is compared with."""

    moment: _Moment
    price: float
    volume: int | None


class Validator:
    """Accepts or rejects quotes, and remembers the last accepted of each symbol and source.

    ``universe_symbols=None`` accepts every symbol. ``jump_limit_percent`` bounds the move against the last
    price, or against the previous close for the first quote of a session.
    """

    def __init__(
        self,
        universe_symbols: AbstractSet[str] | None,
        jump_limit_percent: float,
        *,
        future_tolerance: timedelta = timedelta(minutes=5),
    ) -> None:
        self._universe = universe_symbols
        self._jump_limit = jump_limit_percent
        self._future_tolerance = future_tolerance
        self._last: dict[tuple[str, str], _Last] = {}

    def restore(self, last: Mapping[str, StockUpdate]) -> None:
        """Take up where a former run ended: its last accepted quotes."""
        for quote in last.values():
            moment = utc_time(quote.timestamp)
            known = _Moment(utc_text(moment), session_date(moment))
            self._last[quote.data_source, quote.symbol] = _Last(known, quote.price, quote.volume)

    def forget(self, source: str) -> None:
        """The source begins its material again: its time and volumes may go back once."""
        self._last = {key: last for key, last in self._last.items() if key[0] != source}

    def check(
        self, quotes: Sequence[StockUpdate], now: datetime
    ) -> tuple[list[StockUpdate], list[RejectedQuote]]:
        """The quotes that may be published, canonical, and the others with their reasons.

        ``now`` is the wall clock (aware): replayed quotes are simply in the past.
        """
        accepted: dict[str, StockUpdate] = {}
        rejected: list[RejectedQuote] = []
        clock = _Clock(now + self._future_tolerance)
        for given in quotes:
            try:
                quote = _typed(given)
                self._check_symbol(quote.symbol, accepted)
                quote = clock.canonical(quote)
                _check_prices(quote)
                self._check_sequence(quote, clock.moment("timestamp", quote.timestamp))
            except _Rejection as no:
                rejected.append(RejectedQuote(no.reason.value, no.detail, _keepable(given)))
            else:
                accepted[quote.symbol] = quote
        return list(accepted.values()), rejected

    def _check_symbol(self, symbol: str, accepted: Mapping[str, StockUpdate]) -> None:
        if self._universe is not None and symbol not in self._universe:
            remedy = "add it to universe.extra if you want it"
            raise _Rejection(Reason.UNKNOWN_SYMBOL, f"symbol '{symbol}' is not in the universe; {remedy}")
        if symbol in accepted:
            raise _Rejection(
                Reason.DUPLICATE_SYMBOL, f"symbol '{symbol}' came twice; the first one was taken"
            )

    def _check_sequence(self, quote: StockUpdate, moment: _Moment) -> None:
        """Against the last accepted quote of the symbol and source; remembers this one when it passes."""
        key = (quote.data_source, quote.symbol)
        last = self._last.get(key)
        base, volume = quote.previous_close, quote.volume
        if last:
            if moment.text < last.moment.text:
                detail = (
                    f"timestamp {moment.text} of {quote.symbol} is before the last one, {last.moment.text}"
                )
                raise _Rejection(Reason.BACKWARDS, detail)
            if moment.session == last.moment.session:
                base, volume = last.price, self._volume(quote, last.volume)
        self._check_jump(quote, base)
        self._last[key] = _Last(moment, quote.price, volume)

    def _volume(self, quote: StockUpdate, before: int | None) -> int | None:
        """The session's volume so far: an unknown volume does not forget it."""
        if quote.volume is None or before is None:
            return before if quote.volume is None else quote.volume
        if quote.volume < before:
            detail = f"volume {quote.volume} of {quote.symbol} is less than {before} before in the session"
            raise _Rejection(Reason.VOLUME, detail)
        return quote.volume

    def _check_jump(self, quote: StockUpdate, base: float | None) -> None:
        if base is None:
            return
        percent = abs(quote.price / base - 1) * 100
        if percent > self._jump_limit:
            detail = f"price {quote.price} of {quote.symbol} is {percent:.1f}% away from {base}"
            remedy = f"the limit is {self._jump_limit:g}% (providers.jump_limit_percent)"
            raise _Rejection(Reason.JUMP, f"{detail}; {remedy}")


class _Clock:
    """Reads the times of one call's quotes. Most of them are equal, so each text is read once."""

    def __init__(self, latest: datetime) -> None:
        self._latest = utc_text(latest)
        self._read: dict[str, _Moment] = {}

    def canonical(self, quote: StockUpdate) -> StockUpdate:
        """The quote with its times as UTC text with milliseconds and ``Z``."""
        changed: dict[str, Any] = {}
        for field in _TIMES:
            text = getattr(quote, field)
            if text is None and field != "timestamp":
                continue
            canonical = self.moment(field, text).text
            if canonical != text:
                changed[field] = canonical
        return msgspec.structs.replace(quote, **changed) if changed else quote

    def moment(self, field: str, text: object) -> _Moment:
        if type(text) is not str:
            raise _Rejection(Reason.TIME, f"{field} must be ISO 8601 text, was {_shown(text)}")
        known = self._read.get(text)
        if known is None:
            known = self._read[text] = self._parsed(field, text)
        return known

    def _parsed(self, field: str, text: str) -> _Moment:
        try:
            moment = utc_time(text)
        except (ValueError, OverflowError):
            rule = "must be ISO 8601 with a time zone, such as 2025-04-30T09:00:00Z"
            raise _Rejection(Reason.TIME, f"{field} {_shown(text)} {rule}") from None
        canonical = utc_text(moment)
        if canonical > self._latest:
            raise _Rejection(
                Reason.FUTURE, f"{field} {canonical} is in the future: later than {self._latest}"
            )
        if canonical < _EARLIEST:
            raise _Rejection(Reason.TIME, f"{field} {canonical} is before GPW's first session, {_EARLIEST}")
        return _Moment(canonical, session_date(moment))


def _typed(quote: object) -> StockUpdate:
    """The quote with exact types: finite floats, whole counts, clean texts."""
    if not isinstance(quote, StockUpdate):
        raise _Rejection(Reason.TEXT, f"a quote must be a StockUpdate, was {_shown(quote)}")
    exact = _exact_values(quote)
    changed: dict[str, Any] = {field: value for field, value in exact if value is not getattr(quote, field)}
    return msgspec.structs.replace(quote, **changed) if changed else quote


def _exact_values(quote: StockUpdate) -> Iterable[tuple[str, object]]:
    yield "symbol", _symbol(quote.symbol)
    yield "market_status", _status(quote.market_status)
    yield "data_source", _source(quote.data_source)
    for field, kind in _LABELS.items():
        yield field, _label(field, kind, getattr(quote, field))
    yield "price", _number("price", quote.price)
    for field in _NUMBERS[1:]:
        value = getattr(quote, field)
        if value is not None:
            yield field, _number(field, value)
    for field in _COUNTS:
        value = getattr(quote, field)
        if value is not None:
            yield field, _count(field, value)


def _symbol(value: object) -> str:
    if isinstance(value, str) and TICKER.fullmatch(value):
        return str.__str__(value)
    raise _Rejection(Reason.TEXT, f"symbol {_shown(value)} must be 1 to 16 of A-Z and 0-9")


def _status(value: object) -> str:
    if isinstance(value, str) and value in _STATUSES:
        return str.__str__(value)
    raise _Rejection(
        Reason.TEXT, f"market_status {_shown(value)} must be one of {', '.join(sorted(_STATUSES))}"
    )


def _source(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_TEXT:
        return str.__str__(value)
    raise _Rejection(
        Reason.TEXT, f"data_source {_shown(value)} must be 1 to {_MAX_TEXT} printable characters"
    )


def _label(field: str, kind: type[StrEnum], value: object) -> StrEnum | None:
    if value is None or isinstance(value, kind):
        return value
    if isinstance(value, str) and value in frozenset(kind):
        return kind(value)
    raise _Rejection(Reason.TEXT, f"{field} {_shown(value)} must be one of {', '.join(sorted(kind))}")


def _number(field: str, value: object) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Rejection(Reason.NUMBER, f"{field} must be a number, was {_shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Rejection(Reason.NUMBER, f"{field} must be a finite number, was {_shown(value)}")
    return number


def _count(field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Rejection(Reason.NUMBER, f"{field} must be a whole number, was {_shown(value)}")
    if value > _MAX_COUNT:
        raise _Rejection(Reason.NUMBER, f"{field} must fit into 63 bits, was {_shown(value)}")
    if value < 0:
        reason = Reason.VOLUME if field == "volume" else Reason.NUMBER
        raise _Rejection(reason, f"{field} must not be negative, was {_shown(value)}")
    return int(value)


def _check_prices(quote: StockUpdate) -> None:
    for field in _PRICES:
        value = getattr(quote, field)
        if value is not None and value <= 0:
            raise _Rejection(Reason.PRICE, f"{field} {value} of {quote.symbol} must be above 0")
    low = -math.inf if quote.low is None else quote.low
    high = math.inf if quote.high is None else quote.high
    for field, value in (("price", quote.price), ("open", quote.open)):
        if value is not None and not low <= value <= high:
            detail = f"{field} {value} of {quote.symbol} must be within low {quote.low} and high {quote.high}"
            raise _Rejection(Reason.RANGE, detail)


def _shown(value: object) -> str:
    """A value for a message: short, and safe whatever it is (its own repr might be endless, or raise)."""
    if isinstance(value, str):
        return ascii(str.__str__(value)[:_MAX_TEXT])
    if value is None or type(value) in (bool, float):
        return repr(value)
    if type(value) is int:
        return repr(value) if value.bit_length() <= 256 else f"an integer of {value.bit_length()} bits"
    return f"a {type(value).__name__}"


def _keepable(quote: object) -> StockUpdate:
    """The rejected quote such as the journal can keep and read again; the rejection's detail has the original."""
    if not isinstance(quote, StockUpdate):
        return StockUpdate("", "", 0.0, None, None, None, None, None, None, "", "")
    kept: dict[str, Any] = {name: _kept(name, getattr(quote, name)) for name in StockUpdate.__struct_fields__}
    return StockUpdate(**kept)


def _kept(field: str, value: object) -> object:
    try:
        if field in _NUMBERS:
            return None if value is None and field != "price" else _number(field, value)
        if field in _COUNTS:
            return None if value is None else _count(field, value)
    except _Rejection:
        return 0.0 if field == "price" else None
    if value is None and field in _TIMES[1:]:
        return None
    if field in _LABELS:
        return value if isinstance(value, _LABELS[field]) else None
    if isinstance(value, str):
        return str.__str__(value)[:_MAX_TEXT].encode("utf-8", "replace").decode()
    return _shown(value)
