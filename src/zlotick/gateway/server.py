"""One port for WebSocket and HTTP: a :class:`Gateway` is started and becomes a :class:`RunningGateway`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web

from zlotick.config import GatewayConfig
from zlotick.config.gateway_checks import exposure
from zlotick.errors import GatewayError, JournalError
from zlotick.gateway.access.auth import Guard, TokenVerifier
from zlotick.gateway.access.connection_limits import ConnectionLimits
from zlotick.gateway.access.cors import keep_apart, share
from zlotick.gateway.access.middleware import AccessMiddleware
from zlotick.gateway.access.pocketbase_users import PocketbaseUsers
from zlotick.gateway.access.tls import Certificate
from zlotick.gateway.api.board import Board
from zlotick.gateway.api.documents import Documents
from zlotick.gateway.api.health import HttpApi, errors_as_json
from zlotick.gateway.api.resources import Rest
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.joining import Joining
from zlotick.gateway.fanout.live_candles import LiveCandles
from zlotick.gateway.fanout.recovery import ReplayBuffer, warm
from zlotick.gateway.http.routes import ASSETS, web_routes
from zlotick.gateway.listener import BACKLOG, HTTP_LOG, listening_sockets
from zlotick.gateway.protocol.events import event
from zlotick.gateway.service import Service
from zlotick.gateway.sessions.handshake import share_deflate
from zlotick.gateway.sessions.registry import SessionRegistry
from zlotick.gateway.sessions.sse import stream_route
from zlotick.gateway.status import StatusReporter
from zlotick.model import Alert, CycleReport, Position, StockUpdate
from zlotick.telemetry.metrics import Source

log = structlog.stdlib.get_logger("zlotick.gateway")

FIRST_REQUEST_TIMEOUT = 5.0
"""Seconds until a connection that sends no (further) request is closed. Does not apply after the upgrade."""

BODY_TIMEOUT = 0.5
"""Seconds for which the body of an answered request is still read and discarded; no resource takes one. Without this
a client might not see the answer; in aiohttp's default of 10 s an endless body would be a gigabyte."""


class Gateway:
    """A gateway that does not listen yet."""

    def __init__(self, config: GatewayConfig, service: Service, *, local_token: str | None = None) -> None:
        self._config = config
        self._service = service
        self._local_token = local_token  # None: it makes one

    async def start(
        self, quotes: Mapping[str, StockUpdate] | None = None, position: Position | None = None
    ) -> RunningGateway:
        """Listen, and serve these last values until the first cycle.

        Raises :class:`zlotick.errors.GatewayError`, with nothing left open, when it cannot.
        """
        if problem := exposure(self._config):
            raise GatewayError(f"gateway.host '{self._config.host}': {problem}")
        async with contextlib.AsyncExitStack() as undo:  # of a start that fails or is cancelled half-way
            running = await self._listen(undo, quotes or {}, position)
            undo.pop_all()
        running.open()
        return running

    async def _listen(
        self, undo: contextlib.AsyncExitStack, quotes: Mapping[str, StockUpdate], position: Position | None
    ) -> RunningGateway:
        config, service = self._config, self._service
        certificate = await asyncio.to_thread(_certificate, config)
        access = await self._door(undo)
        # Before the journal is read: a taken port is the most frequent error.
        sockets = await self._sockets(undo)
        hub = self._hub()
        await self._restore(hub, quotes, position)
        reporter = StatusReporter(service, hub)
        joining = Joining(hub, service.read_journal)
        sessions = SessionRegistry(config, hub, reporter, joining, access)
        runner = _runner(_application(reporter, hub, access, sessions, await Board.load()))
        await runner.setup()
        undo.push_async_callback(runner.cleanup)
        assert runner.server is not None  # setup() made it
        connection_limits, servers = ConnectionLimits(config, runner.server), []
        for listener in sockets:
            servers.append(await _serve(runner.server, listener, certificate))
            undo.callback(servers[-1].close)
        return RunningGateway(
            config=config,
            port=sockets[0].getsockname()[1],
            service=service,
            certificate=certificate,
            access=access,
            hub=hub,
            reporter=reporter,
            joining=joining,
            sessions=sessions,
            connection_limits=connection_limits,
            runner=runner,
            servers=servers,
        )

    async def _door(self, undo: contextlib.AsyncExitStack) -> AccessMiddleware:
        guard = _guard(self._config, self._service, self._local_token)
        if guard:
            await guard.start()
            undo.push_async_callback(guard.stop)
        return AccessMiddleware(self._config, guard)

    async def _sockets(self, undo: contextlib.AsyncExitStack) -> list[socket.socket]:
        config = self._config
        shared = config.workers > 1
        sockets = await asyncio.to_thread(listening_sockets, config.host, config.port, shared=shared)
        for listener in sockets:
            undo.callback(listener.close)
        return sockets

    def _hub(self) -> Hub:
        service, replay_buffer = self._service, ReplayBuffer()
        return Hub(
            market_status=lambda: service.status().market_status,
            standings=service.current_standings,
            replay_buffer=replay_buffer,
            candles=LiveCandles(replay_buffer, service.read_journal, lambda: service.status().origin),
            slow_timeout=self._config.slow_timeout,
            buffer_bytes=self._config.session_buffer_bytes,
        )

    async def _restore(self, hub: Hub, quotes: Mapping[str, StockUpdate], position: Position | None) -> None:
        if position is None:
            return
        hub.restore(quotes, position)
        try:
            await warm(hub.replay_buffer, self._service.read_journal, position)
        except JournalError as error:  # clients that resume get an error, if it lasts
            log.warning("Journal not read at the start", mark="❌", error=str(error))


@dataclass(kw_only=True, eq=False)
class RunningGateway:
    """A :class:`zlotick.gateway.service.Listening` in this process. Everything slow happens in the sessions' own tasks."""

    config: GatewayConfig
    port: int  # the real one, also when 0 asked for any
    service: Service
    certificate: Certificate | None
    access: AccessMiddleware
    hub: Hub
    reporter: StatusReporter
    joining: Joining
    sessions: SessionRegistry
    connection_limits: ConnectionLimits
    runner: web.AppRunner
    servers: list[asyncio.Server]
    reloading: asyncio.Task[None] | None = None
    loading_candles: asyncio.Task[None] | None = None
    _stopped: bool = False

    def open(self) -> None:
        """The last step of the start: the keepalive, the numbers, the log line."""
        self.sessions.open()
        for samples in self._samples():
            self.service.metrics.add(samples)
        config, tls = self.config, self.certificate is not None
        log.info("Gateway listening", mark="🔌", host=config.host, port=self.port, tls=tls, auth=config.auth)

    def _samples(self) -> list[Source]:
        return [self.sessions.samples, self.access.samples, self.connection_limits.samples]

    async def drain(self) -> None:
        self.begin_drain()
        await asyncio.sleep(self.config.drain_seconds)

    def begin_drain(self) -> None:
        """The part of :meth:`drain` that does not wait."""
        self.reporter.draining = True
        if self.config.drain_seconds:
            log.info("Gateway draining", mark="🔌", seconds=self.config.drain_seconds)

    async def stop(self) -> None:
        """Accept no client, send ``shutdown``, give the sessions ``shutdown_timeout``, then cut. Safe to call twice."""
        if self._stopped:
            return
        self._stopped = True
        self.reporter.draining = True
        self.sessions.refuse_new()
        for samples in self._samples():
            self.service.metrics.remove(samples)
        for server in self.servers:
            server.close()
        if self.access.guard is not None:
            await self.access.guard.stop()
        for task in (self.reloading, self.loading_candles):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        self.hub.close()
        await self.sessions.say_goodbye()
        await self.runner.cleanup()
        log.info("Gateway stopped", mark="🔌")

    def kill(self) -> None:
        """Nothing to do: it has no process of its own."""

    def reload_tls(self) -> None:
        if self.certificate is not None:
            self.reloading = asyncio.create_task(_reload(self.certificate), name="gateway TLS reload")

    @property
    def local_token(self) -> str | None:
        return self.access.guard.local_token if self.access.guard else None

    @property
    def session_count(self) -> int:
        return len(self.sessions)

    def publish(self, report: CycleReport) -> None:
        self.reporter.note(report)
        self.hub.publish(report)

    def begin_epoch(self, quotes: Mapping[str, StockUpdate], position: Position) -> None:
        log.warning("New epoch of the journal: clients get a snapshot", mark="🔄", offset=position.offset)
        loading = self.loading_candles
        if self.hub.begin_epoch(quotes, position) and (loading is None or loading.done()):
            again = self.joining.load_candles_again()
            self.loading_candles = asyncio.create_task(again, name="gateway candles")

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        self.hub.publish_event(*event(event_type, data))

    def publish_alert(self, alert: Alert) -> None:
        self.hub.publish_alert(alert)


def _guard(config: GatewayConfig, service: Service, local_token: str | None) -> Guard | None:
    if config.auth == "tokens":
        return Guard(TokenVerifier(service.home), local_token)
    if config.auth == "pocketbase":
        return Guard(PocketbaseUsers(lambda: service.status().pocketbase_url), local_token)
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


def _runner(application: web.Application) -> web.AppRunner:
    return web.AppRunner(
        application,
        access_log=None,
        logger=HTTP_LOG,
        keepalive_timeout=FIRST_REQUEST_TIMEOUT,
        shutdown_timeout=1.0,
        lingering_time=BODY_TIMEOUT,
    )


async def _serve(
    server: web.Server, listener: socket.socket, certificate: Certificate | None
) -> asyncio.Server:
    timeout = FIRST_REQUEST_TIMEOUT if certificate else None
    return await asyncio.get_running_loop().create_server(
        server,
        sock=listener,
        backlog=BACKLOG,
        ssl=certificate.context if certificate else None,
        ssl_handshake_timeout=timeout,
        ssl_shutdown_timeout=timeout,
    )


def _application(
    reporter: StatusReporter, hub: Hub, access: AccessMiddleware, sessions: SessionRegistry, board: Board
) -> web.Application:
    """What answers which path."""
    api = HttpApi(reporter)
    routes = [*api.routes(), *Rest(reporter, hub).routes(), stream_route(sessions.stream)]
    routes += Documents(routes, reporter.service.version).routes()

    async def root(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await sessions.serve_websocket(request)
        return await (board.page(request) if board.built else api.page(request))

    app = web.Application(middlewares=[errors_as_json, access.check_request])
    app.on_response_prepare.append(share_deflate)
    app.on_response_prepare.append(share)
    app.on_response_prepare.append(keep_apart)
    app.add_routes(
        [web.get("/", root), web.get("/ws", sessions.serve_websocket), web.get(ASSETS, board.asset)]
    )
    app.add_routes(web_routes(routes))
    return app
