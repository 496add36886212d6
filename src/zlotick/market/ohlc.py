"""Open, high, low and close of a span of time: how spans merge, and how a daily bar uses the session's figures. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class SessionFigures(NamedTuple):
    """The session's figures as quotes report them: for each figure, the newest reported value."""

    open: float | None = None
    high: float | None = None
    low: float | None = None
    volume: int | None = None  # cumulative

    def then(self, later: SessionFigures) -> SessionFigures:
        """Merge with later figures; a later known value wins."""
        return SessionFigures(
            self.open if later.open is None else later.open,
            self.high if later.high is None else later.high,
            self.low if later.low is None else later.low,
            self.volume if later.volume is None else later.volume,
        )


class Ohlc(NamedTuple):
    """Open, high, low and close of a span of time, with what its quotes reported of the session."""

    open: float
    high: float
    low: float
    close: float
    reported: SessionFigures
    ticks: int = 1

    def then(self, later: Ohlc) -> Ohlc:
        """Merge with the span that follows."""
        return Ohlc(
            self.open,
            max(self.high, later.high),
            min(self.low, later.low),
            later.close,
            self.reported.then(later.reported),
            self.ticks + later.ticks,
        )

    def of_session(self) -> Ohlc:
        """The daily bar: widened by the session's reported open, high and low; observed prices stay within it."""
        reported = self.reported
        opened = self.open if reported.open is None else reported.open
        return self._replace(
            open=opened,
            high=max(self.high, opened, self.high if reported.high is None else reported.high),
            low=min(self.low, opened, self.low if reported.low is None else reported.low),
        )


def joined(bars: Iterable[Ohlc]) -> Ohlc | None:
    """The bars of consecutive spans as one; None without any."""
    whole: Ohlc | None = None
    for bar in bars:
        whole = bar if whole is None else whole.then(bar)
    return whole
