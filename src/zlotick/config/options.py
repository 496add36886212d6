"""The settings tree as a flat list of options, read from the structs themselves.

The loader, ``zlotick config`` and the docs use this list: no second list has to be kept in step.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import msgspec.inspect as mi

from zlotick.config.secrets import Secret
from zlotick.config.settings import Settings
from zlotick.config.words import WORDS

ENV_PREFIX = "ZLOTICK_"

Violation = tuple[tuple[str, ...], str]
"""A broken rule: the options it concerns (the message shows the first), and what they must be."""


@dataclass(frozen=True, slots=True)
class Option:
    """One leaf of the settings tree."""

    name: str
    """Dotted, such as ``providers.replay.speed``."""
    env: str
    """Its environment variable, such as ``ZLOTICK_PROVIDERS__REPLAY__SPEED``."""
    kind: str
    """The values it takes, in words."""
    default: Any
    description: str
    choices: tuple[str, ...]
    annotation: Any
    secret: bool
    """Whether it is never shown."""
    table: type[msgspec.Struct] | None = None
    """The struct of one table, if the option takes an array of tables."""

    def convert(self, value: object, *, strict: bool) -> Any:
        """The typed value. Raises ValueError, without the value in it, when it is not of this kind.

        Strict for TOML, which has types; not strict for the text of variables and ``--set``, where a list
        is JSON. Empty text leaves a secret or an optional path unset.
        """
        if value == "" and (self.secret or self.default is None):
            return self.default
        if not strict and isinstance(self.default, list):
            value = msgspec.json.decode(str(value))
        built = msgspec.convert(value, self.annotation, strict=strict, dec_hook=_build)
        if not _plausible(built):
            raise ValueError("control characters, lone surrogates, nan and inf are not allowed")
        return built


@cache
def options() -> Mapping[str, Option]:
    """Every option by its dotted name, in the order of the tree."""
    return MappingProxyType({option.name: option for option in _walk(Settings, Settings(), "")})


@cache
def sections() -> Mapping[str, str]:
    """Every section by its dotted name, with its description."""
    return MappingProxyType(dict(_sections(Settings, "")))


@cache
def fields_of(table: type[msgspec.Struct]) -> Mapping[str, Option]:
    """The fields of one table of an array, by their names, as options."""
    return MappingProxyType({option.name: option for option in _walk(table, table(), "")})


def describe() -> list[Option]:
    """Every option, for people: ``config show``, ``config init``, the docs."""
    return list(options().values())


def _walk(struct: type[msgspec.Struct], defaults: msgspec.Struct, prefix: str) -> Iterator[Option]:
    for field in msgspec.structs.fields(struct):
        name, default = prefix + field.name, getattr(defaults, field.name)
        if isinstance(default, msgspec.Struct):
            yield from _walk(type(default), default, name + ".")
            continue
        info = mi.type_info(field.type)
        described = info.extra_json_schema if isinstance(info, mi.Metadata) else None
        yield Option(
            name=name,
            env=ENV_PREFIX + name.upper().replace(".", "__"),
            kind=_kind(info, default),
            default=default,
            description=(described or {}).get("description", ""),
            choices=_choices(info),
            annotation=field.type,
            secret=_is_secret(info),
            table=_table(info),
        )


def _sections(struct: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, str]]:
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield prefix + field.name, (field.type.__doc__ or "").partition("\n")[0]
            yield from _sections(field.type, f"{prefix}{field.name}.")


def _kind(info: mi.Type, default: object = None) -> str:
    match info:
        case mi.Metadata(extra=extra) if extra and WORDS in extra:
            return str(extra[WORDS])  # a pattern is for machines
        case mi.Metadata(type=inner):
            return _kind(inner, default)
        case mi.BoolType():
            return "true or false"
        case mi.IntType():
            return "a whole number" + _range(info)
        case mi.FloatType():
            return "a number" + _range(info)
        case mi.StrType(pattern=None, min_length=None):
            return "text"
        case mi.StrType(pattern=None):
            return "text, not empty"
        case mi.LiteralType(values=values):
            return " | ".join(map(str, values))
        case mi.EnumType():
            return " | ".join(_choices(info))
        case mi.ListType(item_type=mi.StructType(cls=cls)):
            return f"tables with {', '.join(cls.__struct_fields__)}"
        case mi.ListType(item_type=item):
            if isinstance(item, mi.Metadata) and WORDS in (item.extra or {}):
                return f"a list, each {_kind(item)}"
            given = default if isinstance(default, list) and _choices(item) else []
            example = ", ".join(f'"{each}"' for each in given or ("a", "b"))
            return f"a list of {_kind(item)}, such as [{example}]"
        case mi.UnionType(types=types):
            return " or ".join(_kind(one) for one in types if not isinstance(one, mi.NoneType))
        case mi.CustomType(cls=cls):
            return "secret text" if cls is Secret else "a path"
    raise TypeError(f"settings have no kind of option for {info}")


def _range(info: mi.IntType | mi.FloatType) -> str:
    if info.gt is not None:
        return f" above {info.gt:g}"
    if info.ge is None:
        return ""
    return f" of at least {info.ge}" if info.le is None else f" from {info.ge} to {info.le}"


def _choices(info: mi.Type) -> tuple[str, ...]:
    match info:
        case mi.Metadata(type=inner):
            return _choices(inner)
        case mi.LiteralType(values=values):
            return tuple(map(str, values))
        case mi.ListType(item_type=item):
            return _choices(item)
        case mi.EnumType(cls=cls):
            return tuple(str(member.value) for member in cls)
        case mi.UnionType(types=types):
            return tuple(choice for one in types for choice in _choices(one))
    return ()


def _is_secret(info: mi.Type) -> bool:
    match info:
        case mi.Metadata(type=inner) | mi.ListType(item_type=inner):
            return _is_secret(inner)
    return isinstance(info, mi.CustomType) and info.cls is Secret


def _table(info: mi.Type) -> type[msgspec.Struct] | None:
    match info:
        case mi.Metadata(type=inner):
            return _table(inner)
        case mi.ListType(item_type=mi.StructType(cls=cls)):
            return cls
    return None


def _build(kind: type, value: object) -> object:
    """Convert the two types that msgspec cannot: secrets and paths."""
    if not isinstance(value, str) or not value:
        raise ValueError("text expected")
    return Secret(value) if kind is Secret else Path(value).expanduser()


def _plausible(value: object) -> bool:
    """False for values of the right type that would fail later: nan, inf, control characters, lone surrogates."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_plausible, value))
    if isinstance(value, Path):
        return _plausible(str(value))
    text = value.reveal() if isinstance(value, Secret) else value
    return not (isinstance(text, str) and any(unicodedata.category(char) in ("Cc", "Cs") for char in text))
