"""The AsyncAPI 3.0 document of the WebSocket, generated from the protocol's own messages. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

import msgspec

from zlotick.gateway.api import responses
from zlotick.gateway.api.schemas import Schema, components, ref
from zlotick.gateway.protocol import messages as protocol
from zlotick.gateway.protocol.messages import AnyRequest, Message

_ANSWERS = {
    "subscribe": ("subscription_confirmed", "error"),
    "unsubscribe": ("subscription_confirmed", "error"),
    "ping": ("pong", "error"),
    "status": ("status", "error"),
    "auth": ("authenticated", "error"),
}
_DESCRIPTION = (
    "Send `subscribe` and receive quotes. Ignore types and fields that you do not know. "
    "The same messages as MessagePack in binary frames are the subprotocol `v1.msgpack`."
)


def document(version: str) -> dict[str, Any]:
    """The whole document except ``servers``, which is added for each request."""
    said, heard = said_types(), heard_types()
    schemas = components(said.values(), heard.values())
    # The subscription's `fields` may leave out every other one.
    schemas["Quote"]["required"] = ["symbol"]
    messages = {tag: _message(tag, kind) for tag, kind in (*said.items(), *_told_apart(heard))}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "zlotick",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": "/",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {"say": _operation("send", said), **_requests(heard, said)},
        "components": {"messages": messages, "schemas": schemas},
    }


def said_types() -> dict[str, type[Message]]:
    """What the server says, by tag."""
    kinds = {kind for module in (protocol, responses) for kind in vars(module).values() if _is_message(kind)}
    return {_tag(kind): kind for kind in sorted(kinds, key=_tag)}


def heard_types() -> dict[str, type[msgspec.Struct]]:
    """What clients say, by tag."""
    return {_tag(kind): kind for kind in get_args(AnyRequest)}


def _is_message(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Message) and kind is not Message


def _tag(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


def _told_apart(heard: dict[str, type[msgspec.Struct]]) -> list[tuple[str, type[msgspec.Struct]]]:
    """Requests under names of their own: ``status`` is one, and so is its answer."""
    return [(f"{tag}_request", kind) for tag, kind in heard.items()]


def _message(name: str, kind: type[msgspec.Struct]) -> Schema:
    summary, _, _ = (kind.__doc__ or name).partition("\n")
    return {"name": _tag(kind), "title": name, "summary": summary, "payload": ref(kind)}


def _operation(action: str, names: Iterable[str]) -> Schema:
    return {"action": action, "channel": _STREAM, "messages": _in_channel(names)}


def _requests(heard: Iterable[str], said: Iterable[str]) -> dict[str, Schema]:
    known = set(said)
    return {
        tag: {
            **_operation("receive", [f"{tag}_request"]),
            "reply": {"channel": _STREAM, "messages": _in_channel(_reporter(tag, known))},
        }
        for tag in heard
    }


def _reporter(tag: str, known: set[str]) -> list[str]:
    return [name for name in _ANSWERS[tag] if name in known]


def _in_channel(names: Iterable[str]) -> list[Schema]:
    return [{"$ref": f"#/channels/stream/messages/{name}"} for name in names]


_STREAM = {"$ref": "#/channels/stream"}
