"""One worker process as the owner sees it: started, fed, listened to, and answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import msgspec
import structlog

from zlotick.errors import Transient, ZlotickError
from zlotick.gateway.service import Service
from zlotick.gateway.workers.ipc import (
    MAX_WAITING,
    Ask,
    EndExport,
    ErrorReply,
    FromWorker,
    LogLine,
    NextPage,
    Question,
    ReadJournal,
    ReadJournalStats,
    ReadMetrics,
    RecentAlerts,
    Reply,
    WorkerFailed,
    WorkerReady,
    WorkerReport,
    from_worker,
    raw,
    to_frame,
)
from zlotick.telemetry.metrics import Sample

log = structlog.stdlib.get_logger("zlotick.gateway")

# Timeouts
ANSWER_TIMEOUT = 14.0
END_TIMEOUT = 2.0
"""Seconds in which a worker whose socket is closed has to end; then it is killed."""

# Limits
MAX_QUESTIONS = 64
"""Answered at the same time for each worker; more wait in its socket (backpressure)."""


class WorkerProcess:
    """Runs one process at a time, sends it messages, and answers its questions."""

    def __init__(self, number: int, service: Service) -> None:
        self.number = number
        self.up = asyncio.Event()  # it listens
        self.sessions = 0
        self.samples: list[Sample] = []
        self.failure = ""  # why it could not listen, in its own words
        self._service = service
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self, setup: Callable[[], bytes]) -> str:
        """Run one process to its end; returns how it ended. When cancelled, the process is killed.

        ``setup`` is called in the turn of the loop from which on the process gets all messages: none is missed.
        """
        handler = QuestionHandler(self._service)
        self.failure = ""
        try:
            reader = await self._spawn()
            self.send(setup())
            await self._listen(reader, handler)
        except TimeoutError:
            self.kill()
            self.failure = "it has not been heard of for too long"
        except msgspec.MsgspecError as error:
            self.kill()
            self.failure = f"it does not speak as this version does: {error}"
        except OSError as error:
            self.failure = f"it cannot be started: {error}"
        except asyncio.CancelledError:
            self.kill()
            raise
        finally:
            self.up.clear()
            self._close_socket()
            await self._cancel_answers()
            await handler.close()
            ending = await self._end()
        return self.failure or ending

    async def _spawn(self) -> asyncio.StreamReader:
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unless_connected:
            unless_connected.callback(ours.close)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "zlotick.gateway.workers.worker", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env=_inherited(),
                start_new_session=True,  # the terminal's Ctrl+C is for the owner
            )
            reader, self._writer = await asyncio.open_unix_connection(sock=ours)
            unless_connected.pop_all()
        return reader

    def send(self, data: bytes) -> None:
        """Send a framed message without waiting. A worker whose buffer exceeds MAX_WAITING hangs and is killed."""
        if self._writer is None or self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > MAX_WAITING:
            self.failure = "it took nothing of what was sent to it"
            self.kill()
            return
        self._writer.write(data)

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            if self._process and self._process.returncode is None:
                self._process.send_signal(signal.SIGKILL)

    def _close_socket(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def _end(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "it could not be started"
        try:
            async with asyncio.timeout(END_TIMEOUT):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            code = await process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    # What it sends

    async def _listen(self, reader: asyncio.StreamReader, handler: QuestionHandler) -> None:
        places = asyncio.Semaphore(MAX_QUESTIONS)
        while (message := await from_worker(reader)) is not None:
            if isinstance(message, Ask):
                await places.acquire()
                task = asyncio.create_task(self._answer(message, handler), name="gateway worker's question")
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)
                task.add_done_callback(lambda _: places.release())
            else:
                self._note(message)

    def _note(self, message: FromWorker) -> None:
        match message:
            case WorkerReport(sessions=sessions, samples=samples):
                self.sessions, self.samples = sessions, samples
            case WorkerReady():
                self.up.set()
            case WorkerFailed(reason=reason):
                self.failure = reason
            case LogLine(logger=logger, level=level, pairs=pairs):
                event = pairs.pop("event", "")
                structlog.stdlib.get_logger(logger).bind(**{**pairs, "worker": self.number}).log(level, event)

    async def _answer(self, ask: Ask, handler: QuestionHandler) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                reply: Reply | ErrorReply = Reply(ask.id, raw(await handler.answer(ask.question)))
        except TimeoutError:
            reply = ErrorReply.because(ask.id, Transient(f"no answer within {ANSWER_TIMEOUT:g} s"))
        except ZlotickError as error:
            reply = ErrorReply.because(ask.id, error)
        except Exception as error:  # noqa: BLE001  a bug behind one question must not end the sessions of a worker
            log.error("Worker's question failed", mark="❌", worker=self.number, error=repr(error))
            reply = ErrorReply.because(ask.id, error)
        self.send(to_frame(reply))

    async def _cancel_answers(self) -> None:
        answering = list(self._answering)
        for task in answering:
            task.cancel()
        if answering:
            await asyncio.wait(answering)


class QuestionHandler:
    """Answers the questions of one process, and closes what they opened."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._exports: dict[int, _Export] = {}

    async def answer(self, question: Question) -> object:
        """Raises Transient, Fatal or JournalError."""
        match question:
            case ReadJournal(after=after, limit=limit):
                return await self._service.read_journal(after, limit)
            case ReadJournalStats():
                return await self._service.journal_stats()
            case ReadMetrics():
                return await self._service.metrics_text()
            case RecentAlerts(user=user, limit=limit):
                return await self._service.recent_alerts(user, limit)
            case NextPage():
                return await self._next_page(question)
            case EndExport(export=number):
                export = self._exports.pop(number, None)
                if export is not None:
                    await export.close()
                return None

    async def _next_page(self, question: NextPage) -> list[Any]:
        export = self._exports.get(question.export)
        if export is None:
            history = self._service.history()
            if history is None:
                raise Transient("no quotes are stored: QuestDB is off (questdb.mode), or still starting")
            query, interval = question.query, question.interval
            pages = history.quotes(query) if interval is None else history.candles(query, interval)
            export = self._exports[question.export] = _Export(pages)
        return await export.next()

    async def close(self) -> None:
        """Close the queries that are still open."""
        while self._exports:
            _, export = self._exports.popitem()
            await export.close()


class _Export:
    """The pages of a query, one at a time: a worker may give up while one is being read."""

    def __init__(self, pages: AsyncGenerator[list[Any], None]) -> None:
        self._pages = pages
        self._turn = asyncio.Lock()

    async def next(self) -> list[Any]:
        async with self._turn:
            return await anext(self._pages, [])

    async def close(self) -> None:
        async with self._turn:
            await self._pages.aclose()


def _inherited() -> Mapping[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ZLOTICK_")}


def merged(samples: list[Sample]) -> list[Sample]:
    """The numbers of several gateways as one's: sums."""
    sums: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    for sample in samples:
        key = (sample.name, tuple(sample.labels.items()))
        before = sums.get(key)
        value = sample.value + (before.value if before else 0)
        sums[key] = msgspec.structs.replace(sample, value=value)
    return list(sums.values())
