"""One port for WebSocket and HTTP: listen, let sessions in, publish cycles, say goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web

from zlotick.config import GatewayConfig
from zlotick.config.admission import exposure
from zlotick.errors import GatewayError, JournalError
from zlotick.gateway.answers import Answers
from zlotick.gateway.api import HttpApi, errors_as_json
from zlotick.gateway.arrivals import Arrivals
from zlotick.gateway.auth import Guard, TokenVerifier
from zlotick.gateway.context import GatewayContext
from zlotick.gateway.cors import share
from zlotick.gateway.dashboard import ASSETS, Dashboard
from zlotick.gateway.documents import Documents
from zlotick.gateway.door import ADMISSION, PROTOCOL_HEADER, Admission, Door, keep_protocols
from zlotick.gateway.events import event
from zlotick.gateway.hub import Hub
from zlotick.gateway.listener import BACKLOG, HTTP_LOG, listening_sockets
from zlotick.gateway.live_candles import LiveCandles
from zlotick.gateway.rest import Rest
from zlotick.gateway.resume import Tail, warm
from zlotick.gateway.routes import refused, web_routes
from zlotick.gateway.session import Session, SessionCounts
from zlotick.gateway.socket import PROTOCOLS, Socket
from zlotick.gateway.sse import EventStream, stream_route
from zlotick.gateway.tls import Certificate
from zlotick.gateway.users import PocketbaseUsers
from zlotick.model import Alert, CycleReport, Position, StockUpdate
from zlotick.telemetry.metrics import Sample, Samples

log = structlog.stdlib.get_logger("zlotick.gateway")

FIRST_REQUEST_TIMEOUT = 5.0
"""Seconds until a connection that sends no (further) request is closed. WebSockets are not meant."""

RECONNECT_FIRST_MS = 500
RECONNECTS_PER_MS = 2
"""How a shutdown spreads the clients' return: a third of the handshakes a second that one core can do."""

_EXTENSIONS = "Sec-WebSocket-Extensions"
_SHARED_DEFLATE = "permessage-deflate; server_no_context_takeover"


class Gateway:
    """The server. ``publish`` is synchronous and quick; everything slow happens in the sessions."""

    def __init__(self, config: GatewayConfig, context: GatewayContext) -> None:
        self.port = config.port  # the real one after start(), also when 0 asked for any
        self._config = config
        self._context = context
        self._sessions: set[Session | EventStream] = set()
        self._counts = SessionCounts()
        self._restored: tuple[Mapping[str, StockUpdate], Position] | None = None
        self._hub: Hub | None = None
        self._answers: Answers | None = None
        self._arrivals: Arrivals | None = None
        self._certificate: Certificate | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._door: Door | None = None
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.AbstractServer] = []
        self._keepalive: asyncio.Task[None] | None = None
        self._draining = False

    # Start and stop

    async def start(self) -> None:
        """Listen. Raises :class:`zlotick.errors.GatewayError` when it cannot."""
        if problem := exposure(self._config):
            raise GatewayError(f"gateway.host '{self._config.host}': {problem}")
        self._certificate = await asyncio.to_thread(_certificate, self._config)
        self._door = Door(self._config, _guard(self._config, self._context))
        if self._door.guard:
            await self._door.guard.start()
        try:
            shared = self._config.workers > 1
            sockets = await asyncio.to_thread(
                listening_sockets, self._config.host, self._config.port, shared=shared
            )
        except GatewayError:
            await self._end_guard()
            raise
        self.port = sockets[0].getsockname()[1]
        context, tail = self._context, Tail()
        self._hub = Hub(
            market_status=context.market_status,
            stale=context.stale,
            tail=tail,
            candles=LiveCandles(tail, context.read_journal, context.market_time),
            slow_timeout=self._config.slow_timeout,
            buffer_bytes=self._config.session_buffer_bytes,
        )
        self._arrivals = Arrivals(self._hub, context.read_journal)
        if self._restored is not None:
            self._hub.restore(*self._restored)
            await self._remember(tail, self._restored[1])
        self._answers = Answers(self._context, self._hub)
        self._runner = web.AppRunner(
            self._application(self._answers, self._hub, self._door, await Dashboard.load()),
            access_log=None,
            logger=HTTP_LOG,
            keepalive_timeout=FIRST_REQUEST_TIMEOUT,
            shutdown_timeout=1.0,
        )
        await self._runner.setup()
        await self._listen(sockets)
        self._keepalive = asyncio.create_task(self._keep_alive(), name="gateway keepalive")
        self._context.metrics.add(self.samples)
        self._context.metrics.add(self._door.samples)
        tls = self._certificate is not None
        auth = self._config.auth
        log.info("Gateway listening", mark="🔌", host=self._config.host, port=self.port, tls=tls, auth=auth)

    async def _remember(self, tail: Tail, position: Position) -> None:
        try:
            await warm(tail, self._context.read_journal, position)
        except JournalError as error:  # the clients will hear of it, if it lasts
            log.warning("Journal not read at the start", mark="❌", error=str(error))

    async def _listen(self, sockets: list[socket.socket]) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        context = self._certificate.context if self._certificate else None
        timeout = FIRST_REQUEST_TIMEOUT if context else None
        for listener in sockets:
            server = await asyncio.get_running_loop().create_server(
                self._runner.server,
                sock=listener,
                backlog=BACKLOG,
                ssl=context,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=timeout,
            )
            self._servers.append(server)

    def reload_tls(self) -> None:
        """Use what the files of certificate and key hold now, for new connections. The log says how it went."""
        if self._certificate is not None:
            self._reloading = asyncio.create_task(_reload(self._certificate), name="gateway TLS reload")

    async def stop(self) -> None:
        """Take nobody new, say goodbye, give the sessions ``shutdown_timeout``, then cut. Safe to call twice."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._draining = True
        self._context.metrics.remove(self.samples)
        if self._door is not None:
            self._context.metrics.remove(self._door.samples)
        while self._servers:
            self._servers.pop().close()
        await self._end_keepalive()
        await self._end_guard()
        if self._hub is not None:
            self._hub.close()
        await self._say_goodbye()
        await runner.cleanup()
        log.info("Gateway stopped", mark="🔌")

    @property
    def house_token(self) -> str | None:
        """Lets this machine's user in; None where no token is asked for."""
        return self._door.guard.house_token if self._door and self._door.guard else None

    @property
    def session_count(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    # Quotes

    def restore(self, quotes: Mapping[str, StockUpdate], position: Position) -> None:
        """Serve these last values from the start, before the first cycle."""
        self._restored = (quotes, position)
        if self._hub is not None:
            self._hub.restore(quotes, position)

    def publish(self, report: CycleReport) -> None:
        """Send one cycle to every session."""
        if self._hub is None or self._answers is None:
            return
        self._answers.note(report)
        self._hub.publish(report.quotes, report.entry, report.position, report.market_status)

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Tell the subscribers of its channel an event of the bus. Raises ValueError for other data."""
        if self._hub is not None:
            self._hub.publish_event(*event(event_type, data))

    def publish_alert(self, alert: Alert) -> None:
        """Tell an alert to the sessions that asked for alerts and may see it."""
        if self._hub is not None:
            self._hub.publish_alert(alert)

    def samples(self) -> Samples:
        """The gateway's numbers, for metrics."""
        if self._hub is None:
            return []
        traffic, counts = self._hub.traffic, self._counts
        gauges = {
            "sessions": ("Connected clients: WebSockets and event streams", len(self._sessions)),
            "sessions_late": ("Clients whose socket is over its bound now", len(self._hub.laggards)),
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

    # Sessions

    def _application(self, answers: Answers, hub: Hub, door: Door, board: Dashboard) -> web.Application:
        api = HttpApi(answers)
        routes = [*api.routes(), *Rest(answers, hub).routes(), stream_route(self._stream)]
        routes += Documents(routes, self._context.version).routes()

        async def root(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._converse(request)
            return await (board.page(request) if board.built else api.page(request))

        app = web.Application(middlewares=[errors_as_json, door.judge])
        app.on_response_prepare.append(_share_deflate)
        app.on_response_prepare.append(share)
        app.add_routes([web.get("/", root), web.get("/ws", self._converse), web.get(ASSETS, board.asset)])
        app.add_routes(web_routes(routes))
        return app

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        return await self._let_in(request, self._upgrade)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        return await self._let_in(request, self._open_stream)

    async def _let_in(
        self, request: web.Request, serve: Callable[[web.Request, Admission], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._draining:
            return refused(503, "the server is stopping; come back in a moment")
        if len(self._sessions) + self._context.other_sessions() >= self._config.max_sessions:
            return refused(503, f"all {self._config.max_sessions} sessions are taken (gateway.max_sessions)")
        assert self._door is not None
        admission = request[ADMISSION]
        with self._door.place(admission):
            return await serve(request, admission)

    async def _upgrade(self, request: web.Request, admission: Admission) -> web.StreamResponse:
        assert self._hub is not None
        assert self._answers is not None
        assert self._arrivals is not None
        if PROTOCOL_HEADER in request.headers:
            headers = request.headers.copy()
            keep_protocols(headers, PROTOCOLS)
            request = request.clone(headers=headers)
        socket = Socket(self._config, deflate=_may_share_deflate(request.headers.get(_EXTENSIONS, "")))
        writer = await socket.prepare(request)
        if request.transport is None:  # gone during the handshake
            return socket
        session = Session(
            socket,
            request.transport,
            writer,
            deflate=bool(socket.compress),  # agreed on, not only asked for
            config=self._config,
            hub=self._hub,
            answers=self._answers,
            counts=self._counts,
            admission=admission,
            arrivals=self._arrivals,
        )
        await self._host(session, str(admission.address))
        return socket

    async def _open_stream(self, request: web.Request, admission: Admission) -> web.StreamResponse:
        assert self._hub is not None
        assert self._answers is not None
        assert self._arrivals is not None
        stream = EventStream(
            request,
            config=self._config,
            hub=self._hub,
            answers=self._answers,
            arrivals=self._arrivals,
            admission=admission,
        )
        if await stream.open():
            await self._host(stream, str(admission.address))
        return stream.response

    async def _host(self, session: Session | EventStream, remote: str | None) -> None:
        assert self._answers is not None
        what = "WebSocket client" if isinstance(session, Session) else "Event stream"
        self._sessions.add(session)
        self._answers.sessions = len(self._sessions)
        self._counts.opened += 1
        log.info(f"{what} connected", mark="🔌", session=session.id, remote=remote)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
            self._answers.sessions = len(self._sessions)
            log.info(f"{what} disconnected", mark="🔌", session=session.id)

    async def _keep_alive(self) -> None:
        """One clock for all sessions: ten thousand timers would be a burden, one is none."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._config.ping_interval / 4)
            now = loop.time()
            for session in list(self._sessions):
                session.keep_alive(now)

    async def _end_guard(self) -> None:
        if self._door is not None and self._door.guard is not None:
            await self._door.guard.stop()
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait([self._reloading])

    async def _end_keepalive(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            await asyncio.wait([self._keepalive])
            self._keepalive = None

    async def _say_goodbye(self) -> None:
        for number, session in enumerate(list(self._sessions)):
            wait = RECONNECT_FIRST_MS + number // RECONNECTS_PER_MS
            session.shut_down(wait)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.shutdown_timeout):
                while self._sessions:  # noqa: ASYNC110  each session ends in its own task, which aiohttp owns
                    await asyncio.sleep(0.01)
        for session in list(self._sessions):
            session.abort()


def _guard(config: GatewayConfig, context: GatewayContext) -> Guard | None:
    if config.auth == "tokens":
        if context.home is None:
            raise GatewayError(
                "gateway.auth 'tokens': there is no folder for the tokens (GatewayContext.home)"
            )
        return Guard(TokenVerifier(context.home), context.house_token)
    if config.auth == "pocketbase":
        return Guard(PocketbaseUsers(context.pocketbase_url), context.house_token)
    return None


def _certificate(config: GatewayConfig) -> Certificate | None:
    if config.tls_certificate is None or config.tls_key is None:
        return None
    return Certificate(config.tls_certificate, config.tls_key)


async def _reload(certificate: Certificate) -> None:
    try:
        await asyncio.to_thread(certificate.reload)
    except GatewayError as error:
        log.error("TLS certificate not reloaded: the old one stays in use", mark="❌", error=str(error))
    else:
        log.info("TLS certificate reloaded", mark="🔄")


async def _share_deflate(_: web.Request, response: web.StreamResponse) -> None:
    """Tell the client that no frame leans on an earlier one: then the same bytes serve every session."""
    if isinstance(response, Socket) and _EXTENSIONS in response.headers:
        response.headers[_EXTENSIONS] = _SHARED_DEFLATE


def _may_share_deflate(offer: str) -> bool:
    """Whether one deflated frame can serve this client: not if it asks for a window smaller than ours."""
    offered = {one.partition(";")[0].strip() for one in offer.split(",")}
    return "permessage-deflate" in offered and "server_max_window_bits" not in offer
