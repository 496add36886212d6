from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zlotick.config import UniverseConfig
from zlotick.errors import ConfigError
from zlotick.market.list_import import HEADER_WITHIN, MAX_BYTES, read
from zlotick.market.universe import Member, csv_text, load

DAY = date(2026, 11, 24)
ORLEN, KGHM = "PLPKN0000018", "PLKGHM000017"
PKN = Member("PKN", "ORLEN", ORLEN, DAY)
ZYW = Member("ZWC", "ŻYWIEC", "", DAY)


def members(data: str | bytes, **tickers: str) -> list[Member]:
    raw = data.encode() if isinstance(data, str) else data
    return read("my.csv", raw, as_of=DAY, tickers={isin: symbol for symbol, isin in tickers.items()})


def problems(data: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        members(data)
    return caught.value.problems


@pytest.mark.parametrize(
    "text",
    [
        f"symbol,name,isin\nPKN,ORLEN,{ORLEN}\n",
        f"ticker;Nazwa;ISIN\r\npkn;ORLEN;{ORLEN}\r\n",
        f"Lp.\tISIN\tNazwa spółki\tSkrót\tWaga\n1\t{ORLEN}\tORLEN\tPKN\t3,5\n",
        f"Portfel indeksu\nstan na 24.11.2026;;\n\nSkrót;Nazwa;Kod ISIN\n;;\nPKN;ORLEN;{ORLEN}\n;;\n",
        f'"Symbol","Company name","ISIN","Data"\n"PKN","ORLEN","{ORLEN}","{DAY}"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1250", "utf-16"])
def test_common_shapes(text: str, encoding: str) -> None:
    assert members(text.encode(encoding)) == [PKN]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1250", "utf-16"])
def test_polish_letters(encoding: str) -> None:
    assert members("Skrót;Nazwa\nZWC;ŻYWIEC\n".encode(encoding)) == [ZYW]


def test_the_rows_own_date_counts() -> None:
    assert members("symbol,as_of\nPKN,2026-04-04\nZWC,\n") == [
        Member("PKN", "", "", date(2026, 4, 4)),
        Member("ZWC", "", "", DAY),
    ]


def test_a_funds_holdings_have_isins_only() -> None:
    assert members(f"Lp.;Nazwa;ISIN\n1;ORLEN;{ORLEN}\n", PKN=ORLEN) == [PKN]


def test_every_problem_is_told_with_its_line() -> None:
    text = f"title\nsymbol;isin\nPKN;{ORLEN}\nPKN;{KGHM}\nORL;{ORLEN}\nG+;\nKGH;PLKGHM000018\n;{KGHM}\n;\nX;;extra\n;x\n"
    assert problems(text) == [
        "my.csv, line 4: 'PKN' is already in line 3; keep one",
        f"my.csv, line 5: '{ORLEN}' is already in line 3; keep one",
        "my.csv, line 6: symbol 'G+' must be 1 to 16 of A-Z and 0-9",
        "my.csv, line 7: isin 'PLKGHM000018' of KGH fails its check digit; correct it or leave it empty",
        f"my.csv, line 8: isin '{KGHM}' has no ticker here and is in no packaged list; add a column symbol with its ticker",
        "my.csv, line 11: isin 'X' has no ticker here and is in no packaged list; add a column symbol with its ticker",
    ]


def test_a_cell_of_two_lines_does_not_shift_the_numbers() -> None:
    assert problems('symbol,name\nPKN,"OR\nLEN"\nG+,x\n') == [
        "my.csv, line 4: symbol 'G+' must be 1 to 16 of A-Z and 0-9"
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no header within its first"),
        (b"a,b\n1,2\n", "no header within its first"),
        (b"\n" * HEADER_WITHIN + b"symbol\nPKN\n", "no header within its first"),
        (b"symbol,name\n", "has no stocks below its header"),
        (b"PK\x03\x04" + bytes(100), "is a spreadsheet; save it as CSV first"),
        (b"symbol\nP\x00N\n", "is not text"),
        (b"symbol\nP\x81N\n", "is not text"),
        (b"\xff\xfeP", "is not text"),
        (b"symbol\n" + b"X" * 200_000, "field larger than field limit"),
        (b"x" * (MAX_BYTES + 1), "is larger than 1,000,000 bytes"),
    ],
)
def test_what_is_no_list_is_refused(data: bytes, told: str) -> None:
    (problem,) = problems(data)
    assert problem.startswith("my.csv: ")
    assert told in problem


def test_a_name_of_two_lines_is_one_name() -> None:
    assert members('symbol,name\nPKN,"PKN \r\n ORLEN"\n')[0].name == "PKN ORLEN"


def test_a_name_that_cannot_be_shown_is_refused() -> None:
    assert problems("symbol,name\nPKN,\x1b[2J\n") == [
        r"my.csv, line 2: name '\x1b[2J' of PKN has characters that cannot be shown; type it again"
    ]


def test_our_own_list_is_taken_as_it_is() -> None:
    ours = load(UniverseConfig()).members()
    assert members(csv_text(ours)) == ours


@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: f"symbol,isin\n{text}".encode()))
def test_whatever_comes_is_a_list_or_a_clear_no(data: bytes) -> None:
    try:
        found, told = members(data), [""]
    except ConfigError as error:
        found, told = [], error.problems
    assert all(problem.startswith("my.csv") for problem in told) != bool(found)
    assert told
    assert len({one.symbol for one in found}) == len(found)
