"""Results on stdout: a table for people, one JSON document for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from zlotick.telemetry.marks import shown, shown_json


def table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Lines with aligned columns; the first row is the header."""
    rows = [tuple(map(shown, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def moment(text: str) -> str:
    """A time for people: in Warsaw time, as on the board and in ``zlotick watch``."""
    from zlotick.market.calendar import WARSAW

    return f"{datetime.fromisoformat(text).astimezone(WARSAW):%Y-%m-%d %H:%M:%S} (Warsaw)"


def cycle_due(answer: Mapping[str, Any]) -> str | None:
    """The time of the next cycle in an answer of the gateway; None if it is not known yet."""
    due: str | None = answer["next_cycle"]
    return due


def json_text(value: object) -> str:
    """A JSON document, indented."""
    import msgspec  # most commands show no JSON

    return shown_json(msgspec.json.format(msgspec.json.encode(value)).decode())
