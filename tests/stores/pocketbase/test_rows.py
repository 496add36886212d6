from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import batch, quote

from zlotick.model import Origin, Review, StaleReason, StockUpdate
from zlotick.stores.pocketbase.rows import MarketPicture, quote_of, session_day, stock_row
from zlotick.stores.pocketbase.setup import SCHEMA


def test_every_field_of_a_quote_has_a_column_and_every_column_is_filled() -> None:
    stock_data = next(one for one in SCHEMA if one["name"] == "stock_data")
    columns = {field["name"] for field in stock_data["fields"] if field["type"] != "autodate"}
    assert columns == set(stock_row(quote()))


def test_a_number_that_may_be_unknown_is_json_because_pocketbase_numbers_turn_null_into_0() -> None:
    stock_data = next(one for one in SCHEMA if one["name"] == "stock_data")
    types = {field["name"]: field["type"] for field in stock_data["fields"]}
    numbers = {
        field.name: type(None) in getattr(field.type, "__args__", ())
        for field in msgspec.structs.fields(StockUpdate)
        if field.type in (float, int, float | None, int | None)
    }
    assert len(numbers) == 9
    assert {name: types[name] for name in numbers} == {
        name: "json" if nullable else "number" for name, nullable in numbers.items()
    }


@pytest.mark.parametrize(
    ("collection", "field", "values"),
    [
        ("stock_data", "origin", Origin),
        ("stock_data", "review", Review),
        ("stock_data", "stale_reason", StaleReason),
        ("alerts", "origin", Origin),
    ],
)
def test_every_label_can_be_stored(collection: str, field: str, values: type[StrEnum]) -> None:
    """A value that the schema lacks would make PocketBase refuse the whole record."""
    fields = next(one for one in SCHEMA if one["name"] == collection)["fields"]
    assert next(one for one in fields if one["name"] == field)["values"] == [one.value for one in values]


@pytest.mark.parametrize(
    ("timestamp", "day"),
    [
        ("2025-04-30T08:00:00.000Z", "20250430"),
        ("2025-04-30T21:59:59.999Z", "20250430"),  # Warsaw is two hours ahead in summer
        ("2025-04-30T22:00:00.000Z", "20250501"),
        ("2025-01-30T22:59:59.999Z", "20250130"),  # and one in winter
        ("yesterday", ""),
        ("2025-04-30T08:00:00", ""),
    ],
)
def test_the_session_day_is_warsaws(timestamp: str, day: str) -> None:
    assert session_day(timestamp) == day


def record_of(one: StockUpdate) -> dict[str, Any]:
    """As PocketBase gives it back: a space in times, an empty text for no time, columns of its own."""
    row = stock_row(one) | {"collectionId": "pbc_1", "created": "2025-04-30 08:00:01.000Z"}
    for name in ("origin", "review", "stale_reason"):
        row[name] = row[name] or ""
    for name in ("timestamp", "exchange_time", "received_at"):
        row[name] = (row[name] or "").replace("T", " ")
    return row


@given(
    volume=st.none() | st.integers(0, 2**53 - 1),
    change=st.none() | st.floats(-1e6, 1e6),
    exchange_time=st.none() | st.just("2025-04-30T07:59:59.000Z"),
    origin=st.none() | st.sampled_from(Origin),
    review=st.none() | st.sampled_from(Review),
)
def test_a_row_becomes_the_quote_it_was(
    volume: int | None,
    change: float | None,
    exchange_time: str | None,
    origin: Origin | None,
    review: Review | None,
) -> None:
    one = quote(volume=volume, change=change, exchange_time=exchange_time, origin=origin, review=review)
    assert quote_of(record_of(one)) == one


@pytest.mark.parametrize("wrong", [{"change": "abc"}, {"timestamp": ""}, {"price": None}, {"symbol": 7}])
def test_a_row_that_somebody_spoiled_is_no_quote(wrong: dict[str, Any]) -> None:
    assert quote_of(record_of(quote()) | wrong) is None


def test_the_day_counts_each_symbol_once_by_its_newest_quote() -> None:
    picture = MarketPicture()
    picture.take([batch(quote("AAA", change=1.0, volume=5), quote("BBB", change=-1.0, volume=7))])
    (row,) = picture.take([batch(quote("AAA", change=0.0, volume=9, timestamp="2025-04-30T08:00:30.000Z"))])
    assert row["id"] == "20250430"
    assert (row["advancers"], row["decliners"], row["unchanged"]) == (0, 1, 1)
    assert row["total_volume"] == 16
    assert row["timestamp"] == "2025-04-30T08:00:30.000Z"


def test_what_is_unknown_is_not_counted_and_a_sum_of_nothing_is_null() -> None:
    (row,) = MarketPicture().take([batch(quote(change=None, change_percent=None, volume=None))])
    assert (row["advancers"], row["decliners"], row["unchanged"]) == (0, 0, 0)
    assert row["total_volume"] is None
    assert row["index_summary"] == {
        "symbols": 0, "average_change_percent": None, "top_gainers": [], "top_losers": [],
    }  # fmt: skip


def test_a_quote_of_an_earlier_day_is_not_part_of_today() -> None:
    friday = quote("OLD", change=9.0, volume=1, timestamp="2025-04-25T08:00:00.000Z")
    (row,) = MarketPicture().take([batch(friday, quote("NEW", change=-1.0, volume=2))])
    assert (row["id"], row["advancers"], row["decliners"], row["total_volume"]) == ("20250430", 0, 1, 2)


def test_a_lag_over_two_days_makes_a_row_of_each_as_it_ended() -> None:
    first = [quote("AAA", change=1.0), quote("AAA", change=-1.0)]
    second = [quote("AAA", change=2.0, timestamp="2025-05-02T08:00:00.000Z")]
    rows = MarketPicture().take([batch(one) for one in first + second])
    assert [(row["id"], row["advancers"], row["decliners"]) for row in rows] == [
        ("20250430", 0, 1), ("20250502", 1, 0),
    ]  # fmt: skip


def test_a_batch_without_a_market_status_is_no_news_of_the_market() -> None:
    picture = MarketPicture()
    assert picture.take([batch(quote("AAA", change=1.0), status="")]) == []
    (row,) = picture.take([batch(quote("BBB", change=1.0), status="closed")])
    assert (row["status"], row["advancers"]) == ("closed", 2)


def test_the_summary_names_who_moved_most() -> None:
    quotes = [quote(f"S{n}", change_percent=float(n)) for n in range(-7, 3)]
    (row,) = MarketPicture().take([batch(*quotes)])
    summary = row["index_summary"]
    assert summary["average_change_percent"] == -2.5
    assert [move["symbol"] for move in summary["top_gainers"]] == ["S2", "S1"]
    assert [move["symbol"] for move in summary["top_losers"]] == ["S-7", "S-6", "S-5", "S-4", "S-3"]


@given(st.permutations([("AAA", 1.0), ("BBB", -2.0), ("CCC", 0.0), ("DDD", 3.0)]), st.integers(1, 4))
def test_how_the_quotes_are_cut_into_batches_makes_no_difference(
    changes: list[tuple[str, float]], size: int
) -> None:
    quotes = [quote(symbol, change=change) for symbol, change in changes]
    cut = [batch(*quotes[start : start + size]) for start in range(0, len(quotes), size)]
    (row,) = MarketPicture().take(cut)
    assert (row["advancers"], row["decliners"], row["unchanged"]) == (2, 1, 1)
