"""What an import changes of what was stored before: pure.

QuestDB deletes no row, but a key holds the last row that was written to it. So the rows of a session that its newer
file no longer has are erased: written again with nothing in them, which candles and questions leave out.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import date
from typing import NamedTuple

from zlotick.history.bars import day_of
from zlotick.model import StockUpdate, utc_text
from zlotick.stores.questdb import RowKey, StoredPrice

Session = tuple[str, date]
"""A symbol and a Warsaw day."""

_Point = tuple[str, float, int | None]  # time, price, volume so far
_LAST_SECOND = slice(
    17, 19
)  # of a time's text: the end of a bar is a whole minute, its last row a second before


class Replacement(NamedTuple):
    """``replaced`` and ``removed`` count the bars that were stored."""

    erased: list[RowKey]
    replaced: int
    removed: int


def replacement(
    stored: Iterable[StoredPrice], rows: Iterable[StockUpdate], sessions: AbstractSet[Session], source: str
) -> Replacement:
    """What becomes of the stored rows of a source when ``rows`` are all there is of ``sessions``."""
    old = _by_symbol(
        (row.symbol, (utc_text(row.timestamp), row.price, row.volume))
        for row in stored
        if (row.symbol, day_of(int(row.timestamp.timestamp()))) in sessions
    )
    if not old:
        return Replacement([], 0, 0)
    new = _by_symbol((row.symbol, (row.timestamp, row.price, row.volume)) for row in rows)
    erased, replaced, removed = [], 0, 0
    for symbol, points in old.items():
        fresh = new.get(symbol, [])
        gone = {time for time, *_ in points} - {time for time, *_ in fresh}
        erased += [RowKey(time, symbol, source) for time in sorted(gone)]
        before, after = _bars(points), _bars(fresh)
        replaced += sum(before[end] != after[end] for end in before.keys() & after.keys())
        removed += len(before.keys() - after.keys())
    return Replacement(erased, replaced, removed)


def _by_symbol(points: Iterable[tuple[str, _Point]]) -> dict[str, list[_Point]]:
    found: dict[str, list[_Point]] = {}
    for symbol, point in points:
        found.setdefault(symbol, []).append(point)
    return found


def _bars(points: Iterable[_Point]) -> dict[str, list[_Point]]:
    """The rows of each bar, by the time of its last one."""
    bars: dict[str, list[_Point]] = {}
    bar: list[_Point] = []
    for point in sorted(points):
        bar.append(point)
        if point[0][_LAST_SECOND] == "59":
            bars[point[0]], bar = bar, []
    return bars
