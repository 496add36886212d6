"""The tables of a web page, as rows of texts. Pure. Its time grows with the page's length and nothing else.

A tree of a hostile page costs the square of its depth, or of the attributes of one tag, in every parser that was
measured. So none is made: libxml2's events are taken as they come, in portions, and a page that is nested deeper than
any table of quotes is given up at the portion where it is. This runs in a thread, so the event loop goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from zlotick.errors import Refusal, RefusalReason

_DEEPEST = 200  # elements within each other
_NESTED = 8  # tables within each other
WIDEST = 200  # columns that anybody would read
_MOST = 50_000  # cells, a row or table counting as ten; the page of the exchange has 14,000 of them
_ROW = 10
_PORTION = 16_384  # bytes
_LONGEST = 16  # portions of one tag or comment: its attributes come as one event, which holds the GIL and so the event loop

_SECTIONS = frozenset({"thead", "tbody", "tfoot"})
_CELLS = frozenset({"td", "th"})


@dataclass(slots=True)
class RawRow:
    """The texts of its cells; by their place the few spans (columns, rows), and where the first link of a cell leads.

    An object for each cell would be 10,000 a page: they wake the garbage collector, which holds the event loop up.
    """

    texts: list[str] = field(default_factory=list)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    heads: int = 0  # cells that are headers


@dataclass(slots=True)
class RawTable:
    """A table's own rows by where they stand; a table within a cell is one of its own."""

    classes: frozenset[str]
    head: list[RawRow] = field(default_factory=list)
    body: list[RawRow] = field(default_factory=list)
    begin: int | None = None  # the first piece of text of the open cell
    _section: str = ""
    _row: RawRow | None = None

    def section(self, tag: str) -> None:
        """Rows are of this section from here on."""
        self._row, self._section = None, tag

    def new_row(self) -> RawRow:
        """A row begins."""
        self._row = RawRow()
        if self._section != "tfoot":
            (self.head if self._section == "thead" else self.body).append(self._row)
        return self._row

    def end_row(self) -> None:
        """The row has ended."""
        self._row = None

    def begin_cell(self, tag: str, attributes: Mapping[str, str], begin: int) -> None:
        """A cell begins, and its text with that piece."""
        row = self._row or self.new_row()
        place = len(row.texts)
        if place == WIDEST:
            raise _strange(f"a row has more than {WIDEST} cells")
        row.texts.append("")
        row.heads += tag == "th"
        spans = _span(attributes, "colspan"), _span(attributes, "rowspan")
        if spans != (1, 1):
            row.spans[place] = spans
        self.begin = begin

    def end_cell(self, text: str) -> None:
        """The cell has ended."""
        assert self._row is not None
        self._row.texts[-1] = text
        self.begin = None

    def link(self, target: str | None) -> None:
        """A link of the open cell."""
        if self._row is not None and self.begin is not None and target is not None:
            self._row.links.setdefault(len(self._row.texts) - 1, target)


def tables_of(text: str) -> list[RawTable]:
    """The tables in the order they begin. Raises Refusal (format_changed) for a page that no provider would send."""
    from lxml import (
        etree,  # 6 ms and 5 MB that only these providers need; imported in the thread that reads the page
    )

    reader = _Reader()
    parser = etree.HTMLParser(encoding="utf-8", target=reader)
    page = text.encode()
    silent = 0
    try:
        for begin in range(0, len(page), _PORTION):
            reader.active = False
            parser.feed(page[begin : begin + _PORTION])
            silent = 0 if reader.active else silent + 1
            if silent == _LONGEST:
                raise _strange(f"a tag or comment is longer than {_LONGEST * _PORTION} bytes")
        parser.close()
    except etree.LxmlError:  # there is not a single element
        return []
    return reader.tables


class _Reader:
    """Takes libxml2's events in order. It closes some of what a page leaves open; the rest is closed here."""

    def __init__(self) -> None:
        self.tables: list[RawTable] = []
        self.active = False  # whether the last portion had an event
        self._open: list[RawTable] = []
        self._pieces: list[str] = []  # of the text of the open cells
        self._depth = self._parts = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.active = True
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _strange(f"its elements are nested deeper than {_DEEPEST}")
        if tag == "table":
            self._begin(attributes)
        elif self._open:
            self._within(self._open[-1], tag, attributes)

    def end(self, tag: str) -> None:
        self.active = True
        self._depth -= 1
        if not self._open:
            return
        table = self._open[-1]
        if tag == "table":
            self._end_cell(table)
            self._open.pop()
        elif tag in _CELLS:
            self._end_cell(table)
        elif tag == "tr":
            self._end_cell(table)
            table.end_row()
        elif tag in _SECTIONS:
            self._end_cell(table)
            table.section("")

    def data(self, text: str) -> None:
        self.active = True
        if self._open and self._open[-1].begin is not None:
            self._pieces.append(text)

    def close(self) -> None:
        while self._open:
            self.end("table")

    def _begin(self, attributes: Mapping[str, str]) -> None:
        if self._open and self._open[-1].begin is None:  # a table in a table, but in no cell, ends it
            self._open.pop()
        if len(self._open) == _NESTED:
            raise _strange(f"its tables are nested deeper than {_NESTED}")
        self._count(_ROW)
        self._open.append(RawTable(frozenset(attributes.get("class", "").split())))
        self.tables.append(self._open[-1])

    def _within(self, table: RawTable, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in _CELLS:
            self._end_cell(table)
            self._count()
            table.begin_cell(tag, attributes, len(self._pieces))
        elif tag == "tr":
            self._end_cell(table)
            self._count(_ROW)
            table.new_row()
        elif tag in _SECTIONS:
            self._end_cell(table)
            table.section(tag)
        elif tag == "a":
            table.link(attributes.get("href"))

    def _end_cell(self, table: RawTable) -> None:
        """The text of a cell is also that of the cell around its table."""
        if table.begin is not None:
            table.end_cell("".join(self._pieces[table.begin :]))
            if len(self._open) == 1:
                self._pieces.clear()

    def _count(self, parts: int = 1) -> None:
        self._parts += parts
        if self._parts > _MOST:
            raise _strange(f"it has more than {_MOST} rows and cells")


def _span(attributes: Mapping[str, str], name: str) -> int:
    text = attributes.get(name)
    return int(text) if text and re.fullmatch("[1-9][0-9]?", text) else 1


def _strange(why: str) -> Refusal:
    return Refusal(RefusalReason.FORMAT_CHANGED, f"the page is no page of quotes: {why}")
