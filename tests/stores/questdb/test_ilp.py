"""The line encoder: what it writes, and what it refuses to write."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.factories import quote

from zlotick.model import Review
from zlotick.stores.questdb.ilp import RowKey, Unencodable, encode, encode_erased

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


FULL = quote(
    "11B",
    512.5,
    timestamp="2025-04-30T09:00:00.123Z",
    change=2.5,
    change_percent=0.4902,
    volume=1204,
    high=515.0,
    low=510.0,
    open=510.0,
    previous_close=510.0,
    exchange_time="2025-04-30T09:00:00.123Z",
    received_at="2025-04-30T09:00:01.000Z",
    delay_seconds=900,
    review=Review.CONFIRMED,
)


def test_a_full_line() -> None:
    assert encode(FULL) == (
        b"stock_data,symbol=11B,data_source=replay,market_status=open,origin=replayed,review=confirmed price=512.5,change=2.5,"
        b"change_percent=0.4902,volume=1204i,high=515.0,low=510.0,open=510.0,previous_close=510.0,"
        b"exchange_time=1746003600123000t,received_at=1746003601000000t,delay_seconds=900i 1746003600123000\n"
    )


def test_what_is_unknown_is_left_out() -> None:
    unknown = dict.fromkeys(
        [
            "change",
            "change_percent",
            "volume",
            "high",
            "low",
            "open",
            "previous_close",
            "exchange_time",
            "received_at",
            "delay_seconds",
            "origin",
            "review",
        ]
    )
    line = encode(quote(market_status="", **unknown))
    assert line == b"stock_data,symbol=ABS,data_source=replay price=10.0 1745996400000000\n"


def test_whole_prices_stay_doubles_and_times_may_carry_any_zone() -> None:
    line = encode(quote(price=512, timestamp="2025-04-30T11:00:00.123456+02:00"))
    assert b" price=512.0," in line
    assert line.endswith(b" 1746003600123456\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("symbol", ""),
        ("symbol", None),
        ("symbol", "A\0"),
        ("symbol", "half \ud800 pair"),
        ("data_source", ""),
        ("market_status", 5),
        ("price", None),
        ("price", float("nan")),
        ("price", float("inf")),
        ("price", True),
        ("price", "512.5"),
        ("price", 10**400),
        ("high", float("-inf")),
        ("volume", 1204.0),
        ("volume", False),
        ("volume", 2**63),
        ("volume", -(2**63)),  # QuestDB's NULL
        ("delay_seconds", 2**31),
        ("delay_seconds", -(2**31)),
        ("timestamp", ""),
        ("timestamp", None),
        ("timestamp", "2025-04-30T09:00:00"),  # no zone
        ("timestamp", "yesterday"),
        ("timestamp", "1969-12-31T23:59:59Z"),
        ("timestamp", "0001-01-01T00:00:00+02:00"),
        ("exchange_time", "09:00"),
    ],
)
def test_what_a_line_cannot_carry_truthfully_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(Unencodable, match=f"^{field} "):
        encode(msgspec.structs.replace(FULL, **{field: value}))


@given(symbol=texts, source=texts, price=st.floats(allow_nan=False, allow_infinity=False))
def test_every_line_is_one_line_and_can_be_read_back(symbol: str, source: str, price: float) -> None:
    line = encode(quote(symbol, data_source=source, price=price)).decode()
    one = re.fullmatch(
        r"stock_data,symbol=((?:\\.|[^\\ ,=\n\r])+),data_source=((?:\\.|[^\\ ,=\n\r])+),market_status=open,origin=replayed "
        r"price=([^,]+),[^ ]* \d+\n",
        line,
        re.DOTALL,
    )
    assert one
    assert [re.sub(r"\\(.)", r"\1", tag, flags=re.DOTALL) for tag in one.groups()[:2]] == [symbol, source]
    assert float(one[3]) == price


def test_an_erased_row_has_its_key_only() -> None:
    line = encode_erased(RowKey("2025-04-30T09:00:00.123Z", "A B", "import-1h"))
    assert line == b"stock_data,symbol=A\\ B,data_source=import-1h price=NaN 1746003600123000\n"
