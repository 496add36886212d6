"""Pages of other origins may read the HTTP resources, if they may open the WebSocket: the door has judged that.

A browser hides from a page what another origin answered, unless the answer names the page's origin. Before it sends
a token it asks, without one, whether it may (the Fetch standard's "preflight").
"""

from __future__ import annotations

from aiohttp import web

from zlotick.gateway.http.routes import ROOT

PAGE = web.RequestKey("page", str)
"""The origin of the page that asks, when the door lets it."""

_PERMISSION = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, If-None-Match, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}
_READABLE = "ETag, Retry-After"
_SWITCHING = 101


def is_preflight(request: web.Request) -> bool:
    """Whether a browser asks for leave to ask."""
    asks = PAGE in request and "Access-Control-Request-Method" in request.headers
    return asks and request.method == "OPTIONS" and _is_shared(request)


def permission() -> web.Response:
    """The answer to that."""
    return web.Response(status=204, headers=_PERMISSION)


async def keep_apart(_: web.Request, response: web.StreamResponse) -> None:
    """Aiohttp's signal: no page may use an answer as its script, style or picture, whatever is in it."""
    if response.status != _SWITCHING:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")


async def share(request: web.Request, response: web.StreamResponse) -> None:
    """Aiohttp's signal: name the page on every answer, errors too. Without a page the answer may still be cached."""
    if _is_shared(request):
        response.headers.add("Vary", "Origin")
        if PAGE in request:
            response.headers["Access-Control-Allow-Origin"] = request[PAGE]
            response.headers["Access-Control-Expose-Headers"] = _READABLE


def _is_shared(request: web.Request) -> bool:
    return request.path.startswith(f"{ROOT}/")
