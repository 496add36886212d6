"""The OpenAPI 3.1 document of the HTTP resources, generated from the table of routes and its types. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from zlotick.gateway.api.responses import ErrorAnswer
from zlotick.gateway.api.schemas import Schema, components, properties, ref
from zlotick.gateway.http.routes import JSON, Route

_MEANINGS = {
    401: "Not authenticated",
    403: "Not allowed",
    404: "Unknown symbol, or nothing is known of it",
    422: "A parameter of the wrong type, range or syntax; the message names it",
    429: "Too many requests",
    503: "The server cannot do it now; ask again after `Retry-After` seconds",
}
_DESCRIPTION = (
    "Quotes of the Warsaw exchange's small companies: the latest, the stored, and a stream of them. "
    "The same protocol over WebSocket is described by /api/v1/asyncapi.json."
)


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """The whole document."""
    types = [kind for route in routes for kind in (route.answer, route.unready) if kind is not None]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "zlotick",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}],
        "paths": {route.path: {"get": _operation(route)} for route in routes},
        "components": {
            "schemas": components([*dict.fromkeys(types), ErrorAnswer]),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed unless gateway.auth is none.",
                }
            },
        },
    }


def _operation(route: Route) -> Schema:
    return {
        "operationId": "_".join(re.findall(r"\w+", route.path.removeprefix("/api/v1"))),
        "summary": route.summary,
        "parameters": [*_of_path(route), *_of_query(route), *_of_headers(route)],
        "responses": _responses(route),
    }


def _of_path(route: Route) -> list[Schema]:
    names = re.findall(r"{(\w+)}", route.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _of_query(route: Route) -> list[Schema]:
    if route.parameters is None:
        return []
    return [
        {"name": name, "in": "query", "description": schema.pop("description", name), "schema": schema}
        for name, schema in properties(route.parameters).items()
    ]


def _of_headers(route: Route) -> list[Schema]:
    heeded = dict(route.headers)
    if route.cached:
        heeded["If-None-Match"] = "ETags that the client has"
    return [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in heeded.items()
    ]


def _responses(route: Route) -> dict[str, Schema]:
    answers: dict[str, Schema] = {"200": _success(route)}
    if route.cached:
        answers["304"] = {"description": "What `If-None-Match` names is still current"}
    if route.unready is not None:
        answers["503"] = _json("Not ready, and why", ref(route.unready))
    for code in route.refusals:
        answers[str(code)] = _json(_MEANINGS[code], ref(ErrorAnswer))
    answers["default"] = _json("Refused before it was looked at: 401, 403, 429, 503", ref(ErrorAnswer))
    return answers


def _success(route: Route) -> Schema:
    text: Schema = {"type": "string"}
    fixed = {} if route.answer is None else ref(route.answer)
    content = {media: {"schema": fixed if media == JSON else text} for media in route.media}
    answer: Schema = {"description": route.summary, "content": content}
    if route.cached:
        answer["headers"] = {"ETag": {"description": "Of the position", "schema": text}}
    return answer


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {JSON: {"schema": schema}}}
