"""The newest quote of each symbol, encoded once, and the messages made of these fragments.

A changed quote is encoded to a *fragment* of JSON when it is first needed; a message is fragments joined. This keeps
the cost of a cycle independent of the number of sessions and, but for joining, of subscriptions.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping

import msgspec

from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.protocol.subscription import STANDING_FIELDS
from zlotick.model import FRESH, Position, StaleReason, Standing, StockUpdate, now_text

FIELD_SETS = 64
"""Selections of fields whose fragments are kept; the least recently used one is dropped."""

Fields = tuple[str, ...]
QuoteWithStanding = tuple[StockUpdate, Standing]
_encode = msgspec.json.Encoder().encode

WriteQuote = Callable[[StockUpdate, Standing], bytes]
"""Makes the JSON of a quote and its standing."""


def _endings(fields: Fields) -> dict[Standing, bytes]:
    """The end of a quote's JSON for each possible standing."""
    reasons = (None, *StaleReason)
    return {
        standing: _ending(standing, fields)
        for standing in (Standing(stale, reason) for stale in (False, True) for reason in reasons)
    }


def _ending(standing: Standing, fields: Fields) -> bytes:
    values = {"stale": standing.stale, "stale_reason": standing.reason}
    shown = {name: value for name, value in values.items() if name in fields}
    return b"," + _encode(shown)[1:] if shown else b"}"


_ENDINGS = _endings(STANDING_FIELDS)


def quote_json(quote: StockUpdate, standing: Standing) -> bytes:
    """A quote as the wire shows it, with all its fields."""
    return _encode(quote)[:-1] + _ENDINGS[standing]


@functools.lru_cache(FIELD_SETS)
def quote_writer(fields: Fields | None) -> WriteQuote:
    """Returns a function that writes these fields in the order of the wire, ``symbol`` included. None: all fields.

    It encodes a struct made for these fields, which is twice as fast as a dict.
    """
    if fields is None:
        return quote_json
    names = [name for name in fields if name not in STANDING_FIELDS]
    part = msgspec.defstruct("Part", names)
    values = operator.attrgetter(*names) if len(names) > 1 else lambda quote: (quote.symbol,)
    endings = _endings(fields)

    def write(quote: StockUpdate, standing: Standing) -> bytes:
        return _encode(part(*values(quote)))[:-1] + endings[standing]

    return write


class FieldSetFragments:
    """The fragments of all quotes for one selection of fields; encoded lazily."""

    __slots__ = ("_fragments", "_outdated", "_write")

    def __init__(self, fields: Fields | None) -> None:
        self._write = quote_writer(fields)
        self._fragments: dict[str, bytes] = {}
        self._outdated: dict[str, QuoteWithStanding] = {}

    def mark_outdated(self, shown: Mapping[str, QuoteWithStanding]) -> None:
        """Mark these fragments as outdated."""
        self._outdated.update(shown)

    def current(self) -> dict[str, bytes]:
        """All fragments by symbol, up to date."""
        if self._outdated:
            for symbol, (quote, standing) in self._outdated.items():
                self._fragments[symbol] = self._write(quote, standing)
            self._outdated.clear()
        return self._fragments


class QuoteCache:
    """The newest quote of each symbol, with its fragments."""

    def __init__(self) -> None:
        self.quotes: dict[str, StockUpdate] = {}
        self.standings: Mapping[
            str, Standing
        ] = {}  # as of the last refresh; symbols that are not in it are fresh
        self._shown: dict[str, QuoteWithStanding] = {}
        self._whole = FieldSetFragments(None)
        self._parts: dict[Fields, FieldSetFragments] = {}  # in order of use: the last one was used last

    def put(self, quotes: Mapping[str, StockUpdate]) -> None:
        """Store newer quotes. Call :meth:`refresh` before asking for fragments."""
        self.quotes.update(quotes)

    def refresh(self, standings: Mapping[str, Standing]) -> list[str]:
        """Find what changed since the last call; returns the symbols whose standing changed (not named means fresh)."""
        changed: dict[str, QuoteWithStanding] = {}
        moved: list[str] = []
        for symbol, quote in self.quotes.items():
            standing = standings.get(symbol, FRESH)
            shown = self._shown.get(symbol)
            same = shown is not None and (shown[1] is standing or shown[1] == standing)
            if shown is None or shown[0] is not quote or not same:
                changed[symbol] = (quote, standing)
            if shown is not None and not same:
                moved.append(symbol)
        self.standings = standings
        if changed:
            self._shown.update(changed)
            for sheet in (self._whole, *self._parts.values()):
                sheet.mark_outdated(changed)
        return moved

    def fragments(self, symbols: Iterable[str] | None = None, fields: Fields | None = None) -> list[bytes]:
        """The fragments of these symbols, in their order, without unknown ones; of all symbols by default."""
        known = (self._whole if fields is None else self._sheet(fields)).current()
        if symbols is None:
            return list(known.values())
        return [known[symbol] for symbol in symbols if symbol in known]

    def _sheet(self, fields: Fields) -> FieldSetFragments:
        sheet = self._parts.pop(fields, None)
        if sheet is None:
            sheet = FieldSetFragments(fields)
            sheet.mark_outdated(self._shown)
        self._parts[fields] = sheet
        if len(self._parts) > FIELD_SETS:
            del self._parts[next(iter(self._parts))]
        return sheet


class Envelope:
    """The head and tail of a ``stock_updates`` message: built once for all messages of a cycle."""

    __slots__ = ("_head", "_position", "_tail")

    def __init__(self, *, position: Position | None, market_status: str, snapshot: bool = False) -> None:
        self._position = position
        self._head = b'{"type":"stock_updates","timestamp":"%b","count":' % now_text().encode()
        self._tail = b'],"position":%b,"snapshot":%b,"market_status":%b}' % (
            _encode(position),
            b"true" if snapshot else b"false",
            _encode(market_status),
        )

    def around(self, fragments: list[bytes]) -> SharedMessage:
        """The complete message."""
        count = b"%d" % len(fragments)
        payload = b"".join((self._head, count, b',"data":[', b",".join(fragments), self._tail))
        return SharedMessage(payload, self._position)
