from __future__ import annotations

import json
import zlib
from itertools import combinations, islice
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import quote
from tests.gateway.serving import SILENT

from zlotick.gateway.fanout.frames import (
    CLOSE,
    DEFLATE_FROM,
    FIELD_SETS,
    Book,
    Envelope,
    SharedMessage,
    close_frame,
    deflate,
    deflated,
    frame,
    plain,
    quote_json,
    quote_writer,
)
from zlotick.gateway.protocol.subscription import WIRE_FIELDS
from zlotick.model import FRESH, Origin, Position, Review, StaleReason, Standing, StockUpdate

numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text()
quotes = st.builds(
    StockUpdate,
    timestamp=texts,
    symbol=texts,
    price=st.floats(allow_nan=False, allow_infinity=False),
    change=numbers,
    change_percent=numbers,
    volume=st.none() | st.integers(0, 2**62),
    high=numbers,
    low=numbers,
    open=numbers,
    market_status=texts,
    data_source=texts,
    previous_close=numbers,
    exchange_time=st.none() | texts,
    received_at=st.none() | texts,
    delay_seconds=st.none() | st.integers(0, 10**6),
    origin=st.none() | st.sampled_from(Origin),
    review=st.none() | st.sampled_from(Review),
)
standings = st.builds(Standing, stale=st.booleans(), reason=st.none() | st.sampled_from(StaleReason))

GUIDE_FIELDS = [
    "timestamp",
    "symbol",
    "price",
    "change",
    "change_percent",
    "volume",
    "high",
    "low",
    "open",
    "market_status",
    "data_source",
]


def as_json(update: StockUpdate, standing: Standing = FRESH) -> dict[str, Any]:
    """What the standard library makes of it."""
    plain = {name: getattr(update, name) for name in update.__struct_fields__}
    value: dict[str, Any] = json.loads(
        json.dumps({**plain, "stale": standing.stale, "stale_reason": standing.reason})
    )
    return value


@settings(deadline=None)
@given(quotes, standings)
def test_a_fragment_says_what_json_dumps_says(update: StockUpdate, standing: Standing) -> None:
    said = json.loads(quote_json(update, standing))
    assert said == as_json(update, standing)
    assert list(said)[:11] == GUIDE_FIELDS


@settings(deadline=None)
@given(st.lists(quotes, max_size=5), st.booleans(), st.text())
def test_an_assembled_message_is_the_json_of_its_parts(
    updates: list[StockUpdate], snapshot: bool, status: str
) -> None:
    fragments = [quote_json(update, FRESH) for update in updates]
    message = Envelope(position=Position("e", 4), market_status=status, snapshot=snapshot).around(fragments)
    said = json.loads(message.payload)
    assert list(said) == ["type", "timestamp", "count", "data", "position", "snapshot", "market_status"]
    assert said["data"] == [as_json(update) for update in updates]
    assert said["count"] == len(updates)
    assert said["position"] == {"epoch": "e", "offset": 4}
    assert (said["snapshot"], said["market_status"]) == (snapshot, status)


def test_an_unknown_number_is_null_and_never_something_else() -> None:
    said = json.loads(quote_json(quote("ABS", change=None, volume=None, high=float("nan")), FRESH))
    assert (said["change"], said["volume"], said["high"]) == (None, None, None)


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


def test_the_book_encodes_only_what_is_new_or_has_grown_stale() -> None:
    book = Book()
    early, late = quote("ABS"), quote("ACG")
    book.update({"ABS": early, "ACG": late})
    assert book.refresh({}) == []
    before = book.fragments()
    book.update({"ABS": early, "ACG": msgspec.structs.replace(late, price=11.0)})
    book.refresh({})
    after = book.fragments()
    assert after[0] is before[0]
    assert json.loads(after[1])["price"] == 11.0

    assert book.refresh({"ABS": SILENT, "XXX": SILENT}) == ["ABS"]
    assert [json.loads(fragment)["stale"] for fragment in book.fragments()] == [True, False]
    assert book.refresh({"ABS": Standing(stale=True, reason=StaleReason.SILENT)}) == []
    missing = Standing(stale=True, reason=StaleReason.MISSING)
    assert book.refresh({"ABS": missing, "ACG": FRESH}) == ["ABS"]
    assert json.loads(book.fragments()[0])["stale_reason"] == "missing"
    assert book.refresh({}) == ["ABS"]
    assert [json.loads(fragment)["stale"] for fragment in book.fragments()] == [False, False]


def test_fragments_of_symbols_come_in_their_order_without_the_unknown() -> None:
    book = Book()
    book.update({symbol: quote(symbol) for symbol in ("ABS", "ACG", "AGO")})
    book.refresh({})
    assert [json.loads(found)["symbol"] for found in book.fragments(["AGO", "XXX", "ABS"])] == ["AGO", "ABS"]


def test_some_fields_of_a_quote_are_encoded_once_until_it_changes() -> None:
    book = Book()
    book.update({"ABS": quote("ABS", 10.0), "ACG": quote("ACG")})
    book.refresh({"ACG": SILENT})
    fields = ("symbol", "price", "stale")
    before = book.fragments(fields=fields)
    assert json.loads(before[0]) == {"symbol": "ABS", "price": 10.0, "stale": False}
    assert list(json.loads(before[1])) == list(fields)
    assert json.loads(before[1])["stale"] is True
    book.update({"ABS": quote("ABS", 11.0)})
    book.refresh({})
    after = book.fragments(["ACG", "XXX", "ABS"], fields)
    assert [json.loads(found)["price"] for found in after] == [10.0, 11.0]
    assert json.loads(after[0])["stale"] is False
    others = [name for name in WIRE_FIELDS if name != "symbol"]
    for some in islice(combinations(others, 3), FIELD_SETS + 5):
        book.fragments(fields=("symbol", *some))
    assert len(book._parts) == FIELD_SETS


@given(quotes, standings, st.sets(st.sampled_from(WIRE_FIELDS)))
def test_a_part_says_what_the_whole_says(update: StockUpdate, standing: Standing, names: set[str]) -> None:
    fields = tuple(name for name in WIRE_FIELDS if name in {"symbol", *names})
    whole = json.loads(quote_json(update, standing))
    part = json.loads(quote_writer(fields)(update, standing))
    assert list(part.items()) == [(name, whole[name]) for name in fields]


def test_another_transport_brings_its_own_encoding() -> None:
    message = SharedMessage(b"{}", Position("e", 4))

    def event(message: SharedMessage) -> bytes:
        assert message.position is not None
        return b"id: %d\ndata: %b\n\n" % (message.position.offset, message.payload)

    assert message.encoded(event) is message.encoded(event)
    assert message.encoded(event) == b"id: 4\ndata: {}\n\n"
