"""What PocketBase holds: quotes as rows of ``stock_data``, the market at a glance for ``market_updates``, alerts.

PocketBase numbers cannot be null (null becomes 0), so every number that may be unknown is a ``json`` field: it
keeps null, and filters and sorts as a number (``change_percent > 2``, ``-volume``, ``high = null``).
An unknown time is PocketBase's empty date, ``""``, and so is a label that is not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import groupby
from typing import Any

import msgspec

from zlotick.market.calendar import session_date
from zlotick.model import (
    FRESH,
    Alert,
    Standing,
    StockUpdate,
    UpdateBatch,
    plain,
    utc_text,
    utc_time,
)
from zlotick.stores.pocketbase.marks import mark

_TIMES = ("timestamp", "exchange_time", "received_at")
_LABELS = ("origin", "review")
_MOVERS = 5
_MAX_NAME = 200
_MAX_MESSAGE = 2000


def stock_row(quote: StockUpdate, standing: Standing = FRESH) -> dict[str, Any]:
    """The row of a quote: its id is the ticker, so the newest quote of a symbol takes the place of the last."""
    return {**plain(quote), **mark(quote.symbol, standing)}


def quote_of(record: Mapping[str, Any]) -> StockUpdate | None:
    """The quote in a ``stock_data`` record, or None if it holds something else."""
    try:
        times = {name: utc_text(utc_time(record[name])) for name in _TIMES if record.get(name)}
        empty = {name: None for name in (*_TIMES, *_LABELS) if not record.get(name)}
        return msgspec.convert({**record, **times, **empty}, StockUpdate)
    except (ValueError, msgspec.ValidationError):
        return None


def is_lost(quote: StockUpdate, stored: StockUpdate | None) -> bool:
    """Whether a quote that was stored is not there any more: there is none, an older or another one."""
    told = quote_of(stock_row(quote))
    if told is None:  # nothing that PocketBase could hold
        return False
    return stored is None or (stored != told and stored.timestamp <= told.timestamp)


def alert_row(alert: Alert) -> dict[str, Any]:
    """The row of an alert. ``acknowledged`` belongs to the user, so writing it again keeps that."""
    return {
        **plain(alert),
        "rule": alert.rule[:_MAX_NAME],
        "name": alert.name[:_MAX_NAME],
        "message": alert.message[:_MAX_MESSAGE],
        "symbol": alert.symbol or "",
        "user": alert.user or "",
    }


@lru_cache(maxsize=4096)
def session_day(timestamp: str) -> str:
    """The Warsaw day of an event time, as ``20250430``; empty when the text is no time."""
    try:
        return session_date(utc_time(timestamp)).strftime("%Y%m%d")
    except ValueError:
        return ""


class MarketPicture:
    """The newest quote of each symbol, and from it one ``market_updates`` row for each session day.

    One row a day, overwritten as the day goes on, keeps the collection small (some 250 rows a year);
    what the market looked like at any other moment is a query to QuestDB.
    """

    def __init__(self, quotes: Iterable[StockUpdate] = ()) -> None:
        self.quotes = {quote.symbol: quote for quote in quotes}

    def take(self, batches: Iterable[UpdateBatch]) -> list[dict[str, Any]]:
        """Take batches in, oldest first. Returns the row of each session day that they touch.

        A batch without a market status is a re-sent row: it tells nothing of the market, and makes no row.
        """
        rows: dict[str, dict[str, Any]] = {}
        for day, group in groupby((batch for batch in batches if batch.quotes), key=_newest_day):
            status = ""
            for batch in group:
                self.quotes.update({quote.symbol: quote for quote in batch.quotes})
                status = batch.market_status or status
            if day and status:
                rows[day] = self._row(day, status)
        return list(rows.values())

    def _row(self, day: str, status: str) -> dict[str, Any]:
        today = [quote for quote in self.quotes.values() if session_day(quote.timestamp) == day]
        changes = [quote.change for quote in today if quote.change is not None]
        volumes = [quote.volume for quote in today if quote.volume is not None]
        return {
            "id": day,
            "status": status,
            "advancers": sum(change > 0 for change in changes),
            "decliners": sum(change < 0 for change in changes),
            "unchanged": sum(change == 0 for change in changes),
            "total_volume": sum(volumes) if volumes else None,
            "index_summary": _summary(today),
            "data_source": ", ".join(sorted({quote.data_source for quote in today}))[:256],
            "timestamp": max((quote.timestamp for quote in today), default=""),
        }


def _newest_day(batch: UpdateBatch) -> str:
    return max(session_day(quote.timestamp) for quote in batch.quotes)


def _summary(quotes: Iterable[StockUpdate]) -> dict[str, Any]:
    """How the day's stocks moved. The average weighs every stock alike: it is not the index's own value."""
    moves = sorted(
        (quote.change_percent, quote.symbol) for quote in quotes if quote.change_percent is not None
    )
    percents = [percent for percent, _ in moves]
    listed = [{"symbol": symbol, "change_percent": percent} for percent, symbol in moves]
    gainers, losers = sum(percent > 0 for percent in percents), sum(percent < 0 for percent in percents)
    return {
        "symbols": len(percents),
        "average_change_percent": round(sum(percents) / len(percents), 4) if percents else None,
        "top_gainers": listed[::-1][: min(gainers, _MOVERS)],
        "top_losers": listed[: min(losers, _MOVERS)],
    }
