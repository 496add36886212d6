"""Quotes and batches for the tests of stores."""

from __future__ import annotations

from typing import Any

from zlotick.model import Entry, Position, StockUpdate, UpdateBatch


def quote(symbol: str = "PKN", price: float = 65.5, **fields: Any) -> StockUpdate:
    """The guide's example quote."""
    known: dict[str, Any] = {
        "timestamp": "2025-04-30T08:00:00.000Z",
        "change": 1.25,
        "change_percent": 1.94,
        "volume": 1_250_000,
        "high": 66.8,
        "low": 64.2,
        "open": 64.8,
        "market_status": "open",
        "data_source": "replay",
    }
    return StockUpdate(symbol=symbol, price=price, **known | fields)


def batch(*quotes: StockUpdate, status: str = "open") -> UpdateBatch:
    return UpdateBatch(quotes[0].timestamp, status, list(quotes))


def entry(offset: int, *quotes: StockUpdate, status: str = "open") -> Entry:
    return Entry(Position("epoch", offset), batch(*quotes, status=status))
