"""Writes the clients' types from the protocol: ``client/messages.py`` as TypedDicts, ``clients/js/src/messages.ts`` and
``responses.ts`` as interfaces. ``tests/docs/test_reference.py`` fails while the committed files are outdated.

Names, fields and comments are those of ``gateway/protocol/messages.py``, ``gateway/api/responses.py`` and ``model.py``.
"""

from __future__ import annotations

import inspect
import keyword
import re
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import reduce
from operator import or_
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import UnsetType

from zlotick import model
from zlotick.gateway.api import responses
from zlotick.gateway.protocol import messages as protocol
from zlotick.gateway.protocol.subscription import CHANNELS, WIRE_FIELDS
from zlotick.market import queries

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / "src/zlotick/client/messages.py"
TYPESCRIPT = ROOT / "clients/js/src"

REQUEST = protocol.Subscribe
ANSWERS = (responses.Market, responses.Symbols, responses.Candles, responses.Alerts, protocol.Providers)
"""The HTTP answers that the JavaScript client has types for."""

NAMES = {
    "Subscribe": "Subscription",
    "Error": "ErrorMessage",
    "CandleMessage": "Candle",
    "AlertMessage": "Alert",
    "Symbol": "Ticker",  # JavaScript has a Symbol of its own
}
"""Names that differ in the clients."""

CHANNEL: Any = Literal[tuple(sorted(CHANNELS))]
FIELD: Any = Literal[WIRE_FIELDS]
ALIASES: dict[str, Any] = {
    name: kind
    for module in (model, queries, protocol)
    for name, kind in vars(module).items()
    if get_origin(kind) is Literal
} | {"Channel": CHANNEL, "Field": FIELD, "RequestId": protocol.RequestId}

NARROWED = {"channels": list[CHANNEL], "fields": list[FIELD], "market_status": model.MarketStatus}
"""Fields that are plain text in the server: it checks requests itself, and the guide's quote has text."""

ABOUT = """\
The messages of the wire protocol, version 1. Made by `make docs` from the server's types: do not edit.

Times are ISO 8601 text in UTC, prices PLN, an unknown number is null. A newer server may send more than this."""
ABOUT_ANSWERS = "The answers of the HTTP API. Made by `make docs` from the server's types: do not edit."


class Member(NamedTuple):
    """A field on the wire."""

    name: str
    kind: Any
    optional: bool
    comment: str


def main() -> None:
    """Write every file."""
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path}\n")


def files() -> dict[Path, str]:
    """The generated files and their texts."""
    messages = [
        kind for module in (protocol, responses) for kind in vars(module).values() if _is_message(kind)
    ]
    names = list(dict.fromkeys(map(_name, messages)))
    types = named_types([*messages, REQUEST])
    answers = {name: kind for name, kind in named_types(ANSWERS).items() if name not in types}
    return {
        PYTHON: python_module(types, names),
        TYPESCRIPT / "messages.ts": typescript_messages(types, names),
        TYPESCRIPT / "responses.ts": typescript_answers(answers, types),
    }


# The types


def named_types(structs: Iterable[Any]) -> dict[str, Any]:
    """Every alias, enum and struct that these structs need, and they themselves, each after what it needs."""
    aliases: dict[str, Any] = {}
    found: dict[str, Any] = {}

    def collect(kind: Any) -> None:
        if name := _alias(kind):
            aliases[name] = kind
        elif _is_struct(kind):
            for member in members(kind):
                collect(member.kind)
            found.setdefault(_name(kind), kind)
        else:
            for part in get_args(kind):
                collect(part)

    for struct in structs:
        collect(struct)
    return aliases | found


def members(struct: type[msgspec.Struct]) -> Iterator[Member]:
    """The fields of a struct. In a request absent means null; the clients number their requests themselves."""
    kinds, comments = typing.get_type_hints(struct, include_extras=True), _comments(struct)
    is_request = struct is REQUEST
    absent = {UnsetType, NoneType} if is_request else {UnsetType}
    for info in msgspec.structs.fields(struct):
        name, parts = info.encode_name, _parts(kinds[info.name])
        if is_request and name == "id":
            continue
        comment = _limits(parts) or comments.get(info.name, "")
        optional = is_request or UnsetType in parts
        if name in NARROWED:
            parts = (NARROWED[name], *(part for part in parts if part is NoneType))
        kind = reduce(or_, (part for part in parts if part not in absent))
        yield Member(name, kind, optional, comment)


def _comments(struct: type) -> dict[str, str]:
    """The comments behind the fields, in the source of the struct and its bases."""
    bases = [base for base in reversed(struct.__mro__) if base.__module__.startswith("zlotick.")]
    return dict(
        re.findall(r"^    (\w+): .*?  # (.+)$", "\n".join(map(inspect.getsource, bases)), re.MULTILINE)
    )


def _limits(parts: Iterable[Any]) -> str:
    """The description and the range of a number."""
    described = [meta for part in parts for meta in getattr(part, "__metadata__", ()) if meta.description]
    return "".join(f"{meta.description}, {meta.ge:g} to {meta.le:g}" for meta in described)


def _alias(kind: Any) -> str | None:
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return kind.__name__
    return next((name for name, alias in ALIASES.items() if alias == kind), None)


def _name(struct: type) -> str:
    return NAMES.get(struct.__name__, struct.__name__)


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _is_struct(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, msgspec.Struct)


def _is_message(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, protocol.Message) and kind is not protocol.Message


class Language(NamedTuple):
    """How types are written."""

    names: Mapping[Any, str]
    literal: Callable[[Sequence[str]], str]
    list_of: Callable[[str], str]
    dict_of: Callable[[str], str]

    def kind(self, kind: Any) -> str:
        """A type, as a field has it."""
        return _alias(kind) or self.written(kind)

    def written(self, kind: Any) -> str:
        """A type, in full."""
        if inspect.isclass(kind) and issubclass(kind, Enum):
            return self.literal([member.value for member in kind])
        origin, arguments = get_origin(kind), get_args(kind)
        if origin is Annotated:
            return self.kind(arguments[0])
        if origin is Literal:
            return self.literal(arguments)
        if origin in (Union, UnionType):
            return " | ".join(map(self.kind, arguments))
        if origin in (list, tuple):
            return self.list_of(self.kind(arguments[0]))
        if origin is dict:
            return self.dict_of(self.kind(arguments[1]))
        return self.names.get(kind) or _name(kind)

    def words(self, text: str | None) -> str:
        """A comment, or the first paragraph of a docstring: the others are about the implementation."""
        first = " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())
        return re.sub(r"\b(None|null)\b", self.names[NoneType], first.replace("``", "`"))


# Python

PY = Language(
    {str: "str", int: "int", float: "float", bool: "bool", NoneType: "None"},
    lambda values: f"Literal[{', '.join(map(_quoted, values))}]",
    lambda item: f"list[{item}]",
    lambda value: f"dict[str, {value}]",
)


def python_module(types: Mapping[str, Any], union: Sequence[str]) -> str:
    """``client/messages.py``."""
    head = f'"""{ABOUT.replace("null", "None")}\n"""\n\nfrom __future__ import annotations\n\n'
    body = "".join(_python_type(name, kind) for name, kind in types.items())
    tail = (
        "\n\nServerMessage = (\n    "
        + "\n    | ".join(union)
        + '\n)\n"""``message["type"]`` says which."""\n'
    )
    return f"{head}from typing import Literal, NotRequired, TypedDict\n\n{body}{tail}"


def _python_type(name: str, kind: Any) -> str:
    if not _is_struct(kind):
        text = f"{name} = {PY.written(kind)}\n"
        if len(text) > 110:
            text = text.replace("[", "[\n    ").replace(", ", ",\n    ").replace("]", ",\n]")
        about = PY.words(kind.__doc__) if inspect.isclass(kind) else ""
        return text + (f'"""{about}"""\n' if about else "")
    about = PY.words(kind.__doc__)
    if any(keyword.iskeyword(member.name) for member in members(kind)):
        return f'\n\n{name} = TypedDict(\n    "{name}",\n    {{\n{"".join(_python_items(kind))}    }},\n)\n"""{about}"""\n'
    head = f"class {name}(TypedDict, total=False):" if kind is REQUEST else f"class {name}(TypedDict):"
    return f'\n\n{head}\n    """{about}"""\n\n{"".join(_python_fields(kind))}'


def _python_fields(struct: type[msgspec.Struct]) -> Iterator[str]:
    tag = struct.__struct_config__.tag
    if tag and struct is not REQUEST:
        yield f'    type: Literal["{tag}"]\n'
    for member in members(struct):
        kind = PY.kind(member.kind)
        if member.optional and struct is not REQUEST:
            kind = f"NotRequired[{kind}]"
        line, comment = f"    {member.name}: {kind}", PY.words(member.comment)
        together = f"{line}  # {comment}"
        if not comment:
            yield f"{line}\n"
        elif len(together) <= 110:
            yield f"{together}\n"
        else:
            yield f"    # {comment}\n{line}\n"


def _python_items(struct: type[msgspec.Struct]) -> Iterator[str]:
    """The fields as items of a dict: a keyword cannot name a field of a class."""
    yield f'        "type": Literal["{struct.__struct_config__.tag}"],\n'
    for member in members(struct):
        yield f'        "{member.name}": {PY.kind(member.kind)},\n'


# TypeScript

TS = Language(
    {str: "string", int: "number", float: "number", bool: "boolean", NoneType: "null"},
    lambda values: " | ".join(map(_quoted, values)),
    lambda item: f"({item})[]" if " | " in item else f"{item}[]",
    lambda value: f"Record<string, {value}>",
)


def typescript_messages(types: Mapping[str, Any], union: Sequence[str]) -> str:
    """``messages.ts``."""
    about = "/**\n * " + ABOUT.replace("\n\n", "\n").replace("\n", "\n * ") + "\n */\n"
    body = "".join(_typescript_type(name, kind) for name, kind in types.items())
    return f"{about}{body}\n{_typescript_alias('ServerMessage', union)}"


def typescript_answers(types: Mapping[str, Any], known: Iterable[str]) -> str:
    """``responses.ts``."""
    body = "".join(_typescript_type(name, kind) for name, kind in types.items())
    imported = ", ".join(
        sorted(name for name in known if re.search(rf"^  .*: .*\b{name}\b", body, re.MULTILINE))
    )
    return f'/** {ABOUT_ANSWERS} */\nimport type {{ {imported} }} from "./messages.ts";\n{body}'


def _typescript_type(name: str, kind: Any) -> str:
    if not _is_struct(kind):
        about = TS.words(kind.__doc__) if inspect.isclass(kind) else ""
        return f"\n{_comment(about)}{_typescript_alias(name, TS.written(kind).split(' | '))}"
    fields = "".join(_typescript_fields(kind))
    return f"\n{_comment(TS.words(kind.__doc__))}export interface {name} {{\n{fields}}}\n"


def _typescript_alias(name: str, choices: Sequence[str]) -> str:
    line = f"export type {name} = {' | '.join(choices)};\n"
    return line if len(line) <= 121 else f"export type {name} =\n  | " + "\n  | ".join(choices) + ";\n"


def _typescript_fields(struct: type[msgspec.Struct]) -> Iterator[str]:
    tag = struct.__struct_config__.tag
    if tag and struct is not REQUEST:
        yield f'  type: "{tag}";\n'
    for member in members(struct):
        comment = TS.words(member.comment)
        yield _comment(comment[:1].upper() + comment[1:] + "." if comment else "", "  ")
        kind = TS.kind(member.kind)
        array = "readonly " * (struct is REQUEST and kind.endswith("[]"))
        yield f"  {member.name}{'?' * member.optional}: {array}{kind};\n"


def _comment(text: str, indent: str = "") -> str:
    return f"{indent}/** {text} */\n" if text else ""


def _quoted(text: str) -> str:
    return f'"{text}"'


if __name__ == "__main__":
    main()
