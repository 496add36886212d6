"""A subscription as Server-Sent Events, for browsers' ``EventSource``, ``curl -N`` and other HTTP clients.

For the hub an event is one more encoding of a shared message. Its ``id`` is the position of the message, so a client
that reconnects with ``Last-Event-ID`` resumes without a gap.
"""

from __future__ import annotations

import asyncio
import secrets

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11

from zlotick.config import GatewayConfig
from zlotick.gateway.access.middleware import Admission
from zlotick.gateway.fanout.frames import SharedMessage
from zlotick.gateway.fanout.groups import Subscriber
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.joining import Joining
from zlotick.gateway.http.query import StreamParameters, read
from zlotick.gateway.http.routes import ROOT, Handler, Route
from zlotick.gateway.protocol.messages import BadMessage, CloseCode, ErrorCode, Shutdown, error_message
from zlotick.gateway.protocol.subscription import Subscription
from zlotick.gateway.status import StatusReporter
from zlotick.model import now_text

log = structlog.stdlib.get_logger("zlotick.gateway")

CONTENT_TYPE = "text/event-stream"
KEEPALIVE = 15.0
"""Seconds between two comments, which keep proxies from closing a silent stream."""

CLOSE_GRACE = 2.0
"""Seconds that a client has to read the last bytes."""

RECONNECT_MS = 3000
"""After this time a browser reconnects when the connection was lost."""

_HEADERS = {
    "Content-Type": CONTENT_TYPE,
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold events back until it has a bufferful
}
_COMMENT = b":\n\n"


def whole(message: SharedMessage) -> bytes:
    """A message as an event. Our JSON has no line feeds, so it is one ``data`` line."""
    place = message.position
    name = b"" if place is None else b"id: %b:%d\n" % (place.epoch.encode(), place.offset)
    return b"%bdata: %b\n\n" % (name, message.payload)


def chunked(message: SharedMessage) -> bytes:
    """An event as a chunk of HTTP/1.1."""
    return chunk(message.encoded(whole))


def chunk(data: bytes) -> bytes:
    """One chunk of a body (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_route(handler: Handler) -> Route:
    """Its line in the table."""
    summary = "The subscription of the WebSocket as Server-Sent Events"
    return Route(
        f"{ROOT}/stream",
        handler,
        summary,
        refusals=(404, 422, 429, 503),
        parameters=StreamParameters,
        media=(CONTENT_TYPE,),
        headers={"Last-Event-ID": "Resume after this event"},
    )


class EventStream:
    """One client of the stream. It is made before anything is answered: a bad wish is an HTTP error."""

    def __init__(
        self,
        request: web.Request,
        *,
        config: GatewayConfig,
        hub: Hub,
        reporter: StatusReporter,
        joining: Joining,
        admission: Admission,
    ) -> None:
        """Raises :class:`BadMessage` for what cannot be had."""
        self.id = secrets.token_hex(8)
        self.response = web.StreamResponse(headers=_HEADERS)
        self.response.force_close()
        self._request = request
        self._config = config
        self._hub = hub
        self._joining = joining
        self._admission = admission
        self._parameters = read(request.query, StreamParameters).subscribe(
            request.headers.get("Last-Event-ID")
        )
        assert admission.identity is not None  # the access middleware requires a token before a stream
        self._subscription = Subscription.of(
            self._parameters, reporter.knows_symbol, user=admission.identity.user
        )
        self._in_chunks = request.version >= HttpVersion11
        self._ended = asyncio.Event()
        self._commented = asyncio.get_running_loop().time()
        self._subscriber: Subscriber | None = None
        self._writer: AbstractStreamWriter | None = None

    async def open(self) -> bool:
        """Answer with the headers; False when no events can follow (HEAD, a client that left). Raises :class:`BadMessage`."""
        await self._joining.prepare(self._subscription)
        self._writer = await self.response.prepare(self._request)
        transport = self._request.transport
        if transport is None or self._request.method == "HEAD":
            return False
        transport.set_write_buffer_limits(high=self._config.session_buffer_bytes)
        subscriber = Subscriber(transport, encoding=chunked if self._in_chunks else whole, evict=self._evict)
        subscriber.disconnect_when_slow = self._parameters.on_slow == "disconnect"
        subscriber.heartbeat = self._parameters.heartbeat
        self._subscriber = subscriber
        return True

    async def run(self) -> None:
        """What is known, then what comes, until the connection or the service ends."""
        subscriber = self._open_subscriber
        try:
            self._admission.attach(self._end)
            self._say(b"retry: %d\n\n" % RECONNECT_MS)
            await self._joining.join(subscriber, self._subscription, self._parameters.since, self._drain)
            await self._ended.wait()
        except BadMessage as bad:
            self._hub.send(subscriber, error_message(bad.code, bad.message))
        finally:
            self._hub.dismiss(subscriber)
            self._admission.release()
            if subscriber.transport.get_write_buffer_size():
                # A client that has stopped reading would keep the buffer: cut it after a moment.
                asyncio.get_running_loop().call_later(CLOSE_GRACE, subscriber.transport.abort)

    @property
    def _open_subscriber(self) -> Subscriber:
        assert self._subscriber is not None, "open() first"
        return self._subscriber

    def keep_alive(self, now: float) -> None:
        """Write a comment after ``KEEPALIVE`` seconds; end the stream if the client is gone."""
        subscriber = self._open_subscriber
        if subscriber.transport.is_closing():
            self._ended.set()
        elif now - self._commented >= KEEPALIVE and subscriber.backlog is None:
            self._commented = now
            self._say(_COMMENT)

    def shut_down(self, reconnect_after_ms: int) -> None:
        """The server stops: tell the client when to reconnect, then end."""
        if not self._ended.is_set():
            self._say(b"retry: %d\n\n" % reconnect_after_ms)
            farewell = Shutdown(timestamp=now_text(), reconnect_after_ms=reconnect_after_ms)
            self._hub.send(self._open_subscriber, farewell)
            self._leave()

    def abort(self) -> None:
        """Cut the connection at once."""
        self._leave()
        if self._request.transport is not None:
            self._request.transport.abort()

    def _say(self, data: bytes) -> None:
        self._hub.write(self._open_subscriber, chunk(data) if self._in_chunks else data)

    def _end(self, code: CloseCode, reason: str) -> None:
        """The token expired or was revoked. A reconnect with it is refused, at which a browser gives up."""
        log.info("Event stream closed", mark="🔌", session=self.id, code=int(code), reason=reason)
        self._hub.send(self._open_subscriber, error_message(ErrorCode.UNAUTHORIZED, reason))
        self._leave()

    def _evict(self) -> None:
        """Cut a slow consumer: it will not read what waits. A browser reconnects and resumes."""
        log.info("Event stream closed", mark="🔌", session=self.id, reason="slow consumer")
        self.abort()

    def _leave(self) -> None:
        self._hub.dismiss(self._open_subscriber)
        self._ended.set()

    async def _drain(self) -> None:
        """Yield to other tasks; wait while the send buffer of this client is above its limit (backpressure)."""
        await asyncio.sleep(0)
        if self._open_subscriber.transport.get_write_buffer_size() <= self._config.session_buffer_bytes:
            return
        assert self._writer is not None
        try:
            async with asyncio.timeout(self._config.slow_timeout):
                await self._writer.drain()
        except TimeoutError:
            self._evict()
        except ConnectionError:
            self._leave()
