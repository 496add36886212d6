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
from zlotick.gateway.server import Gateway, RunningGateway
from zlotick.gateway.workers.ipc import (
    STATUS_EVERY,
    AlertRaised,
    BusEvent,
    CycleDone,
    Drain,
    EpochBegan,
    ErrorReply,
    FromOwner,
    LogLine,
    ReloadTls,
    Reply,
    Setup,
    StatusNow,
    Stop,
    WorkerFailed,
    WorkerReady,
    WorkerReport,
    from_owner,
)
from zlotick.gateway.workers.owner_proxy import OwnerProxy
from zlotick.telemetry.logs import plain_values
from zlotick.telemetry.metrics import Sample

log = structlog.stdlib.get_logger("zlotick.gateway")

MAX_INBOX = 1024
"""Messages that may wait while the gateway starts; more wait in the socket, and then with the owner (backpressure)."""


class Worker:
    """The gateway of this process, from start to stop."""

    def __init__(self, reader: asyncio.StreamReader, owner: OwnerProxy, setup: Setup) -> None:
        self._reader = reader
        self._owner = owner
        self._setup = setup
        self._inbox: asyncio.Queue[FromOwner | None] = asyncio.Queue(MAX_INBOX)

    async def run(self) -> None:
        """Serve until the owner says stop, or is gone."""
        reading = asyncio.create_task(self._read())  # at once: the start asks, and needs the replies
        try:
            await self._serve()
        except GatewayError as error:
            self._owner.send(WorkerFailed(str(error)))
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def _serve(self) -> None:
        setup = self._setup
        starting = Gateway(setup.config, self._owner, local_token=setup.local_token)
        gateway = await starting.start(setup.quotes, setup.position)
        if setup.last is not None:  # its quotes and its entry are known already
            gateway.publish(msgspec.structs.replace(setup.last, entry=None))
        reporting = asyncio.create_task(self._report(gateway))
        self._owner.send(WorkerReady())
        try:
            await self._follow(gateway)
        finally:
            await gateway.stop()
            reporting.cancel()
            await asyncio.wait([reporting])

    async def _read(self) -> None:
        """Replies resolve their questions at once; everything else keeps its order in the inbox."""
        message: FromOwner | None = self._setup
        while message is not None:
            try:
                message = await from_owner(self._reader)
            except (TimeoutError, msgspec.MsgspecError) as error:
                log.error("The link to the service is broken", mark="❌", error=repr(error))
                message = None
            if isinstance(message, Reply | ErrorReply):
                self._owner.resolve(message)
            else:
                await self._inbox.put(message)
        self._owner.close()

    async def _follow(self, gateway: RunningGateway) -> None:
        while True:
            match await self._inbox.get():
                case CycleDone(report=report, now=now):
                    self._owner.update(now)
                    gateway.publish(report)
                case EpochBegan(quotes=quotes, position=position, now=now):
                    self._owner.update(now)
                    gateway.begin_epoch(quotes, position)
                case BusEvent(event_type=event_type, data=data):
                    gateway.publish_event(event_type, data)
                case AlertRaised(alert=alert):
                    gateway.publish_alert(alert)
                case StatusNow(now=now):
                    self._owner.update(now)
                case ReloadTls():
                    gateway.reload_tls()
                case Drain():
                    gateway.begin_drain()
                case Stop():
                    return
                case None:
                    log.error("The service is gone: its gateway's worker ends", mark="❌")
                    return

    async def _report(self, gateway: RunningGateway) -> None:
        while True:
            numbers = [one for one in await self._owner.metrics.collect() if isinstance(one, Sample)]
            self._owner.send(WorkerReport(gateway.session_count, numbers))
            await asyncio.sleep(STATUS_EVERY)


class _LogSender(logging.Handler):
    """Log lines, of structlog and of libraries, for the owner's log."""

    def __init__(self, owner: OwnerProxy) -> None:
        super().__init__()
        self._owner = owner
        self.setFormatter(logging.Formatter("%(message)s"))  # with the traceback, if there is one

    def emit(self, record: logging.LogRecord) -> None:
        pairs = dict(record.msg) if isinstance(record.msg, dict) else {"event": self.format(record)}
        self._owner.send(LogLine(record.name, record.levelno, dict(plain_values(None, "", pairs))))


def _send_logs_to(owner: OwnerProxy, level: int) -> None:
    logging.getLogger().addHandler(_LogSender(owner))
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
        setup = await from_owner(reader)
        if isinstance(setup, Setup):
            owner = OwnerProxy(writer, setup)
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
