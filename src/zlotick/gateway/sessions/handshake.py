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

_EXTENSIONS = "Sec-WebSocket-Extensions"
_SHARED_DEFLATE = "permessage-deflate; server_no_context_takeover"


class Socket(web.WebSocketResponse):
    """aiohttp's reader of WebSocket frames. What is written, it leaves to the session."""

    def __init__(self, config: GatewayConfig, request: web.BaseRequest) -> None:
        super().__init__(
            protocols=PROTOCOLS,
            compress=_may_share_deflate(request.headers.get(_EXTENSIONS, "")),
            max_msg_size=config.max_message_bytes + 1,  # aiohttp refuses a message of exactly this size
            autoping=False,  # its answers would know no bound
            autoclose=False,
        )
        self.on_violation: Callable[[int], Coroutine[Any, Any, None]] | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """The handshake. A client that left meanwhile is no error of ours: 400 instead, which nobody hears."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            text = "this address is for WebSockets; send the headers of an upgrade, or ask /api/v1/quotes for JSON"
            raise web.HTTPBadRequest(text=text)
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


async def share_deflate(_: web.Request, response: web.StreamResponse) -> None:
    """Aiohttp's signal: tell the client that no frame leans on an earlier one, so the same bytes serve every session."""
    if isinstance(response, Socket) and _EXTENSIONS in response.headers:
        response.headers[_EXTENSIONS] = _SHARED_DEFLATE


def _may_share_deflate(offer: str) -> bool:
    """Whether one deflated frame can serve this client: not if it asks for a window smaller than ours."""
    offered = {one.partition(";")[0].strip() for one in offer.split(",")}
    return "permessage-deflate" in offered and "server_max_window_bits" not in offer
