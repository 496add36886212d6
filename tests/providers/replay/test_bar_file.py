from __future__ import annotations

import gzip
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tests import shared

from zlotick.errors import ReplayError
from zlotick.providers.replay.bar_file import SCALE, read_bars

HEADER = "symbol,date,time_end,open,high,low,close,volume\n"
LINE = "PKN,2025-04-30,10:00,65.5,66,64.25,65.0001,1000\n"
SHARED = shared.FOLDER / "data" / "hourly_swig80.csv.gz"


def write(path: Path, text: str | bytes, name: str = "bars.csv") -> Path:
    file = path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_a_bar_is_read_exactly(tmp_path: Path) -> None:
    file = read_bars(write(tmp_path, HEADER + LINE))
    bar = file.bars["PKN"][0]
    assert datetime.fromtimestamp(bar.start, UTC) == datetime(2025, 4, 30, 7, 0, tzinfo=UTC)
    assert (bar.open, bar.high, bar.low, bar.close) == (6550000000, 6600000000, 6425000000, 6500010000)
    assert bar.close / SCALE == 65.0001
    assert bar.volume == 1000
    assert file.days == [date(2025, 4, 30)]


def test_winter_time_and_mixed_symbols_and_blank_lines(tmp_path: Path) -> None:
    text = f"\ufeff{HEADER}PKN,2025-01-15,10:00,1,1,1,1,1\r\n\r\nKGH,2025-01-14,10:00,1,1,1,1,0\r\nPKN,2025-01-15,11:00,1,1,1,1,1\r\n"
    file = read_bars(write(tmp_path, text))
    assert [len(bars) for bars in file.bars.values()] == [2, 1]
    assert datetime.fromtimestamp(file.bars["PKN"][0].start, UTC).hour == 8
    assert file.days == [date(2025, 1, 14), date(2025, 1, 15)]


def test_the_language_is_that_of_an_import(tmp_path: Path) -> None:
    """The same documented file was read by one and refused by the other: quotes, powers of ten, parts of shares."""
    text = '"Symbol",date,time_end,open,high,low,close,volume\n"PKN","2025-04-30",10:00,65.5,6.6E+01,64,65,1.5E+06\n'
    file = read_bars(
        write(tmp_path, gzip.compress((text + "ABS,2025-04-30,10:00,1,1,1,1,7.75\n").encode()), "B.CSV.GZ")
    )
    assert file.bars["PKN"][0][1:] == (65_5000_0000, 66_0000_0000, 64_0000_0000, 65_0000_0000, 1_500_000)
    assert file.bars["ABS"][0].volume == 8


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("PKN,2025-04-30,11:00,65,66,64,65\n", "must have 8 columns, has 7"),
        ("PKN,2025-04-30,11:00,65,66,64,x,1\n", "close 'x' must be a price above 0"),
        ("PKN,2025-04-30,11:00,NaN,66,64,65,1\n", "open 'NaN' must be a price above 0"),
        ("PKN,2025-04-30,11:00,65,1e99,64,65,1\n", "high '1e99' must be a price above 0"),
        ("PKN,2025-04-30,11:00,65,66,0.00,65,1\n", "low '0.00' must be a price above 0"),
        ("PKN,2025-04-30,11:00,65,66,-64,65,1\n", "low '-64' must be a price above 0"),
        (
            "PKN,2025-04-30,11:00,65,66,64,0.123456789,1\n",
            "close '0.123456789' must be a price above 0, with at",
        ),
        ("PKN,2025-04-30,11:00,65,66,64,٦٥,1\n", "close '٦٥' must be a price above 0"),
        ("PKN,2025-04-30,11:00,65,66,64,65,x\n", "volume 'x' must be a number of shares, 0 or above"),
        ("PKN,2025-04-30,11:00,65,66,64,65,-1\n", "volume '-1' must be a number of shares"),
        ("PKN,2025-04-30,11:00,65,64,66,65,1\n", "low 66 <= open 65, close 65 <= high 64 does not hold"),
        ("PKN,2025-04-30,11:00,67,66,64,65,1\n", "low 64 <= open 67, close 65 <= high 66 does not hold"),
        ("PKN,2025-04-30,11:00,65,66,64,63,1\n", "low 64 <= open 65, close 63 <= high 66 does not hold"),
        ("PKN,2025-04-31,11:00,65,66,64,65,1\n", "date '2025-04-31' must be a date such as 2025-04-30"),
        ("PKN,20250430,11:00,65,66,64,65,1\n", "date '20250430' must be a date"),
        (
            "PKN,2025-04-30,24:00,65,66,64,65,1\n",
            "time '24:00' must be the time of day at which the bar ends",
        ),
        (
            "PKN,2025-04-30,00:30,65,66,64,65,1\n",
            "time '00:30' is the end of a bar that began the day before",
        ),
        ("pkn,2025-04-30,11:00,65,66,64,65,1\n", "symbol 'pkn' must be 1 to 16 of A-Z and 0-9"),
        (LINE, "duplicate bar PKN 2025-04-30 10:00; keep one"),
        ("PKN,2025-04-29,17:00,65,66,64,65,1\n", "bar PKN 2025-04-29 17:00 is earlier than the one before"),
        ("PKN,2025-04-30,10:30,65,66,64,65,1\n", "bar PKN 2025-04-30 10:30 overlaps the one before"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: str, problem: str) -> None:
    file = write(tmp_path, HEADER + LINE + bad)
    with pytest.raises(ReplayError) as caught:
        read_bars(file)
    assert str(caught.value).startswith(f"{file}, line 3: {problem}")


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    file = write(tmp_path, (HEADER + LINE).encode() + b"\xa3\xc4D,2025-04-30,10:00,65,66,64,65,1\n")
    with pytest.raises(ReplayError, match=r"line 3: symbol '.*' must be"):
        read_bars(file)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the header must be 'symbol,date,time_end,open,high,low,close,volume', was ''"),
        ("<TICKER>,<PER>\n", "line 1: the header must be .*, was '<TICKER>,<PER>'"),
        (HEADER, "line 1: has no bars"),
        (HEADER + "X" * 200_000, "after line 1: is not CSV"),
    ],
)
def test_a_file_of_another_kind(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ReplayError, match=problem):
        read_bars(write(tmp_path, text))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match=r"nowhere.csv: cannot be read: No such file or directory"):
        read_bars(tmp_path / "nowhere.csv")
    with pytest.raises(ReplayError, match="cannot be read: Is a directory"):
        read_bars(tmp_path)


def test_gzip_and_every_way_it_can_be_damaged(tmp_path: Path) -> None:
    lines = "".join(f"S{n:05},2025-04-30,10:00,65.5,66,64.25,65,{n}\n" for n in range(500))
    packed = gzip.compress((HEADER + lines).encode())
    assert len(read_bars(write(tmp_path, packed, "good.csv.gz")).bars) == 500
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0xFF
    for damaged in (packed[: len(packed) // 2], packed[:-4], bytes(flipped), b"no gzip at all", b""):
        with pytest.raises(ReplayError, match=r"bad\.csv\.gz, "):
            read_bars(write(tmp_path, damaged, "bad.csv.gz"))


def test_a_year_of_the_whole_index_is_lean() -> None:
    if not SHARED.exists():
        pytest.skip(f"no shared data beside the checkout: {SHARED}")
    file = read_bars(SHARED)
    kept = sum(sys.getsizeof(column) for bars in file.bars.values() for column in bars._columns)
    assert sum(len(bars) for bars in file.bars.values()) == 151_528
    assert len(file.bars) == 78
    assert len(file.days) == 264
    assert kept < 10_000_000
