"""Records what the providers' web sites answer, byte for byte: to replay a day, or to find the cause of a problem.

Files are only ever appended to (:mod:`.records` says how they are named). A process that is killed loses at most the
record it was writing: that half is cut off when the file is next appended to.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import structlog
from yarl import URL

from zlotick.config import Secret
from zlotick.errors import ConfigError, ReplayError
from zlotick.market.calendar import session_date
from zlotick.model import utc_time
from zlotick.providers.base import NoAnswer, RawAnswer
from zlotick.providers.recording.head import Head
from zlotick.providers.recording.records import whole_records

if TYPE_CHECKING:
    from zlotick.providers.recording.warc import Kept

log = structlog.stdlib.get_logger("zlotick.providers")

MAX_WAITING = 32
"""Answers that wait for the disk; the next ones are lost, and counted. A body has at most some megabytes."""

# Headers that carry credentials or identify the client.
_SECRET_HEADER = re.compile(r"cookie|auth|token|secret|session|api-?key|password")


class Recorder:
    """Keeps one provider's answers: hand :meth:`observe` to its :class:`~zlotick.providers.web.client.HttpWeb`.

    A thread of its own writes, so that no disk delays or fails a cycle: what it cannot take is counted in
    ``lost`` and logged once. ``secrets`` are replaced by ``***`` wherever an answer or its address has them; headers
    that may carry one (cookies) are left out. ``base_url`` is the web site's.
    """

    def __init__(
        self,
        folder: Path,
        provider: str,
        base_url: str,
        *,
        secrets: Sequence[Secret] = (),
        # Limits
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.written = 0
        self.lost = 0
        self._folder = folder
        self._provider = provider
        self._base_url = base_url
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
        body = self._blotted(answer.body) if isinstance(answer, RawAnswer) else b""
        self._file.append(self._url(answer.path), self._head(answer), body)
        self.written += 1
        if self._broken:
            self._broken = False
            log.info("Recording goes on", mark="✅", provider=self._provider, lost=self.lost)

    def _url(self, path: str) -> str:
        """The address that was asked, without user, password and secret parameters."""
        asked = URL(path)
        url = (URL(self._base_url).with_user(None) / asked.path.lstrip("/")).with_query(asked.query)
        return self._blotted(str(url).encode()).decode()

    def _head(self, answer: RawAnswer | NoAnswer) -> Head:
        if isinstance(answer, NoAnswer):
            return Head(answer.received_at, answer.path, refusal=answer.reason, detail=answer.detail)
        headers = {
            name: self._blotted(value.encode()).decode()
            for name, value in answer.headers.items()
            if not _SECRET_HEADER.search(name)
        }
        return Head(answer.received_at, answer.path, answer.status, headers)

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
        self._last: dict[str, Kept] = {}  # the last body of each path
        path = folder / f"{provider}-{day}.warc.gz"
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
                return max((record.end for record in whole_records(file, path)), default=0)
        except ReplayError as error:
            aside = path.with_name(f"{path.name}.damaged-{path.stat().st_mtime_ns}")
            path.rename(aside)
            log.warning("Recording was damaged, put aside", mark="❌", file=str(aside), error=str(error))
            return 0

    def append(self, url: str, head: Head, body: bytes) -> None:
        from zlotick.providers.recording.warc import Kept, digest_of, packed

        digest, last = digest_of(body), self._last.get(head.path)
        kept = last if last and last.digest == digest else None
        record = memoryview(packed(url, head, body, kept))
        if not (kept or head.refusal):
            self._last[head.path] = Kept(digest, head.received_at)
        while record:  # a disk that is nearly full takes a part
            record = record[self._file.write(record) :]

    def close(self) -> None:
        self._file.close()
