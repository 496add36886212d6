"""Which standings changed, and when: clients in mode "changes" receive these changes, too. Pure.

A quote becomes stale or fresh again while its price and the journal's position stay the same. Standings are therefore
computed whenever quotes are sent; a change found then is sent with the next cycle and to resuming clients.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


class StandingChanges:
    """The last change of standing of each symbol since this gateway started."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}  # the journal's offset when the symbol's standing last changed
        self._untold: dict[str, None] = {}
        self._begin = -1

    def begin(self, offset: int) -> None:
        """Up to this offset clients were served by an earlier process: what it told them is unknown."""
        self._begin = offset

    def note(self, symbols: Iterable[str], offset: int) -> None:
        """Record changed standings."""
        for symbol in symbols:
            self._at[symbol] = offset
            self._untold[symbol] = None

    def take(self) -> dict[str, None]:
        """Remove and return the symbols whose change no cycle has sent yet."""
        untold, self._untold = self._untold, {}
        return untold

    def since(self, offset: int, known: Collection[str]) -> Collection[str]:
        """The symbols whose change a client at this offset may have missed; after a restart, all."""
        if offset <= self._begin:
            return known
        return dict.fromkeys(symbol for symbol, at in self._at.items() if at >= offset)
