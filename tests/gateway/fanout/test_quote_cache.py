from __future__ import annotations

import json
from itertools import combinations, islice
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.factories import quote
from tests.gateway.serving import SILENT

from zlotick.gateway.fanout.quote_cache import FIELD_SETS, Envelope, QuoteCache, quote_json, quote_writer
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


def test_the_cache_encodes_only_what_is_new_or_has_grown_stale() -> None:
    cache = QuoteCache()
    early, late = quote("ABS"), quote("ACG")
    cache.put({"ABS": early, "ACG": late})
    assert cache.refresh({}) == []
    before = cache.fragments()
    cache.put({"ABS": early, "ACG": msgspec.structs.replace(late, price=11.0)})
    cache.refresh({})
    after = cache.fragments()
    assert after[0] is before[0]
    assert json.loads(after[1])["price"] == 11.0

    assert cache.refresh({"ABS": SILENT, "XXX": SILENT}) == ["ABS"]
    assert [json.loads(fragment)["stale"] for fragment in cache.fragments()] == [True, False]
    assert cache.refresh({"ABS": Standing(stale=True, reason=StaleReason.SILENT)}) == []
    missing = Standing(stale=True, reason=StaleReason.MISSING)
    assert cache.refresh({"ABS": missing, "ACG": FRESH}) == ["ABS"]
    assert json.loads(cache.fragments()[0])["stale_reason"] == "missing"
    assert cache.refresh({}) == ["ABS"]
    assert [json.loads(fragment)["stale"] for fragment in cache.fragments()] == [False, False]


def test_fragments_of_symbols_come_in_their_order_without_the_unknown() -> None:
    cache = QuoteCache()
    cache.put({symbol: quote(symbol) for symbol in ("ABS", "ACG", "AGO")})
    cache.refresh({})
    assert [json.loads(found)["symbol"] for found in cache.fragments(["AGO", "XXX", "ABS"])] == ["AGO", "ABS"]


def test_some_fields_of_a_quote_are_encoded_once_until_it_changes() -> None:
    cache = QuoteCache()
    cache.put({"ABS": quote("ABS", 10.0), "ACG": quote("ACG")})
    cache.refresh({"ACG": SILENT})
    fields = ("symbol", "price", "stale")
    before = cache.fragments(fields=fields)
    assert json.loads(before[0]) == {"symbol": "ABS", "price": 10.0, "stale": False}
    assert list(json.loads(before[1])) == list(fields)
    assert json.loads(before[1])["stale"] is True
    cache.put({"ABS": quote("ABS", 11.0)})
    cache.refresh({})
    after = cache.fragments(["ACG", "XXX", "ABS"], fields)
    assert [json.loads(found)["price"] for found in after] == [10.0, 11.0]
    assert json.loads(after[0])["stale"] is False
    others = [name for name in WIRE_FIELDS if name != "symbol"]
    for some in islice(combinations(others, 3), FIELD_SETS + 5):
        cache.fragments(fields=("symbol", *some))
    assert len(cache._parts) == FIELD_SETS


@given(quotes, standings, st.sets(st.sampled_from(WIRE_FIELDS)))
def test_a_part_says_what_the_whole_says(update: StockUpdate, standing: Standing, names: set[str]) -> None:
    fields = tuple(name for name in WIRE_FIELDS if name in {"symbol", *names})
    whole = json.loads(quote_json(update, standing))
    part = json.loads(quote_writer(fields)(update, standing))
    assert list(part.items()) == [(name, whole[name]) for name in fields]
