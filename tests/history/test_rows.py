from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.history.bars import Bar
from zlotick.history.rows import points, rows_of_day
from zlotick.model import StockUpdate

DAY = date(2024, 4, 11)
NINE = 1_712_818_800  # 9:00 in Warsaw

prices = st.floats(0.01, 10_000).map(lambda price: round(price, 4))


@st.composite
def bars(draw: st.DrawFn, hour: int = 0) -> Bar:
    low, *between, high = sorted(draw(st.lists(prices, min_size=4, max_size=4)))
    opened, close = (
        draw(st.permutations([*between]))
        if draw(st.booleans())
        else draw(st.lists(st.sampled_from([low, high, *between]), min_size=2, max_size=2))
    )
    start = NINE + hour * 3600
    return Bar("AAA", DAY, start, start + 3600, opened, high, low, close, draw(st.integers(0, 10**9)))


@given(bars())
def test_the_points_give_back_the_bar_and_nothing_else(bar: Bar) -> None:
    found = points(bar)
    of_time = [price for _, price in sorted(found)]
    assert (of_time[0], max(of_time), min(of_time), of_time[-1]) == (bar.open, bar.high, bar.low, bar.close)
    assert set(of_time) <= {bar.open, bar.high, bar.low, bar.close}
    assert all(bar.start <= second < bar.end for second, _ in found)
    assert len({second for second, _ in found}) == len(found) <= 4


@given(st.tuples(*(bars(hour) for hour in range(3))))
def test_a_session_adds_up(session: tuple[Bar, ...]) -> None:
    rows = list(rows_of_day(session, "import-1h"))
    ends = [row for row in rows if row.volume is not None]
    assert [row.volume for row in ends] == [sum(bar.volume for bar in session[: n + 1]) for n in range(3)]
    assert [row.price for row in ends] == [bar.close for bar in session]
    for n, row in enumerate(ends):
        until = session[: n + 1]
        assert (row.open, row.high, row.low) == (
            session[0].open,
            max(bar.high for bar in until),
            min(bar.low for bar in until),
        )
    assert all(row.low <= row.price <= row.high for row in rows)


def test_a_row_says_what_the_bar_says_and_no_more() -> None:
    rows = list(rows_of_day([Bar("AAA", DAY, NINE, NINE + 3600, 10, 12, 9, 11, 100)], "stooq-bulk-1h"))
    assert [(row.timestamp[11:19], row.price) for row in rows] == [
        ("07:00:00", 10),
        ("07:20:00", 9),  # it rose: the low came first
        ("07:40:00", 12),
        ("07:59:59", 11),
    ]
    assert rows[-1] == StockUpdate(
        timestamp="2024-04-11T07:59:59.000Z",
        symbol="AAA",
        price=11,
        change=None,
        change_percent=None,
        volume=100,
        high=12,
        low=9,
        open=10,
        market_status="open",
        data_source="stooq-bulk-1h",
    )


def test_of_an_incomplete_session_nobody_knows_the_sums() -> None:
    rows = list(rows_of_day([Bar("AAA", DAY, NINE, NINE + 3600, 10, 12, 9, 11, 100)], "x-1h", {("AAA", DAY)}))
    assert {(row.volume, row.high, row.low, row.open) for row in rows} == {(None, None, None, None)}
    assert [row.price for row in rows] == [10, 9, 12, 11]


@pytest.mark.parametrize("day", ["2025-11-22", "2010-01-06", "2010-12-31"])
def test_a_traded_row_is_never_of_a_weekend_or_a_holiday(day: str) -> None:
    """Saturday by resolution (market.extra_open), Epiphany and New Year's Eve before 2011: these said
    ``weekend`` and ``holiday``, so that `WHERE market_status = 'open'` dropped the whole session."""
    start = int(datetime.fromisoformat(f"{day}T08:00Z").timestamp())
    [row] = rows_of_day([Bar("AAA", date.fromisoformat(day), start, start + 3600, 9, 9, 9, 9, 1)], "x-1h")
    assert row.market_status == "open"
