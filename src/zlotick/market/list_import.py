"""Imports a list of stocks as saved by spreadsheets and web pages.

Accepted: comma, semicolon or tab; UTF-8, UTF-16 with a byte order mark, or cp1250 (a Polish Windows). Lines above the
header (a title, a date) and empty lines are skipped. Columns are found by their names, in any order. A list
without tickers (a fund's holdings) is accepted if its ISINs are known.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from zlotick.errors import ConfigError
from zlotick.market.universe import Member, member

MAX_BYTES = 1_000_000
HEADER_WITHIN = 20  # lines

# Written without accents, capitals and spaces.
_HEADERS = {
    "symbol": {"symbol", "ticker", "skrot", "kod", "walor"},
    "name": {"name", "nazwa", "nazwaspolki", "spolka", "company", "companyname", "instrument"},
    "isin": {"isin", "kodisin", "isincode"},
    "as_of": {"as_of", "asof", "date", "data", "nadzien"},
}
_SEPARATORS = (",", ";", "\t")


class _ParsedList(NamedTuple):
    rows: list[tuple[int, list[str]]]  # with the number of the line, below the header
    columns: Mapping[str, int]


def read(origin: str, data: bytes, *, as_of: date, tickers: Mapping[str, str]) -> list[Member]:
    """The members, checked. ``as_of`` holds for rows without a date; ``tickers`` are known tickers by ISIN.

    Raises ConfigError that lists every problem with its line.
    """
    try:
        table = _table(_text(data))
    except (ValueError, csv.Error) as error:
        raise ConfigError([f"{origin}: {error}"]) from error
    members: list[Member] = []
    problems: list[str] = []
    seen: dict[str, int] = {}
    for line, cells in table.rows:
        try:
            one = _member(cells, table.columns, as_of, tickers)
            for key in filter(None, (one.symbol, one.isin)):
                if seen.setdefault(key, line) != line:
                    raise ValueError(f"'{key}' is already in line {seen[key]}; keep one")  # noqa: TRY301  joins the other problems of the line
        except ValueError as error:
            problems.append(f"{origin}, line {line}: {error}")
        else:
            members.append(one)
    if not table.rows:
        problems.append(f"{origin}: has no stocks below its header")
    if problems:
        raise ConfigError(problems)
    return sorted(members, key=lambda one: one.symbol)


def _text(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES:,} bytes, too large for a list of stocks")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError("is a spreadsheet; save it as CSV first")
    for encoding in ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1250"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ValueError("is not text in UTF-8, UTF-16 or cp1250; save it as CSV UTF-8")


def _table(text: str) -> _ParsedList:
    """The rows below the first line that names a ticker or an ISIN column."""
    lines = text.splitlines(keepends=True)
    for above, line in enumerate(lines[:HEADER_WITHIN]):
        separator = max(
            _SEPARATORS, key=lambda each: len(_columns(next(csv.reader([line], delimiter=each), [])))
        )
        columns = _columns(next(csv.reader([line], delimiter=separator), []))
        if "symbol" in columns or "isin" in columns:
            reader = csv.reader(lines[above + 1 :], delimiter=separator)
            rows = [(above + 1 + reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
            return _ParsedList(rows, columns)
    raise ValueError(
        f"no header within its first {HEADER_WITHIN} lines; name the columns symbol (or ticker, Skrót), name (Nazwa), "
        "ISIN, separated by comma, semicolon or tab"
    )


def _columns(header: list[str]) -> dict[str, int]:
    """The column of each field; of two columns for one field the first counts."""
    found: dict[str, int] = {}
    for place, cell in enumerate(header):
        for field, names in _HEADERS.items():
            if _plain(cell) in names:
                found.setdefault(field, place)
    return found


def _plain(header: str) -> str:
    """Without accents, capitals and spaces: ``Nazwa spółki`` is ``nazwaspolki``."""
    letters = unicodedata.normalize("NFKD", header.casefold().replace("ł", "l"))
    return "".join(char for char in letters if not (unicodedata.combining(char) or char.isspace()))


def _member(cells: list[str], columns: Mapping[str, int], as_of: date, tickers: Mapping[str, str]) -> Member:
    fields = {field: " ".join(cells[place].split()) for field, place in columns.items() if place < len(cells)}
    isin = fields.get("isin", "").upper()
    symbol = fields.get("symbol", "").upper() or tickers.get(isin, "")
    if not symbol and isin:
        raise ValueError(
            f"isin '{isin}' has no ticker here and is in no packaged list; add a column symbol with its ticker"
        )
    if isin in ("-", "N/A"):
        isin = ""
    name = fields.get("name", "")
    if not name.isprintable():
        raise ValueError(f"name {name!a} of {symbol} has characters that cannot be shown; type it again")
    return member(symbol, name, isin, fields.get("as_of") or as_of.isoformat())
