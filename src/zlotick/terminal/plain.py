"""The rows as plain text, CSV or JSON: one snapshot, or a line for each change. Imports no Textual."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from zlotick.client import RealtimeStreamClient
from zlotick.market.calendar import WARSAW
from zlotick.model import utc_time
from zlotick.telemetry.marks import shown, shown_json
from zlotick.terminal.columns import COLUMNS, aligned, cell, fit
from zlotick.terminal.feed import Feed
from zlotick.terminal.rows import QuoteRow
from zlotick.terminal.view import View

Format = Literal["text", "json", "csv"]
FIELDS = (
    "timestamp", "symbol", "name", "price", "change", "change_percent", "volume", "high", "low", "open",
    "previous_close", "state", "data_source", "delay_seconds", "origin", "stale_reason", "review",
)  # fmt: skip


async def look(client: RealtimeStreamClient, feed: Feed) -> None:
    """Take messages until the snapshot is complete. Raises StreamUnreachable, StreamRefused or SubscriptionRejected."""
    async with aclosing(client.messages()) as messages:
        async for message in messages:
            feed.take(message)
            if feed.complete:
                return


async def changes(
    client: RealtimeStreamClient, feed: Feed, view: View
) -> AsyncGenerator[list[QuoteRow] | str, None]:
    """The current quotes, then each change, endlessly; and a text when the state of the connection changes."""
    shown: dict[str, tuple[object, ...]] = {}
    async with aclosing(client.messages()) as messages:
        async for message in messages:
            feed.take(message)
            if message["type"] == "state" and (
                message["state"] == "waiting" or (message["state"] == "connected" and shown)
            ):
                yield feed.connection()
            if message["type"] != "stock_updates":
                continue
            moment = feed.clock.moment()
            rows = view.of(feed.rows.row(quote, moment) for quote in message["data"])
            fresh = [row for row in rows if shown.get(row.symbol) != _traded(row)]
            shown |= {row.symbol: _traded(row) for row in fresh}
            if fresh:
                yield fresh


def _traded(row: QuoteRow) -> tuple[object, ...]:
    quote = row.quote
    return (
        quote["timestamp"],
        quote["price"],
        quote["volume"],
        quote["data_source"],
        row.word,
        row.label,
        row.note,
    )


def snapshot(form: Format, feed: Feed, rows: Sequence[QuoteRow], width: int) -> str:
    """One snapshot of the market."""
    if form == "csv":
        return csv_head() + csv_lines(rows)
    if form == "json":
        document = {
            "origin": feed.rows.origin_of_all,
            "count": len(rows),
            "data": [_fields(row) for row in rows],
        }
        return shown_json(msgspec.json.format(msgspec.json.encode(document)).decode()) + "\n"
    return "\n".join([feed.market(), feed.rows.breadth(), *_table(rows, width)]) + "\n"


def lines(form: Format, rows: Iterable[QuoteRow]) -> str:
    """A line for each row, easy to parse."""
    if form == "csv":
        return csv_lines(rows)
    if form == "json":
        return "".join(f"{shown_json(msgspec.json.encode(_fields(row)).decode())}\n" for row in rows)
    return "".join(f"{_line(row)}\n" for row in rows)


def csv_head() -> str:
    """The names of the fields."""
    return ",".join(FIELDS) + "\n"


def csv_lines(rows: Iterable[QuoteRow]) -> str:
    """The fields of each row; an unknown one is empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [shown(value) if isinstance(value, str) else value for value in _fields(row).values()] for row in rows
    )
    return text.getvalue()


def _fields(row: QuoteRow) -> dict[str, Any]:
    known = {**row.quote, "name": row.name, "state": row.word, "origin": row.origin}
    return {name: known.get(name) for name in FIELDS}


def _table(rows: Iterable[QuoteRow], width: int) -> Iterable[str]:
    widths = fit(width)
    yield " ".join(aligned(name, COLUMNS[name].title, room) for name, room in widths.items()).rstrip()
    for row in rows:
        yield " ".join(cell(name, row, room) for name, room in widths.items()).rstrip()


def _line(row: QuoteRow) -> str:
    time = f"{utc_time(row.quote['timestamp']).astimezone(WARSAW):%Y-%m-%d %H:%M:%S}"
    widths = {name: COLUMNS[name].width for name in ("symbol", "last", "change", "percent", "volume")}
    label = shown(", ".join(filter(None, (row.label, row.quote["data_source"], row.note))))
    return " ".join([time, *(cell(name, row, width) for name, width in widths.items()), label])
