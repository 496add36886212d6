"""How a command shows its result on stdout: a table for people, one JSON document for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zlotick.telemetry.marks import shown, shown_json


def table(rows: Sequence[tuple[str, ...]]) -> Iterable[str]:
    """Lines with aligned columns; the first row is the head."""
    rows = [tuple(map(shown, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def json_text(value: object) -> str:
    """A JSON document, indented."""
    import msgspec  # most commands show no JSON

    return shown_json(msgspec.json.format(msgspec.json.encode(value)).decode())
