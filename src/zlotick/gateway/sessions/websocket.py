"""One WebSocket client: requests are read one at a time and answered; quotes are written by the hub.

Session and hub both write whole frames to the transport, so their frames never mix. Backpressure: while more than
``gateway.session_buffer_bytes`` waits in the client's send buffer, no further request is read.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
import structlog
from aiohttp import WSMessage, WSMsgType
from aiohttp.abc import AbstractStreamWriter
from msgspec import UNSET, UnsetType

from zlotick.config import GatewayConfig
from zlotick.errors import Transient
from zlotick.gateway.access.auth import Identity, Unauthorized
from zlotick.gateway.access.middleware import CANNOT_TELL, Admission
from zlotick.gateway.access.rate_limits import TokenBucket
from zlotick.gateway.fanout import frames
from zlotick.gateway.fanout.frames import PING, PONG, Encoding, close_frame, frame
from zlotick.gateway.fanout.groups import Subscriber
from zlotick.gateway.fanout.hub import Hub
from zlotick.gateway.fanout.joining import Joining
from zlotick.gateway.protocol.messages import (
    AnyRequest,
    Auth,
    Authenticated,
    BadMessage,
    CloseCode,
    ErrorCode,
    Message,
    Ping,
    Pong,
    Shutdown,
    Status,
    Subscribe,
    SubscriptionConfirmed,
    SubscriptionState,
    Unsubscribe,
    error_message,
    parse,
    parse_packed,
)
from zlotick.gateway.protocol.subscription import NOTHING, Subscription
from zlotick.gateway.sessions.handshake import PACKED, WebSocketReader
from zlotick.gateway.status import StatusReporter
from zlotick.model import now_text, utc_text

log = structlog.stdlib.get_logger("zlotick.gateway")

MAX_BAD_MESSAGES = 100
MAX_RATE_REFUSALS = 100
CLOSE_GRACE = 2.0
"""Seconds that a client has to answer a close frame before the connection is cut."""

_PING_FRAME = frame(b"", PING)
_NOTHING_ASKED = Subscribe()
_BINARY = f"binary message; this protocol is JSON in text frames, unless {PACKED} was agreed on"


@dataclass
class SessionCounts:
    """Counters of all sessions of a process."""

    opened: int = 0
    requests: int = 0
    bad_messages: int = 0
    unanswered_pings: int = 0


def _encoding(*, packed: bool, deflate: bool) -> Encoding:
    """The encoding that the handshake agreed on. MessagePack is not deflated: it is compact already."""
    if packed:
        return frames.packed
    return frames.deflate if deflate else frames.plain


def _authenticated(identity: Identity, request_id: str | int | UnsetType = UNSET) -> Authenticated:
    expires = None if identity.expires is None else utc_text(datetime.fromtimestamp(identity.expires, UTC))
    return Authenticated(
        timestamp=now_text(), user=identity.name, scopes=identity.scopes, expires=expires, id=request_id
    )


class Session:
    """Reads and answers the requests of one client."""

    def __init__(
        self,
        socket: WebSocketReader,
        transport: asyncio.Transport,
        writer: AbstractStreamWriter,
        *,
        deflate: bool,
        config: GatewayConfig,
        hub: Hub,
        reporter: StatusReporter,
        counts: SessionCounts,
        admission: Admission,
        joining: Joining,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.heard = asyncio.get_running_loop().time()
        self.closing = False
        self._socket = socket
        self._transport = transport
        self._writer = writer
        self._config = config
        self._hub = hub
        self._reporter = reporter
        self._counts = counts
        self._admission = admission
        self._bucket = TokenBucket(config.requests_per_second, config.requests_burst, self.heard)
        self._rate_refusals = 0
        self._joining = joining
        self._options = _NOTHING_ASKED  # the last `subscribe`: `on_slow` and `heartbeat` belong to the session, not its group
        self._packed = socket.ws_protocol == PACKED
        self.subscriber = Subscriber(
            transport, encoding=_encoding(packed=self._packed, deflate=deflate), evict=self._evict
        )
        self._bad_messages = 0
        self.throttled = False  # it has to read before it is answered
        self._cut: asyncio.TimerHandle | None = None
        self._unauthenticated: asyncio.TimerHandle | None = None
        socket.on_violation = self._answer_violation
        transport.set_write_buffer_limits(high=config.session_buffer_bytes)

    async def run(self) -> None:
        """Send the greeting, then answer requests until the connection ends."""
        loop = asyncio.get_running_loop()
        try:
            self._greet()
            while await self._next():
                self.heard = loop.time()
        finally:
            self._hub.dismiss(self.subscriber)
            self._admission.release()
            if self._unauthenticated is not None:
                self._unauthenticated.cancel()
            if self._cut is not None:
                self._cut.cancel()
            self._transport.close()
            if self._transport.get_write_buffer_size():
                # A client that has stopped reading would keep the buffer: cut it after a moment.
                self._cut = loop.call_later(CLOSE_GRACE, self._transport.abort)

    def _greet(self) -> None:
        """Send the greeting; a client without a token has ``auth_timeout`` seconds to send one."""
        auth = "required" if self._admission.required else "none"
        self.send(msgspec.structs.replace(self._reporter.connection(self.id), auth=auth))
        self._admission.attach(self.close)
        if self._admission.identity is None:
            loop, wait = asyncio.get_running_loop(), self._config.auth_timeout
            self._unauthenticated = loop.call_later(wait, self._give_up_on_auth)
        elif self._admission.required:
            self.send(_authenticated(self._admission.identity))

    # Requests

    async def _next(self) -> bool:
        """Handle one message; returns False when the connection is closed."""
        message = await self._socket.receive()
        if message.type is WSMsgType.CLOSE:
            self._confirm_close(message)
            return False
        if message.type in (WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR):
            return False
        if not self.closing and message.type is not WSMsgType.PONG:
            await self._take(message)
        await self._drain()  # also after a pong: a flood of pongs must not starve other tasks
        return True

    async def _take(self, message: WSMessage) -> None:
        if not self._within_rate(message):
            return
        if message.type is WSMsgType.PING:
            self._write(frame(message.data, PONG))
            return
        self._counts.requests += 1
        try:
            await self._answer(self._parsed(message))
        except BadMessage as bad:
            if (
                bad.code is ErrorCode.UNAVAILABLE
            ):  # not the client's fault, so it is not counted as a bad message
                self.send(error_message(bad.code, bad.message, bad.request_id))
            else:
                self._refuse(bad.code, bad.message, bad.request_id)

    def _parsed(self, message: WSMessage) -> AnyRequest:
        """Parse a request. Text is JSON in every subprotocol. Raises :class:`BadMessage`."""
        if message.type is WSMsgType.TEXT:
            return parse(message.data)
        if not self._packed:
            raise BadMessage(ErrorCode.BAD_MESSAGE, _BINARY)
        return parse_packed(message.data)

    def _id_of(self, message: WSMessage) -> str | int | UnsetType:
        """The id of a request that is refused unread, so that the client can match the error."""
        try:
            return self._parsed(message).id
        except BadMessage as bad:
            return bad.request_id

    def _within_rate(self, message: WSMessage) -> bool:
        """Whether the rate limit admits this message. The count of refusals restarts once the bucket is full again."""
        now = asyncio.get_running_loop().time()
        if self._bucket.full(now):
            self._rate_refusals = 0
        if self._bucket.take(now):
            return True
        self._rate_refusals += 1
        if message.type is not WSMsgType.PING:
            text = f"more than {self._config.requests_per_second:g} messages a second; wait a moment"
            self.send(error_message(ErrorCode.TOO_MANY_REQUESTS, text, self._id_of(message)))
        if self._rate_refusals >= MAX_RATE_REFUSALS:
            self.close(CloseCode.RATE_LIMITED, "rate limited")
        return False

    async def _answer(self, request: AnyRequest) -> None:
        if self._admission.identity is None and not isinstance(request, Auth | Ping):
            text = 'a token is needed first: {"type":"auth","token":"..."}'
            raise BadMessage(ErrorCode.UNAUTHORIZED, text, request.id)
        match request:
            case Subscribe():
                await self._subscribe(request)
            case Unsubscribe():
                self._unsubscribe(request)
            case Ping():
                self.send(Pong(timestamp=now_text(), id=request.id))
            case Status():
                self.send(await self._reporter.status(request.id))
            case Auth():
                await self._authenticate(request)

    async def _authenticate(self, request: Auth) -> None:
        """Accept a token: the first one, or a new one before the old one expires. A bad token closes the session."""
        try:
            identity = await self._admission.reauthenticate(request.token)
        except Unauthorized as error:
            self._refuse(ErrorCode.UNAUTHORIZED, str(error), request.id)
            self.close(CloseCode.UNAUTHORIZED, "unauthorized")
        except Transient:
            self._refuse(ErrorCode.UNAVAILABLE, CANNOT_TELL, request.id)
            if self._admission.identity is None:
                self.close(CloseCode.TRY_AGAIN, "tokens cannot be checked now")
        else:
            if self._unauthenticated is not None:
                self._unauthenticated.cancel()
            if not self.closing:
                self._change_user(identity)
                self.send(_authenticated(identity, request.id))

    def _change_user(self, identity: Identity) -> None:
        """The new token may belong to another user, who sees other alerts."""
        subscription = self.subscriber.subscription
        if subscription is not None and subscription.user != subscription.of_user(identity.user).user:
            self._hub.change(self.subscriber, subscription.of_user(identity.user))

    def _give_up_on_auth(self) -> None:
        self.close(CloseCode.AUTH_TIMEOUT, "no token was sent in time")

    async def _subscribe(self, request: Subscribe) -> None:
        """Replace the subscription: leave the old one, confirm the new one, send its snapshot, join it."""
        assert self._admission.identity is not None
        user = self._admission.identity.user
        subscription = Subscription.of(request, self._reporter.knows_symbol, user=user)
        try:
            await self._joining.prepare(subscription)
            if self.closing:
                return
            self._hub.leave(self.subscriber)
            self._options = request
            self._confirm(request, subscription.state(request))
            self.subscriber.disconnect_when_slow = request.on_slow == "disconnect"
            self.subscriber.heartbeat = request.heartbeat
            await self._joining.join(self.subscriber, subscription, request.since, self._drain)
        except BadMessage as bad:
            raise BadMessage(bad.code, bad.message, request.id) from bad

    def _unsubscribe(self, request: Unsubscribe) -> None:
        old = self.subscriber.subscription or NOTHING
        left = old.without(request)
        if left is None:
            self._hub.leave(self.subscriber)
            self._confirm(request, SubscriptionState(channels=[]))
        else:
            self._hub.change(self.subscriber, left)
            self._confirm(request, left.state(self._options))

    def _confirm(self, request: Subscribe | Unsubscribe, state: SubscriptionState) -> None:
        self.send(SubscriptionConfirmed(timestamp=now_text(), subscription=state, id=request.id))

    def _refuse(self, code: ErrorCode, message: str, request_id: str | int | UnsetType = UNSET) -> None:
        self._counts.bad_messages += 1
        self._bad_messages += 1
        self.send(error_message(code, message, request_id))
        if self._bad_messages >= MAX_BAD_MESSAGES:
            self.close(CloseCode.PROTOCOL_ERROR, "too many bad messages")

    # Writing and backpressure

    def send(self, message: Message) -> None:
        """Write a message to this client only."""
        self._hub.send(self.subscriber, message)

    def _write(self, data: bytes) -> None:
        self._hub.write(self.subscriber, data)

    async def _drain(self) -> None:
        """Yield to other tasks; wait while the send buffer of this client is above its limit (backpressure)."""
        await asyncio.sleep(0)
        if self._transport.get_write_buffer_size() <= self._config.session_buffer_bytes:
            return
        self.throttled = True
        try:
            async with asyncio.timeout(self._config.slow_timeout):
                await self._writer.drain()
            self.heard = asyncio.get_running_loop().time()  # a client that reads is alive
        except TimeoutError:
            self._evict()
        except ConnectionError:
            return  # the connection is gone; the next receive() reports it
        finally:
            self.throttled = False

    def _evict(self) -> None:
        self.close(CloseCode.SLOW_CONSUMER, "slow consumer")

    # Keepalive and closing

    def keep_alive(self, now: float) -> None:
        """Ping a silent client; cut it if it does not answer. Slow consumers have a deadline of their own."""
        silent = now - self.heard
        if self.closing or self.throttled or self.subscriber.backlog is not None:
            return
        if silent > 1.5 * self._config.ping_interval:
            self._counts.unanswered_pings += 1
            self.abort()
        elif silent >= self._config.ping_interval:
            self._write(_PING_FRAME)

    def close(self, code: CloseCode, reason: str) -> None:
        """Send a close frame; cut the connection if the client does not answer within ``CLOSE_GRACE``."""
        if self.closing:
            return
        self.closing = True
        self._hub.dismiss(self.subscriber)
        self._write(close_frame(code, reason))
        log.info("WebSocket client closed", mark="🔌", session=self.id, code=int(code), reason=reason)
        self._cut = asyncio.get_running_loop().call_later(CLOSE_GRACE, self._transport.abort)

    def shut_down(self, reconnect_after_ms: int) -> None:
        """The server stops: tell the client when to reconnect, then close."""
        if not self.closing:
            self.send(Shutdown(timestamp=now_text(), reconnect_after_ms=reconnect_after_ms))
            self.close(CloseCode.GOING_AWAY, "shutdown")

    def abort(self) -> None:
        """Cut the connection at once."""
        self.closing = True
        self._hub.dismiss(self.subscriber)
        self._transport.abort()

    def _confirm_close(self, message: WSMessage) -> None:
        if not self.closing:
            self._write(close_frame(message.data or None))
        self.closing = True

    async def _answer_violation(self, code: int) -> None:
        """Answer a frame that ends the conversation: say why, close, and let the client read it.

        Closing with the client's bytes unread would reset the connection, and the answer would be lost. So
        only our direction is closed, and what still arrives is thrown away until the client closes too.
        """
        if self.closing or self._transport.is_closing():
            return
        self.closing = True
        self._hub.dismiss(self.subscriber)
        if code == CloseCode.TOO_BIG:
            self._counts.bad_messages += 1
            text = f"message over {self._config.max_message_bytes} bytes"
            self.send(error_message(ErrorCode.TOO_BIG, text))
        self._write(close_frame(code))
        await self._linger()

    async def _linger(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CLOSE_GRACE
        if self._transport.can_write_eof():
            self._transport.write_eof()
        while not self._transport.is_closing() and loop.time() < deadline:  # noqa: ASYNC110  only aiohttp's protocol hears of the end
            await asyncio.sleep(0.02)
        self._transport.abort()
