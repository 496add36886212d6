"""One port for WebSocket and HTTP: put together, listening, told every cycle, stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web

from zlotick.config import GatewayConfig
from zlotick.config.gateway_checks import exposure
from zlotick.errors import GatewayError, JournalError
from zlotick.gateway.access.auth import Guard, TokenVerifier
from zlotick.gateway.access.connection_limits import Entrance
from zlotick.gateway.access.cors import keep_apart, share
from zlotick.gateway.access.middleware import Door
from zlotick.gateway.access.pocketbase_users import PocketbaseUsers
from zlotick.gateway.access.tls import Certificate
from zlotick.gateway.api.board import ASSETS, Dashboard
from zlotick.gateway.api.documents import Documents
from zlotick.gateway.api.health import HttpApi, errors_as_json
from zlotick.gateway.api.resources import Rest
from zlotick.gateway.context import GatewayContext
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.joining import Arrivals
from zlotick.gateway.fanout.live_candles import LiveCandles
from zlotick.gateway.fanout.recovery import Tail, warm
from zlotick.gateway.http.routes import web_routes
from zlotick.gateway.listener import BACKLOG, HTTP_LOG, listening_sockets
from zlotick.gateway.protocol.events import event
from zlotick.gateway.sessions.handshake import share_deflate
from zlotick.gateway.sessions.registry import Sessions
from zlotick.gateway.sessions.sse import stream_route
from zlotick.gateway.status import Answers
from zlotick.model import Alert, CycleReport, Position, StockUpdate

log = structlog.stdlib.get_logger("zlotick.gateway")

FIRST_REQUEST_TIMEOUT = 5.0
"""Seconds until a connection that sends no (further) request is closed. WebSockets are not meant."""


BODY_TIMEOUT = 0.5
"""Seconds for which the body of an answered request is still read, and thrown away: no resource takes one. Without
them a client might not see the answer; aiohttp's own 10 s are a gigabyte of an endless one."""


class Gateway:
    """The server. ``publish`` is synchronous and quick; everything slow happens in the sessions."""

    def __init__(self, config: GatewayConfig, context: GatewayContext) -> None:
        self.port = config.port  # the real one after start(), also when 0 asked for any
        self._config = config
        self._context = context
        self._restored: tuple[Mapping[str, StockUpdate], Position] | None = None
        self._hub: Hub | None = None
        self._answers: Answers | None = None
        self._certificate: Certificate | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._door: Door | None = None
        self._entrance: Entrance | None = None
        self._sessions: Sessions | None = None
        self._runner: web.AppRunner | None = None
        self._servers: list[asyncio.AbstractServer] = []

    # Start and stop

    async def start(self) -> None:
        """Listen. Raises :class:`zlotick.errors.GatewayError` when it cannot."""
        if problem := exposure(self._config):
            raise GatewayError(f"gateway.host '{self._config.host}': {problem}")
        self._certificate = await asyncio.to_thread(_certificate, self._config)
        door = self._door = Door(self._config, _guard(self._config, self._context))
        sockets = await self._bind(door)
        hub = self._hub = self._new_hub()
        await self._recall(hub)
        answers = self._answers = Answers(self._context, hub)
        arrivals = Arrivals(hub, self._context.read_journal)
        sessions = self._sessions = Sessions(self._config, hub, answers, arrivals, door)
        self._runner = web.AppRunner(
            _application(answers, hub, door, sessions, await Dashboard.load()),
            access_log=None,
            logger=HTTP_LOG,
            keepalive_timeout=FIRST_REQUEST_TIMEOUT,
            shutdown_timeout=1.0,
            lingering_time=BODY_TIMEOUT,
        )
        await self._runner.setup()
        assert self._runner.server is not None
        entrance = self._entrance = Entrance(self._config, self._runner.server)
        await self._listen(sockets)
        sessions.open()
        self._context.metrics.add(sessions.samples)
        self._context.metrics.add(door.samples)
        self._context.metrics.add(entrance.samples)
        tls = self._certificate is not None
        auth = self._config.auth
        log.info("Gateway listening", mark="🔌", host=self._config.host, port=self.port, tls=tls, auth=auth)

    async def _bind(self, door: Door) -> list[socket.socket]:
        """The port is ours, and tokens can be checked."""
        if door.guard:
            await door.guard.start()
        config = self._config
        try:
            sockets = await asyncio.to_thread(
                listening_sockets, config.host, config.port, shared=config.workers > 1
            )
        except GatewayError:
            await self._end_guard()
            raise
        self.port = sockets[0].getsockname()[1]
        return sockets

    def _new_hub(self) -> Hub:
        context, tail = self._context, Tail()
        return Hub(
            market_status=context.market_status,
            standings=context.standings,
            tail=tail,
            candles=LiveCandles(tail, context.read_journal, context.origin),
            slow_timeout=self._config.slow_timeout,
            buffer_bytes=self._config.session_buffer_bytes,
        )

    async def _recall(self, hub: Hub) -> None:
        """Know what was before this start."""
        if self._restored is None:
            return
        hub.restore(*self._restored)
        try:
            await warm(hub.tail, self._context.read_journal, self._restored[1])
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
        assert self._sessions is not None
        assert self._door is not None
        assert self._hub is not None
        self._sessions.drain()
        self._context.metrics.remove(self._sessions.samples)
        self._context.metrics.remove(self._door.samples)
        if self._entrance is not None:
            self._context.metrics.remove(self._entrance.samples)
        while self._servers:
            self._servers.pop().close()
        await self._end_guard()
        self._hub.close()
        await self._sessions.say_goodbye()
        await runner.cleanup()
        log.info("Gateway stopped", mark="🔌")

    @property
    def house_token(self) -> str | None:
        """Lets this machine's user in; None where no token is asked for."""
        return self._door.guard.house_token if self._door and self._door.guard else None

    @property
    def session_count(self) -> int:
        """How many clients are connected."""
        return 0 if self._sessions is None else len(self._sessions)

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
        self._hub.publish(report)

    def publish_event(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Tell the subscribers of its channel an event of the bus. Raises ValueError for other data."""
        if self._hub is not None:
            self._hub.publish_event(*event(event_type, data))

    def publish_alert(self, alert: Alert) -> None:
        """Tell an alert to the sessions that asked for alerts and may see it."""
        if self._hub is not None:
            self._hub.publish_alert(alert)

    async def _end_guard(self) -> None:
        if self._door is not None and self._door.guard is not None:
            await self._door.guard.stop()
        if self._reloading is not None:
            self._reloading.cancel()
            await asyncio.wait([self._reloading])


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


def _application(
    answers: Answers, hub: Hub, door: Door, sessions: Sessions, board: Dashboard
) -> web.Application:
    """What answers which path."""
    api = HttpApi(answers)
    routes = [*api.routes(), *Rest(answers, hub).routes(), stream_route(sessions.stream)]
    routes += Documents(routes, answers.context.version).routes()

    async def root(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await sessions.converse(request)
        return await (board.page(request) if board.built else api.page(request))

    app = web.Application(middlewares=[errors_as_json, door.judge])
    app.on_response_prepare.append(share_deflate)
    app.on_response_prepare.append(share)
    app.on_response_prepare.append(keep_apart)
    app.add_routes([web.get("/", root), web.get("/ws", sessions.converse), web.get(ASSETS, board.asset)])
    app.add_routes(web_routes(routes))
    return app
