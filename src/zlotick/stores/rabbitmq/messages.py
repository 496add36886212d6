"""What is published for a batch, as JSON of the wire protocol. Pure.

``message_id`` is the position (``EPOCH:OFFSET``, of a quote ``EPOCH:OFFSET:SYMBOL``): after an outage a message may
come twice, and consumers know it by this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from zlotick.model import Alert, Entry

_encode = msgspec.json.encode


class Outgoing(NamedTuple):
    """One message. ``topic`` is the routing key without the exchange's name."""

    topic: str
    message_id: str
    body: bytes


def of_quotes(entry: Entry) -> list[Outgoing]:
    """One message for each quote: ``quotes.<SYMBOL>``."""
    place = _place(entry)
    return [
        Outgoing(f"quotes.{quote.symbol}", f"{place}:{quote.symbol}", _encode(quote))
        for quote in entry.batch.quotes
    ]


def of_batch(entry: Entry) -> Outgoing:
    """The whole batch, as ``stock_updates`` of the wire without what changes with time (``stale``)."""
    batch = entry.batch
    body = {
        "type": "stock_updates",
        "timestamp": batch.timestamp,
        "market_status": batch.market_status,
        "position": entry.position,
        "count": len(batch.quotes),
        "data": batch.quotes,
    }
    return Outgoing("batches", _place(entry), _encode(body))


def of_market(entry: Entry, before: str | None) -> Iterator[Outgoing]:
    """``market_status``, when it is another one than ``before``. Repairs carry none."""
    status = entry.batch.market_status
    if status and status != before:
        body = {"type": "market_status", "status": status, "timestamp": entry.batch.timestamp}
        yield Outgoing("market", f"{_place(entry)}:market", _encode(body))


def of_alert(alert: Alert) -> Outgoing:
    """An alert, with all its fields."""
    return Outgoing("alerts", alert.id, _encode(alert))


def _place(entry: Entry) -> str:
    return f"{entry.position.epoch}:{entry.position.offset}"
