"""Finding a table of quotes on a web page, and its columns by the text of their headers, never by their place. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zlotick.errors import Refusal, RefusalReason
from zlotick.providers.web.client import text_of, unexpected
from zlotick.providers.web.html_reader import WIDEST, RawRow, RawTable, tables_of

_DEEPEST = 8  # rows of a header that are read

Texts = Mapping[str, str]


class Table(NamedTuple):
    """A table whose columns were found: the place of each wanted one, and the rows."""

    columns: Mapping[str, int]
    width: int
    body: Sequence[RawRow]

    def text(self, row: RawRow, word: str) -> str:
        """The text of a wanted column."""
        return row.texts[self.columns[word]].strip()

    def link(self, row: RawRow, word: str) -> str:
        """Where the first link of a wanted column leads; empty without one."""
        return row.links.get(self.columns[word], "")

    def rows(self, *words: str) -> Iterator[RawRow]:
        """The rows that reach as far as these columns."""
        needed = max(self.columns[word] for word in words) + 1
        return (row for row in self.body if len(row.texts) >= needed)

    def texts(self, row: RawRow) -> Texts | None:
        """The texts of the wanted columns; None for a row that is not as wide as the header: it is no row of data."""
        return {word: self.text(row, word) for word in self.columns} if len(row.texts) == self.width else None


def find_table(
    body: bytes,
    charset: str,
    wanted: Mapping[str, str],
    optional: Mapping[str, str] | None = None,
    *,
    of_class: str = "",
) -> Table:
    """The first table (of that class) that has every wanted column; ``optional`` ones are taken where it has them once.

    Both map our name for a column to a pattern of its header's text, in lower case and without any space.
    Raises Refusal: challenge, or format_changed that names what is missing, also for a page that was cut.
    """
    missing = f"table of the class {of_class}" if of_class else "table"
    text = text_of(body, charset)
    for table in tables_of(text):
        if of_class and of_class not in table.classes:
            continue
        headers = _headers(table)
        columns = {word: _places(headers, pattern) for word, pattern in wanted.items()}
        lacking = [wanted[word] for word, places in columns.items() if len(places) != 1]
        if not lacking:
            _require_end(text)
            extra = {word: _places(headers, pattern) for word, pattern in (optional or {}).items()}
            columns |= {word: places for word, places in extra.items() if len(places) == 1}
            return Table({word: places[0] for word, places in columns.items()}, len(headers), table.body)
        missing = f"single column '{lacking[0]}' (it has: {', '.join(filter(None, headers))[:300]!a})"
    raise unexpected(body, missing)


def _require_end(text: str) -> None:
    """A page that was cut inside a cell has a wrong number there: 18594 becomes 185. Parsers mend that silently."""
    if text.lower().count("</table") < text.lower().count("<table"):
        raise Refusal(RefusalReason.FORMAT_CHANGED, "the page was cut short: its table has no end")


def _places(headers: Sequence[str], pattern: str) -> list[int]:
    return [place for place, text in enumerate(headers) if re.fullmatch(pattern, text)]


def _headers(table: RawTable) -> list[str]:
    """The topmost text over each column, with all spans expanded."""
    texts: dict[int, str] = {}
    taken: set[tuple[int, int]] = set()
    for depth, row in enumerate(_header_rows(table)[:_DEEPEST]):
        column = 0
        for cell, raw in enumerate(row.texts):
            while (depth, column) in taken:
                column += 1
            columns, rows = row.spans.get(cell, (1, 1))
            end = min(column + columns, WIDEST)
            text = "".join(raw.split()).lower()
            for place in range(column, end):
                texts[place] = texts.get(place) or text
                taken.update((below, place) for below in range(depth, depth + rows))
            column = end
    return [texts[place] for place in sorted(texts)]


def _header_rows(table: RawTable) -> Sequence[RawRow]:
    return table.head or [row for row in table.body if row.heads == len(row.texts)]
