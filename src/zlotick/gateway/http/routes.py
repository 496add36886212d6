"""The table of HTTP routes: what answers a path, and what its documentation needs to know. One line, one resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from aiohttp import web

from zlotick.errors import TableAbsent, ZlotickError
from zlotick.gateway.http.query import Nothing, read
from zlotick.gateway.protocol.messages import RETRYABLE, BadMessage

log = structlog.stdlib.get_logger("zlotick.gateway")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ROOT = "/api/v1"
ASSETS = "/assets/{name}"  # the files of the board
JSON = "application/json"
NEVER_STORED = {"Cache-Control": "no-store"}
RETRY_AFTER = "5"
"""Seconds after which a client may ask again what the server could not do now."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path, its handler, and its contract."""

    path: str
    handler: Handler
    summary: str  # one sentence for its readers
    answer: Any = None  # the type of the JSON in a 200; None when it has no fixed shape
    refusals: tuple[int, ...] = (422,)  # codes of its errors
    parameters: type[msgspec.Struct] | None = (
        Nothing  # of the query; None: whatever they are, they are ignored
    )
    media: tuple[str, ...] = (JSON,)  # what a 200 can be
    cached: bool = False  # whether it has an ETag and answers 304
    headers: Mapping[str, str] = field(default_factory=dict)  # that it heeds, and what they mean
    unready: Any = None  # the type of the JSON in a 503 that is a report, not an error


def web_routes(routes: Iterable[Route]) -> list[web.RouteDef]:
    """The routes for aiohttp: GET and HEAD, errors as JSON."""
    return [web.get(route.path, _refusing(route)) for route in routes]


def json(value: object, status: int = 200) -> web.Response:
    """A JSON answer that no cache keeps."""
    body = msgspec.json.encode(value)
    return web.Response(body=body, status=status, content_type=JSON, headers=NEVER_STORED)


def refused(code: int, message: str) -> web.Response:
    """An HTTP error as the protocol writes it."""
    answer = json({"error": {"code": code, "message": message}}, code)
    if code in RETRYABLE:
        answer.headers["Retry-After"] = RETRY_AFTER
    return answer


def _refusing(route: Route) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            if route.parameters is Nothing:
                read(request.query, Nothing)
            return await route.handler(request)
        except BadMessage as bad:
            return refused(bad.code, bad.message)
        except TableAbsent as error:
            return refused(503, str(error))
        except ZlotickError as error:
            # What the store said names hosts and queries: that is for the log, not for clients.
            log.warning("HTTP request could not be answered", mark="❌", path=request.path, error=str(error))
            return refused(503, "what is stored cannot be read now; try again in a moment")

    return answer
