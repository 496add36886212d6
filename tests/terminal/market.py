"""A small market for the tests of the terminal: three stocks, at a fixed moment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

from zlotick.client import Message, Quote
from zlotick.market.calendar import Calendar
from zlotick.terminal.clock import MarketClock
from zlotick.terminal.feed import Feed
from zlotick.terminal.rows import QuoteRow, QuoteRows

MOMENT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)  # a Tuesday, 13:30 in Warsaw
NAMES = {"ABS": "ASSECOBS", "11B": "11BIT", "PXM": "POLIMEXMS"}
URL = "ws://localhost:8765"


def quote(symbol: str, price: float, **known: Any) -> Quote:
    """A quote as the wire has it; what is not told is unknown."""
    fields = dict.fromkeys(Quote.__annotations__) | {
        "timestamp": "2026-11-24T12:15:00.000Z",
        "symbol": symbol,
        "price": price,
        "market_status": "open",
        "data_source": "gpw",
        "delay_seconds": 900,
        "stale": False,
    }
    return cast("Quote", fields | known)


MARKET = [
    quote("ABS", 84.4, change=1.6, change_percent=1.93, volume=1_903, high=85.0, low=80.2, open=84.0),
    quote(
        "11B", 217.6, change=-6.4, change_percent=-2.86, volume=1_234_567, high=227.8, low=217.6, open=224.0
    ),
    quote("PXM", 0.0785, change=0.0, change_percent=0.0, timestamp="2026-11-23T15:59:00.000Z", stale=True),
]


def rows(
    quotes: Iterable[Quote] = MARKET, marked: Iterable[str] = (), origin: str = "delayed"
) -> list[QuoteRow]:
    """The rows of the market at its moment."""
    known = QuoteRows(NAMES, set(marked))
    known.origin = origin
    known.update(quotes)
    return known.at(MOMENT)


def feed(marked: set[str] | None = None) -> Feed:
    """A feed to which nothing was said yet."""
    return Feed(
        URL, QuoteRows(NAMES, set() if marked is None else marked), MarketClock(Calendar(), lambda: MOMENT)
    )


def told(kind: str, **fields: Any) -> Message:
    """A message of the server, or of the client itself."""
    return cast("Message", {"type": kind, **fields})


def state(state: str, **fields: Any) -> Message:
    known = {"attempt": 0, "retry_in": None, "code": None, "reason": "", "will_reconnect": True}
    return told("state", state=state, **(known | fields))


def updates(*quotes: Quote, snapshot: bool = False) -> Message:
    return told("stock_updates", data=list(quotes), snapshot=snapshot)


def arrival(*quotes: Quote, origin: str = "delayed", passing: str | None = None) -> list[Message]:
    """What a new session hears first."""
    return [
        state("connecting"),
        state("connected"),
        told("connection", origin=origin, delay_seconds=900 if origin == "delayed" else None),
        told("subscription_confirmed", subscription={"filter": passing}),
        updates(*(quotes or MARKET), snapshot=True),
        told("snapshot_end"),
    ]
