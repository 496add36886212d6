"""aiohttp's half of a session: the handshake and the reading of frames."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from zlotick.config import GatewayConfig

PACKED = "v1.msgpack"
PROTOCOLS = (PACKED, "v1.json")
"""Subprotocols; of those that a client offers, its first."""


class Socket(web.WebSocketResponse):
    """aiohttp's reader of WebSocket frames. What is written, it leaves to the session."""

    def __init__(self, config: GatewayConfig, *, deflate: bool) -> None:
        super().__init__(
            protocols=PROTOCOLS,
            compress=deflate,
            max_msg_size=config.max_message_bytes + 1,  # aiohttp refuses a message of exactly this size
            autoping=False,  # its answers would know no bound
            autoclose=False,
        )
        self.on_violation: Callable[[int], Coroutine[Any, Any, None]] | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """The handshake. A client that left meanwhile is no error of ours: 400 instead, which nobody hears."""
        try:
            return await super().prepare(request)
        except ConnectionError:
            raise web.HTTPBadRequest(text="the connection is gone") from None

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        """Called by aiohttp itself when a frame breaks RFC 6455 or is too big: the session answers first."""
        if self.on_violation is not None:
            # 1000 is what it says of an error of zlib: of a compressed message that is not so.
            await self.on_violation(1007 if code == 1000 else code)
        return await super().close(code=code, message=message, drain=drain)
