"""Quotes with exact types, finite numbers, clean texts and canonical times, whatever a provider returns. Pure.

A provider may return strings, NaN, None or numpy numbers. Corrupt data is worse than no data, so each of these raises
:class:`Rejection` (and nothing else), which names field, value and rule. What passes is what :class:`StockUpdate` says.
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from zlotick.market.calendar import session_date
from zlotick.market.universe import TICKER
from zlotick.model import MarketStatus, Origin, Review, StockUpdate, utc_text, utc_time


class Reason(StrEnum):
    """Why a quote was rejected."""

    TYPE = "type"  # not a StockUpdate
    TEXT = "text"  # a text field without usable text
    NUMBER = "number"  # NaN, infinite, or not a number at all
    UNKNOWN_SYMBOL = "unknown_symbol"
    DUPLICATE_SYMBOL = "duplicate_symbol"  # in one call; two that contradict each other are both rejected
    TIME = "time"  # not ISO 8601 with a zone, or a time at which the exchange does not trade
    FUTURE = "future"
    BACKWARDS = "backwards"  # earlier than the last quote of the same symbol and provider
    PRICE = "price"  # not above 0, or a billion and more
    RANGE = "range"  # not low <= price, open <= high
    VOLUME = "volume"  # negative, less than before in the session, or an unlikely leap
    REFERENCE = "reference"  # another previous close than the one known in this session
    JUMP = "jump"


PRICES = ("price", "high", "low", "open", "previous_close")
_NUMBERS = (*PRICES, "change", "change_percent")
_COUNTS = ("volume", "delay_seconds")
_LABELS: dict[str, type[StrEnum]] = {"origin": Origin, "review": Review}
_TIMES = ("timestamp", "exchange_time", "received_at")
_STATUSES = frozenset(MarketStatus)
_MAX_COUNT = 2**63 - 1  # the largest that every store can hold
_MAX_TEXT = 64
_DECIMALS = 8  # of a price; adjusted prices have up to 5
_SCALE = 10**_DECIMALS
_MILLION = 1e6
_BILLION = 1e9  # no share costs that much, and its percent change would not fit a Decimal
_EARLIEST = "1991-04-16"  # GPW's first session: an earlier time is a conversion error


class Rejection(Exception):
    """Why a quote cannot be published; ``detail`` names field, value and rule."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Moment(NamedTuple):
    """A time as text and the session it belongs to."""

    text: str  # canonical, so that text order is time order
    session: date


class TimestampParser:
    """Parses the times of one call's quotes. Most are equal, so each distinct text is parsed once."""

    def __init__(self, latest: datetime) -> None:
        self._latest = utc_text(latest)
        self._read: dict[str, Moment] = {}

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

    def moment(self, field: str, text: object) -> Moment:
        if isinstance(text, datetime) and text.tzinfo:  # also pandas' Timestamp
            text = text.isoformat()
        if type(text) is not str:
            raise Rejection(Reason.TIME, f"{field} must be ISO 8601 text, was {shown(text)}")
        known = self._read.get(text)
        if known is None:
            known = self._read[text] = self._parsed(field, text)
        return known

    def _parsed(self, field: str, text: str) -> Moment:
        try:
            moment = utc_time(text)
        except (ValueError, OverflowError):
            rule = "must be ISO 8601 with a time zone, such as 2025-04-30T09:00:00Z"
            raise Rejection(Reason.TIME, f"{field} {shown(text)} {rule}") from None
        canonical = utc_text(moment)
        if canonical > self._latest:
            raise Rejection(Reason.FUTURE, f"{field} {canonical} is in the future: later than {self._latest}")
        if canonical < _EARLIEST:
            raise Rejection(Reason.TIME, f"{field} {canonical} is before GPW's first session, {_EARLIEST}")
        return Moment(canonical, session_date(moment))


_FLOATS_OF = operator.attrgetter(*_NUMBERS)
_COUNTS_OF = operator.attrgetter(*_COUNTS)
_TEXTS_OF = operator.attrgetter("symbol", "market_status", "data_source", "timestamp", "received_at")


def is_exact(quote: object) -> bool:
    """A fast path: whether every field already has its exact type, as well-behaved providers return them."""
    if type(quote) is not StockUpdate or type(quote.price) is not float or type(quote.origin) is not Origin:
        return False
    for text in _TEXTS_OF(quote):
        if type(text) is not str:
            return False
    for value in _FLOATS_OF(quote):
        # NaN and infinities minus themselves are NaN; -0.0 has a sign.
        if value is not None and (
            type(value) is not float or value - value != 0 or (not value and math.copysign(1, value) < 0)
        ):
            return False
    for count in _COUNTS_OF(quote):
        if count is not None and (type(count) is not int or not 0 <= count <= _MAX_COUNT):
            return False
    return quote.review is None and (quote.exchange_time is None or type(quote.exchange_time) is str)


def typed(quote: object, *, exact: bool = False) -> StockUpdate:
    """The quote with exact types: finite floats, whole counts, clean texts. ``exact``: :func:`is_exact` was true."""
    if not isinstance(quote, StockUpdate):
        raise Rejection(Reason.TYPE, f"a quote must be a StockUpdate, was {shown(quote)}")
    if exact and _is_plain(_FLOATS_OF(quote)):
        _symbol(quote.symbol), _status(quote.market_status), _data_source(quote.data_source)
        return quote
    changed: dict[str, Any] = {
        field: value for field, value in _exact_values(quote) if value is not getattr(quote, field)
    }
    return msgspec.structs.replace(quote, **changed) if changed else quote


def _exact_values(quote: StockUpdate) -> Iterable[tuple[str, object]]:
    yield "symbol", _symbol(quote.symbol)
    yield "market_status", _status(quote.market_status)
    yield "data_source", _data_source(quote.data_source)
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
    raise Rejection(Reason.TEXT, f"symbol {shown(value)} must be 1 to 16 of A-Z and 0-9")


def _status(value: object) -> str:
    if isinstance(value, str) and value in _STATUSES:
        return str.__str__(value)
    raise Rejection(
        Reason.TEXT, f"market_status {shown(value)} must be one of {', '.join(sorted(_STATUSES))}"
    )


def _data_source(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_TEXT:
        return str.__str__(value)
    raise Rejection(Reason.TEXT, f"data_source {shown(value)} must be 1 to {_MAX_TEXT} printable characters")


def _label(field: str, kind: type[StrEnum], value: object) -> StrEnum | None:
    if value is None or isinstance(value, kind):
        return value
    if isinstance(value, str) and value in frozenset(kind):
        return kind(value)
    raise Rejection(Reason.TEXT, f"{field} {shown(value)} must be one of {', '.join(sorted(kind))}")


def _number(field: str, value: Any) -> float:
    """A finite float without binary noise, never -0.0, which reads as 0 but differs as text."""
    if type(value) is float and math.isfinite(value):
        return _plain(value)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise Rejection(Reason.NUMBER, f"{field} must be a number, was {shown(value)}")
    try:
        # Through its text: a numpy float32 would otherwise keep the noise of its binary digits.
        number = float(value) if type(value).__module__ == "builtins" else float(str(value))
    except (OverflowError, ValueError):
        number = math.inf
    if not math.isfinite(number):
        raise Rejection(Reason.NUMBER, f"{field} must be a finite number, was {shown(value)}")
    return _plain(number)


def _is_plain(values: tuple[float | None, ...]) -> bool:
    """Whether no number has the noise of binary fractions. Quick; it does not know plain numbers above a million."""
    for value in values:
        if value is not None and not (
            -_MILLION < value < _MILLION and round(value * _SCALE) / _SCALE == value
        ):
            return False
    return True


def _plain(number: float) -> float:
    """Round away binary noise: 0.1 + 0.2 becomes 0.3. Returns the same object if nothing changes, as for most numbers."""
    rounded = round(number, _DECIMALS)
    return (number if rounded == number else rounded) or 0.0


def _count(field: str, value: object) -> int:
    whole = _whole(value)
    if whole is None:
        raise Rejection(Reason.NUMBER, f"{field} must be a whole number, was {shown(value)}")
    if whole > _MAX_COUNT:
        raise Rejection(Reason.NUMBER, f"{field} must fit into 63 bits, was {shown(value)}")
    if whole < 0:
        reason = Reason.VOLUME if field == "volume" else Reason.NUMBER
        raise Rejection(reason, f"{field} must not be negative, was {shown(value)}")
    return whole


def _whole(value: Any) -> int | None:
    """A whole number of any kind (int, numpy, 1000.0); None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    return int(number) if number.is_integer() else None


def check_prices(quote: StockUpdate) -> None:
    for field in PRICES:
        value = getattr(quote, field)
        if value is not None and not 0 < value < _BILLION:
            raise Rejection(
                Reason.PRICE, f"{field} {value} of {quote.symbol} must be above 0 and below a billion"
            )
    low = -math.inf if quote.low is None else quote.low
    high = math.inf if quote.high is None else quote.high
    for field, value in (("price", quote.price), ("open", quote.open)):
        if value is not None and not low <= value <= high:
            detail = f"{field} {value} of {quote.symbol} must be within low {quote.low} and high {quote.high}"
            raise Rejection(Reason.RANGE, detail)


def shown(value: object) -> str:
    """A value as shown in a message: short, and safe for any object, whose own repr might be endless or raise."""
    if isinstance(value, str):
        return ascii(str.__str__(value)[:_MAX_TEXT])
    if value is None or type(value) in (bool, float):
        return repr(value)
    if type(value) is int:
        return repr(value) if value.bit_length() <= 256 else f"an integer of {value.bit_length()} bits"
    return f"a {type(value).__name__}"


def keepable(quote: object) -> StockUpdate:
    """A rejected quote in a form that the journal can store and read back; the detail has the original value."""
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
    except Rejection:
        return 0.0 if field == "price" else None
    if value is None and field in _TIMES[1:]:
        return None
    if field in _LABELS:
        return value if isinstance(value, _LABELS[field]) else None
    if isinstance(value, str):
        return str.__str__(value)[:_MAX_TEXT].encode("utf-8", "replace").decode()
    return shown(value)
