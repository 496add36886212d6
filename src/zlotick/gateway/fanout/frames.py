"""WebSocket frames (RFC 6455, RFC 7692), each built once and shared by all sessions that get the same message.

A frame is a message behind its header, plain or deflated, built when the first session needs it. Another transport
than a WebSocket brings its own :data:`Encoding`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from struct import Struct

import msgspec

from zlotick.model import Position

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
_FINAL, _COMPRESSED = 0x80, 0x40

DEFLATE_FROM = 1024
"""Bytes: below this, deflating costs more than it saves."""

_DEFLATE_TAIL = 4  # RFC 7692 section 7.2.1: the 00 00 ff ff of a sync flush is not sent
_SHORT, _MEDIUM, _LONG = Struct(">BB").pack, Struct(">BBH").pack, Struct(">BBQ").pack


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
        """The bytes to write: one object for all sessions with this encoding."""
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
