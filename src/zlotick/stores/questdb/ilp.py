"""Quotes as lines of the InfluxDB line protocol (ILP), the text that QuestDB takes at ``POST /write``.

Pure: no I/O. QuestDB quietly stores several kinds of wrong line (an empty symbol, a missing timestamp, a
boolean as a number), so whatever a line cannot carry truthfully is refused here, before the server sees it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from zlotick.model import StockUpdate, utc_time

TABLE = "stock_data"

PRICED = "price IS NOT NULL"
"""Leaves out the rows that :func:`encode_erased` has emptied; the candle views have the same condition."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONG_MAX = 2**63 - 1  # -2**63 is QuestDB's NULL
_INT_MAX = 2**31 - 1  # -2**31 is QuestDB's NULL
_ESCAPES = str.maketrans({char: f"\\{char}" for char in "\\,= \n\r"})


class RowKey(NamedTuple):
    """What tells one row from another: the table's upsert keys."""

    timestamp: str
    symbol: str
    data_source: str


class Unencodable(ValueError):
    """No line can carry this quote truthfully; the message names the field, the value and why."""


def encode(quote: StockUpdate) -> bytes:
    """The line of one quote, with its line feed. Times in microseconds: write it with ``precision=u``.

    What is unknown (None) is left out, which QuestDB stores as NULL. Raises Unencodable.
    """
    line = [TABLE, ",symbol=", _tag("symbol", quote.symbol)]
    line += ",data_source=", _tag("data_source", quote.data_source)
    for name in _OPTIONAL_TAGS:
        if text := getattr(quote, name):
            line += ",", name, "=", _tag(name, text)
    line += " price=", _double("price", quote.price)
    for name, encoded in _OPTIONAL:
        value = getattr(quote, name)
        if value is not None:
            line += ",", name, "=", encoded(name, value)
    line += " ", str(_micros("timestamp", quote.timestamp)), "\n"
    return "".join(line).encode()


def encode_erased(key: RowKey) -> bytes:
    """The line that leaves nothing in the row of a key: a row is replaced whole, and what is left out is NULL.

    The candle views and the questions of the history take no row without a price. Raises Unencodable.
    """
    tags = f"symbol={_tag('symbol', key.symbol)},data_source={_tag('data_source', key.data_source)}"
    return f"{TABLE},{tags} price=NaN {_micros('timestamp', key.timestamp)}\n".encode()


@lru_cache(maxsize=16_384)  # the same few symbols, sources and states over and over
def _tag(name: str, text: object) -> str:
    if not isinstance(text, str) or not text:
        raise Unencodable(f"{name} {text!r} is not text; every stored quote needs one")
    if "\0" in text:
        raise Unencodable(f"{name} {text!r} holds a NUL character, which QuestDB does not store")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unencodable(f"{name} {text!r} is not valid Unicode: {error.reason}") from error
    return text.translate(_ESCAPES)


def _double(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unencodable(f"{name} {value!r} is not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise Unencodable(f"{name} {value!r} does not fit a 64-bit float") from error
    if not math.isfinite(number):
        raise Unencodable(f"{name} {value!r} is not a finite number; an unknown number is None")
    return repr(number)


def _whole(name: str, value: object, most: int) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unencodable(f"{name} {value!r} is not a whole number")
    if abs(value) > most:
        raise Unencodable(f"{name} {value!r} is out of range (at most {most})")
    return f"{value}i"


def _long(name: str, value: object) -> str:
    return _whole(name, value, _LONG_MAX)


def _int(name: str, value: object) -> str:
    return _whole(name, value, _INT_MAX)


def _time(name: str, value: object) -> str:
    return f"{_micros(name, value)}t"


@lru_cache(maxsize=4096)  # the quotes of one batch share their times
def _micros(name: str, text: object) -> int:
    if not isinstance(text, str):
        raise Unencodable(f"{name} {text!r} is not ISO 8601 text")
    try:
        micros = (utc_time(text) - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError) as error:
        raise Unencodable(f"{name} {text!r} is not an ISO 8601 time with a zone: {error}") from error
    if micros < 0:
        raise Unencodable(f"{name} {text!r} is before 1970, which QuestDB does not store")
    return micros


_OPTIONAL_TAGS = ("market_status", "origin", "review")

_OPTIONAL: tuple[tuple[str, Callable[[str, object], str]], ...] = (
    ("change", _double),
    ("change_percent", _double),
    ("volume", _long),
    ("high", _double),
    ("low", _double),
    ("open", _double),
    ("previous_close", _double),
    ("exchange_time", _time),
    ("received_at", _time),
    ("delay_seconds", _int),
)
