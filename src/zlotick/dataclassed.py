"""The guide prints ``@dataclass``; ours are msgspec Structs, for their speed. This makes ``dataclasses`` see them as its own."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, ClassVar

import msgspec


class _Fields:
    """``cls.__dataclass_fields__``, made when first asked for: a Struct knows its fields after its class body only."""

    def __get__(self, _: object, owner: type[msgspec.Struct]) -> dict[str, dataclasses.Field[Any]]:
        return _fields(owner)


class Dataclassed:
    """Beside ``msgspec.Struct`` as a base: ``fields``, ``asdict``, ``replace`` and ``is_dataclass`` work with the class."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]] = _Fields()  # type: ignore[assignment]  # gives it


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, dataclasses.Field[Any]]:
    known = [(one.name, one.type, _field(one)) for one in msgspec.structs.fields(struct)]
    made: Any = dataclasses.make_dataclass(struct.__name__, known)
    return {one.name: one for one in dataclasses.fields(made)}


def _field(told: msgspec.structs.FieldInfo) -> Any:
    if told.default is not msgspec.NODEFAULT:
        return dataclasses.field(default=told.default)
    if told.default_factory is not msgspec.NODEFAULT:
        return dataclasses.field(default_factory=told.default_factory)
    return dataclasses.field()
