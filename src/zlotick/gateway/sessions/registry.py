"""The sessions of one process: admitted, pinged, and closed at shutdown."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import structlog
from aiohttp import web

from zlotick.config import GatewayConfig
from zlotick.gateway.access.middleware import (
    ADMISSION,
    PROTOCOL_HEADER,
    AccessMiddleware,
    Admission,
    keep_protocols,
)
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.joining import Joining
from zlotick.gateway.http.routes import refused
from zlotick.gateway.sessions.handshake import PROTOCOLS, WebSocketReader
from zlotick.gateway.sessions.sse import EventStream
from zlotick.gateway.sessions.websocket import Session, SessionCounts
from zlotick.gateway.status import StatusReporter
from zlotick.telemetry.metrics import Sample, Samples

log = structlog.stdlib.get_logger("zlotick.gateway")

RECONNECT_FIRST_MS = 500
RECONNECTS_PER_MS = 2
"""How a shutdown spreads reconnecting clients: a third of the handshakes that one core can do in a second."""


class SessionRegistry:
    """All connected clients: WebSockets and event streams."""

    def __init__(
        self,
        config: GatewayConfig,
        hub: Hub,
        reporter: StatusReporter,
        joining: Joining,
        access: AccessMiddleware,
    ) -> None:
        self.counts = SessionCounts()
        self._config = config
        self._hub = hub
        self._reporter = reporter
        self._joining = joining
        self._access = access
        self._sessions: set[Session | EventStream] = set()
        self._stopping = False
        self._keepalive: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session | EventStream]:
        return iter(self._sessions)

    def open(self) -> None:
        """Start pinging silent clients."""
        self._keepalive = asyncio.create_task(self._keep_alive(), name="gateway keepalive")

    def refuse_new(self) -> None:
        """Admit no new sessions."""
        self._stopping = True

    async def say_goodbye(self) -> None:
        """Tell all clients when to reconnect, wait up to ``gateway.shutdown_timeout``, then cut the connections."""
        await self._end_keepalive()
        for number, session in enumerate(list(self)):
            session.shut_down(RECONNECT_FIRST_MS + number // RECONNECTS_PER_MS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.shutdown_timeout):
                while self._sessions:  # noqa: ASYNC110  each session ends in its own task, which aiohttp owns
                    await asyncio.sleep(0.01)
        for session in list(self):
            session.abort()

    # Admission

    async def serve_websocket(self, request: web.Request) -> web.StreamResponse:
        """Handler of a WebSocket; returns when the session ends."""
        return await self._admit(request, self._upgrade)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Handler of Server-Sent Events; returns when the stream ends."""
        return await self._admit(request, self._open_stream)

    async def _admit(
        self, request: web.Request, serve: Callable[[web.Request, Admission], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._stopping:
            return refused(503, "the server is stopping; come back in a moment")
        if len(self) + self._reporter.service.status().other_sessions >= self._config.max_sessions:
            return refused(503, f"all {self._config.max_sessions} sessions are taken (gateway.max_sessions)")
        admission = request[ADMISSION]
        with self._access.session_slot(admission):
            return await serve(request, admission)

    async def _upgrade(self, request: web.Request, admission: Admission) -> web.StreamResponse:
        if PROTOCOL_HEADER in request.headers:
            headers = request.headers.copy()
            keep_protocols(headers, PROTOCOLS)
            request = request.clone(headers=headers)
        socket = WebSocketReader(self._config, request)
        writer = await socket.prepare(request)
        if request.transport is None:  # the client left during the handshake
            return socket
        session = Session(
            socket,
            request.transport,
            writer,
            deflate=bool(socket.compress),  # agreed on, not only asked for
            config=self._config,
            hub=self._hub,
            reporter=self._reporter,
            counts=self.counts,
            admission=admission,
            joining=self._joining,
        )
        await self._host(session, str(admission.address))
        return socket

    async def _open_stream(self, request: web.Request, admission: Admission) -> web.StreamResponse:
        stream = EventStream(
            request,
            config=self._config,
            hub=self._hub,
            reporter=self._reporter,
            joining=self._joining,
            admission=admission,
        )
        if await stream.open():
            await self._host(stream, str(admission.address))
        return stream.response

    async def _host(self, session: Session | EventStream, remote: str) -> None:
        what = "WebSocket client" if isinstance(session, Session) else "Event stream"
        self._sessions.add(session)
        self._reporter.sessions = len(self)
        self.counts.opened += 1
        log.info(f"{what} connected", mark="🔌", session=session.id, remote=remote)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
            self._reporter.sessions = len(self)
            log.info(f"{what} disconnected", mark="🔌", session=session.id)

    # Keeping alive

    async def _keep_alive(self) -> None:
        """One timer for all sessions instead of ten thousand timers."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._config.ping_interval / 4)
            now = loop.time()
            for session in list(self):
                session.keep_alive(now)

    async def _end_keepalive(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            await asyncio.wait([self._keepalive])
            self._keepalive = None

    def samples(self) -> Samples:
        traffic, counts = self._hub.traffic, self.counts
        gauges = {
            "sessions": ("Connected clients: WebSockets and event streams", len(self)),
            "sessions_late": ("Clients whose socket is over its bound now", len(self._hub.slow_consumers)),
        }
        counters = {
            "sessions_opened": ("Clients that connected: WebSockets and event streams", counts.opened),
            "messages_sent": ("Messages written to clients", traffic.messages),
            "sent_bytes": ("Bytes written to clients", traffic.bytes),
            "messages_conflated": ("Messages that slow clients got only as newest values", traffic.conflated),
            "sessions_evicted": ("Clients closed because they did not keep up", traffic.evicted),
            "requests": ("Messages from clients", counts.requests),
            "bad_messages": ("Messages from clients that were answered with an error", counts.bad_messages),
            "pings_unanswered": ("Clients cut because they answered no ping", counts.unanswered_pings),
        }
        return [
            *(Sample(f"zlotick_gateway_{name}", text, value) for name, (text, value) in gauges.items()),
            *(
                Sample(f"zlotick_gateway_{name}", text, value, kind="counter")
                for name, (text, value) in counters.items()
            ),
        ]
