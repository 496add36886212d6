"""Which rows are shown, and in what order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import get_args

from zlotick.terminal.columns import COLUMNS, SortName
from zlotick.terminal.rows import QuoteRow

SORTS: tuple[SortName, ...] = get_args(SortName)


@dataclass(frozen=True, slots=True)
class View:
    """The order, the search text, and whether only the watch list is shown."""

    sort: SortName = "symbol"
    reverse: bool = False
    search: str = ""
    only_marked: bool = False

    def of(self, rows: Iterable[QuoteRow]) -> list[QuoteRow]:
        """The shown rows in order: equal values by ticker, unknown ones last."""
        column = COLUMNS[self.sort]
        shown = sorted((row for row in rows if self._shows(row)), key=lambda row: row.symbol)
        known = [row for row in shown if column.value(row) is not None]
        known.sort(key=column.value, reverse=self.downwards)
        return known + [row for row in shown if column.value(row) is None]

    @property
    def downwards(self) -> bool:
        """Whether the largest comes first."""
        return COLUMNS[self.sort].falls is not self.reverse

    def sorted_by(self, sort: SortName) -> View:
        """Sort by that column; a second time, reverse."""
        return replace(self, sort=sort, reverse=sort == self.sort and not self.reverse)

    def sorted_by_next(self) -> View:
        """Sort by the next column."""
        following = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        return replace(self, sort=following, reverse=False)

    def describe(self, shown: int) -> str:
        """Which filter is active, and how many rows it leaves; empty without one."""
        search = f"search '{self.search.strip()}', " if self.search.strip() else ""
        hidden = "watch list, " * self.only_marked + search
        return f"{hidden}{shown} of " if hidden else ""

    def _shows(self, row: QuoteRow) -> bool:
        if self.only_marked and not row.marked:
            return False
        wanted = self.search.strip().casefold()
        return wanted in row.symbol.casefold() or wanted in row.name.casefold()
