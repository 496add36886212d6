"""Messages of quotes, composed from the newest ones: for a snapshot, for a cycle, for who has to catch up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.quote_cache import Envelope, QuoteCache
from zlotick.gateway.fanout.standing_changes import StandingChanges
from zlotick.gateway.protocol.subscription import Selection
from zlotick.model import Position, Standing, StockUpdate

RETURNS = 64
"""So many different returns are remembered with their messages: a thousand clients come back at once, alike."""


class QuoteMessages:
    """The newest quotes, and where the journal was when they came."""

    def __init__(
        self, market_status: Callable[[], str], standings: Callable[[], Mapping[str, Standing]]
    ) -> None:
        self.quote_cache = QuoteCache()
        self.standing_changes = StandingChanges()
        self.position: Position | None = None
        self._market_status = market_status
        self._standings = standings
        self._returns: dict[tuple[Selection, int], SharedMessage | None] = {}

    def update(self, quotes: Mapping[str, StockUpdate], position: Position | None) -> None:
        """Take newer quotes. :meth:`refresh` must follow before anything is composed."""
        self.quote_cache.put(quotes)
        self.position = position
        self._returns.clear()

    def refresh(self, standings: Mapping[str, Standing] | None = None) -> None:
        """Note what is new and whose standing has changed. None: ask how they are now."""
        moved = self.quote_cache.refresh(self._standings() if standings is None else standings)
        if moved:
            self.standing_changes.note(moved, self.position.offset if self.position else 0)
            self._returns.clear()

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
            names = selection.accepted(names, self.quote_cache.quotes)
        return envelope.around(self.quote_cache.fragments(names, selection.fields)) if names else None

    def moved(self, selection: Selection, since: Position) -> SharedMessage | None:
        """The quotes whose standing a client that returns from there may not know; None when it knows them all."""
        self.refresh()
        key = (selection, since.offset)
        if key not in self._returns:
            if len(self._returns) >= RETURNS:
                del self._returns[next(iter(self._returns))]
            names = selection.among(self.standing_changes.since(since.offset, self.quote_cache.quotes))
            fragments = self.quote_cache.fragments(
                selection.accepted(names, self.quote_cache.quotes), selection.fields
            )
            self._returns[key] = self._envelope().around(fragments) if fragments else None
        return self._returns[key]

    def _all(self, selection: Selection, envelope: Envelope) -> SharedMessage:
        names: Collection[str] | None = selection.symbols
        if selection.filter is not None:
            names = selection.accepted(
                self.quote_cache.quotes if names is None else names, self.quote_cache.quotes
            )
        return envelope.around(self.quote_cache.fragments(names, selection.fields))

    def _envelope(self, *, snapshot: bool = False) -> Envelope:
        return Envelope(position=self.position, market_status=self._market_status(), snapshot=snapshot)
