"""What of the rows is to be seen, and in what order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import get_args

from zlotick.terminal.columns import COLUMNS, SortName
from zlotick.terminal.rows import Row

SORTS: tuple[SortName, ...] = get_args(SortName)


@dataclass(frozen=True, slots=True)
class View:
    """The order, a text searched for, and whether only the watch list is shown."""

    sort: SortName = "symbol"
    reverse: bool = False
    search: str = ""
    only_marked: bool = False

    def of(self, rows: Iterable[Row]) -> list[Row]:
        """The rows to be shown, in their order: equal ones by ticker, unknown ones last."""
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
        """In that order; a second time backwards."""
        return replace(self, sort=sort, reverse=sort == self.sort and not self.reverse)

    def sorted_by_next(self) -> View:
        """In the order of the next column."""
        following = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
        return replace(self, sort=following, reverse=False)

    def describe(self, shown: int) -> str:
        """What hides the others, and how many it leaves; empty when it hides none."""
        search = f"search '{self.search.strip()}', " if self.search.strip() else ""
        hidden = "watch list, " * self.only_marked + search
        return f"{hidden}{shown} of " if hidden else ""

    def _shows(self, row: Row) -> bool:
        if self.only_marked and not row.marked:
            return False
        wanted = self.search.strip().casefold()
        return wanted in row.symbol.casefold() or wanted in row.name.casefold()
