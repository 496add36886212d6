"""What the log is told of a delivery: each thing once, not at every retry and for every batch."""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog

from zlotick.errors import Fatal, JournalError, Transient
from zlotick.model import DeadLetter

log = structlog.stdlib.get_logger("zlotick.stores")

MAX_REFUSALS = 100  # kinds of refusals that are told
_DETAILS = re.compile(r"'[^']*'|[\d.]+")  # what differs between refusals of one kind


class DeliveryNews:
    """Knows what was told of the delivery to one sink."""

    def __init__(self, sink: str) -> None:
        self.trouble: str | None = None  # why it does not go on; None while all is well
        self._sink = sink
        self._down: type[Exception] | None = None
        self._refusals: set[str] = set()

    def refused(self, dead: Sequence[DeadLetter]) -> None:
        """Once for each kind of reason: health counts them, and the dead letters have them all."""
        kinds = {_DETAILS.sub("", letter.reason) for letter in dead}
        if kinds <= self._refusals or len(self._refusals) >= MAX_REFUSALS:
            return
        self._refusals |= kinds
        refusal = "; ".join(sorted({f"{letter.symbol}: {letter.reason}" for letter in dead})[:5])
        log.error("Quotes put aside", mark="❌", sink=self._sink, quotes=len(dead), reason=refusal)

    def mended(self) -> None:
        """The store took what it had refused: its next refusal is news."""
        self._refusals.clear()

    def gap(self, missing: int) -> None:
        """So many entries can not be delivered any more."""
        if missing:
            log.error(
                "Journal entries gone before their delivery", mark="❌", sink=self._sink, entries=missing,
                reason="they were older than this reader, or journal.budget_mb was spent",
            )  # fmt: skip

    def emptied(self, again: range) -> None:
        """The store has lost its history."""
        log.warning(
            "The store is empty: what the journal keeps is delivered again", mark="🔄", sink=self._sink,
            entries=len(again), first=again.start,
        )  # fmt: skip

    def written_again(self, quotes: int) -> None:
        """The store had lost last values."""
        log.warning("The store lacked last values: written again", mark="🔄", sink=self._sink, quotes=quotes)

    def up(self, lag: int) -> None:
        """Something was delivered."""
        self.trouble = None
        if self._down:
            self._down = None
            log.info("Delivery resumed", mark="✅", sink=self._sink, lag=lag)

    def down(self, error: Exception, lag: int) -> None:
        """Once when it goes down, once more when the kind of trouble changes."""
        kinds = (Transient, Fatal, JournalError, TimeoutError)
        kind = next((kind for kind in kinds if isinstance(error, kind)), None)
        detail = str(error) or "deadline exceeded"
        self.trouble = detail if kind else f"{type(error).__name__}: {detail}"
        if (kind or type(error)) is self._down:
            return
        self._down = kind or type(error)
        if kind in (Transient, TimeoutError):
            log.warning("Delivery waits", sink=self._sink, reason=detail, lag=lag)
        else:
            log.error(
                "Delivery failed", mark="❌", sink=self._sink, error_type=type(error).__name__, reason=detail,
                lag=lag, exc_info=None if kind else error,
            )  # fmt: skip
