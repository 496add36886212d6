"""The client. It has no task of its own: :meth:`RealtimeStreamClient.receive` connects, reconnects and reads.

So it has no buffer. If the application reads too slowly (slow consumer), TCP backpressure reaches the server, which
conflates.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, Self, Unpack
from urllib.parse import urlsplit

import msgspec

from zlotick.client.cursor import Cursor
from zlotick.client.errors import StreamEnded, StreamRefused, StreamUnreachable
from zlotick.client.messages import (
    Connection,
    ErrorMessage,
    Position,
    StockUpdates,
    Subscription,
)
from zlotick.client.reconnect import BROKEN, Closed, Reconnect, is_final
from zlotick.client.silence import Silence
from zlotick.client.state import Message, State, StateChanged
from zlotick.errors import ConfigError, ZlotickError

if TYPE_CHECKING:
    from zlotick.client.socket import Socket  # aiohttp takes longer to load than all the rest

URL = "ws://localhost:8765"
HEARTBEAT = 15.0
PATIENCE = 3.0
"""Seconds after a missing heartbeat before a ping is sent; after as many more the connection is dead."""
LOOK_EVERY = 1.0
OPEN_TIMEOUT = 10.0


class RealtimeStreamClient:
    """Follows one server. Iterate over it for quotes, over :meth:`messages` for everything.

    ``trust``: the certificates to trust; None: those of the system. ``reconnect`` replaces ``attempts``. Raises
    ConfigError if the URL is not ws:// or wss://.
    """

    def __init__(
        self,
        url: str = URL,
        *,
        token: str | None = None,
        trust: ssl.SSLContext | None = None,
        attempts: int | None = None,
        patience: float = PATIENCE,
        reconnect: Reconnect | None = None,
        **subscription: Unpack[Subscription],
    ) -> None:
        if urlsplit(url).scheme not in ("ws", "wss"):
            raise ConfigError([f"url: '{url}' must start with ws:// or wss://, for example {URL}"])
        self.url = url
        self.state: State = "idle"
        self.connection: Connection | None = None
        """The first message of the server."""
        self._token = token
        self._trust = trust
        self._patience = patience
        self._cursor = Cursor(subscription)
        self._reconnect = reconnect or Reconnect(attempts=attempts)
        self._silence = Silence(patience)
        self._socket: Socket | None = None
        self._pending: deque[Message] = deque()  # a few messages: one step may make several
        self._retry_at = 0.0
        self._subscribe_at: float | None = None  # when to try again after a retryable error
        self._waiting: asyncio.Timeout | None = None
        self._failure: ZlotickError = StreamEnded(f"disconnected from {url}")
        self._entered = False

    @property
    def position(self) -> Position | None:
        """All quotes up to here were received; None before the first snapshot."""
        return self._cursor.position

    # Receiving

    async def __aenter__(self) -> Self:
        self._entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()

    async def __aiter__(self) -> AsyncGenerator[StockUpdates, None]:
        """Quotes, until it is disconnected. Raises what :meth:`receive` raises, but StreamEnded."""
        with self._left_in_the_end():
            while True:
                message = await self.receive()
                if message["type"] == "stock_updates":
                    yield message

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Every message, and changes of the connection's state. Outside of ``async with``, its end disconnects."""
        with self._left_in_the_end():
            while True:
                yield await self.receive()

    @contextlib.contextmanager
    def _left_in_the_end(self) -> Iterator[None]:
        """Outside of ``async with`` the end of the loop, whatever it is, ends the connection.

        It does not await anything: after a ``break`` the event loop may be on its way down, where a generator
        that awaits while it is closed makes Python complain.
        """
        try:
            yield
        except StreamEnded:
            pass
        finally:
            if not self._entered:
                self._break_off()

    async def receive(self) -> Message:
        """The next message; connects and reconnects as necessary. For one task at a time; safe to cancel.

        Raises :class:`StreamRefused` when the server rejects this client, :class:`StreamUnreachable` after
        too many attempts, :class:`StreamEnded` after :meth:`disconnect`.
        """
        while not self._pending:
            if self.state == "closed":
                raise self._failure
            if self.state == "connecting":
                await self._open()
            elif self.state == "connected":
                await self._hear()
            else:
                await self._wait()
        return self._pending.popleft()

    # Sending

    async def select(self, **subscription: Unpack[Subscription]) -> None:
        """Select what the server sends, now and after every reconnect."""
        self._cursor.select(subscription)
        await self._subscribe()

    async def request_status(self) -> None:
        """Request a ``status`` message."""
        await self.send({"type": "status"})

    async def ping(self) -> None:
        """Request a ``pong``."""
        await self.send({"type": "ping"})

    async def authenticate(self, token: str) -> None:
        """Authenticate: now, and with every later connection."""
        self._token = token
        await self.send({"type": "auth", "token": token})

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message if connected."""
        if self._socket is not None:
            await self._socket.send(msgspec.json.encode(message).decode())

    async def disconnect(self) -> None:
        """Disconnect. A waiting :meth:`receive` raises StreamEnded."""
        if self.state != "closed":
            self._enter("closed", code=1000)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.reschedule(0)
        await self._let_go()

    def _break_off(self) -> None:
        """Disconnect at once, without a closing handshake."""
        if self.state != "closed":
            self._enter("closed", code=1000)
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.break_off()

    # One step each

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with self._until(self._retry_at):
                await asyncio.Event().wait()
        if self.state != "closed":
            self._enter("connecting")

    async def _open(self) -> None:
        from zlotick.client.socket import NotOpened, Socket

        try:
            async with self._until(_now() + OPEN_TIMEOUT):
                socket = await Socket.open(self.url, self._trust)
        except NotOpened as failure:
            self._lost(failure.closed)
        except TimeoutError:
            self._lost(Closed(BROKEN, f"no answer within {OPEN_TIMEOUT:g} s"))
        else:
            if self.state != "connecting":
                await socket.close()
                return
            self._socket = socket
            await self._opened()

    @contextlib.asynccontextmanager
    async def _until(self, when: float) -> AsyncIterator[None]:
        """A deadline that :meth:`disconnect` brings forward."""
        try:
            async with asyncio.timeout_at(when) as self._waiting:
                yield
        finally:
            self._waiting = None

    async def _opened(self) -> None:
        self._reconnect.opened(_now())
        self._enter("connected")
        if self._token is not None:
            await self.send({"type": "auth", "token": self._token})
        await self._subscribe()

    async def _subscribe(self) -> None:
        self._subscribe_at = None
        if self._socket is not None:
            request = {"heartbeat": HEARTBEAT, **self._cursor.request()}
            self._silence.begin(time.time(), request["heartbeat"])
            await self.send(request)

    async def _hear(self) -> None:
        socket = self._socket
        assert socket is not None
        heard = await socket.receive(min(LOOK_EVERY, self._patience / 4))
        if self._socket is not socket:
            return  # disconnected during the wait
        if heard is None:
            await self._look()
        elif isinstance(heard, str):
            self._take(heard)
        else:
            self._lost(heard)
            await self._let_go()
        if self._subscribe_at is not None and _now() >= self._subscribe_at:
            await self._subscribe()

    async def _look(self) -> None:
        verdict = self._silence.check(time.time())
        if verdict == "ask":
            await self.ping()
        elif verdict == "dead":
            self._lost(Closed(BROKEN, "silent"))
            await self._let_go()

    def _take(self, text: str) -> None:
        self._silence.heard(time.time())
        message = _parsed(text)
        if message is None:
            self._pending.append(_INVALID)
            return
        if message["type"] == "connection":
            self.connection = message
        elif message["type"] == "shutdown":
            self._reconnect.server_stops(message.get("reconnect_after_ms", -1))
        elif message["type"] == "error" and message.get("retryable") and self._cursor.answers(message):
            self._subscribe_at = _now() + self._reconnect.delay()
        if self._cursor.take(message):
            self._pending.append(message)

    def _lost(self, closed: Closed) -> None:
        """The connection was lost or could not be made: wait and reconnect, or give up."""
        if self.state == "closed":
            return
        delay = self._reconnect.closed(closed.code, _now())
        if delay is not None:
            self._retry_at = _now() + delay
            self._enter("waiting", code=closed.code, reason=closed.reason, retry_in=delay)
            return
        if is_final(closed.code):
            self._failure = StreamRefused(self.url, closed.code, closed.reason)
        else:
            self._failure = StreamUnreachable(self.url, self._reconnect.failures, closed.reason)
        self._enter("closed", code=closed.code, reason=closed.reason)

    async def _let_go(self) -> None:
        socket, self._socket = self._socket, None
        self._subscribe_at = None
        if socket is not None:
            await socket.close()

    def _enter(
        self, state: State, *, code: int | None = None, reason: str = "", retry_in: float | None = None
    ) -> None:
        self.state = state
        self._pending.append(
            StateChanged(
                type="state",
                state=state,
                attempt=self._reconnect.failures,
                retry_in=retry_in,
                code=code,
                reason=reason,
                will_reconnect=state != "closed",
            )
        )


def connect(
    url: str = URL,
    *,
    token: str | None = None,
    trust: ssl.SSLContext | None = None,
    attempts: int | None = None,
    **subscription: Unpack[Subscription],
) -> RealtimeStreamClient:
    """A client, for ``async with`` or ``async for``. It connects at the first receive.

    ``attempts``: failures in a row after which it raises :class:`StreamUnreachable`; None: it never gives up.
    """
    return RealtimeStreamClient(url, token=token, trust=trust, attempts=attempts, **subscription)


_INVALID = ErrorMessage(type="error", message="Invalid JSON message from the server", code=0, retryable=False)


def _parsed(text: str) -> Message | None:
    try:
        message: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    typed = isinstance(message, dict) and isinstance(message.get("type"), str)
    return message if typed else None


def _now() -> float:
    return asyncio.get_running_loop().time()
