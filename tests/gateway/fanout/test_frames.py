from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zlotick.gateway.fanout.frames import (
    CLOSE,
    DEFLATE_FROM,
    SharedMessage,
    close_frame,
    deflate,
    deflated,
    frame,
    plain,
)
from zlotick.model import Position


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_frame_headers_at_the_edges_of_their_three_forms(size: int) -> None:
    data = frame(b"x" * size)
    assert data[0] == 0x81
    marker = data[1]
    if size < 126:
        assert marker == size
        assert data[2:] == b"x" * size
    elif size < 65536:
        assert (marker, int.from_bytes(data[2:4], "big")) == (126, size)
        assert len(data) == size + 4
    else:
        assert (marker, int.from_bytes(data[2:10], "big")) == (127, size)
        assert len(data) == size + 10


@settings(deadline=None)
@given(st.binary(max_size=5000))
def test_deflated_payloads_inflate_alone(payload: bytes) -> None:
    """No context takeover: each frame is readable without any that came before."""
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated(payload) + b"\x00\x00\xff\xff")
    assert inflated == payload


def test_frames_are_built_once_and_only_when_needed() -> None:
    message = SharedMessage(b"y" * DEFLATE_FROM)
    assert message.encoded(plain) is message.encoded(plain)
    assert message.encoded(deflate) is message.encoded(deflate)
    assert message.encoded(deflate)[0] == 0xC1
    small = SharedMessage(b"y" * (DEFLATE_FROM - 1))
    assert small.encoded(deflate) is small.encoded(plain)


def test_close_frames() -> None:
    assert close_frame(None) == bytes((0x80 | CLOSE, 0))
    assert close_frame(4001, "slow") == bytes((0x88, 6)) + (4001).to_bytes(2, "big") + b"slow"
    assert len(close_frame(1001, "long " * 100)) == 127


def test_another_transport_brings_its_own_encoding() -> None:
    message = SharedMessage(b"{}", Position("e", 4))

    def event(message: SharedMessage) -> bytes:
        assert message.position is not None
        return b"id: %d\ndata: %b\n\n" % (message.position.offset, message.payload)

    assert message.encoded(event) is message.encoded(event)
    assert message.encoded(event) == b"id: 4\ndata: {}\n\n"
