"""CORS: pages of other origins may read the HTTP resources if the access middleware has admitted their origin.

A browser hides from a page what another origin answered, unless the answer names the page's origin. Before it sends
a token it asks, without one, whether it may (the Fetch standard's "preflight").
"""

from __future__ import annotations

from aiohttp import web

from zlotick.gateway.http.routes import ROOT

PAGE = web.RequestKey("page", str)
"""The origin of the page, if it was admitted."""

_PERMISSION = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization, If-None-Match, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}
_READABLE = "ETag, Retry-After"
_SWITCHING = 101


def is_preflight(request: web.Request) -> bool:
    """Whether this is a CORS preflight."""
    asks = PAGE in request and "Access-Control-Request-Method" in request.headers
    return asks and request.method == "OPTIONS" and _is_shared(request)


def permission() -> web.Response:
    """The answer to a CORS preflight."""
    return web.Response(status=204, headers=_PERMISSION)


async def keep_apart(_: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: no page may load an answer as script, style or image (Cross-Origin-Resource-Policy)."""
    if response.status != _SWITCHING:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")


async def share(request: web.Request, response: web.StreamResponse) -> None:
    """Signal handler: add the CORS headers to every answer, also to errors. Without an Origin, Vary keeps caches correct."""
    if _is_shared(request):
        response.headers.add("Vary", "Origin")
        if PAGE in request:
            response.headers["Access-Control-Allow-Origin"] = request[PAGE]
            response.headers["Access-Control-Expose-Headers"] = _READABLE


def _is_shared(request: web.Request) -> bool:
    return request.path.startswith(f"{ROOT}/")
