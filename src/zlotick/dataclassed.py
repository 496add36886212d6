"""Makes msgspec Structs look like dataclasses: the guide uses ``@dataclass``, zlotick Structs for their speed."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, ClassVar

import msgspec


class _Fields:
    """``cls.__dataclass_fields__``, made on first use: a Struct has its fields only after its class body."""

    def __get__(self, _: object, owner: type[msgspec.Struct]) -> dict[str, dataclasses.Field[Any]]:
        return _fields(owner)


class Dataclassed:
    """A base next to ``msgspec.Struct``: ``fields``, ``asdict``, ``replace`` and ``is_dataclass`` work with the class."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]] = _Fields()  # type: ignore[assignment]  # a descriptor that returns it


@cache
def _fields(struct: type[msgspec.Struct]) -> dict[str, dataclasses.Field[Any]]:
    known = [(one.name, one.type, _field(one)) for one in msgspec.structs.fields(struct)]
    made: Any = dataclasses.make_dataclass(struct.__name__, known)
    return {one.name: one for one in dataclasses.fields(made)}


def _field(info: msgspec.structs.FieldInfo) -> Any:
    if info.default is not msgspec.NODEFAULT:
        return dataclasses.field(default=info.default)
    if info.default_factory is not msgspec.NODEFAULT:
        return dataclasses.field(default_factory=info.default_factory)
    return dataclasses.field()
