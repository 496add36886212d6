"""JSON Schemas of the gateway's own types, for the documents that describe it. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec

Schema = dict[str, Any]

REF = "#/components/schemas/"


def components(said: Iterable[Any], heard: Iterable[Any] = ()) -> dict[str, Schema]:
    """The schemas of what the server says and hears, by name.

    A default spares a client the field; the server leaves none out, but those that it may omit have no default.
    """
    said, heard = tuple(said), tuple(heard)
    _, of_said = msgspec.json.schema_components(said, ref_template=REF + "{name}")
    _, of_all = msgspec.json.schema_components((*said, *heard), ref_template=REF + "{name}")
    for name in of_said:
        schema = of_all[name]
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        always = [field for field, of in properties.items() if field in required or "default" in of]
        if always:
            schema["required"] = always
    for schema in of_all.values():  # msgspec keeps the indentation of docstrings
        if text := schema.get("description"):
            schema["description"] = inspect.cleandoc(text)
    return of_all


def ref(kind: type) -> Schema:
    """Where the schema of a type is."""
    return {"$ref": REF + kind.__name__}


def properties(kind: type[msgspec.Struct]) -> dict[str, Schema]:
    """The schema of each field, for places where a field is there or not, and never null."""
    schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
    return {name: _present(of) for name, of in schema["properties"].items()}


def _present(schema: Schema) -> Schema:
    choices = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    if len(choices) == 1:
        only: Schema = choices[0]
        return only
    return schema
