"""What becomes of stored rows, without a database: a dictionary stands for the table and its upsert keys."""

from __future__ import annotations

from datetime import date, datetime

from hypothesis import given
from hypothesis import strategies as st

from zlotick.history.bars import Bar
from zlotick.history.replacement import replacement
from zlotick.history.rows import rows_of_day
from zlotick.model import StockUpdate, utc_time
from zlotick.stores.questdb import StoredPrice

DAYS = [date(2025, 3, 3), date(2025, 3, 4), date(2025, 3, 5)]
SOURCE = "import-1h"

Table = dict[tuple[str, str], StockUpdate]
File = dict[tuple[str, date], list[Bar]]


def bar(symbol: str, day: date, hour: int, prices: tuple[float, float, float, float], volume: int) -> Bar:
    start = int(datetime.fromisoformat(f"{day}T08:00Z").timestamp()) + hour * 3600
    low, one, other, high = sorted(prices)
    opened, close = (one, other) if prices[0] < prices[1] else (other, one)
    return Bar(symbol, day, start, start + 3600, opened, high, low, close, volume)


@st.composite
def sessions(draw: st.DrawFn, symbol: str, day: date) -> list[Bar]:
    hours = draw(st.lists(st.integers(0, 4), unique=True, max_size=4))
    price = st.sampled_from([9.0, 10.0, 11.0, 12.0])  # few, so that bars are often flat or lack a shadow
    return [
        bar(symbol, day, hour, draw(st.tuples(price, price, price, price)), draw(st.integers(0, 3)))
        for hour in sorted(hours)
    ]


@st.composite
def histories(draw: st.DrawFn) -> File:
    told = draw(st.lists(st.tuples(st.sampled_from(["AAA", "BBB"]), st.sampled_from(DAYS)), unique=True))
    return {session: draw(sessions(*session)) for session in sorted(told)}


def rows_of(file: File) -> list[StockUpdate]:
    return [row for bars in file.values() for row in rows_of_day(bars, SOURCE)]


def put(table: Table, file: File) -> tuple[int, int]:
    stored = [
        StoredPrice(utc_time(row.timestamp), row.symbol, row.price, row.volume) for row in table.values()
    ]
    rows = rows_of(file)
    erased, replaced, removed = replacement(stored, rows, file.keys(), SOURCE)
    for key in erased:
        assert key.data_source == SOURCE
        del table[key.symbol, key.timestamp]
    table |= {(row.symbol, row.timestamp): row for row in rows}
    return replaced, removed


@given(st.lists(histories(), max_size=4))
def test_any_sequence_of_imports_leaves_the_last_file_of_each_session(imports: list[File]) -> None:
    table: Table = {}
    union: File = {}
    for file in imports:
        before = {(one.symbol, one.end): one for bars in union.values() for one in bars}
        union |= file
        now = {(one.symbol, one.end) for bars in union.values() for one in bars}
        assert put(table, file)[1] == len(before.keys() - now)
        assert table == {(row.symbol, row.timestamp): row for row in rows_of(union)}
        assert put(table, file) == (0, 0)  # and the same import again changes nothing


def test_the_bars_of_before_are_counted() -> None:
    """A split: the first hour's low is now its open, so that its row of the low was left and the candle kept it."""
    before = {("AAA", DAYS[0]): [bar("AAA", DAYS[0], hour, (505, 510, 512, 515), 10) for hour in range(3)]}
    after = {("AAA", DAYS[0]): [bar("AAA", DAYS[0], hour, (51, 51, 51.2, 51.5), 100) for hour in range(2)]}
    table: Table = {}
    assert put(table, before) == (0, 0)
    assert put(table, after) == (2, 1)
    assert max(row.price for row in table.values()) == 51.5
