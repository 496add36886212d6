"""The WebSocket, with aiohttp. Translates its exceptions."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Self

import aiohttp

from zlotick.client.errors import in_words
from zlotick.client.reconnect import BROKEN, Closed

CLOSE_TIMEOUT = 1.0
SEND_TIMEOUT = 5.0
MAX_MESSAGE_BYTES = 16 * 2**20
"""A snapshot of 80 quotes is 30 kB."""


class NotOpened(Exception):
    """The connection could not be made."""

    def __init__(self, closed: Closed) -> None:
        super().__init__(closed.reason)
        self.closed = closed


class Socket:
    """One WebSocket."""

    def __init__(self, session: aiohttp.ClientSession, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._ws = ws

    @classmethod
    async def open(cls, url: str, trust: ssl.SSLContext | None = None) -> Self:
        """Connect. Raises :class:`NotOpened`. The caller sets the deadline."""
        session = aiohttp.ClientSession()
        try:
            timeout = aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT)
            ws = await session.ws_connect(
                url, timeout=timeout, max_msg_size=MAX_MESSAGE_BYTES, ssl=trust or True
            )
            return cls(session, ws)
        except aiohttp.WSServerHandshakeError as error:
            await session.close()
            raise NotOpened(Closed(error.status, f"HTTP {error.status}")) from error
        except (aiohttp.ClientError, OSError) as error:
            await session.close()
            raise NotOpened(Closed(BROKEN, in_words(error))) from error
        except BaseException:
            await session.close()
            raise

    async def receive(self, within: float) -> str | Closed | None:
        """The next text; None after the timeout. Safe to cancel."""
        try:
            message = await self._ws.receive(within)
        except TimeoutError:
            return None
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        if message.type is aiohttp.WSMsgType.BINARY:
            return ""  # no message of this protocol
        if message.type is aiohttp.WSMsgType.CLOSE:
            return Closed(message.data or 1005, message.extra or "")
        return Closed(BROKEN, "the connection broke")

    async def send(self, text: str) -> None:
        """Send, unless the connection is lost: :meth:`receive` reports that."""
        with contextlib.suppress(ConnectionError, aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(SEND_TIMEOUT):
                await self._ws.send_str(text)

    async def close(self) -> None:
        """Close with the closing handshake, waiting a moment for the answer."""
        try:
            await self._ws.close()
        finally:
            await self._session.close()

    def break_off(self) -> None:
        """Close without the closing handshake and without waiting, also while the event loop ends."""
        self._ws._response.close()  # noqa: SLF001  all public ways of closing must be awaited
        self._session.detach()
