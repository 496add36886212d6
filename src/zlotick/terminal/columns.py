"""The columns: their texts, their sort values, and which of them fit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from zlotick.telemetry.marks import shown
from zlotick.terminal import texts
from zlotick.terminal.rows import QuoteRow

SortName = Literal[
    "symbol", "name", "last", "change", "percent", "volume", "range", "age", "state", "source", "note"
]
GAP = 1
"""Between two columns."""
_NAME_AT_MOST = 24


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Columns with a high ``rank`` are dropped first on a narrow terminal."""

    title: str
    width: int
    rank: int
    text: Callable[[QuoteRow], str]
    value: Callable[[QuoteRow], Any]  # to sort by; None: unknown
    right: bool = True
    falls: bool = True  # the largest first, unless reversed


def _of(field: str) -> Callable[[QuoteRow], Any]:
    """A field of the quote."""
    return lambda row: row.quote.get(field)


def _symbol(row: QuoteRow) -> str:
    return f"{row.symbol}*" if row.marked else row.symbol


def _range(row: QuoteRow) -> str:
    return texts.between(row.quote["low"], row.quote["high"])


def _bar(row: QuoteRow) -> str:
    return texts.place(row.quote["low"], row.quote["price"], row.quote["high"])


def _place(row: QuoteRow) -> float | None:
    """Where in the day's range the price is, 0 to 1."""
    low, high = row.quote["low"], row.quote["high"]
    return None if low is None or high is None or high <= low else (row.quote["price"] - low) / (high - low)


def _age(row: QuoteRow) -> str:
    return "stale" if row.quote["stale"] else texts.age(row.seconds)


def _source(row: QuoteRow) -> str:
    return row.quote["data_source"]


COLUMNS: dict[str, Column] = {
    "symbol": Column("Symbol", 7, 0, _symbol, lambda row: row.symbol, right=False, falls=False),
    "name": Column(
        "Name", 9, 6, lambda row: row.name, lambda row: row.name or None, right=False, falls=False
    ),
    "last": Column("Last", 8, 1, lambda row: texts.price(row.quote["price"]), _of("price")),
    "change": Column("Change", 8, 4, lambda row: texts.change(row.quote["change"]), _of("change")),
    "percent": Column(
        "%", 8, 2, lambda row: texts.percent(row.quote["change_percent"]), _of("change_percent")
    ),
    "volume": Column("Volume", 7, 5, lambda row: texts.count(row.quote["volume"]), _of("volume")),
    "range": Column("Day range", 15, 10, _range, _place),
    "bar": Column("", 9, 11, _bar, _place),
    "age": Column("Age", 5, 3, _age, lambda row: row.seconds, falls=False),
    "state": Column("State", 14, 7, lambda row: row.label, lambda row: row.label, right=False, falls=False),
    "source": Column("Source", 9, 9, _source, _source, right=False, falls=False),
    "note": Column(
        "Note", 13, 8, lambda row: row.note, lambda row: row.note or None, right=False, falls=False
    ),
}


def fit(width: int, names: Iterable[str] = COLUMNS) -> dict[str, int]:
    """The columns that fit, with their widths; the name gets the rest."""
    fitting = list(names)
    while len(fitting) > 1 and _total(fitting) > width:
        fitting.remove(max(fitting, key=lambda name: COLUMNS[name].rank))
    widths = {name: COLUMNS[name].width for name in fitting}
    if "name" in widths:
        widths["name"] = min(_NAME_AT_MOST, widths["name"] + width - _total(fitting))
    return widths


def cell(name: str, row: QuoteRow, width: int) -> str:
    """The cell's text, exactly as wide as its column."""
    return aligned(name, COLUMNS[name].text(row), width)


def aligned(name: str, text: str, width: int) -> str:
    """A text in its column; what is too long is cut. The server may be anybody's."""
    text = shown(text)
    cut = text if len(text) <= width else text[: width - 1] + "…"
    return cut.rjust(width) if COLUMNS[name].right else cut.ljust(width)


def _total(names: Iterable[str]) -> int:
    return sum(COLUMNS[name].width + GAP for name in names)
