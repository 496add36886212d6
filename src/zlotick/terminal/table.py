"""The table of the board. It gets all cells and updates only those that changed."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text
from textual.widgets import DataTable

from zlotick.terminal.cells import Cell
from zlotick.terminal.columns import COLUMNS, GAP, aligned
from zlotick.terminal.view import View

Painted = Mapping[str, Mapping[str, Cell]]
"""The cells by symbol and column, in the order of the rows."""


class MarketTable(DataTable[Text]):
    """Rows are identified by their symbols; the cursor stays on its stock. At the top it stays there."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", cell_padding=0)
        self._painted: Painted = {}
        self._head: tuple[object, ...] = ()

    @property
    def symbol(self) -> str | None:
        """The stock under the cursor."""
        if not self.is_valid_coordinate(self.cursor_coordinate):
            return None
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value

    def show(self, painted: Painted, widths: Mapping[str, int], view: View) -> None:
        """Show these cells."""
        symbol = self.symbol if self.cursor_row else None
        head = (widths, view.sort, view.downwards)
        if head != self._head or painted.keys() != self._painted.keys():
            self._rebuild(painted, widths, view)
        else:
            self._update(painted)
        self._painted, self._head = painted, head
        if symbol is not None and symbol in painted and symbol != self.symbol:
            self.move_cursor(row=self.get_row_index(symbol), scroll=False)

    def _rebuild(self, painted: Painted, widths: Mapping[str, int], view: View) -> None:
        """Rebuild the table: the columns or the rows are others."""
        self.clear(columns=True)
        for name, width in widths.items():
            arrow = ("▼" if view.downwards else "▲") if name == view.sort else ""
            title = aligned(name, COLUMNS[name].title + arrow, width)
            self.add_column(Text(title), width=width + GAP, key=name)
        for symbol, cells in painted.items():
            self.add_row(*(Text(*cell) for cell in cells.values()), key=symbol)

    def _update(self, painted: Painted) -> None:
        for symbol, cells in painted.items():
            before = self._painted[symbol]
            for name, cell in cells.items():
                if cell != before[name]:
                    self.update_cell(symbol, name, Text(*cell))
        if list(painted) != list(self._painted):
            places = {symbol: place for place, symbol in enumerate(painted)}
            self.sort("symbol", key=lambda text: places[text.plain.rstrip("* ")])
