from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from zlotick.model import Origin, StockUpdate, labelled, origin_of_source, utc_text, utc_time

MOMENTS = st.datetimes(
    min_value=datetime(1990, 1, 1),  # noqa: DTZ001  hypothesis adds the zone
    max_value=datetime(2199, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=9, minutes=30))]),
)


@given(MOMENTS)
def test_text_keeps_the_moment_to_the_millisecond(moment: datetime) -> None:
    text = utc_text(moment)
    assert len(text) == 24
    assert text.endswith("Z")
    assert timedelta(0) <= moment - utc_time(text) < timedelta(milliseconds=1)


@given(MOMENTS, MOMENTS)
def test_text_order_is_time_order(one: datetime, other: datetime) -> None:
    if abs(one - other) >= timedelta(milliseconds=1):
        assert (utc_text(one) < utc_text(other)) == (one < other)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        utc_text(datetime(2025, 4, 30, 10))  # noqa: DTZ001  the point of the test
    with pytest.raises(ValueError, match="has no time zone"):
        utc_time("2025-04-30T10:00:00")


def test_the_guide_s_eleven_fields_make_a_quote_in_this_order() -> None:
    quote = StockUpdate(
        "2025-11-06T20:23:56.000Z", "PKN", 65.50, 1.25, 1.94, 1250000, 66.80, 64.20, 64.80, "open", "stooq.pl"
    )
    assert (quote.symbol, quote.low, quote.open, quote.data_source) == ("PKN", 64.20, 64.80, "stooq.pl")
    assert quote.previous_close is None


def test_an_origin_is_known_from_the_source_unless_the_quote_has_one() -> None:
    sources = ["replay", "simulator", "alpha_vantage", "gpw", "my_own"]
    assert [origin_of_source(name).value for name in sources] == [
        "replayed",
        "simulated",
        "end_of_day",
        "delayed",
        "delayed",
    ]
    old = StockUpdate("2025-11-06T20:23:56.000Z", "PKN", 65.5, None, None, 1, None, None, None, "open", "gpw")
    assert labelled(old).origin is Origin.DELAYED
    live = replace(old, origin=Origin.LIVE)
    assert labelled(live) is live
