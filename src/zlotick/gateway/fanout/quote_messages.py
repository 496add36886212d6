"""Builds ``stock_updates`` messages from the newest quotes: snapshots, cycles, catching up."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.quote_cache import Envelope, QuoteCache
from zlotick.gateway.fanout.standing_changes import StandingChanges
from zlotick.gateway.protocol.subscription import Selection
from zlotick.model import Position, Standing, StockUpdate

RETURNS = 64
"""Messages for resuming clients that are kept: a thousand clients that reconnect together need the same ones."""


class QuoteMessages:
    """The newest quotes and their position in the journal."""

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
        """Store newer quotes. Call :meth:`refresh` before building messages."""
        self.quote_cache.put(quotes)
        self.position = position
        self._returns.clear()

    def begin_epoch(self, quotes: Mapping[str, StockUpdate], position: Position) -> None:
        """Forget the former history; store the newest quotes of this one."""
        self.quote_cache = QuoteCache()
        self.standing_changes = StandingChanges()
        self.restore(quotes, position)

    def restore(self, quotes: Mapping[str, StockUpdate], position: Position | None) -> None:
        """Store quotes that were not published by this process, or not in this epoch."""
        self.update(quotes, position)
        if position is not None:
            self.standing_changes.begin(position.offset)

    def refresh(self, standings: Mapping[str, Standing] | None = None) -> None:
        """Find what is new and whose standing changed. None: use the standings of now."""
        moved = self.quote_cache.refresh(self._standings() if standings is None else standings)
        if moved:
            self.standing_changes.note(moved, self.position.offset if self.position else 0)
            self._returns.clear()

    def snapshot(self, selection: Selection) -> SharedMessage:
        """All selected quotes with their current values."""
        self.refresh()
        return self._all(selection, self._envelope(snapshot=True))

    def newest(self, selection: Selection, names: Collection[str]) -> SharedMessage | None:
        """One message that replaces everything a selection missed: the newest quotes of ``names``, or all in mode full.

        None when it wants only changes and the filter leaves none.
        """
        return self.cycle(selection, names, self._envelope())

    def cycle(
        self, selection: Selection, changed: Collection[str], envelope: Envelope
    ) -> SharedMessage | None:
        """The message of a cycle for a selection; None in mode "changes" if nothing changed."""
        if selection.mode == "full":
            return self._all(selection, envelope)
        names = selection.among(changed)
        if selection.filter is not None:
            names = selection.accepted(names, self.quote_cache.quotes)
        return envelope.around(self.quote_cache.fragments(names, selection.fields)) if names else None

    def moved(self, selection: Selection, since: Position) -> SharedMessage | None:
        """The quotes whose standing may have changed for a client that resumes at ``since``; None if there are none."""
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
