"""The protocol, machine-readable: the documents are generated from the code that answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from aiohttp import web

from zlotick.gateway.api import asyncapi, openapi
from zlotick.gateway.http.routes import Route, json


class Documents:
    """Serves both documents. ``routes`` are all others."""

    def __init__(self, routes: Sequence[Route], version: str) -> None:
        self._routes = routes
        self._version = version

    def routes(self) -> list[Route]:
        """The table of the documents themselves."""
        return [
            Route("/api/v1/openapi.json", self.openapi, "The HTTP resources, as OpenAPI 3.1"),
            Route("/api/v1/asyncapi.json", self.asyncapi, "The WebSocket's messages, as AsyncAPI 3.0"),
        ]

    async def openapi(self, _: web.Request) -> web.Response:
        """What is answered here, from the table of routes."""
        return json(self._openapi)

    async def asyncapi(self, request: web.Request) -> web.Response:
        """What is said on the socket, from the message types. It names the server as its reader does."""
        servers = {"this": {"host": request.host, "protocol": "wss" if request.secure else "ws"}}
        return json({**self._asyncapi, "servers": servers})

    @cached_property
    def _openapi(self) -> dict[str, Any]:
        return openapi.document([*self._routes, *self.routes()], self._version)

    @cached_property
    def _asyncapi(self) -> dict[str, Any]:
        return asyncapi.document(self._version)
