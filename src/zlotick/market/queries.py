"""Queries of stored quotes, and stored candles. Pure values.

The gateway and the stores do not import each other; they share these types.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from zlotick.model import StockUpdate

Interval = Literal["1m", "5m", "1h", "1d"]


class Replay(msgspec.Struct, frozen=True):
    """The running replay. Rows of its providers after ``moment`` come from an earlier round: they lie in its future."""

    providers: tuple[str, ...]
    moment: datetime  # aware


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of one symbol, oldest first: the first ``limit`` from ``begin``, or without it the newest ``limit``."""

    symbol: str
    limit: int
    begin: datetime | None = None  # aware; included
    end: datetime | None = None  # aware; not included
    data_source: str | None = None  # None: of every provider
    replay: Replay | None = None  # rows of its future are left out


class StoredCandle(msgspec.Struct, frozen=True):
    """One provider's candle of one bucket of time (UTC). No trade, no candle.

    ``volume`` is in shares, null when the provider reports none: the growth of the day's total since the provider's
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
    """A store that answers queries. Pages are bounded; each is yielded before the next one is awaited.

    Every page has a deadline of its own. Raises :class:`zlotick.errors.Transient` or
    :class:`zlotick.errors.Fatal`.
    """

    def quotes(self, query: HistoryQuery) -> AsyncGenerator[list[StockUpdate], None]:
        """Stored quotes."""

    def candles(self, query: HistoryQuery, interval: Interval) -> AsyncGenerator[list[StoredCandle], None]:
        """Candles of the stored quotes."""
