"""Whose standing changed, and when: what clients that want changes only must still be told. Pure.

A quote grows stale, or is fresh again, while its price and the journal's position stay. So a standing is looked at
whenever quotes are shown, and each change that such a look finds is told by the next cycle, and to clients that return.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


class StandingChanges:
    """The changes of standing of this gateway's lifetime: the last one of each symbol."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}  # the journal's offset when the symbol's standing last changed
        self._untold: dict[str, None] = {}
        self._begin = -1

    def begin(self, offset: int) -> None:
        """What clients were told up to here, another process told them: it is not known."""
        self._begin = offset

    def note(self, symbols: Iterable[str], offset: int) -> None:
        """Their standing is another one now."""
        for symbol in symbols:
            self._at[symbol] = offset
            self._untold[symbol] = None

    def take(self) -> dict[str, None]:
        """Those that no cycle has told yet; this one does."""
        untold, self._untold = self._untold, {}
        return untold

    def since(self, offset: int, known: Collection[str]) -> Collection[str]:
        """Those of which a client at this offset may not know: of all that are known after a restart."""
        if offset <= self._begin:
            return known
        return dict.fromkeys(symbol for symbol, at in self._at.items() if at >= offset)
