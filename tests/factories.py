"""Quotes and what is made of them, for all tests: plain values, each of which a test may change by name."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from zlotick.model import (
    Alert,
    AlertCondition,
    CycleReport,
    DeadLetter,
    Entry,
    Origin,
    Position,
    Standing,
    StockUpdate,
    UpdateBatch,
    now_text,
)

TIME = "2025-04-30T07:00:00.000Z"


def quote(symbol: str = "ABS", price: float = 10.0, **fields: Any) -> StockUpdate:
    """A quote of which everything is known."""
    known = {
        "timestamp": TIME,
        "change": 0.5,
        "change_percent": 5.26,
        "volume": 1200,
        "high": 10.6,
        "low": 9.4,
        "open": 9.5,
        "market_status": "open",
        "data_source": "replay",
        "previous_close": 9.5,
        "received_at": TIME,
        "origin": Origin.REPLAYED,
    }
    return StockUpdate(symbol=symbol, price=price, **known | fields)


def bare_quote(symbol: str = "ABS", price: float = 10.0, **fields: Any) -> StockUpdate:
    """A quote of which only the price is known."""
    unknown = dict.fromkeys(
        (
            "change",
            "change_percent",
            "volume",
            "high",
            "low",
            "open",
            "previous_close",
            "received_at",
            "origin",
        )
    )
    return quote(symbol, price, **unknown | fields)


def alert(number: int = 0, **fields: Any) -> Alert:
    known = {
        "id": f"alert{number:010}",
        "rule": "r1",
        "name": "above 70",
        "symbol": "ABS",
        "condition": AlertCondition.PRICE_ABOVE,
        "threshold": 70.0,
        "observed": 71.5,
        "severity": "warning",
        "message": "ABS is at 71.5, above 70",
        "triggered_at": TIME,
        "origin": "replayed",
    }
    return Alert(**known | fields)


def batch(*quotes: StockUpdate | str, price: float = 10.0, status: str = "open") -> UpdateBatch:
    """A batch of one quote unless told otherwise; a symbol stands for its quote at ``price``."""
    made = [quote(one, price) if isinstance(one, str) else one for one in quotes or ("ABS",)]
    return UpdateBatch(made[0].timestamp, status, made)


def entry(offset: int, *quotes: StockUpdate | str, epoch: str = "e1", status: str = "open") -> Entry:
    return Entry(Position(epoch, offset), batch(*quotes, status=status))


def letter(offset: int = 1, symbol: str = "ABS", reader: str = "questdb", reason: str = "no") -> DeadLetter:
    return DeadLetter(reader, offset, symbol, reason, quote(symbol), TIME)


def report(
    quotes: dict[str, StockUpdate],
    changed: Iterable[str] = (),
    *,
    offset: int = 1,
    error: str | None = None,
    standings: dict[str, Standing] | None = None,
    market_time: datetime | None = None,
    epoch: str = "e1",
) -> CycleReport:
    """The report of a cycle after which these quotes are in force, some of them changed by it."""
    position = Position(epoch, offset)
    batch = UpdateBatch(now_text(), "open", [quotes[symbol] for symbol in changed])
    return CycleReport(
        timestamp=now_text(),
        duration_seconds=0.01,
        fetched=len(quotes),
        rejected=0,
        changed=len(batch.quotes),
        market_status="open",
        market_time=market_time or datetime.now(UTC),
        entry=Entry(position, batch) if batch.quotes else None,
        position=position,
        quotes=quotes,
        error=error,
        standings=standings or {},
    )
