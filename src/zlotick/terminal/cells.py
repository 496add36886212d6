"""The cells of the table: texts with their styles. A price that moved flashes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from zlotick.terminal.columns import cell
from zlotick.terminal.rows import QuoteRow

FLASH = 1.0
"""Seconds."""
_SIGNED = ("change", "percent")
_FLASHING = ("last", *_SIGNED)
_COLOURS = {1: "green", -1: "red", 0: ""}


class Cell(NamedTuple):
    """A text as wide as its column, and its Rich style."""

    text: str
    style: str


class _Flash(NamedTuple):
    until: float
    direction: int


class Painter:
    """Makes cells of rows, and keeps the last prices to find those that moved."""

    def __init__(self) -> None:
        self._prices: dict[str, float] = {}
        self._flashes: dict[str, _Flash] = {}

    def paint(
        self, rows: Iterable[QuoteRow], widths: Mapping[str, int], now: float, *, held: bool = False
    ) -> dict[str, dict[str, Cell]]:
        """The cells of each symbol. ``now`` is a clock in seconds; ``held``: the connection is lost, all cells are grey."""
        painted = {}
        for row in rows:
            flash = self._flash(row, now)
            painted[row.symbol] = {
                name: Cell(cell(name, row, width), "dim" if held else _style(name, row, flash))
                for name, width in widths.items()
            }
        return painted

    def _flash(self, row: QuoteRow, now: float) -> _Flash | None:
        price = row.quote["price"]
        before = self._prices.setdefault(row.symbol, price)
        if price != before:
            self._prices[row.symbol] = price
            self._flashes[row.symbol] = _Flash(now + FLASH, _sign(price - before))
        flash = self._flashes.get(row.symbol)
        return flash if flash is not None and now < flash.until else None


def _style(name: str, row: QuoteRow, flash: _Flash | None) -> str:
    """Reversed while it flashes, which is visible without colours, too."""
    if flash is not None and name in _FLASHING:
        return f"reverse {_COLOURS[flash.direction]}".strip()
    colour = _COLOURS[_sign(row.quote["change"] or 0)] if name in _SIGNED else ""
    return f"dim {colour}".strip() if row.quote["stale"] else colour


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)
