"""One process of a gateway that has several: ``python -m zlotick.gateway.workers.worker FD``, started by the service.

It serves an ordinary :class:`Gateway` and follows the owner over the socket it was given. It ends when the owner
says so or is gone; signals are for the owner, which decides the order of the stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys

import msgspec
import structlog

from zlotick.errors import GatewayError
from zlotick.gateway.server import Gateway
from zlotick.gateway.workers.ipc import (
    TELL_EVERY,
    AlertRaised,
    Answer,
    CycleDone,
    EventTold,
    Failed,
    FromOwner,
    LogLine,
    Ready,
    Refused,
    ReloadTls,
    Report,
    Setup,
    StateNow,
    Stop,
    told_by_owner,
)
from zlotick.gateway.workers.owner_proxy import Owner, OwnersMetrics, context
from zlotick.telemetry.logs import plain_values

log = structlog.stdlib.get_logger("zlotick.gateway")

MAX_INBOX = 1024
"""What may wait while the gateway starts; more waits in the socket, and then with the owner."""


class Worker:
    """The gateway of this process, and its life."""

    def __init__(self, reader: asyncio.StreamReader, owner: Owner, setup: Setup) -> None:
        self._reader = reader
        self._owner = owner
        self._setup = setup
        self._metrics = OwnersMetrics(owner)
        self._gateway = Gateway(setup.config, context(setup, owner, self._metrics))
        self._inbox: asyncio.Queue[FromOwner | None] = asyncio.Queue(MAX_INBOX)

    async def run(self) -> None:
        """Serve until the owner says stop, or is gone."""
        self._gateway.restore(self._setup.quotes, self._setup.position)
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._report())]
        try:
            await self._gateway.start()
            if self._setup.last is not None:  # its quotes and its entry are known already
                self._gateway.publish(msgspec.structs.replace(self._setup.last, entry=None))
            self._owner.send(Ready())
            await self._follow()
            await self._gateway.stop()
        except GatewayError as error:
            self._owner.send(Failed(str(error)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _read(self) -> None:
        """Answers go to who asked; the rest, in order, into the inbox: the start asks, and must be answered."""
        message: FromOwner | None = self._setup
        while message is not None:
            try:
                message = await told_by_owner(self._reader)
            except (TimeoutError, msgspec.MsgspecError) as error:
                log.error("The link to the service is broken", mark="❌", error=repr(error))
                message = None
            if isinstance(message, Answer | Refused):
                self._owner.answered(message)
            else:
                await self._inbox.put(message)
        self._owner.gone()

    async def _follow(self) -> None:
        while True:
            match await self._inbox.get():
                case CycleDone(report=report, state=state):
                    self._owner.state = state
                    self._gateway.publish(report)
                case EventTold(event_type=event_type, data=data):
                    self._gateway.publish_event(event_type, data)
                case AlertRaised(alert=alert):
                    self._gateway.publish_alert(alert)
                case StateNow(state=state):
                    self._owner.state = state
                case ReloadTls():
                    self._gateway.reload_tls()
                case Stop():
                    return
                case None:
                    log.error("The service is gone: its gateway's worker ends", mark="❌")
                    return

    async def _report(self) -> None:
        while True:
            self._owner.send(Report(self._gateway.session_count, self._metrics.own()))
            await asyncio.sleep(TELL_EVERY)


class _ToOwner(logging.Handler):
    """Log lines, of structlog and of libraries, for the owner's log."""

    def __init__(self, owner: Owner) -> None:
        super().__init__()
        self._owner = owner
        self.setFormatter(logging.Formatter("%(message)s"))  # with the traceback, if there is one

    def emit(self, record: logging.LogRecord) -> None:
        pairs = dict(record.msg) if isinstance(record.msg, dict) else {"event": self.format(record)}
        self._owner.send(LogLine(record.name, record.levelno, dict(plain_values(None, "", pairs))))


def _send_logs_to(owner: Owner, level: int) -> None:
    logging.getLogger().addHandler(_ToOwner(owner))
    logging.getLogger().setLevel(max(level, logging.INFO))
    logging.getLogger("zlotick").setLevel(level)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


async def serve(connection: socket.socket) -> None:
    """The whole life of a worker."""
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    try:
        setup = await told_by_owner(reader)
        if isinstance(setup, Setup):
            owner = Owner(writer, setup)
            _send_logs_to(owner, setup.log_level)
            await Worker(reader, owner, setup).run()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def main() -> None:
    """The entry point."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        import uvloop
    except ImportError:  # PyPy: the standard loop serves as well, a little slower
        new_loop = None
    else:
        new_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
