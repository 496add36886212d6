"""aiohttp's half of a session: the WebSocket handshake and reading frames."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from zlotick.config import GatewayConfig

PACKED = "v1.msgpack"
PROTOCOLS = (PACKED, "v1.json")
"""Subprotocols; the first one that the client offers is used."""

_EXTENSIONS = "Sec-WebSocket-Extensions"
_SHARED_DEFLATE = "permessage-deflate; server_no_context_takeover"


class WebSocketReader(web.WebSocketResponse):
    """Reads WebSocket frames with aiohttp; the session and the hub write to the transport directly."""

    def __init__(self, config: GatewayConfig, request: web.BaseRequest) -> None:
        super().__init__(
            protocols=PROTOCOLS,
            compress=_may_share_deflate(request.headers.get(_EXTENSIONS, "")),
            max_msg_size=config.max_message_bytes + 1,  # aiohttp refuses a message of exactly this size
            autoping=False,  # autoping would buffer pongs without limit
            autoclose=False,
        )
        self.on_violation: Callable[[int], Coroutine[Any, Any, None]] | None = None

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Perform the handshake. If the client is gone already, answer 400 instead of raising a server error."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            text = "this address is for WebSockets; send the headers of an upgrade, or ask /api/v1/quotes for JSON"
            raise web.HTTPBadRequest(text=text)
        try:
            return await super().prepare(request)
        except ConnectionError:
            raise web.HTTPBadRequest(text="the connection is gone") from None

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        """Called by aiohttp when a frame violates RFC 6455 or is too big: the session sends its own close frame first."""
        if self.on_violation is not None:
            # aiohttp passes 1000 for a zlib error; the right code is 1007.
            await self.on_violation(1007 if code == 1000 else code)
        return await super().close(code=code, message=message, drain=drain)


async def share_deflate(_: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: announce `server_no_context_takeover`, so that one deflated frame serves all sessions."""
    if isinstance(response, WebSocketReader) and _EXTENSIONS in response.headers:
        response.headers[_EXTENSIONS] = _SHARED_DEFLATE


def _may_share_deflate(offer: str) -> bool:
    """Whether one deflated frame can serve this client: not if it asks for a window smaller than ours."""
    offered = {one.partition(";")[0].strip() for one in offer.split(",")}
    return "permessage-deflate" in offered and "server_max_window_bits" not in offer
