"""Messages of quotes, composed from the newest ones: for a snapshot, for a cycle, for who has to catch up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from zlotick.gateway.frames import Book, Envelope, SharedMessage
from zlotick.gateway.subscription import Selection
from zlotick.model import Position, StockUpdate


class Composer:
    """The newest quotes, and where the journal was when they came."""

    def __init__(self, market_status: Callable[[], str], stale: Callable[[], frozenset[str]]) -> None:
        self.book = Book()
        self.position: Position | None = None
        self.stale = stale
        self._market_status = market_status

    def update(self, quotes: Mapping[str, StockUpdate], position: Position | None) -> None:
        """Take newer quotes. :meth:`refresh` must follow before anything is composed."""
        self.book.update(quotes)
        self.position = position

    def refresh(self) -> None:
        """Encode what is new, and what has grown stale or is so no more."""
        self.book.refresh(self.stale())

    def snapshot(self, selection: Selection) -> SharedMessage:
        """Every selected quote that is known, as it is now."""
        self.refresh()
        return self._all(selection, self._envelope(snapshot=True))

    def newest(self, selection: Selection, names: Collection[str]) -> SharedMessage | None:
        """What says all that a selection missed: the newest of these names, or of everything it selects.

        None when it wants only changes and the filter leaves none.
        """
        return self.cycle(selection, names, self._envelope())

    def cycle(
        self, selection: Selection, changed: Collection[str], envelope: Envelope
    ) -> SharedMessage | None:
        """The message of a cycle for a selection; None when it wants changes and there were none."""
        if selection.mode == "full":
            return self._all(selection, envelope)
        names = selection.among(changed)
        if selection.filter is not None:
            names = selection.accepted(names, self.book.quotes)
        return envelope.around(self.book.fragments(names, selection.fields)) if names else None

    def _all(self, selection: Selection, envelope: Envelope) -> SharedMessage:
        names: Collection[str] | None = selection.symbols
        if selection.filter is not None:
            names = selection.accepted(self.book.quotes if names is None else names, self.book.quotes)
        return envelope.around(self.book.fragments(names, selection.fields))

    def _envelope(self, *, snapshot: bool = False) -> Envelope:
        return Envelope(position=self.position, market_status=self._market_status(), snapshot=snapshot)
