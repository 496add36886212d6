"""What may be asked of the stored quotes, and the candles among the answers. Pure values.

Whoever asks and whoever stores do not know each other: they share these.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from zlotick.model import StockUpdate

Interval = Literal["1m", "5m", "1h", "1d"]


class Replay(msgspec.Struct, frozen=True):
    """The replay that is running. What is stored of its sources after ``moment`` is of an earlier round, and yet to come."""

    sources: tuple[str, ...]
    moment: datetime  # aware


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one symbol, oldest first: the first ``limit`` from ``begin``, or without it the newest ``limit``."""

    symbol: str
    limit: int
    begin: datetime | None = None  # aware; included
    end: datetime | None = None  # aware; not included
    data_source: str | None = None  # None: of every source
    replay: Replay | None = None  # whose future is left out


class StoredCandle(msgspec.Struct, frozen=True):
    """What one source told of one bucket of time (UTC). No trade, no candle.

    ``volume`` is in shares, null when the source tells none: what the day's total grew by since the source's
    previous candle of that UTC day. The day's first candle has all that was traded until its end.
    """

    symbol: str
    data_source: str
    interval: Interval
    start: str
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    ticks: int  # quotes recorded in the bucket


class History(Protocol):
    """A store that can be asked. Pages are bounded; none is held back while the next one is awaited.

    Every page has a deadline of its own. Raises :class:`zlotick.errors.Transient` or
    :class:`zlotick.errors.Fatal`.
    """

    def quotes(self, query: HistoryQuery) -> AsyncGenerator[list[StockUpdate], None]:
        """Stored quotes."""

    def candles(self, query: HistoryQuery, interval: Interval) -> AsyncGenerator[list[StoredCandle], None]:
        """Candles of the stored quotes."""
