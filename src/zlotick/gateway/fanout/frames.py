"""WebSocket frames, each built once and shared by every session that wants the same.

A quote that changed is encoded once, when it is first asked for, to a *fragment* of JSON; a message is fragments
joined; a frame is a message behind its header, plain or deflated, built when the first session needs it. Another
transport than a WebSocket brings its own :data:`Encoding`.
"""

from __future__ import annotations

import functools
import operator
import zlib
from collections.abc import Callable, Iterable, Mapping
from struct import Struct

import msgspec

from zlotick.gateway.protocol.subscription import STANDING_FIELDS
from zlotick.model import FRESH, Position, StaleReason, Standing, StockUpdate, now_text

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _COMPRESSED = 0x80, 0x40

DEFLATE_FROM = 1024
"""Bytes: below this, deflating costs more than it saves."""

FIELD_SETS = 64
"""So many choices of fields are remembered with their fragments; for a further one the oldest is forgotten."""

Fields = tuple[str, ...]
Shown = tuple[StockUpdate, Standing]

_DEFLATE_TAIL = 4  # RFC 7692 section 7.2.1: the 00 00 ff ff of a sync flush is not sent
_SHORT, _MEDIUM, _LONG = Struct(">BB").pack, Struct(">BBH").pack, Struct(">BBQ").pack
_encode = msgspec.json.Encoder().encode


def frame(payload: bytes, opcode: int = TEXT, *, compressed: bool = False) -> bytes:
    """One whole, final, unmasked frame (RFC 6455 section 5.2)."""
    first = _FINAL | opcode | (_COMPRESSED if compressed else 0)
    size = len(payload)
    if size < 126:
        return _SHORT(first, size) + payload
    if size < 65536:
        return _MEDIUM(first, 126, size) + payload
    return _LONG(first, 127, size) + payload


def close_frame(code: int | None, reason: str = "") -> bytes:
    """A close frame. A control frame holds 125 bytes, so the reason may be cut; no code, no reason."""
    if code is None:
        return frame(b"", CLOSE)
    return frame(code.to_bytes(2, "big") + reason.encode()[:123], CLOSE)


def deflated(payload: bytes) -> bytes:
    """A payload for permessage-deflate without context takeover: the same bytes serve every session."""
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return (squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-_DEFLATE_TAIL]


class SharedMessage(msgspec.Struct, eq=False):
    """A message for many: encoded for each kind of wire when the first subscriber of that kind needs it."""

    payload: bytes
    position: Position | None = None  # for wires that tell it beside the message
    _encoded: dict[Encoding, bytes] = {}

    def encoded(self, encoding: Encoding) -> bytes:
        """The bytes to write: the same object for everybody who asks."""
        data = self._encoded.get(encoding)
        if data is None:
            data = self._encoded[encoding] = encoding(self)
        return data


Encoding = Callable[[SharedMessage], bytes]
"""What a wire makes of a message: one of the functions below, or another transport's."""


def plain(message: SharedMessage) -> bytes:
    """A text frame."""
    return frame(message.payload)


def deflate(message: SharedMessage) -> bytes:
    """A deflated text frame, where that pays."""
    if len(message.payload) < DEFLATE_FROM:
        return message.encoded(plain)
    return frame(deflated(message.payload), compressed=True)


def packed(message: SharedMessage) -> bytes:
    """A binary frame with the same message as MessagePack."""
    return frame(msgspec.msgpack.encode(msgspec.json.decode(message.payload)), BINARY)


WriteQuote = Callable[[StockUpdate, Standing], bytes]
"""Makes the JSON of a quote and its standing."""


def _endings(fields: Fields) -> dict[Standing, bytes]:
    """How a quote of each possible standing ends."""
    reasons = (None, *StaleReason)
    return {
        standing: _ending(standing, fields)
        for standing in (Standing(stale, reason) for stale in (False, True) for reason in reasons)
    }


def _ending(standing: Standing, fields: Fields) -> bytes:
    told = {"stale": standing.stale, "stale_reason": standing.reason}
    shown = {name: value for name, value in told.items() if name in fields}
    return b"," + _encode(shown)[1:] if shown else b"}"


_ENDINGS = _endings(STANDING_FIELDS)


def quote_json(quote: StockUpdate, standing: Standing) -> bytes:
    """A quote as the wire shows it, with all its fields."""
    return _encode(quote)[:-1] + _ENDINGS[standing]


@functools.lru_cache(FIELD_SETS)
def quote_writer(fields: Fields | None) -> WriteQuote:
    """What writes these fields of a quote, in the order of the wire; ``symbol`` is one of them. None: all fields.

    A struct made for them is encoded twice as fast as a dict.
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


class Sheet:
    """The fragments of all quotes, in one choice of fields: made when somebody asks for them."""

    __slots__ = ("_fragments", "_outdated", "_write")

    def __init__(self, fields: Fields | None) -> None:
        self._write = quote_writer(fields)
        self._fragments: dict[str, bytes] = {}
        self._outdated: dict[str, Shown] = {}

    def outdate(self, shown: Mapping[str, Shown]) -> None:
        """These look otherwise now."""
        self._outdated.update(shown)

    def current(self) -> dict[str, bytes]:
        """All, by symbol."""
        if self._outdated:
            for symbol, (quote, standing) in self._outdated.items():
                self._fragments[symbol] = self._write(quote, standing)
            self._outdated.clear()
        return self._fragments


class Book:
    """The newest quote of every symbol, with its fragments."""

    def __init__(self) -> None:
        self.quotes: dict[str, StockUpdate] = {}
        self.standings: Mapping[str, Standing] = {}  # as of the last refresh; the others are fresh
        self._shown: dict[str, Shown] = {}
        self._whole = Sheet(None)
        self._parts: dict[Fields, Sheet] = {}  # the one used last is the last

    def update(self, quotes: Mapping[str, StockUpdate]) -> None:
        """Take newer quotes. :meth:`refresh` must follow before fragments are asked for."""
        self.quotes.update(quotes)

    def refresh(self, standings: Mapping[str, Standing]) -> list[str]:
        """Note what is new and whose standing has changed (who is not named is fresh); returns the latter."""
        changed: dict[str, Shown] = {}
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
                sheet.outdate(changed)
        return moved

    def fragments(self, symbols: Iterable[str] | None = None, fields: Fields | None = None) -> list[bytes]:
        """The fragments of the known ones among the symbols, in their order; all of them by default."""
        known = (self._whole if fields is None else self._sheet(fields)).current()
        if symbols is None:
            return list(known.values())
        return [known[symbol] for symbol in symbols if symbol in known]

    def _sheet(self, fields: Fields) -> Sheet:
        sheet = self._parts.pop(fields, None)
        if sheet is None:
            sheet = Sheet(fields)
            sheet.outdate(self._shown)
        self._parts[fields] = sheet
        if len(self._parts) > FIELD_SETS:
            del self._parts[next(iter(self._parts))]
        return sheet


class Envelope:
    """What surrounds the quotes of a ``stock_updates`` message: made now, once for all messages of a cycle."""

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
        """The whole message."""
        count = b"%d" % len(fragments)
        payload = b"".join((self._head, count, b',"data":[', b",".join(fragments), self._tail))
        return SharedMessage(payload, self._position)
