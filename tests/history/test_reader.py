from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.history.bars import Bar, Period
from zlotick.history.reader import EXAMPLES, Reader

STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
HOURLY = "symbol,date,time_end,open,high,low,close,volume"
DAILY = "symbol,date,open,high,low,close,volume"
DAY = date(2024, 4, 11)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def reader_of(*lines: str, name: str = "f.txt") -> Reader:
    reader = Reader(date(2026, 11, 24))
    reader.read(name, lines)
    return reader


def bars_of(reader: Reader, kind: str, period: Period) -> list[Bar]:
    return [bar for _, bars in reader.bars[kind, period].days(reader.overlaps) for bar in bars]


def test_stooq_hourly_daily_and_five_minutes() -> None:
    reader = reader_of(
        STOOQ,
        "11B,60,20240411,100000,510,515,509.5,512,415.75,0",
        "11b,D,20240411,000000,510,520,500,501,9000,0",
        "11B,5,20240411,090500,510,511,510,511,0,0",
    )
    assert not reader.rejected.counts
    assert bars_of(reader, "stooq-bulk", Period.HOUR) == [
        Bar("11B", DAY, seconds("2024-04-11 07:00"), seconds("2024-04-11 08:00"), 510, 515, 509.5, 512, 416)
    ]
    assert bars_of(reader, "stooq-bulk", Period.DAY) == [
        Bar("11B", DAY, seconds("2024-04-11 07:00"), seconds("2024-04-11 15:05"), 510, 520, 500, 501, 9000)
    ]
    assert bars_of(reader, "stooq-bulk", Period.FIVE_MINUTES) == [
        Bar("11B", DAY, seconds("2024-04-11 07:00"), seconds("2024-04-11 07:05"), 510, 511, 510, 511, 0)
    ]


def test_our_own_hourly_and_daily() -> None:
    reader = reader_of(HOURLY, "11B,2024-12-02,10:00,1,2,0.5,1.5,7")
    reader.read("d.csv", [DAILY, "", "11B,2024-12-02,1,2,0.5,1.5,7"])
    reader.read("empty.txt", [])
    assert not reader.rejected.counts
    winter = date(2024, 12, 2)
    assert bars_of(reader, "import", Period.HOUR) == [
        Bar("11B", winter, seconds("2024-12-02 08:00"), seconds("2024-12-02 09:00"), 1, 2, 0.5, 1.5, 7)
    ]
    assert bars_of(reader, "import", Period.DAY) == [
        Bar("11B", winter, seconds("2024-12-02 08:00"), seconds("2024-12-02 16:05"), 1, 2, 0.5, 1.5, 7)
    ]


@pytest.mark.parametrize(
    ("line", "field", "told"),
    [
        ("11B,60,20240411,100000,510,515,509,512,415", "columns", "'9' must be 10"),
        ("11 B,60,20240411,100000,510,515,509,512,415,0", "symbol", "'11 B' must be 1 to 16"),
        ("11B,15,20240411,100000,510,515,509,512,415,0", "<PER>", "'15' must be D, 60 or 5"),
        ("11B,60,20240431,100000,510,515,509,512,415,0", "date", "'2024-04-31' must be a date"),
        ("11B,60,19900101,100000,510,515,509,512,415,0", "date", "from 1991-04-16 on"),
        ("11B,60,20300101,100000,510,515,509,512,415,0", "date", "is in the future"),
        ("11B,60,20240411,250000,510,515,509,512,415,0", "time", "'25:00' must be"),
        ("11B,60,20240411,100030,510,515,509,512,415,0", "time", "'100030' must be"),
        ("11B,60,20240411,003000,510,515,509,512,415,0", "time", "began the day before"),
        ("11B,60,20240411,100000,-1,515,509,512,415,0", "open", "'-1' must be a price above 0"),
        ("11B,60,20240411,100000,510,nan,509,512,415,0", "high", "'nan' must be a price above 0"),
        ("11B,60,20240411,100000,510,515,0,512,415,0", "low", "'0' must be a price above 0"),
        ("11B,60,20240411,100000,510,515,509,1e999,415,0", "close", "must be a price above 0"),
        ("11B,60,20240411,100000,510,511,509,512,415,0", "range", "low <= open, close <= high does not hold"),
        ("11B,60,20240411,100000,510,515,509,512,-5,0", "volume", "'-5' must be a number of shares"),
    ],
)
def test_a_wrong_line_is_rejected_with_its_place_field_value_and_rule(
    line: str, field: str, told: str
) -> None:
    reader = reader_of(STOOQ, "ABC,60,20240411,100000,510,515,509,512,415,0", line)
    assert dict(reader.rejected.counts) == {field: 1}
    [example] = reader.rejected.examples[field]
    assert example.startswith(f"f.txt:3: {field} ")
    assert told in example
    assert [bar.symbol for bar in bars_of(reader, "stooq-bulk", Period.HOUR)] == ["ABC"]


def test_only_the_first_few_are_told_all_are_counted() -> None:
    reader = reader_of(HOURLY, *["x"] * 100)
    assert reader.rejected.counts == {"columns": 100}
    assert len(reader.rejected.examples["columns"]) == EXAMPLES


def test_another_header_rejects_the_file() -> None:
    reader = reader_of("Symbol,Date", "11B,2024-04-11", name="other.csv")
    assert reader.rejected.counts == {"header": 1}
    assert reader.rejected.examples["header"][0].startswith(
        "other.csv:1: header 'Symbol,Date' must be '<TICKER>"
    )


def test_quoted_cells_are_what_they_quote() -> None:
    """RFC 4180, as R's write.csv and databases write it: replay read it, an import refused the header."""
    plain = reader_of(HOURLY, "11B,2024-04-11,10:00,1,2,0.5,1.5,7")
    columns = ",".join(f'"{name}"' for name in HOURLY.split(","))
    for header, line in [
        (columns, '"11B","2024-04-11","10:00",1,2,0.5,1.5,7'),
        (columns.upper(), '"11B","2024-04-11","10:00","1","2","0.5","1.5","7"'),
    ]:
        quoted = reader_of(header, line)
        assert not quoted.rejected.counts
        assert bars_of(quoted, "import", Period.HOUR) == bars_of(plain, "import", Period.HOUR)


@pytest.mark.parametrize(
    "line", ['"11B,2024-04-11,10:00,1,2,0.5,1.5,7', '11B,"2024-04-11\n",10:00,1,2,0.5,1.5,7']
)
def test_a_wrong_quotation_is_rejected(line: str) -> None:
    assert sum(reader_of(HOURLY, line).rejected.counts.values()) == 1


def test_numbers_may_have_powers_of_ten() -> None:
    """Spreadsheets write 1.5E+06: it was "must be a number of shares" for its plus sign."""
    reader = reader_of(DAILY, "11B,2024-04-11,1.2e-05,2E+0,1E-05,1.5e00,1.5E+06")
    [bar] = bars_of(reader, "import", Period.DAY)
    assert bar[4:] == (0.000012, 2.0, 0.00001, 1.5, 1_500_000)


def test_stooq_s_other_series_are_passed_over_and_told() -> None:
    """Each line of thousands of a whole bulk archive was a rejection, so that true ones drowned in them."""
    lines = [
        f"{ticker},D,20240411,000000,17,17,17,17,0,0" for ticker in ("11B_PE", "wig_banki", "10PLY.B", "^SPX")
    ]
    reader = reader_of(STOOQ, *lines, *lines, "11B,D,20240411,000000,510,520,500,501,9000,0")
    assert reader.no_stocks == {"11B_PE", "WIG_BANKI", "10PLY.B", "^SPX"}
    assert not reader.rejected.counts
    assert [bar.symbol for bar in bars_of(reader, "stooq-bulk", Period.DAY)] == ["11B"]


@pytest.mark.parametrize(
    "header",
    [
        "Date,Open,High,Low,Close,Volume",
        "Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen",
        "Data,Otwarcie,Najwyższy,Najniższy,Zamknięcie,Wolumen",
    ],
)
def test_a_file_of_one_stock(header: str) -> None:
    """Stooq's download button: the message named three headers, but not that only the symbol lacks."""
    line = "2024-04-11,510,520,500,501,9000"
    reader = Reader(DAY, "ABS")
    reader.read("abs_d.csv", [header, line])
    assert not reader.rejected.counts
    [bar] = bars_of(reader, "import", Period.DAY)
    assert (bar.symbol, bar.day, *bar[4:]) == ("ABS", DAY, 510, 520, 500, 501, 9000)
    [told] = reader_of(header, line).rejected.examples["header"]
    assert "is of one stock, without its symbol; add --symbol, such as --symbol ABS" in told


def test_a_symbol_is_not_put_over_those_of_a_file() -> None:
    reader = Reader(DAY, "ABS")
    reader.read("bars.csv", [DAILY, "11B,2024-04-11,510,520,500,501,9000"])
    assert not reader.bars
    assert "leave --symbol out" in reader.rejected.examples["header"][0]


def test_two_bars_of_one_time_the_first_counts_and_the_place_of_the_other_is_told() -> None:
    reader = reader_of(HOURLY, "11B,2024-04-11,10:00,1,1,1,1,7", "11B,2024-04-11,10:30,1,1,1,1,7")
    reader.read("again.csv", [HOURLY, "11B,2024-04-11,10:00,1,1,1,1,7"])
    assert [bar.end for bar in bars_of(reader, "import", Period.HOUR)] == [seconds("2024-04-11 08:00")]
    assert reader.rejected.counts == {"overlap": 2}
    assert {example.partition(" ")[0] for example in reader.rejected.examples["overlap"]} == {
        "f.txt:3:",
        "again.csv:2:",
    }


def test_a_session_with_a_rejected_bar_is_incomplete_but_not_one_with_the_same_bar_twice() -> None:
    same = "ABC,2024-04-11,10:00,1,1,1,1,7"
    reader = reader_of(HOURLY, "11B,2024-04-11,10:00,1,1,1,1,-7", same, same, "11B,when,10:00,1,1,1,1,7")
    bars_of(reader, "import", Period.HOUR)
    assert reader.bars["import", Period.HOUR].incomplete == {("11B", DAY)}


def test_days_come_in_order_whatever_the_order_of_the_lines() -> None:
    lines = [
        f"{symbol},2024-04-{day},{hour}:00,1,1,1,1,7"
        for symbol in ("BBB", "AAA")
        for day in (12, 11)
        for hour in (11, 10)
    ]
    reader = reader_of(HOURLY, *lines)
    days = list(reader.bars["import", Period.HOUR].days(reader.overlaps))
    assert [day for day, _ in days] == [date(2024, 4, 11), date(2024, 4, 12)]
    for _, bars in days:
        assert [bar.symbol for bar in bars] == ["BBB", "BBB", "AAA", "AAA"]
        assert bars[0].end == bars[1].start


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=60), max_size=5))
def test_any_text_is_rejected_or_read_never_a_crash(lines: list[str]) -> None:
    for header in (STOOQ, HOURLY, DAILY):
        reader_of(header, *lines)
    reader_of(*lines)


CELLS = st.sampled_from(
    ["11B", "60", "D", "5", "20240411", "100000", "1", "2.5", "", "-", "1e5", "٣", "9" * 50]
)


@given(st.lists(CELLS, min_size=10, max_size=10))
def test_any_cells_are_rejected_or_read_never_a_crash(cells: list[str]) -> None:
    reader = reader_of(STOOQ, ",".join(cells))
    assert sum(map(len, reader.bars.values())) + sum(reader.rejected.counts.values()) == 1


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (HOURLY, "11B,2024-04-11,10:00,510,5,509,512,7"),  # a high below the low
        (HOURLY, "11B,2024-04-11,25:00,510,515,509,512,7"),
        (HOURLY, "11B,2024-04-11,10:00,51"),  # the file was cut
        (STOOQ, "11B,60,20240411,100000,510,515,509,512,4,1,5,0"),
    ],
)
def test_a_rejected_line_tells_of_its_session(header: str, line: str) -> None:
    """What is stored of the session is replaced, so it must be known of lines that lack the rest."""
    reader = reader_of(header, line)
    [bars] = reader.bars.values()
    assert bars.incomplete == {("11B", DAY)}
    assert list(bars.days(reader.overlaps)) == [(DAY, [])]


@pytest.mark.parametrize("line", ["11b'--,2024-04-11,10:00,1", "11B,yesterday,10:00,1,1,1,1,1", "11B"])
def test_a_rejected_line_without_a_readable_session_tells_of_none(line: str) -> None:
    assert reader_of(HOURLY, line).bars == {}
