"""What the sources on the web answered, kept byte for byte: so that a day can be replayed, or a riddle solved.

One file for each source and Warsaw day, such as ``gpw-2026-11-24.gz``, only ever appended to. A record is two gzip
members: a line of JSON (:class:`Head`), then the body; ``zcat`` shows both. A body that did not change since the
answer before is not kept again. A process that is killed loses at most the record it was writing: what is behind
the last whole record is cut off when the file is next appended to, and passed over when it is read.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import re
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import msgspec
import structlog

from zlotick.config import Secret
from zlotick.errors import ConfigError, RefusalReason, ReplayError
from zlotick.market.calendar import session_date
from zlotick.model import utc_time
from zlotick.providers.base import NoAnswer, RawAnswer

log = structlog.stdlib.get_logger("zlotick.providers")

MAX_WAITING = 32
"""Answers that wait for the disk; the next ones are lost, and counted. A body has at most some megabytes."""
MAX_HEAD_BYTES = 1_048_576

_GZIP = 16 + zlib.MAX_WBITS
_FILE_NAME = re.compile(r"([a-z_]+)-(\d{4}-\d\d-\d\d)\.gz")
# Headers that carry credentials or identify the client.
_SECRET_HEADER = re.compile(r"cookie|auth|token|secret|session|api-?key|password")


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of an answer but its body, or of the lack of an answer."""

    provider: str
    received_at: str
    path: str
    status: int = 0
    headers: Mapping[str, str] = {}
    body_bytes: int = 0  # of the packed body that follows; 0: it is that of the answer before to this path
    refusal: RefusalReason | None = None  # why there was no answer
    detail: str = ""


class Record(NamedTuple):
    """A record, and where in its file its body is."""

    file: Path
    number: int  # from 1
    head: Head
    body_at: int
    body_bytes: int
    end: int

    def answer(self) -> RawAnswer:
        """The answer, byte for byte. Blocks. Raises ReplayError that names the file and the record."""
        head = self.head
        try:
            with FileIO(self.file) as file:
                file.seek(self.body_at)
                body = zlib.decompress(_read(file, self.body_bytes), _GZIP)
        except (OSError, zlib.error) as error:
            raise ReplayError(f"{self.file}, record {self.number}: the body is damaged: {error}") from error
        return RawAnswer(head.path, head.status, head.headers, body, head.received_at)


# --- reading ----------------------------------------------------------------------------------------------------


def recorded_files(folder: Path) -> list[tuple[str, date, Path]]:
    """The files of a recording: provider, Warsaw day, path. Blocks. Raises ReplayError when there are none."""
    try:
        names = [(_FILE_NAME.fullmatch(path.name), path) for path in sorted(folder.iterdir())]
    except OSError as error:
        raise ReplayError(f"{folder}: cannot be read: {error.strerror or error}") from error
    files = [(match[1], date.fromisoformat(match[2]), path) for match, path in names if match]
    if not files:
        raise ReplayError(
            f"{folder}: holds no recording (files such as gpw-2026-11-24.gz); zlotick serve --record makes one"
        )
    return files


def read_records(path: Path) -> list[Record]:
    """The records of a file, their bodies left where they are; half a record at the end is passed over and logged.

    Blocks. Raises ReplayError that names the file and the record.
    """
    try:
        with FileIO(path) as file:
            records = list(_whole_records(file, path))
            half = file.seek(0, os.SEEK_END) - (records[-1].end if records else 0)
    except OSError as error:
        raise ReplayError(f"{path}: cannot be read: {error.strerror or error}") from error
    if half:
        log.warning("Recording ends in half a record", mark="❌", file=str(path), bytes=half)
    return records


def _whole_records(file: FileIO, path: Path) -> Iterator[Record]:
    length = file.seek(0, os.SEEK_END)
    bodies: dict[str, tuple[int, int]] = {}
    end = number = 0
    while end < length:
        number += 1
        try:
            head, body_at = _head(file, end)
            end = body_at + head.body_bytes
            if end > length:
                return
            if head.body_bytes:
                bodies[head.path] = (body_at, head.body_bytes)
            where = bodies[head.path] if head.refusal is None else (body_at, 0)
            yield Record(path, number, head, *where, end)
        except EOFError:
            return
        except (zlib.error, msgspec.MsgspecError, ValueError, KeyError) as error:
            remedy = "move the file out of the folder to do without it"
            raise ReplayError(f"{path}, record {number}: is damaged ({error!r}); {remedy}") from error


def _head(file: FileIO, offset: int) -> tuple[Head, int]:
    """The head there, and where it ends. Raises EOFError when the file ends before it does."""
    file.seek(offset)
    stream, text = zlib.decompressobj(_GZIP), b""
    while not stream.eof:
        chunk = file.read(4096)
        if not chunk:
            raise EOFError
        text += stream.decompress(chunk)
        if len(text) > MAX_HEAD_BYTES:
            raise ValueError(f"its head is longer than {MAX_HEAD_BYTES} bytes")
    head = msgspec.json.decode(text, type=Head)
    utc_time(head.received_at)  # raises ValueError
    return head, file.tell() - len(stream.unused_data)


def _read(file: FileIO, size: int) -> bytes:
    """So many bytes; fewer only at the end of the file."""
    data = b""
    while len(data) < size and (chunk := file.read(size - len(data))):
        data += chunk
    return data


# --- writing ----------------------------------------------------------------------------------------------------


class Recorder:
    """Keeps one source's answers: hand :meth:`observe` to its :class:`~zlotick.providers.web.client.HttpWeb`.

    A thread of its own writes, so that no disk delays or fails a cycle: what it cannot take is counted in
    ``lost`` and told once. ``secrets`` are blotted out wherever an answer echoes them; headers that may carry one
    (cookies) are left out.
    """

    def __init__(
        self,
        folder: Path,
        provider: str,
        *,
        secrets: Sequence[Secret] = (),
        # Limits
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.written = 0
        self.lost = 0
        self._folder = folder
        self._provider = provider
        self._secrets = [secret.reveal().encode() for secret in secrets if secret.reveal()]
        self._max_waiting = max_waiting
        self._waiting: SimpleQueue[RawAnswer | NoAnswer | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._file: _DayFile | None = None
        self._broken = False

    async def start(self) -> None:
        """Make the folder. Raises ConfigError when it cannot be written."""
        await asyncio.to_thread(self._make_folder)
        self._thread = threading.Thread(target=self._run, name=f"recorder of {self._provider}", daemon=True)
        self._thread.start()

    def observe(self, answer: RawAnswer | NoAnswer) -> None:
        """Keep an answer, soon. Never waits, never raises."""
        if self._waiting.qsize() < self._max_waiting:
            self._waiting.put(answer)
        else:
            self._lose("the disk is too slow")

    async def close(
        self,
        # Timeouts
        timeout: float = 5.0,  # noqa: ASYNC109  of a thread, which cannot be cancelled
    ) -> None:
        """Write what waits; after the timeout the thread is left to the end of the process. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread:
            self._waiting.put(None)
            await asyncio.to_thread(thread.join, timeout)

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            why = error.strerror or error
            raise ConfigError([f"providers.record: {self._folder} cannot be written ({why})"]) from error

    def _run(self) -> None:
        while (answer := self._waiting.get()) is not None:
            try:
                self._write(answer)
            except OSError as error:
                self._forget_file()
                self._lose(error.strerror or str(error))
            except Exception as error:  # noqa: BLE001  a bug here must not end the recording of a whole day
                self._lose(repr(error))
        self._forget_file()

    def _write(self, answer: RawAnswer | NoAnswer) -> None:
        day = session_date(utc_time(answer.received_at))
        if self._file is None or self._file.day != day:
            self._forget_file()
            self._file = _DayFile(self._folder, self._provider, day)
        self._file.append(
            self._head(answer), self._blotted(answer.body) if isinstance(answer, RawAnswer) else None
        )
        self.written += 1
        if self._broken:
            self._broken = False
            log.info("Recording goes on", mark="✅", provider=self._provider, lost=self.lost)

    def _head(self, answer: RawAnswer | NoAnswer) -> Head:
        if isinstance(answer, NoAnswer):
            return Head(
                self._provider,
                answer.received_at,
                answer.path,
                refusal=answer.reason,
                detail=answer.detail,
            )
        headers = {
            name: self._blotted(value.encode()).decode()
            for name, value in answer.headers.items()
            if not _SECRET_HEADER.search(name)
        }
        return Head(self._provider, answer.received_at, answer.path, answer.status, headers)

    def _blotted(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        return data

    def _lose(self, why: str) -> None:
        self.lost += 1
        if not self._broken:
            self._broken = True
            log.error("Answers cannot be recorded", mark="❌", provider=self._provider, error=why)

    def _forget_file(self) -> None:
        file, self._file = self._file, None
        if file:
            with suppress(OSError):  # nothing waits in it: every record was written at once
                file.close()


class _DayFile:
    """One file, open for appending. Every method may raise OSError: then open it again, which repairs it."""

    def __init__(self, folder: Path, provider: str, day: date) -> None:
        self.day = day
        self._last: dict[str, bytes] = {}  # digest of the last body of each path
        path = folder / f"{provider}-{day}.gz"
        keep = self._whole_bytes(path)
        self._file = FileIO(path, "ab")
        self._file.truncate(keep)

    @staticmethod
    def _whole_bytes(path: Path) -> int:
        """Where the last whole record ends. A file that is damaged otherwise is put aside, not written to."""
        if not path.exists():
            return 0
        try:
            with FileIO(path) as file:
                return max((record.end for record in _whole_records(file, path)), default=0)
        except ReplayError as error:
            aside = path.with_name(f"{path.name}.damaged-{path.stat().st_mtime_ns}")
            path.rename(aside)
            log.warning("Recording was damaged, put aside", mark="❌", file=str(aside), error=str(error))
            return 0

    def append(self, head: Head, body: bytes | None) -> None:
        packed = b""
        if body is not None:
            digest = hashlib.blake2b(body).digest()
            if self._last.get(head.path) != digest:
                packed = gzip.compress(body, 6, mtime=0)
                self._last[head.path] = digest
        head = msgspec.structs.replace(head, body_bytes=len(packed))
        line = b"\n" + msgspec.json.encode(head) + b"\n"
        record = memoryview(gzip.compress(line, 6, mtime=0) + packed)
        while record:  # a disk that is nearly full takes a part
            record = record[self._file.write(record) :]

    def close(self) -> None:
        self._file.close()
