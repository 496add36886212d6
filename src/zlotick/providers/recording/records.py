"""Reading a recording: what the providers' web sites answered, byte for byte.

One file for each provider and Warsaw day, such as ``gpw-2026-11-24.warc.gz``; :mod:`.warc` has its form. Files named
``gpw-2026-11-24.gz`` are of zlotick 0.1: there a record is two gzip members, a line of JSON (:class:`Head`) and the body.
What follows the last whole record (the process was killed while it wrote) is passed over.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from datetime import date
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import msgspec
import structlog

from zlotick.errors import ReplayError
from zlotick.model import utc_time
from zlotick.providers.base import RawAnswer
from zlotick.providers.recording.head import Head

log = structlog.stdlib.get_logger("zlotick.providers")

MAX_RECORD_BYTES = 256 * 1_048_576
"""Unpacked. No recorded answer is that long; a file made to fill the memory could be."""

_GZIP = 16 + zlib.MAX_WBITS
_CHUNK = 65_536
_FILE_NAME = re.compile(r"([a-z_]+)-(\d{4}-\d\d-\d\d)(\.warc)?\.gz")


class Record(NamedTuple):
    """A record, and where in its file the member with its body is."""

    file: Path
    number: int  # from 1
    head: Head
    body_at: int
    end: int

    def answer(self) -> RawAnswer:
        """The answer, byte for byte. Blocks. Raises ReplayError that names the file and the record."""
        head = self.head
        try:
            with FileIO(self.file) as file:
                body = _body(self.file, file, self.body_at)
        except (OSError, zlib.error, ValueError, EOFError) as error:
            raise ReplayError(f"{self.file}, record {self.number}: the body is damaged: {error}") from error
        return RawAnswer(head.path, head.status, head.headers, body, head.received_at)


def recorded_files(folder: Path) -> list[tuple[str, date, Path]]:
    """The files of a recording: provider, Warsaw day, path. Blocks. Raises ReplayError when there are none."""
    try:
        names = [(_FILE_NAME.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    except OSError as error:
        raise ReplayError(f"{folder}: cannot be read: {error.strerror or error}") from error
    files = [(match[1], date.fromisoformat(match[2]), path) for match, path in names if match]
    if not files:
        raise ReplayError(
            f"{folder}: holds no recording (files such as gpw-2026-11-24.warc.gz); zlotick serve --record makes one"
        )
    return files


def read_records(path: Path) -> list[Record]:
    """The records of a file, their bodies left where they are; half a record at the end is passed over and logged.

    Blocks. Raises ReplayError that names the file and the record.
    """
    try:
        with FileIO(path) as file:
            records = list(whole_records(file, path))
            half = file.seek(0, os.SEEK_END) - (records[-1].end if records else 0)
    except OSError as error:
        raise ReplayError(f"{path}: cannot be read: {error.strerror or error}") from error
    if half:
        log.warning("Recording ends in half a record", mark="❌", file=str(path), bytes=half)
    return records


def whole_records(file: FileIO, path: Path) -> Iterator[Record]:
    """The records up to the end, or to one that is cut. Raises ReplayError."""
    length = file.seek(0, os.SEEK_END)
    bodies: dict[str, int] = {}
    end = number = 0
    while end < length:
        number += 1
        try:
            head, own_body_at, end = _next(file, path, end)
            utc_time(head.received_at)  # raises ValueError
            if own_body_at is not None:
                bodies[head.path] = own_body_at
            yield Record(path, number, head, bodies[head.path] if head.refusal is None else 0, end)
        except EOFError:
            return
        except (zlib.error, msgspec.MsgspecError, ValueError, KeyError) as error:
            remedy = "move the file out of the folder to do without it"
            raise ReplayError(f"{path}, record {number}: is damaged ({error!r}); {remedy}") from error


def _next(file: FileIO, path: Path, at: int) -> tuple[Head, int | None, int]:
    """The head there, where the member with its own body is, if any, and where the record ends."""
    data, end = _member(file, at)
    if _is_warc(path):
        from zlotick.providers.recording.warc import parsed

        head, body = parsed(data)
        return head, None if body is None else at, end
    head = msgspec.json.decode(data, type=Head)
    if not head.body_bytes:
        return head, None, end
    return head, end, _member(file, end)[1]


def _body(path: Path, file: FileIO, at: int) -> bytes:
    data, _ = _member(file, at)
    if _is_warc(path):
        from zlotick.providers.recording.warc import parsed

        return parsed(data)[1] or b""
    return data


def _is_warc(path: Path) -> bool:
    return path.name.endswith(".warc.gz")


def _member(file: FileIO, at: int) -> tuple[bytes, int]:
    """The gzip member there, unpacked, and where it ends. Raises EOFError when it is cut."""
    file.seek(at)
    stream, data = zlib.decompressobj(_GZIP), bytearray()
    while not stream.eof:
        chunk = file.read(_CHUNK)
        if not chunk:
            raise EOFError("the file ends within it")
        data += stream.decompress(chunk, MAX_RECORD_BYTES + 1 - len(data))
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError(f"it is longer than {MAX_RECORD_BYTES} bytes")
    return bytes(data), file.tell() - len(stream.unused_data)
