"""The sinks of the log: a rotated file and the console, each written by a thread of its own.

A paused terminal, a full disk or an encoding without marks therefore never blocks or fails a caller: lines that a
sink could not take are counted, and the count is logged.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

import structlog

from zlotick.config.profile import make_folder
from zlotick.errors import ConfigError
from zlotick.telemetry.marks import fit

log = structlog.stdlib.get_logger("zlotick.telemetry")

FILE_BYTES = 10_000_000
FILE_COUNT = 5
MAX_WAITING = 10_000  # lines that wait for one sink; the next ones are lost, and counted


class Sink:
    """One place for lines, written in its own thread."""

    def __init__(self, what: str, handler: logging.Handler) -> None:
        self.lost = 0
        self._what = what
        self._handler = handler
        self.trouble = ""  # why it takes no lines now, for people
        # SimpleQueue.put never blocks, not even on a lock, but has no limit: put() below checks it.
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"log to {what}", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        if self._lines.qsize() < MAX_WAITING:
            self._lines.put(line)
        else:
            self.lost += 1

    def close(self, deadline: float) -> None:
        """Write what waits; after the deadline the thread is left to the end of the process."""
        self._lines.put(None)
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            self._write(line)
        with contextlib.suppress(OSError, ValueError):  # a full disk may refuse the last flush
            self._handler.close()

    def _write(self, line: str) -> None:
        try:
            self._handler.handle(logging.makeLogRecord({"msg": line}))
        except Exception as error:  # noqa: BLE001  whatever a disk or a terminal does, logging goes on
            self.lost += 1
            trouble = f"{self._what} cannot be written, its lines are lost: {error}"
            if not self.trouble:
                _print(f"❌ {trouble[:1].upper()}{trouble[1:]}")
            self.trouble = trouble
            return
        self.trouble = ""
        if self.lost:
            lines, self.lost = self.lost, 0
            log.warning("Log lines were lost", sink=self._what, lines=lines)


class Console(logging.StreamHandler[TextIO]):
    """Marks fall back to ASCII where the terminal has none."""

    def format(self, record: logging.LogRecord) -> str:
        return fit(super().format(record), self.stream.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name; the sink counts
        raise


class _File(RotatingFileHandler):
    """At most FILE_COUNT files of FILE_BYTES. A file that was removed or renamed (logrotate) is created again."""

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None and self._is_gone(self.stream):
            stream, self.stream = self.stream, None  # the line opens the file
            with contextlib.suppress(OSError):
                stream.close()
        super().emit(record)

    def _is_gone(self, stream: TextIO) -> bool:
        held = os.fstat(stream.fileno())
        try:
            return stat.S_ISREG(held.st_mode) and not os.path.samestat(held, Path(self.baseFilename).stat())
        except OSError:
            return True

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802  logging's name
        status = os.fstat(self._opened().fileno())
        return stat.S_ISREG(status.st_mode) and status.st_size >= FILE_BYTES

    def doRollover(self) -> None:  # noqa: N802  logging's name
        try:
            super().doRollover()
        except OSError:
            # The folder refuses new files. The bound and the newest lines matter more than the oldest ones.
            os.ftruncate(self._opened().fileno(), 0)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  as above
        raise

    def _opened(self) -> Any:
        if self.stream is None:
            self.stream = self._open()
        return self.stream


def open_file(path: Path) -> _File:
    try:
        make_folder(path.parent)
        if path.is_fifo():  # opening it would wait for a reader
            raise _unwritable(path, "it is a pipe")
        return _File(path, backupCount=FILE_COUNT - 1, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _unwritable(path: Path, why: str) -> ConfigError:
    remedy = "set service.log_file to a file that the user who runs zlotick may write"
    return ConfigError([f"service.log_file: {path} cannot be written ({why}); {remedy}"])


def _print(message: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # no stderr, or one that fails too
        print(fit(message, sys.stderr.encoding), file=sys.stderr, flush=True)  # noqa: T201  the last place left to report it
