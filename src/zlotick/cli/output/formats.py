"""Write stored rows as a table, CSV or JSON, to stdout or into a file."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import msgspec

from zlotick.cli import WrongUsage
from zlotick.errors import ZlotickError
from zlotick.market.calendar import WARSAW
from zlotick.model import utc_time
from zlotick.telemetry.marks import shown

Format = Literal["table", "csv", "json", "ndjson", "parquet"]
Row = dict[str, Any]

_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".txt": "table",
}
_TABLE = {
    "timestamp": 19,
    "start": 19,
    "price": 10,
    "change": 9,
    "change_percent": 14,
    "open": 10,
    "high": 10,
    "low": 10,
    "close": 10,
    "volume": 11,
    "ticks": 6,
    "data_source": 16,
}
"""Column widths are fixed: rows are written before the next ones are known."""

_encode = msgspec.json.Encoder().encode


def default_format(output: Path | None) -> Format:
    """By the file's suffix (CSV without one); a table on a terminal, CSV in a pipe. Raises WrongUsage."""
    if output is not None:
        suffix = output.suffix.lower()
        if suffix and suffix not in _SUFFIXES:
            raise WrongUsage(
                f"--output {output}: '{suffix}' is not a known format; end it in {', '.join(_SUFFIXES)}, or give --format"
            )
        return _SUFFIXES.get(suffix, "csv")
    return "table" if sys.stdout.isatty() else "csv"


class RowWriter(Protocol):
    """Writes rows that come page by page, all with the same fields."""

    def head(self, page: Sequence[Row]) -> bytes: ...

    def rows(self, page: Sequence[Row]) -> bytes: ...

    def tail(self, count: int) -> bytes: ...


def row_writer(name: Format, **about: str) -> RowWriter:
    """The writer of a format. ``about`` holds extra fields of a JSON document (symbol, interval)."""
    if name == "csv":
        return _CsvWriter()
    if name == "json":
        return _JsonWriter(about)
    return _NdjsonWriter() if name == "ndjson" else _TableWriter()


class _CsvWriter:
    """Comma-separated values with a header. An unknown value is empty."""

    def head(self, page: Sequence[Row]) -> bytes:
        return self._lines([list(page[0])])

    def rows(self, page: Sequence[Row]) -> bytes:
        return self._lines([list(row.values()) for row in page])

    def tail(self, count: int) -> bytes:
        return b""

    @staticmethod
    def _lines(rows: Sequence[Sequence[object]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()


class _JsonWriter:
    """One document, as ``/api/v1`` answers."""

    def __init__(self, about: dict[str, str]) -> None:
        self._about = about
        self._comma = b""

    def head(self, page: Sequence[Row]) -> bytes:
        return _encode(self._about)[:-1] + b',"data":['

    def rows(self, page: Sequence[Row]) -> bytes:
        text = self._comma + b",\n".join(map(_encode, page))
        self._comma = b",\n"
        return text

    def tail(self, count: int) -> bytes:
        return b'],"count":%d}\n' % count


class _NdjsonWriter:
    """A JSON object on each line."""

    def head(self, page: Sequence[Row]) -> bytes:
        return b""

    def rows(self, page: Sequence[Row]) -> bytes:
        return b"".join(_encode(row) + b"\n" for row in page)

    def tail(self, count: int) -> bytes:
        return b""


class _TableWriter:
    """For people: the main fields, in Warsaw time."""

    def head(self, page: Sequence[Row]) -> bytes:
        return self._line({name: name for name in page[0]})

    def rows(self, page: Sequence[Row]) -> bytes:
        return b"".join(self._line({name: shown(_cell(name, row[name])) for name in row}) for row in page)

    def tail(self, count: int) -> bytes:
        return b""

    @staticmethod
    def _line(texts: dict[str, str]) -> bytes:
        cells = [
            f"{texts[name]:<{width}}" if width > 14 else f"{texts[name]:>{width}}"
            for name, width in _TABLE.items()
            if name in texts
        ]
        return "  ".join(cells).rstrip().encode() + b"\n"


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if name in ("timestamp", "start"):
        return f"{utc_time(str(value)).astimezone(WARSAW):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:+.2f}" if name.startswith("change") else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextmanager
def opened(output: Path | None) -> Iterator[BinaryIO]:
    """Stdout, or a file that appears only when it is complete: half an export would look like a whole one."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    fresh = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as stream:
            yield stream
        fresh.replace(output)
    except OSError as error:
        raise ZlotickError(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)
